//! Which rule fires for which request.

use std::collections::BTreeMap;

use super::super::dice::Dice;
use super::super::route::Kind;
use super::{Fault, Rule, Target, When};
use crate::domain::{ContentId, Time};

#[derive(Debug, Clone)]
struct Armed {
    rule: Rule,
    /// Its number among all rules ever added: its dice depend on it.
    number: u64,
    /// Requests that it was about.
    seen: u64,
    /// Times that it fired.
    fired: u64,
    /// Times that it fired for each blob, for rules that count by blob.
    by_blob: BTreeMap<ContentId, u64>,
}

/// What a request meets.
#[derive(Debug, Clone, Default)]
pub(in super::super) struct Drawn {
    pub(in super::super) fault: Option<Fault>,
    pub(in super::super) skew_ms: i64,
}

/// All rules, with what they have seen.
#[derive(Debug, Clone)]
pub(in super::super) struct Schedule {
    seed: u64,
    armed: Vec<Armed>,
    added: u64,
}

impl Schedule {
    pub(in super::super) fn new(seed: u64, rules: Vec<Rule>) -> Self {
        let mut schedule = Self { seed, armed: Vec::new(), added: 0 };
        for rule in rules {
            schedule.add(rule);
        }
        schedule
    }

    /// Adds a rule behind the others.
    pub(in super::super) fn add(&mut self, rule: Rule) {
        self.armed.push(Armed { rule, number: self.added, seen: 0, fired: 0, by_blob: BTreeMap::new() });
        self.added += 1;
    }

    /// Ends all faults.
    pub(in super::super) fn clear(&mut self) {
        self.armed.clear();
    }

    /// What happens to a request. A rule whose turn another rule took is not used up by it.
    pub(in super::super) fn draw(&mut self, kind: Kind, blob: Option<&ContentId>, now: Time) -> Drawn {
        let mut drawn = Drawn::default();
        let seed = self.seed;
        for armed in self.armed.iter_mut().filter(|a| a.rule.target.hits(kind, blob)) {
            armed.seen += 1;
            if !armed.fires(seed, blob, now) {
                continue;
            }
            match &armed.rule.fault {
                Fault::ClockSkew { millis } => drawn.skew_ms = drawn.skew_ms.saturating_add(*millis),
                fault if drawn.fault.is_none() => drawn.fault = Some(fault.clone()),
                _ => continue,
            }
            armed.fired += 1;
            if let (When::Blobs { .. }, Some(blob)) = (armed.rule.when, blob) {
                *armed.by_blob.entry(blob.clone()).or_insert(0) += 1;
            }
        }
        drawn
    }

    /// True if no download of this blob can ever succeed.
    pub(in super::super) fn spoils_forever(&self, blob: &ContentId) -> bool {
        self.armed.iter().any(|armed| {
            let for_ever = match armed.rule.when {
                When::Always => true,
                When::Blobs { share, times: None } => armed.chooses(self.seed, blob, share),
                _ => false,
            };
            for_ever
                && armed.rule.fault.spoils_a_blob()
                && matches!(armed.rule.target, Target::Any | Target::Api | Target::Blob | Target::OneBlob(_))
                && armed.rule.target.hits(Kind::Blob, Some(blob))
        })
    }
}

impl Armed {
    fn fires(&self, seed: u64, blob: Option<&ContentId>, now: Time) -> bool {
        match self.rule.when {
            When::Always => true,
            When::First(count) => self.fired < count,
            When::Nth(n) => self.seen == n,
            When::Every(k) => k > 0 && self.seen.is_multiple_of(k),
            When::Rate(share) => Dice::new(seed, &[0x6661_756c_7473, self.number, self.seen]).chance(share),
            When::During(from, to) => from <= now && now < to,
            When::Blobs { share, times } => blob.is_some_and(|blob| {
                let fired = self.by_blob.get(blob).copied().unwrap_or(0);
                times.is_none_or(|times| fired < times) && self.chooses(seed, blob, share)
            }),
        }
    }

    /// True if this blob is among the share of blobs that the rule hits.
    fn chooses(&self, seed: u64, blob: &ContentId, share: f64) -> bool {
        let mut path = vec![0x626c_6f62, self.number];
        path.extend(blob.0.bytes().map(u64::from));
        Dice::new(seed, &path).chance(share)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fired(rule: Rule, requests: usize) -> Vec<usize> {
        let mut schedule = Schedule::new(1, vec![rule]);
        (1..=requests).filter(|_| schedule.draw(Kind::FirstPage, None, Time(0)).fault.is_some()).collect()
    }

    fn rule(when: When) -> Rule {
        Rule::new(Target::Listing, Fault::Reset, when)
    }

    #[test]
    fn fires_as_scripted() {
        assert_eq!(fired(rule(When::First(2)), 9), [1, 2]);
        assert_eq!(fired(rule(When::Nth(3)), 9), [3]);
        assert_eq!(fired(rule(When::Every(4)), 9), [4, 8]);
        assert_eq!(fired(rule(When::Every(0)), 9), [] as [usize; 0]);
        assert_eq!(fired(rule(When::Always), 3), [1, 2, 3]);
        let some = fired(rule(When::Rate(0.25)), 1000);
        assert!((200..300).contains(&some.len()), "{}", some.len());
        assert_eq!(some, fired(rule(When::Rate(0.25)), 1000));
        assert_eq!(fired(rule(When::During(Time(1), Time(2))), 9), [] as [usize; 0]);
        assert_eq!(fired(rule(When::During(Time(0), Time(1))), 1), [1]);
    }

    #[test]
    fn the_first_rule_wins_and_the_second_waits() {
        let rules = vec![
            Rule::new(Target::Api, Fault::Reset, When::First(1)),
            Rule::new(Target::Listing, Fault::StalePage, When::First(1)),
            Rule::new(Target::Any, Fault::ClockSkew { millis: 5 }, When::Always),
        ];
        let mut schedule = Schedule::new(1, rules);
        let mut next = || schedule.draw(Kind::NextPage, None, Time(0));
        assert_eq!(next().fault, Some(Fault::Reset));
        assert_eq!(next().fault, Some(Fault::StalePage));
        let last = next();
        assert_eq!((last.fault, last.skew_ms), (None, 5));
        assert!(schedule.draw(Kind::Token, None, Time(0)).fault.is_none());
    }

    #[test]
    fn counts_by_blob() {
        let when = |times| When::Blobs { share: 0.5, times };
        let mut schedule = Schedule::new(1, vec![Rule::new(Target::Blob, Fault::Missing, when(Some(2)))]);
        let mut hit = 0;
        for i in 0..200 {
            let id = ContentId(format!("{i}$b"));
            let fired: Vec<bool> = (0..4).map(|_| schedule.draw(Kind::Blob, Some(&id), Time(0)).fault.is_some()).collect();
            assert!(fired == [true, true, false, false] || fired == [false; 4]);
            hit += usize::from(fired[0]);
            assert!(!schedule.spoils_forever(&id));
        }
        assert!((70..130).contains(&hit), "{hit}");
        let poison = Schedule::new(1, vec![Rule::new(Target::Blob, Fault::Missing, when(None))]);
        let spoilt = (0..200).filter(|i| poison.spoils_forever(&ContentId(format!("{i}$b")))).count();
        assert_eq!(spoilt, hit);
    }
}
