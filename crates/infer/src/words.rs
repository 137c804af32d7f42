//! Pieces back into words.

use polyseme_text::Encoding;
use std::ops::Range;

/// A word of a text: its bytes and the tokens it was cut into.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Word {
    /// Byte range in the text, without white space around it.
    pub range: Range<usize>,
    /// Its tokens.
    pub tokens: Range<usize>,
}

/// The words of an encoded text, in order; special tokens belong to none.
pub fn words(text: &str, encoding: &Encoding) -> Vec<Word> {
    let mut found: Vec<(u32, Word)> = Vec::new();
    for (t, (word, range)) in encoding.words.iter().zip(&encoding.offsets).enumerate() {
        let Some(id) = *word else { continue };
        match found.last_mut() {
            Some((last, w)) if *last == id && w.tokens.end == t => {
                w.tokens.end = t + 1;
                w.range = w.range.start.min(range.start)..w.range.end.max(range.end);
            }
            _ => found.push((id, Word { range: range.clone(), tokens: t..t + 1 })),
        }
    }
    let trim = |(_, w): (u32, Word)| Word { range: trimmed(text, w.range), ..w };
    found.into_iter().map(trim).collect()
}

/// The range moved outwards to whole characters, then inwards past white space.
fn trimmed(text: &str, range: Range<usize>) -> Range<usize> {
    let start = text.floor_char_boundary(range.start);
    let end = text.ceil_char_boundary(range.end).max(start);
    let slice = &text[start..end];
    let start = start + slice.len() - slice.trim_start().len();
    start..start + slice.trim().len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoding(words: &[Option<u32>], offsets: &[Range<usize>]) -> Encoding {
        let n = words.len();
        let ids = vec![0; n];
        Encoding { type_ids: ids.clone(), ids, offsets: offsets.to_vec(), words: words.to_vec(), truncated: 0 }
    }

    #[test]
    fn pieces_of_a_word_are_one_word() {
        let text = "un believably 好";
        let e = encoding(&[None, Some(0), Some(1), Some(1), Some(2), None], &[0..0, 0..2, 3..7, 7..13, 14..17, 0..0]);
        let got = words(text, &e);
        assert_eq!(got.iter().map(|w| &text[w.range.clone()]).collect::<Vec<_>>(), ["un", "believably", "好"]);
        assert_eq!(got[1].tokens, 2..4);
    }

    #[test]
    fn white_space_and_halves_of_characters_are_put_right() {
        let text = " 好 x"; // byte-level pieces may begin with the blank and end inside a character
        let e = encoding(&[Some(0), Some(0), Some(1)], &[0..2, 2..4, 4..6]);
        let got = words(text, &e);
        assert_eq!(got.iter().map(|w| &text[w.range.clone()]).collect::<Vec<_>>(), ["好", "x"]);
    }
}
