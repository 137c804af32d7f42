//! Documentation comments to plain English: markup, code, links and tables taken off.

/// Paragraphs of a documentation comment as plain text: code blocks, headings, tables and link
/// definitions are left out, links and emphasis keep their words.
pub fn paragraphs(markdown: &str) -> Vec<String> {
    let mut out = Vec::new();
    let mut current = String::new();
    let mut fence: Option<&str> = None;
    let mut indented_code_may_begin = true;
    for line in markdown.lines() {
        let trimmed = line.trim();
        if let Some(mark) = fence {
            if trimmed.starts_with(mark) {
                fence = None;
            }
            continue;
        }
        if let Some(mark) = ["```", "~~~"].into_iter().find(|m| trimmed.starts_with(m)) {
            fence = Some(mark);
            flush(&mut current, &mut out);
            continue;
        }
        let code = indented_code_may_begin && (line.starts_with("    ") || line.starts_with('\t'));
        if trimmed.is_empty() || code || is_furniture(trimmed) {
            flush(&mut current, &mut out);
            indented_code_may_begin = trimmed.is_empty() || code;
            continue;
        }
        indented_code_may_begin = false;
        let (item, words) = strip_bullet(trimmed);
        if item {
            flush(&mut current, &mut out);
        }
        current.push_str(words);
        current.push(' ');
    }
    flush(&mut current, &mut out);
    out
}

/// Headings, tables, rules, link definitions, HTML on a line of its own.
fn is_furniture(line: &str) -> bool {
    let definition = line.starts_with('[')
        && line.find("]:").is_some_and(|at| !line[..at].contains(' ') || line[at + 2..].trim().split(' ').count() == 1);
    let rule = line.len() >= 3 && line.chars().all(|c| "-=*_ ".contains(c));
    line.starts_with('#')
        || line.starts_with('|')
        || definition
        || rule
        || (line.starts_with('<') && line.ends_with('>'))
}

fn strip_bullet(line: &str) -> (bool, &str) {
    for bullet in ["- ", "* ", "+ ", "> "] {
        if let Some(rest) = line.strip_prefix(bullet) {
            return (bullet != "> ", rest.trim_start());
        }
    }
    let digits = line.bytes().take_while(u8::is_ascii_digit).count();
    match line[digits..].strip_prefix(". ") {
        Some(rest) if (1..=2).contains(&digits) => (true, rest.trim_start()),
        _ => (false, line),
    }
}

fn flush(current: &mut String, out: &mut Vec<String>) {
    let text = inline(current);
    current.clear();
    if is_prose(&text) {
        out.push(text);
    }
}

/// At least four words, and mostly letters: neither a formula nor a list of names in another script.
fn is_prose(text: &str) -> bool {
    let letters = text.bytes().filter(u8::is_ascii_alphabetic).count();
    let visible = text.chars().filter(|c| !c.is_whitespace()).count();
    text.split(' ').filter(|w| w.bytes().any(|b| b.is_ascii_alphabetic())).count() >= 4 && letters * 4 >= visible * 3
}

/// Takes the inline markup off and leaves single blanks.
pub fn inline(text: &str) -> String {
    let linked = unlink(text);
    let mut words: Vec<String> = Vec::new();
    for word in without_tags(&linked).split_whitespace() {
        if word.contains("://") {
            continue;
        }
        let plain: String = word.chars().filter(|c| !matches!(c, '`' | '*' | '\\')).collect();
        // Emphasis by underscores stands at a word's edges; inside a word it is part of a name.
        let edge = plain.trim_start_matches('_');
        let plain = if edge.len() < plain.len() && edge.trim_end_matches(['.', ',', ';', ':']).ends_with('_') {
            edge.replacen('_', "", edge.matches('_').count())
        } else {
            plain
        };
        if !plain.is_empty() {
            words.push(plain);
        }
    }
    words.join(" ")
}

/// `[words](target)`, `[words][target]`, `[words]` → words; images vanish.
fn unlink(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(open) = rest.find('[') {
        let image = rest[..open].ends_with('!');
        out.push_str(&rest[..open - usize::from(image)]);
        let Some(close) = matching(&rest[open..], '[', ']') else {
            rest = &rest[open + 1..];
            continue;
        };
        let words = &rest[open + 1..open + close];
        rest = &rest[open + close + 1..];
        for (begin, end) in [('(', ')'), ('[', ']')] {
            if rest.starts_with(begin) {
                if let Some(target) = matching(rest, begin, end) {
                    rest = &rest[target + 1..];
                }
                break;
            }
        }
        if !image {
            out.push_str(&unlink(words));
        }
    }
    out.push_str(rest);
    out
}

/// Byte position of the bracket that closes the one at the beginning.
fn matching(text: &str, open: char, close: char) -> Option<usize> {
    let mut depth = 0;
    for (at, c) in text.char_indices() {
        if c == open {
            depth += 1;
        } else if c == close {
            depth -= 1;
            if depth == 0 {
                return Some(at);
            }
        }
    }
    None
}

/// Without HTML tags and `<https://…>`; comparisons and type parameters stay.
fn without_tags(text: &str) -> String {
    const TAGS: [&str; 18] = [
        "a", "b", "br", "i", "p", "em", "hr", "li", "td", "th", "tr", "ul", "sub", "sup", "code", "span", "div", "pre",
    ];
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(open) = rest.find('<') {
        out.push_str(&rest[..open]);
        rest = &rest[open..];
        let inside = rest.find('>').map(|end| &rest[1..end]);
        let name =
            |tag: &str| tag.trim_start_matches('/').split([' ', '/']).next().unwrap_or_default().to_ascii_lowercase();
        match inside {
            Some(tag) if tag.contains("://") || TAGS.contains(&name(tag).as_str()) => rest = &rest[tag.len() + 2..],
            _ => {
                out.push('<');
                rest = &rest[1..];
            }
        }
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inline_markup_goes_words_stay() {
        let cases = [
            ("Returns the [`Vec`] of **all** _odd_ items.", "Returns the Vec of all odd items."),
            ("See [the book](https://x.y/(z)) and [`a`][b], ![icon](c.png)please", "See the book and a, please"),
            ("Open <https://x.y> or https://z now", "Open or now"),
            ("A <code>key</code><br/> of type `HashMap<K, V>`", "A key of type HashMap<K, V>"),
            ("the snake_case name __main__ stays", "the snake_case name main stays"),
            ("an open [ bracket", "an open bracket"),
            ("nested [a [b] c](d) end", "nested a b c end"),
            ("a < b and b > c", "a < b and b > c"),
        ];
        for (markdown, plain) in cases {
            assert_eq!(inline(markdown), plain);
        }
    }

    #[test]
    fn blocks_that_are_no_prose_go() {
        let text = "# Examples\n\nThe first paragraph has\ntwo lines of words.\n\n```rust\nlet no = prose();\n```\n\
                    | a | b |\n|---|---|\n\n    let indented = code_here();\n    more of it all here\n\n\
                    - the first item is here\n- the second item\n  goes on below\n1. and a numbered one too\n\n\
                    [link]: https://x.y\n\n0x00 0x01 0x02 1 + 2 = 3 a b c d\n\nToo short.\n";
        assert_eq!(
            paragraphs(text),
            [
                "The first paragraph has two lines of words.",
                "the first item is here",
                "the second item goes on below",
                "and a numbered one too"
            ]
        );
    }

    #[test]
    fn an_open_fence_swallows_the_rest_only() {
        assert_eq!(
            paragraphs("Some words stand before it.\n~~~\ncode that never ends at all"),
            ["Some words stand before it."]
        );
    }
}
