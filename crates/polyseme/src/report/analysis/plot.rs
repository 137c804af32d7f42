//! The frame of a drawing of points: two axes, a grid, their names.

use super::super::html::escape;
use super::super::scale::short;
use std::fmt::Write;

/// Where points lie in a drawing.
pub struct Plot {
    /// The whole drawing.
    pub size: (f64, f64),
    /// Left, top, right and bottom ends of what is inside of the axes.
    pub inside: [f64; 4],
    /// What of x is shown.
    pub x: (f64, f64),
    /// What of y is shown.
    pub y: (f64, f64),
}

impl Plot {
    pub fn px(&self, x: f64) -> f64 {
        self.inside[0] + (x - self.x.0) / (self.x.1 - self.x.0) * (self.inside[2] - self.inside[0])
    }

    pub fn py(&self, y: f64) -> f64 {
        self.inside[3] - (y - self.y.0) / (self.y.1 - self.y.0) * (self.inside[3] - self.inside[1])
    }

    /// Whether a point can be drawn.
    pub fn has(&self, x: f64, y: f64) -> bool {
        let within = |v: f64, (low, high): (f64, f64)| v.is_finite() && v >= low && v <= high;
        within(x, self.x) && within(y, self.y)
    }

    /// Opens the drawing; whoever cannot see it hears the label.
    pub fn open(&self, label: &str) -> String {
        let (width, height) = self.size;
        format!("<svg viewBox=\"0 0 {width} {height}\" role=\"img\" aria-label=\"{}\">\n", escape(label))
    }

    /// Grid and numbers at these places, and what the y axis is.
    pub fn axes(&self, x_ticks: &[f64], y_ticks: &[f64], y_name: &str, out: &mut String) {
        let [left, top, right, bottom] = self.inside;
        out.push_str("<g class=\"axis\">");
        for &value in y_ticks {
            let y = self.py(value);
            let _ = write!(
                out,
                "<line class=\"grid\" x1=\"{left}\" x2=\"{right}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>\
                 <text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
                left - 8.0,
                y + 4.0,
                short(value)
            );
        }
        for &value in x_ticks {
            let x = self.px(value);
            let _ = write!(out, "<line class=\"grid\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{top}\" y2=\"{bottom}\"/>");
        }
        let _ = write!(out, "<line class=\"base\" x1=\"{left}\" x2=\"{right}\" y1=\"{bottom}\" y2=\"{bottom}\"/>");
        let name = (left - 36.0).max(2.0);
        let _ = writeln!(out, "<text x=\"{name}\" y=\"{}\" class=\"name\">{}</text></g>", top - 13.0, escape(y_name));
    }

    /// Numbers along the x axis and what it is, so far under the top of the drawing.
    pub fn x_numbers(&self, ticks: &[f64], name: &str, at: f64, out: &mut String) {
        out.push_str("<g class=\"axis\">");
        for &value in ticks {
            let x = self.px(value);
            let _ = write!(out, "<text x=\"{x:.1}\" y=\"{at}\" text-anchor=\"middle\">{}</text>", short(value));
        }
        let (right, below) = (self.inside[2], at + 19.0);
        let _ = writeln!(
            out,
            "<text x=\"{right}\" y=\"{below}\" text-anchor=\"end\" class=\"name\">{}</text></g>",
            escape(name)
        );
    }

    /// A dashed line from one point to another, if both can be drawn.
    pub fn level(&self, from: (f64, f64), to: (f64, f64), what: &str, out: &mut String) {
        if !self.has(from.0, from.1) || !self.has(to.0, to.1) {
            return;
        }
        let _ = writeln!(
            out,
            "<line class=\"level\" x1=\"{:.1}\" y1=\"{:.1}\" x2=\"{:.1}\" y2=\"{:.1}\"><title>{}</title></line>",
            self.px(from.0),
            self.py(from.1),
            self.px(to.0),
            self.py(to.1),
            escape(what)
        );
    }
}
