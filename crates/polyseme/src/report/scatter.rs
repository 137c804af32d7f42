//! Numbered points in a plane, with a limit and the line of those that none beats, as inline SVG.

use super::html::{Cell, details, escape, figure, table};
use super::scale::{log_ticks, short, ticks};
use std::fmt::Write;

const WIDTH: f64 = 860.0;
const HEIGHT: f64 = 380.0;
const LEFT: f64 = 62.0;
const RIGHT: f64 = 26.0;
const TOP: f64 = 30.0;
const BOTTOM: f64 = 44.0;

/// A point.
pub struct Spot {
    /// What stands beside it.
    pub name: String,
    /// Where it is.
    pub at: (f64, f64),
    /// How far x varies, where that was measured.
    pub spread: Option<(f64, f64)>,
    /// Whether no other one beats it.
    pub front: bool,
    /// Whether it is on the right side of the limit.
    pub within: bool,
    /// Whether it was chosen.
    pub best: bool,
}

/// Points in a plane.
pub struct Scatter {
    /// What it shows, for those who cannot see it.
    pub label: String,
    /// Name of the x axis.
    pub x_name: String,
    /// Name of the y axis.
    pub y_name: String,
    /// The points.
    pub spots: Vec<Spot>,
    /// A height to compare with, and its name.
    pub limit: (String, f64),
    /// Whether less of x is better.
    pub less_x: bool,
    /// Whether less of y is better.
    pub less_y: bool,
}

struct Frame {
    x: (f64, f64),
    y: (f64, f64),
    log: bool,
}

impl Frame {
    fn px(&self, x: f64) -> f64 {
        let (low, high, x) = if self.log { (self.x.0.ln(), self.x.1.ln(), x.ln()) } else { (self.x.0, self.x.1, x) };
        LEFT + (x - low) / (high - low) * (WIDTH - LEFT - RIGHT)
    }
    fn py(&self, y: f64) -> f64 {
        HEIGHT - BOTTOM - (y - self.y.0) / (self.y.1 - self.y.0) * (HEIGHT - BOTTOM - TOP)
    }
}

impl Scatter {
    /// The drawing with its caption and its data folded under it. Without a point: a sentence.
    pub fn figure(&self, caption: &str) -> String {
        let Some(frame) = self.frame() else {
            return format!("<p class=\"none\">{}: nothing was measured.</p>\n", escape(&self.label));
        };
        let rows: Vec<Vec<Cell>> = self
            .spots
            .iter()
            .map(|s| vec![Cell::Text(s.name.clone()), Cell::Number(short(s.at.0)), Cell::Number(short(s.at.1))])
            .collect();
        let data = table(&self.label, &["Candidate", &self.x_name, &self.y_name], &rows);
        figure(&self.svg(&frame), caption, &details("The numbers of this chart", &data))
    }

    /// Points that can be drawn.
    fn drawn(&self) -> impl Iterator<Item = &Spot> {
        self.spots.iter().filter(|s| s.at.0.is_finite() && s.at.0 > 0.0 && s.at.1.is_finite())
    }

    fn frame(&self) -> Option<Frame> {
        let fold = |values: &mut dyn Iterator<Item = f64>| {
            values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| (low.min(v), high.max(v)))
        };
        let ends = |s: &Spot| s.spread.map_or([s.at.0; 2], |(low, high)| [low, high]);
        let x = fold(&mut self.drawn().flat_map(ends).filter(|x| *x > 0.0 && x.is_finite()));
        let limit = Some(self.limit.1).filter(|y| y.is_finite());
        let y = fold(&mut self.drawn().map(|s| s.at.1).chain(limit));
        if !x.0.is_finite() {
            return None;
        }
        let log = x.1 / x.0 > 4.0;
        let wide = |(low, high): (f64, f64), share: f64| {
            let room = if high > low { (high - low) * share } else { high.abs().max(1e-3) * 0.1 };
            (low - room, high + room)
        };
        let x = if log { (x.0 / 1.2, x.1 * 1.35) } else { wide(x, 0.12) };
        Some(Frame { x, y: wide(y, 0.1), log })
    }

    fn svg(&self, frame: &Frame) -> String {
        let mut heard = format!("{}.", self.label);
        for spot in self.drawn() {
            let _ = write!(heard, " {}: {}, {}.", spot.name, short(spot.at.0), short(spot.at.1));
        }
        let heard = escape(&heard);
        let mut out = format!("<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{heard}\">\n");
        self.axes(frame, &mut out);
        if self.limit.1.is_finite() {
            let (y, right) = (frame.py(self.limit.1), WIDTH - RIGHT);
            let name = escape(&format!("{} {}", self.limit.0, short(self.limit.1)));
            let _ = writeln!(
                out,
                "<line class=\"level\" x1=\"{LEFT}\" x2=\"{right}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>\
                 <text class=\"end c0\" x=\"{:.1}\" y=\"{:.1}\">{name}</text>",
                LEFT + 6.0,
                y + 16.0
            );
        }
        self.front(frame, &mut out);
        let mut taken: Vec<[f64; 4]> = self.drawn().map(|s| around(frame.px(s.at.0), frame.py(s.at.1), 7.0)).collect();
        self.drawn().for_each(|spot| draw(spot, frame, &mut taken, &mut out));
        out.push_str("</svg>");
        out
    }

    /// A line through the points that none beats in this plane, from the one with the best y.
    fn front(&self, frame: &Frame, out: &mut String) {
        let good = |(x, y): (f64, f64)| (if self.less_x { -x } else { x }, if self.less_y { -y } else { y });
        let mut line: Vec<(f64, f64)> = self.drawn().map(|s| s.at).collect();
        line.sort_by(|a, b| good(*b).1.total_cmp(&good(*a).1).then(good(*b).0.total_cmp(&good(*a).0)));
        let mut reached = f64::NEG_INFINITY;
        line.retain(|at| {
            let further = good(*at).0 > reached;
            reached = reached.max(good(*at).0);
            further
        });
        let path: Vec<String> = line.iter().map(|at| format!("{:.1},{:.1}", frame.px(at.0), frame.py(at.1))).collect();
        let _ = writeln!(out, "<polyline class=\"c1 front\" points=\"{}\"/>", path.join(" "));
    }

    fn axes(&self, frame: &Frame, out: &mut String) {
        let (right, bottom) = (WIDTH - RIGHT, HEIGHT - BOTTOM);
        out.push_str("<g class=\"axis\">");
        for value in ticks(frame.y.0, frame.y.1, 5) {
            let y = frame.py(value);
            let _ = write!(
                out,
                "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{right}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>\
                 <text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
                LEFT - 8.0,
                y + 4.0,
                short(value)
            );
        }
        let values = if frame.log { log_ticks(frame.x.0, frame.x.1) } else { ticks(frame.x.0, frame.x.1, 6) };
        for value in values {
            let x = frame.px(value);
            let _ = write!(
                out,
                "<line class=\"tick\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{bottom}\" y2=\"{}\"/>\
                 <text x=\"{x:.1}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
                bottom + 5.0,
                bottom + 18.0,
                short(value)
            );
        }
        let _ = writeln!(
            out,
            "<line class=\"base\" x1=\"{LEFT}\" x2=\"{right}\" y1=\"{bottom}\" y2=\"{bottom}\"/>\
             <text x=\"{right}\" y=\"{}\" text-anchor=\"end\" class=\"name\">{}</text>\
             <text x=\"{}\" y=\"14\" class=\"name\">{}</text></g>",
            HEIGHT - 6.0,
            escape(&self.x_name),
            LEFT - 40.0,
            escape(&self.y_name)
        );
    }
}

/// A box around a point.
fn around(x: f64, y: f64, half: f64) -> [f64; 4] {
    [x - half, y - half, x + half, y + half]
}

fn draw(spot: &Spot, frame: &Frame, taken: &mut Vec<[f64; 4]>, out: &mut String) {
    let (x, y) = (frame.px(spot.at.0), frame.py(spot.at.1));
    if let Some((low, high)) = spot.spread.filter(|(low, high)| *low > 0.0 && high.is_finite()) {
        let (low, high) = (frame.px(low), frame.px(high));
        let _ = write!(out, "<line class=\"range c1\" x1=\"{low:.1}\" x2=\"{high:.1}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>");
    }
    let said = escape(&format!("{}: {}, {}", spot.name, short(spot.at.0), short(spot.at.1)));
    let title = format!("<title>{said}</title>");
    if spot.best {
        let _ = write!(out, "<circle class=\"ring\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"10\"/>");
    }
    let _ = match (spot.within, spot.front) {
        (false, _) => {
            write!(out, "<path class=\"outside\" d=\"M{:.1} {:.1}l9 9m0 -9l-9 9\">{title}</path>", x - 4.5, y - 4.5)
        }
        (true, true) => write!(out, "<circle class=\"c1\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"5\">{title}</circle>"),
        (true, false) => write!(out, "<circle class=\"beaten\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"4.5\">{title}</circle>"),
    };
    // The first place beside the point where nothing stands yet.
    let long = 7.4 * spot.name.chars().count() as f64;
    let places =
        [(13.0, 4.0), (13.0, 20.0), (13.0, -12.0), (-13.0 - long, 4.0), (-13.0 - long, 20.0), (-13.0 - long, -12.0)];
    let of = |(dx, dy): (f64, f64)| [x + dx, y + dy - 12.0, x + dx + long, y + dy + 3.0];
    let free = |place: &(f64, f64)| {
        let [left, top, right, bottom] = of(*place);
        let apart = |t: &[f64; 4]| right < t[0] || left > t[2] || bottom < t[1] || top > t[3];
        left > LEFT && right < WIDTH - 4.0 && bottom < HEIGHT - BOTTOM + 2.0 && taken.iter().all(apart)
    };
    let place = places.into_iter().find(free).unwrap_or(places[0]);
    taken.push(of(place));
    let name = escape(&spot.name);
    let _ = writeln!(out, "<text class=\"end\" x=\"{:.1}\" y=\"{:.1}\">{name}</text>", x + place.0, y + place.1);
}
