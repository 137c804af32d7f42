//! Pieces of a page: escaping, the shell with its style, facts, tables, foldable parts.

use super::picture::STYLE as DRAWING;
use std::fmt::Write;

const STYLE: &str = include_str!("style.css");
const SCRIPT: &str = include_str!("script.js");

/// Makes any text safe between tags and inside double-quoted attributes.
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            // Control characters are no text; a browser would show a box or end the parse.
            '\u{0}'..='\u{8}' | '\u{b}'..='\u{1f}' | '\u{7f}' => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

/// A fact at the top of a page: a large value, what it is, and a word more.
pub struct Fact {
    /// The value as it is shown.
    pub value: String,
    /// What it is.
    pub label: String,
    /// A word more, or nothing.
    pub note: String,
}

impl Fact {
    /// A fact of three plain texts.
    pub fn new(value: impl Into<String>, label: &str, note: impl Into<String>) -> Self {
        Self { value: value.into(), label: label.to_owned(), note: note.into() }
    }
}

/// A cell of a table.
pub enum Cell {
    /// Words, set left.
    Text(String),
    /// A number as it is shown, set right with even digits.
    Number(String),
}

/// A page that grows section by section.
pub struct Page {
    title: String,
    body: String,
    sections: usize,
    script: bool,
}

impl Page {
    /// A page with a line above its title, a title, and an opening sentence; all plain text.
    pub fn new(kind: &str, title: &str, lede: &str) -> Self {
        let mut body = String::new();
        let _ = writeln!(
            body,
            "<header><p class=\"kind\">{}</p><h1>{}</h1><p class=\"lede\">{}</p></header>",
            escape(kind),
            escape(title),
            escape(lede)
        );
        Self { title: title.to_owned(), body, sections: 0, script: false }
    }

    /// The row of headline facts.
    pub fn facts(&mut self, facts: &[Fact]) {
        self.body.push_str("<dl class=\"facts\">");
        for fact in facts {
            let _ = write!(self.body, "<div><dt>{}</dt><dd><b>{}</b>", escape(&fact.label), escape(&fact.value));
            if !fact.note.is_empty() {
                let _ = write!(self.body, "<small>{}</small>", escape(&fact.note));
            }
            self.body.push_str("</dd></div>");
        }
        self.body.push_str("</dl>\n");
    }

    /// A section: a heading, a plain sentence (may be empty) and trusted markup.
    pub fn section(&mut self, heading: &str, text: &str, markup: &str) {
        self.sections += 1;
        let id = self.sections;
        let _ = writeln!(self.body, "<section aria-labelledby=\"s{id}\"><h2 id=\"s{id}\">{}</h2>", escape(heading));
        if !text.is_empty() {
            let _ = writeln!(self.body, "<p>{}</p>", escape(text));
        }
        self.body.push_str(markup);
        self.body.push_str("</section>\n");
    }

    /// Adds data for the page's script, which comes with it: sliders, what is shown under the pointer.
    pub fn data(&mut self, id: &str, value: &impl serde::Serialize) {
        let text = serde_json::to_string(value).expect("plain data");
        // Nothing in it can end the element, nor begin a comment.
        let text = text.replace('<', "\\u003c");
        let _ = writeln!(self.body, "<script type=\"application/json\" id=\"{}\">{text}</script>", escape(id));
        self.script = true;
    }

    /// The whole file.
    pub fn finish(self) -> String {
        let script = if self.script { format!("<script>\n{SCRIPT}</script>\n") } else { String::new() };
        format!(
            "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <meta name=\"color-scheme\" content=\"light dark\">\n<title>{}</title>\n<style>\n{DRAWING}{STYLE}</style>\n</head>\n\
             <body>\n<main>\n{}</main>\n{script}</body>\n</html>\n",
            escape(&self.title),
            self.body
        )
    }
}

/// A table that scrolls sideways by itself where it is too wide; the first column names the rows.
/// Caption and head may be empty.
pub fn table(caption: &str, head: &[&str], rows: &[Vec<Cell>]) -> String {
    let mut out = if caption.is_empty() {
        "<div class=\"scroll\"><table>".to_owned()
    } else {
        let caption = escape(caption);
        format!(
            "<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"{caption}\"><table><caption>{caption}</caption>"
        )
    };
    if !head.is_empty() {
        out.push_str("<thead><tr>");
        for (i, name) in head.iter().enumerate() {
            let numeric = rows.first().and_then(|r| r.get(i)).is_some_and(|c| matches!(c, Cell::Number(_)));
            let class = if numeric { " class=\"n\"" } else { "" };
            let _ = write!(out, "<th scope=\"col\"{class}>{}</th>", escape(name));
        }
        out.push_str("</tr></thead>");
    }
    out.push_str("<tbody>\n");
    for row in rows {
        out.push_str("<tr>");
        for (i, cell) in row.iter().enumerate() {
            let (open, close) = if i == 0 { ("th scope=\"row\"", "th") } else { ("td", "td") };
            let _ = match cell {
                Cell::Text(t) => write!(out, "<{open}>{}</{close}>", escape(t)),
                Cell::Number(t) => write!(out, "<{open} class=\"n\">{}</{close}>", escape(t)),
            };
        }
        out.push_str("</tr>\n");
    }
    out.push_str("</tbody></table></div>\n");
    out
}

/// A part that is folded until it is asked for; opens by mouse and keyboard without script.
pub fn details(summary: &str, markup: &str) -> String {
    format!("<details><summary>{}</summary>\n{markup}</details>\n", escape(summary))
}

/// Text as it stands, for settings and commands.
pub fn pre(text: &str) -> String {
    format!("<pre tabindex=\"0\">{}</pre>\n", escape(text))
}

/// A drawing with a caption under it.
pub fn figure(svg: &str, caption: &str, data: &str) -> String {
    let caption =
        if caption.is_empty() { String::new() } else { format!("<figcaption>{}</figcaption>", escape(caption)) };
    format!("<figure><div class=\"scroll\">{svg}</div>{caption}{data}</figure>\n")
}
