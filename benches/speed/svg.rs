//! One line through some points, as an SVG file: axes from zero, labels, and the value at each point.

use std::fmt::Write as _;

use crate::report::number;

const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 360.0;
/// Room for the labels: left, right, above, below.
const MARGINS: [f64; 4] = [70.0, 40.0, 50.0, 60.0];
/// Marks on an axis, at most.
const MARKS: f64 = 6.0;

/// What is drawn.
#[derive(Debug, Clone)]
pub(crate) struct Plot<'a> {
    pub(crate) title: &'a str,
    pub(crate) x: &'a str,
    pub(crate) y: &'a str,
    pub(crate) points: Vec<(f64, f64)>,
}

/// The distance of the marks on an axis that reaches so far: 1, 2 or 5 of some power of ten.
fn step(reach: f64) -> f64 {
    let least = reach / MARKS;
    let power = 10f64.powf(least.log10().floor());
    [1.0, 2.0, 5.0, 10.0].into_iter().map(|n| n * power).find(|step| *step >= least).unwrap_or(least)
}

/// An axis from zero: its length in the picture, the largest value, and its marks.
struct Axis {
    end: f64,
    marks: Vec<f64>,
}

impl Axis {
    fn over(values: impl Iterator<Item = f64>) -> Self {
        let most = values.fold(0.0, f64::max).max(f64::MIN_POSITIVE);
        let step = step(most);
        let count = (most / step).ceil();
        Self { end: count * step, marks: (0..=count as u32).map(|n| f64::from(n) * step).collect() }
    }
}

impl Plot<'_> {
    /// The file's content.
    pub(crate) fn svg(&self) -> String {
        let (across, up) = (Axis::over(self.points.iter().map(|p| p.0)), Axis::over(self.points.iter().map(|p| p.1)));
        let [left, right, above, below] = MARGINS;
        let (bottom, end) = (HEIGHT - below, WIDTH - right);
        let x = |value: f64| left + value / across.end * (end - left);
        let y = |value: f64| bottom - value / up.end * (bottom - above);
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" font-size=\"12\">\n\
             <rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"white\"/>\n"
        );
        let text = |svg: &mut String, at: (f64, f64), anchor: &str, more: &str, words: &str| {
            let _ = writeln!(svg, "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"{anchor}\"{more}>{words}</text>", at.0, at.1);
        };
        let line = |svg: &mut String, from: (f64, f64), to: (f64, f64), colour: &str| {
            let ((x1, y1), (x2, y2)) = (from, to);
            let _ = writeln!(svg, "<line x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\" stroke=\"{colour}\"/>");
        };
        text(&mut svg, (WIDTH / 2.0, 24.0), "middle", " font-size=\"15\"", self.title);
        text(&mut svg, ((left + end) / 2.0, HEIGHT - 14.0), "middle", "", self.x);
        let middle = f64::midpoint(above, bottom);
        text(&mut svg, (18.0, middle), "middle", &format!(" transform=\"rotate(-90 18 {middle})\""), self.y);
        for mark in &up.marks {
            line(&mut svg, (left, y(*mark)), (end, y(*mark)), "#ddd");
            text(&mut svg, (left - 8.0, y(*mark) + 4.0), "end", "", &number(*mark));
        }
        for mark in &across.marks {
            line(&mut svg, (x(*mark), bottom), (x(*mark), bottom + 5.0), "#444");
            text(&mut svg, (x(*mark), bottom + 20.0), "middle", "", &number(*mark));
        }
        line(&mut svg, (left, bottom), (end, bottom), "#444");
        line(&mut svg, (left, above), (left, bottom), "#444");
        let places: Vec<String> = self.points.iter().map(|(px, py)| format!("{:.1},{:.1}", x(*px), y(*py))).collect();
        let _ = writeln!(svg, "<polyline points=\"{}\" fill=\"none\" stroke=\"#1f5fa8\" stroke-width=\"2\"/>", places.join(" "));
        for (px, py) in &self.points {
            let _ = writeln!(svg, "<circle cx=\"{:.1}\" cy=\"{:.1}\" r=\"3.5\" fill=\"#1f5fa8\"/>", x(*px), y(*py));
            text(&mut svg, (x(*px), y(*py) - 9.0), "middle", " font-size=\"10\"", &number(*py));
        }
        svg.push_str("</svg>\n");
        svg
    }
}
