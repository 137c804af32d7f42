//! Texts for a reader: cut where they are long, parted where something in them is marked.

use serde::{Deserialize, Serialize};
use std::ops::Range;

/// Characters of a text without marks.
const BEGIN: usize = 500;
/// A passage with no more characters is shown whole.
const WHOLE: usize = 900;
/// Characters kept beside a mark.
const BESIDE: usize = 220;
/// Characters kept at both ends of a mark that is long itself.
const INSIDE: usize = 160;
/// Characters of a passage with many marks.
const MOST: usize = 3_000;

/// A stretch of a text that means something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Marked {
    /// Its bytes.
    pub bytes: Range<usize>,
    /// What it means.
    pub label: String,
}

/// A piece of a passage, with what is true of it and what was said of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Piece {
    /// As it stands there.
    pub text: String,
    /// What is true of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub truth: Option<String>,
    /// What was said of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub said: Option<String>,
    /// Whether the one is the other.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub right: bool,
}

impl Piece {
    fn plain(&self) -> bool {
        self.truth.is_none() && self.said.is_none()
    }
}

/// The beginning of a text, its white space single spaces.
pub fn begin(text: &str) -> String {
    let mut out = String::new();
    let mut count = 0;
    for word in text.split_whitespace() {
        count += word.chars().count() + usize::from(count > 0);
        if !out.is_empty() {
            out.push(' ');
        }
        out.push_str(word);
        if count > BEGIN {
            return first(&out, BEGIN) + " …";
        }
    }
    out
}

/// A passage parted where something is true of it or was said of it, and cut far from that. `exact`: only a mark
/// over the same bytes is right, else what both have in common.
pub fn marked(text: &str, truth: &[Marked], said: &[Marked], exact: bool) -> Vec<Piece> {
    let ends = truth.iter().chain(said).flat_map(|m| [m.bytes.start, m.bytes.end]);
    let mut ends: Vec<usize> = ends.map(|e| text.floor_char_boundary(e)).chain([0, text.len()]).collect();
    ends.sort_unstable();
    ends.dedup();
    let over = |marks: &[Marked], at: usize| marks.iter().find(|m| m.bytes.contains(&at)).cloned();
    let pieces = ends.windows(2).map(|ends| {
        let (truth, said) = (over(truth, ends[0]), over(said, ends[0]));
        let right = truth.is_some() && if exact { truth == said } else { said.is_some() };
        Piece {
            text: text[ends[0]..ends[1]].to_owned(),
            truth: truth.map(|m| m.label),
            said: said.map(|m| m.label),
            right,
        }
    });
    cut(pieces.collect())
}

fn cut(mut pieces: Vec<Piece>) -> Vec<Piece> {
    let count = |pieces: &[Piece]| pieces.iter().map(|p| p.text.chars().count()).sum::<usize>();
    if count(&pieces) <= WHOLE {
        return pieces;
    }
    let last = pieces.len() - 1;
    for (i, piece) in pieces.iter_mut().enumerate() {
        piece.text = match piece.plain() {
            true if last == 0 => around(&piece.text, BEGIN, 0),
            true if i == 0 => around(&piece.text, 0, BESIDE),
            true if i == last => around(&piece.text, BESIDE, 0),
            true => around(&piece.text, BESIDE, BESIDE),
            false => around(&piece.text, INSIDE, INSIDE),
        };
    }
    let mut shown = 0;
    let fits = |piece: &&Piece| {
        shown += piece.text.chars().count();
        shown <= MOST
    };
    let kept = pieces.iter().take_while(fits).count();
    if kept < pieces.len() {
        pieces.truncate(kept.max(1));
        pieces.push(Piece { text: " …".into(), truth: None, said: None, right: false });
    }
    pieces
}

/// So many characters of both ends of a text, if it has more.
fn around(text: &str, head: usize, tail: usize) -> String {
    if text.chars().count() <= head + tail + 20 {
        return text.to_owned();
    }
    let head = if head > 0 { first(text, head) } else { String::new() };
    let tail = if tail > 0 { text[text.len() - last(text, tail)..].to_owned() } else { String::new() };
    match (head.is_empty(), tail.is_empty()) {
        (true, _) => format!("… {tail}"),
        (_, true) => format!("{head} …"),
        _ => format!("{head} … {tail}"),
    }
}

/// So many characters of the beginning, less what of a word stands at the end.
fn first(text: &str, most: usize) -> String {
    let end = text.char_indices().nth(most).map_or(text.len(), |(at, _)| at);
    let word = text[..end].rfind(char::is_whitespace).filter(|&at| end - at < 30 && at > 0);
    text[..word.unwrap_or(end)].trim_end().to_owned()
}

/// Bytes of so many characters of the end, less what of a word stands at their beginning.
fn last(text: &str, most: usize) -> usize {
    let begin = text.char_indices().rev().nth(most - 1).map_or(0, |(at, _)| at);
    let word = text[begin..].find(char::is_whitespace).filter(|&at| at < 30 && at + 1 < text.len() - begin);
    text[begin + word.unwrap_or(0)..].trim_start().len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(bytes: Range<usize>, label: &str) -> Marked {
        Marked { bytes, label: label.into() }
    }

    fn told(pieces: &[Piece]) -> Vec<(&str, Option<&str>, Option<&str>, bool)> {
        pieces.iter().map(|p| (p.text.as_str(), p.truth.as_deref(), p.said.as_deref(), p.right)).collect()
    }

    #[test]
    fn passages_are_parted_where_truth_and_answer_begin_and_end() {
        let text = "in New York City, é";
        let pieces = marked(text, &[mark(3..16, "LOC")], &[mark(7..16, "ORG"), mark(18..20, "PER")], true);
        assert_eq!(
            told(&pieces),
            [
                ("in ", None, None, false),
                ("New ", Some("LOC"), None, false),
                ("York City", Some("LOC"), Some("ORG"), false),
                (", ", None, None, false),
                ("é", None, Some("PER"), false),
            ]
        );
        let same = marked(text, &[mark(3..16, "LOC")], &[mark(3..16, "LOC")], true);
        assert_eq!(told(&same)[1], ("New York City", Some("LOC"), Some("LOC"), true));
        let bounds = marked(text, &[mark(3..16, "a")], &[mark(3..11, "a")], true);
        assert!(!bounds[1].right);
        let common = marked(text, &[mark(3..16, "a")], &[mark(3..11, "a")], false);
        assert_eq!((common[1].text.as_str(), common[1].right, common[2].right), ("New York", true, false));
        assert_eq!(told(&marked("", &[], &[], true)), []);
    }

    #[test]
    fn long_passages_are_cut_far_from_their_marks() {
        let text = format!("{}needle{}pin{}", "before ".repeat(300), " between".repeat(300), " behind".repeat(300));
        let at = text.find("needle").unwrap();
        let pin = text.find("pin").unwrap();
        let pieces = marked(&text, &[mark(at..at + 6, "a")], &[mark(pin..pin + 3, "a")], true);
        let whole: String = pieces.iter().map(|p| p.text.as_str()).collect();
        assert!(whole.chars().count() < WHOLE + 100, "{}", whole.chars().count());
        assert!(whole.starts_with("… before before") && whole.ends_with("behind …"), "{whole}");
        assert!(whole.contains("before needle between") && whole.contains("between … between"), "{whole}");
        assert_eq!((pieces[1].text.as_str(), pieces[3].text.as_str()), ("needle", "pin"));
        // Without a mark: its beginning.
        let pieces = marked(&text, &[], &[], true);
        assert!(pieces.len() == 1 && pieces[0].text.starts_with("before") && pieces[0].text.ends_with('…'));
        // Many marks, or a text without a space.
        let many: Vec<Marked> = (0..400).map(|i| mark(i * 10..i * 10 + 5, "x")).collect();
        let solid = "é".repeat(2_500);
        let pieces = marked(&solid, &many, &[], true);
        assert!(pieces.iter().map(|p| p.text.chars().count()).sum::<usize>() <= MOST + 2);
        assert!(!marked(&solid, &[mark(0..5_000, "x")], &[], true)[0].text.is_empty());
    }

    #[test]
    fn beginnings_end_with_a_word() {
        assert_eq!(begin(" a\n\n b\tc "), "a b c");
        let long = begin(&"words ".repeat(400));
        assert!(long.ends_with("words …") && long.chars().count() <= BEGIN + 2, "{long}");
        let solid = begin(&"字".repeat(5_000));
        assert_eq!(solid.chars().count(), BEGIN + 2);
        assert_eq!(begin(""), "");
    }
}
