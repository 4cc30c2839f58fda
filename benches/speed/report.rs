//! The table: each measured figure beside its goal, and whether what must hold holds.

use std::fmt::Write as _;
use std::io::Write as _;

/// On which side of a number a figure has to be.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Bound {
    AtLeast(f64),
    AtMost(f64),
}

impl Bound {
    fn holds(self, value: f64) -> bool {
        match self {
            Bound::AtLeast(least) => value >= least,
            Bound::AtMost(most) => value <= most,
        }
    }

    fn looks_like(self, value: f64) -> bool {
        let (Bound::AtLeast(bound) | Bound::AtMost(bound)) = self;
        number(bound) == number(value)
    }

    fn words(self, unit: &str) -> String {
        match self {
            Bound::AtLeast(least) => format!("≥ {}", with_unit(&number(least), unit)),
            Bound::AtMost(most) => format!("≤ {}", with_unit(&number(most), unit)),
        }
    }
}

/// What a figure must be, and what it should be.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Goal {
    must: Bound,
    aim: Option<Bound>,
}

impl Goal {
    pub(crate) fn at_least(must: f64) -> Self {
        Self { must: Bound::AtLeast(must), aim: None }
    }

    pub(crate) fn at_most(must: f64) -> Self {
        Self { must: Bound::AtMost(must), aim: None }
    }

    /// The same side of another number is aimed at.
    pub(crate) fn aim(self, aim: f64) -> Self {
        let aim = match self.must {
            Bound::AtLeast(_) => Bound::AtLeast(aim),
            Bound::AtMost(_) => Bound::AtMost(aim),
        };
        Self { aim: Some(aim), ..self }
    }
}

/// Prints rows as they are measured, and keeps count of what was missed.
#[derive(Debug, Default)]
pub(crate) struct Report {
    held: usize,
    missed: Vec<String>,
}

impl Report {
    /// A report whose head is printed.
    pub(crate) fn begin(machine: &str) -> Self {
        print(machine);
        print("");
        print(&row("what", "measured", "must", "aim", ""));
        print(&"-".repeat(121));
        Self::default()
    }

    /// The rows that follow belong to this measurement.
    pub(crate) fn section(&mut self, name: &str) {
        print(&format!("{name}:"));
    }

    /// A figure without a goal.
    pub(crate) fn tell(&mut self, what: &str, value: f64, unit: &str) {
        self.say(what, &with_unit(&number(value), unit));
    }

    /// Something without a goal, in words.
    pub(crate) fn say(&mut self, what: &str, words: &str) {
        print(&row(what, words, "", "", ""));
    }

    /// A figure that must meet its goal.
    pub(crate) fn hold(&mut self, what: &str, value: f64, unit: &str, goal: Goal) {
        // A figure that looks like the bound and misses it would puzzle.
        let near = goal.must.looks_like(value);
        let measured = with_unit(&if near { format!("{value:.4}") } else { number(value) }, unit);
        let holds = goal.must.holds(value);
        let verdict = match (holds, goal.aim) {
            (false, _) => "MISSED",
            (true, Some(aim)) if aim.holds(value) => "holds, aim reached",
            (true, _) => "holds",
        };
        let aim = goal.aim.map_or_else(String::new, |aim| aim.words(unit));
        print(&row(what, &measured, &goal.must.words(unit), &aim, verdict));
        if holds {
            self.held += 1;
        } else {
            self.missed.push(format!("{what}: {measured}"));
        }
    }

    /// Prints the sum of it all; true if nothing was missed.
    pub(crate) fn end(self) -> bool {
        print("");
        match self.missed.as_slice() {
            [] if self.held == 0 => {}
            [] => print(&format!("{} of {0} goals that must be met are met", self.held)),
            missed => {
                let all = self.held + missed.len();
                print(&format!("{} of {all} goals that must be met are MISSED:\n  {}", missed.len(), missed.join("\n  ")));
            }
        }
        self.missed.is_empty()
    }
}

fn row(what: &str, measured: &str, must: &str, aim: &str, verdict: &str) -> String {
    let mut line = String::new();
    let _ = write!(line, "  {what:<58} {measured:>16}   {must:<12} {aim:<12} {verdict}");
    line.trim_end().to_owned()
}

/// A reader that is gone (`| head`) is no reason to stop measuring what may have been missed.
fn print(line: &str) {
    let _ = writeln!(std::io::stdout(), "{line}");
}

fn with_unit(number: &str, unit: &str) -> String {
    if unit.is_empty() { number.to_owned() } else { format!("{number} {unit}") }
}

/// With about three digits that say something.
pub(crate) fn number(value: f64) -> String {
    let digits = match value.abs() {
        v if v.fract() == 0.0 && v < 1e6 => 0,
        v if v >= 100.0 => 0,
        v if v >= 10.0 => 1,
        v if v >= 0.1 => 2,
        v if v >= 0.01 => 3,
        _ => 4,
    };
    format!("{value:.digits$}")
}

/// The middle of the values.
pub(crate) fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    quantile(values, 0.5)
}

/// The value that a share of the values does not exceed.
///
/// # Panics
/// If there are no values.
pub(crate) fn quantile(values: impl IntoIterator<Item = f64>, share: f64) -> f64 {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    let last = values.len().checked_sub(1).expect("there is no middle of nothing");
    values[(last as f64 * share).round() as usize]
}
