//! A line chart as inline SVG: axes, grid, labels at the line's end, values under the pointer.

use super::html::{Cell, details, escape, figure, table};
use super::scale::{log_ticks, short, smooth, thin, ticks};
use std::fmt::Write;

const WIDTH: f64 = 860.0;
const TALL: f64 = 320.0;
const LOW: f64 = 190.0;
const LEFT: f64 = 58.0;
const RIGHT: f64 = 190.0;
const TOP: f64 = 28.0;
const BOTTOM: f64 = 42.0;
/// Points a drawn line has at most: two a pixel help nobody and fill the page.
const DRAWN: usize = 400;
/// Places under the pointer, and rows of the data table.
const HOVERED: usize = 140;
const CLASSES: [&str; 3] = ["c1", "c2", "c3"];

/// How a series is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// A strong smoothed line over the faint measured one.
    Smoothed,
    /// A line.
    Plain,
    /// A line with a marker at each value.
    Marked,
    /// Markers alone: values that do not follow each other.
    Points,
}

/// One line of a chart.
pub struct Series {
    /// Its name at the end of the line.
    pub name: String,
    /// Values in the order of x; those that are not finite are left out.
    pub points: Vec<(f64, f64)>,
    /// How it is drawn.
    pub look: Look,
}

/// A line chart; colours go by position, and dashes and markers repeat what the colour says.
#[derive(Default)]
pub struct LineChart {
    /// What it shows, for those who cannot see it.
    pub label: String,
    /// Name of the x axis.
    pub x_name: String,
    /// Name of the y axis with its unit.
    pub y_name: String,
    /// The lines.
    pub series: Vec<Series>,
    /// Horizontal lines to compare with: name and height.
    pub levels: Vec<(String, f64)>,
    /// Whether y is logarithmic where all values allow it.
    pub log_y: bool,
    /// Whether it is a side issue, and drawn lower.
    pub low: bool,
}

struct Frame {
    height: f64,
    x: (f64, f64),
    y: (f64, f64),
    log: bool,
}

impl Frame {
    fn bottom(&self) -> f64 {
        self.height - BOTTOM
    }
    fn px(&self, x: f64) -> f64 {
        LEFT + (x - self.x.0) / (self.x.1 - self.x.0) * (WIDTH - LEFT - RIGHT)
    }
    fn py(&self, y: f64) -> f64 {
        let (low, high, v) = if self.log { (self.y.0.ln(), self.y.1.ln(), y.ln()) } else { (self.y.0, self.y.1, y) };
        self.bottom() - (v - low) / (high - low) * (self.bottom() - TOP)
    }
}

impl LineChart {
    /// The drawing with its caption and its data folded under it. Without a finite value: a sentence.
    pub fn figure(&self, caption: &str) -> String {
        let Some(frame) = self.frame() else {
            return format!("<p class=\"none\">{}: no values were recorded.</p>\n", escape(&self.label));
        };
        figure(&self.svg(&frame), caption, &details("The numbers of this chart", &self.data_table()))
    }

    /// The drawing by itself; without a finite value an empty one.
    pub fn drawing(&self) -> String {
        self.frame().map_or_else(|| "<svg viewBox=\"0 0 1 1\"></svg>".to_owned(), |frame| self.svg(&frame))
    }

    fn finite(&self) -> impl Iterator<Item = (f64, f64)> + '_ {
        self.series.iter().flat_map(|s| s.points.iter().copied()).filter(|(x, y)| x.is_finite() && y.is_finite())
    }

    fn frame(&self) -> Option<Frame> {
        let fold = |values: &mut dyn Iterator<Item = f64>| {
            values.fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), v| (l.min(v), h.max(v)))
        };
        let mut x = fold(&mut self.finite().map(|p| p.0));
        let levels = self.levels.iter().map(|l| l.1).filter(|v| v.is_finite());
        let mut y = fold(&mut self.finite().map(|p| p.1).chain(levels));
        if !x.0.is_finite() {
            return None;
        }
        if x.0 == x.1 {
            x = (x.0 - 1.0, x.1 + 1.0);
        }
        let log = self.log_y && y.0 > 0.0 && y.1 / y.0 > 8.0;
        if log {
            y = (y.0 / 1.15, y.1 * 1.15);
        } else {
            let margin = if y.0 == y.1 { y.0.abs().max(1.0) * 0.1 } else { (y.1 - y.0) * 0.06 };
            // A quantity that cannot be negative keeps its zero where it is near.
            let floor = if y.0 >= 0.0 && y.0 <= (y.1 - y.0) * 0.25 { 0.0 } else { y.0 - margin };
            y = (floor, y.1 + margin);
        }
        Some(Frame { height: if self.low { LOW } else { TALL }, x, y, log })
    }

    fn svg(&self, frame: &Frame) -> String {
        let mut out = format!(
            "<svg viewBox=\"0 0 {WIDTH} {}\" role=\"img\" aria-label=\"{}\">\n",
            frame.height,
            escape(&self.label_with_ends())
        );
        self.axes(frame, &mut out);
        for (name, value) in self.levels.iter().filter(|l| l.1.is_finite()) {
            let y = frame.py(*value);
            let _ = writeln!(
                out,
                "<line class=\"level\" x1=\"{LEFT}\" x2=\"{:.1}\" y1=\"{y:.1}\" y2=\"{y:.1}\"><title>{}: {}</title></line>",
                WIDTH - RIGHT,
                escape(name),
                short(*value)
            );
        }
        for (i, series) in self.series.iter().enumerate() {
            draw(series, i, frame, &mut out);
        }
        self.end_labels(frame, &mut out);
        self.pointer(frame, &mut out);
        out.push_str("</svg>");
        out
    }

    /// What a reader who sees no chart should hear: the name, and where each line begins and ends.
    fn label_with_ends(&self) -> String {
        let mut text = format!("{}.", self.label);
        for series in &self.series {
            let mut finite = series.points.iter().filter(|p| p.1.is_finite());
            if let Some(first) = finite.next() {
                let last = finite.next_back().unwrap_or(first);
                let _ = write!(text, " {}: from {} to {}.", series.name, short(first.1), short(last.1));
            }
        }
        for (name, value) in &self.levels {
            let _ = write!(text, " {name}: {}.", short(*value));
        }
        text
    }

    fn axes(&self, frame: &Frame, out: &mut String) {
        let (right, bottom) = (WIDTH - RIGHT, frame.bottom());
        out.push_str("<g class=\"axis\">");
        let y_ticks = if frame.log {
            log_ticks(frame.y.0, frame.y.1)
        } else {
            ticks(frame.y.0, frame.y.1, if self.low { 3 } else { 5 })
        };
        for value in y_ticks {
            let y = frame.py(value);
            let _ = write!(out, "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{right}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>");
            let _ = write!(
                out,
                "<text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
                LEFT - 8.0,
                y + 4.0,
                short(value)
            );
        }
        for value in ticks(frame.x.0, frame.x.1, 6) {
            let x = frame.px(value);
            let _ = write!(
                out,
                "<line class=\"tick\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{bottom}\" y2=\"{}\"/>",
                bottom + 5.0
            );
            let _ = write!(
                out,
                "<text x=\"{x:.1}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
                bottom + 18.0,
                short(value)
            );
        }
        let _ = write!(out, "<line class=\"base\" x1=\"{LEFT}\" x2=\"{right}\" y1=\"{bottom}\" y2=\"{bottom}\"/>");
        let _ = write!(
            out,
            "<text x=\"{right}\" y=\"{}\" text-anchor=\"end\" class=\"name\">{}</text>",
            frame.height - 6.0,
            escape(&self.x_name)
        );
        let _ =
            writeln!(out, "<text x=\"{}\" y=\"13\" class=\"name\">{}</text></g>", LEFT - 36.0, escape(&self.y_name));
    }

    /// Names and last values beside the line's ends, pushed apart where they would overlap.
    fn end_labels(&self, frame: &Frame, out: &mut String) {
        let mut labels: Vec<(f64, String, &str)> = Vec::new();
        for (i, series) in self.series.iter().enumerate() {
            let drawn = if series.look == Look::Smoothed {
                smooth(&series.points, memory(series))
            } else {
                series.points.clone()
            };
            if let Some(last) = drawn.iter().rev().find(|p| p.1.is_finite()) {
                labels.push((frame.py(last.1), format!("{} {}", series.name, short(last.1)), CLASSES[i % 3]));
            }
        }
        for (name, value) in self.levels.iter().filter(|l| l.1.is_finite()) {
            labels.push((frame.py(*value), format!("{name} {}", short(*value)), "level"));
        }
        labels.sort_by(|a, b| a.0.total_cmp(&b.0));
        let mut floor = TOP;
        for label in &mut labels {
            label.0 = label.0.max(floor);
            floor = label.0 + 17.0;
        }
        // Labels pushed under the axis move up again, the last first.
        let mut ceiling = frame.bottom() + 4.0;
        for label in labels.iter_mut().rev() {
            label.0 = label.0.min(ceiling);
            ceiling = label.0 - 17.0;
        }
        let (from, to, words) = (WIDTH - RIGHT + 8.0, WIDTH - RIGHT + 26.0, WIDTH - RIGHT + 33.0);
        for (y, text, class) in labels {
            let _ = writeln!(
                out,
                "<polyline class=\"{class}\" points=\"{from},{y:.1} {to},{y:.1}\"/>\
                 <text class=\"end\" x=\"{words}\" y=\"{:.1}\">{}</text>",
                y + 4.5,
                escape(&text)
            );
        }
    }

    /// Invisible strips that show a guide and the values under the pointer.
    fn pointer(&self, frame: &Frame, out: &mut String) {
        let Some(first) = self.series.first() else { return };
        let stops = thin(&first.points, HOVERED);
        let (top, bottom) = (TOP, frame.bottom());
        let mut left = LEFT;
        for (i, stop) in stops.iter().enumerate() {
            let x = frame.px(stop.x);
            let right = stops.get(i + 1).map_or(WIDTH - RIGHT, |n| (x + frame.px(n.x)) / 2.0);
            let _ = write!(
                out,
                "<g class=\"at\"><rect x=\"{left:.1}\" y=\"{top}\" width=\"{:.1}\" height=\"{}\"/>\
                 <line x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{top}\" y2=\"{bottom}\"/><title>{} {}",
                (right - left).max(0.1),
                bottom - top,
                escape(&self.x_name),
                short(stop.x)
            );
            for series in &self.series {
                let half = (right - left).max(1.0) / (WIDTH - LEFT - RIGHT) * (frame.x.1 - frame.x.0);
                if let Some(value) = nearest(&series.points, stop.x, half) {
                    let _ = write!(out, "\n{} {}", escape(&series.name), short(value));
                }
            }
            out.push_str("</title></g>\n");
            left = right;
        }
    }

    fn data_table(&self) -> String {
        // One row for each x of any series, thinned evenly.
        let mut xs: Vec<f64> = self.finite().map(|p| p.0).collect();
        xs.sort_by(f64::total_cmp);
        xs.dedup();
        let every = xs.len().div_ceil(HOVERED).max(1);
        let mut head = vec![self.x_name.as_str()];
        head.extend(self.series.iter().map(|s| s.name.as_str()));
        let last = xs.len().saturating_sub(1);
        let rows: Vec<Vec<Cell>> = xs
            .iter()
            .enumerate()
            .filter(|(i, x)| i % every == 0 || *i == last || self.rare(**x))
            .map(|(_, &x)| {
                let mut row = vec![Cell::Number(short(x))];
                row.extend(self.series.iter().map(|s| Cell::Number(exact(&s.points, x).map_or(String::new(), short))));
                row
            })
            .collect();
        let caption = if every > 1 { format!("{} (every {every}th row)", self.label) } else { self.label.clone() };
        table(&caption, &head, &rows)
    }

    /// Whether a short series (validation) has a value here, which the thinning should not lose.
    fn rare(&self, x: f64) -> bool {
        self.series.iter().any(|s| s.points.len() <= HOVERED / 2 && exact(&s.points, x).is_some())
    }
}

fn memory(series: &Series) -> f64 {
    series.points.len() as f64 / 80.0
}

fn exact(points: &[(f64, f64)], x: f64) -> Option<f64> {
    let i = points.partition_point(|p| p.0 < x);
    points.get(i).filter(|p| p.0 == x && p.1.is_finite()).map(|p| p.1)
}

fn nearest(points: &[(f64, f64)], x: f64, within: f64) -> Option<f64> {
    let i = points.partition_point(|p| p.0 < x);
    [i.checked_sub(1), Some(i)]
        .into_iter()
        .flatten()
        .filter_map(|k| points.get(k))
        .filter(|p| p.1.is_finite() && (p.0 - x).abs() <= within)
        .min_by(|a, b| (a.0 - x).abs().total_cmp(&(b.0 - x).abs()))
        .map(|p| p.1)
}

fn draw(series: &Series, number: usize, frame: &Frame, out: &mut String) {
    let class = CLASSES[number % 3];
    let line = |points: &[(f64, f64)], extra: &str, out: &mut String| {
        let path: Vec<String> = points.iter().map(|&(x, y)| format!("{:.1},{:.1}", frame.px(x), frame.py(y))).collect();
        let _ = writeln!(out, "<polyline class=\"{class}{extra}\" points=\"{}\"/>", path.join(" "));
    };
    let usable: Vec<(f64, f64)> = series.points.iter().copied().filter(|p| !frame.log || p.1 > 0.0).collect();
    let mean =
        |points: &[(f64, f64)]| -> Vec<(f64, f64)> { thin(points, DRAWN).iter().map(|b| (b.x, b.mean)).collect() };
    match series.look {
        Look::Smoothed => {
            let faint: Vec<(f64, f64)> =
                thin(&usable, DRAWN).iter().flat_map(|b| [(b.x, b.low), (b.x, b.high)]).collect();
            line(&faint, " faint", out);
            line(&mean(&smooth(&usable, memory(series))), "", out);
        }
        Look::Plain => line(&mean(&usable), "", out),
        Look::Marked | Look::Points => {
            let points = mean(&usable);
            if series.look == Look::Marked {
                line(&points, "", out);
            }
            for (x, y) in points.iter().take(HOVERED) {
                let (cx, cy) = (frame.px(*x), frame.py(*y));
                let _ = write!(out, "<circle class=\"{class}\" cx=\"{cx:.1}\" cy=\"{cy:.1}\" r=\"3.2\"/>");
            }
            out.push('\n');
        }
    }
    // A line of one point would be invisible.
    if let ([only], true) = (usable.as_slice(), !matches!(series.look, Look::Marked | Look::Points)) {
        let _ = writeln!(
            out,
            "<circle class=\"{class}\" cx=\"{:.1}\" cy=\"{:.1}\" r=\"3.2\"/>",
            frame.px(only.0),
            frame.py(only.1)
        );
    }
}
