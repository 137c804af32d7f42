//! Documentation comments of a Rust source file.

use super::markdown::paragraphs;

/// The documentation comments of a file, each one plain text: consecutive `///` or `//!` lines are
/// one, its paragraphs joined by line breaks. Those without prose are left out.
pub fn doc_comments(source: &str) -> Vec<String> {
    let mut out = Vec::new();
    let mut block = String::new();
    let mut kind = None;
    for line in source.lines() {
        let found = doc_line(line.trim_start());
        if found.map(|f| f.0) != kind {
            flush(&mut block, &mut out);
            kind = found.map(|f| f.0);
        }
        if let Some((_, text)) = found {
            block.push_str(text);
            block.push('\n');
        }
    }
    flush(&mut block, &mut out);
    out
}

/// Which of `///` and `//!`, and the text behind it without its first blank.
fn doc_line(line: &str) -> Option<(char, &str)> {
    let rest = line.strip_prefix("//")?;
    let kind = rest.chars().next().filter(|c| matches!(c, '/' | '!'))?;
    let text = &rest[1..];
    // Four slashes are a drawn line, not documentation.
    (!(kind == '/' && text.starts_with('/'))).then(|| (kind, text.strip_prefix(' ').unwrap_or(text)))
}

fn flush(block: &mut String, out: &mut Vec<String>) {
    if !block.is_empty() {
        let found = paragraphs(block);
        if !found.is_empty() {
            out.push(found.join("\n"));
        }
        block.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn consecutive_lines_are_one_document() {
        let source = "//! The whole module is about keys.\n//!\n//! It has a second paragraph here.\n\n\
                      /// Opens the door with\n/// the key in hand.\n#[inline]\npub fn open() {\n    \
                      // An ordinary comment is no documentation.\n    //// Nor is a line like this one.\n\
                      \t/// A method that is documented too.\n";
        assert_eq!(
            doc_comments(source),
            [
                "The whole module is about keys.\nIt has a second paragraph here.",
                "Opens the door with the key in hand.",
                "A method that is documented too."
            ]
        );
    }

    #[test]
    fn kinds_do_not_mix_and_code_is_left_out() {
        let source = "//! About the module it stands in.\n/// About the item that comes next.\n/// ```\n/// open(door);\n/// ```\n";
        assert_eq!(doc_comments(source), ["About the module it stands in.", "About the item that comes next."]);
    }

    #[test]
    fn carriage_returns_are_no_text() {
        assert_eq!(
            doc_comments("/// Reads until the line ends.\r\n/// And then some more.\r\n"),
            ["Reads until the line ends. And then some more."]
        );
    }
}
