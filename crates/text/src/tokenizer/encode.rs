//! Text to ids: special tokens around, truncation, and long texts in bounded memory.

use super::Encoding;
use crate::corpus::cut_before;
use crate::{Error, Result};
use std::ops::Range;
use tokenizers::Token;

/// A place in an encoded sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Slot {
    /// A special token with its type id.
    Special(u32, u32),
    /// The first text, with its type id.
    First(u32),
    /// The second text, with its type id.
    Second(u32),
}

/// Texts longer than this are encoded in pieces cut before white space: the tokenizer keeps some
/// hundred bytes for each byte of text while it works.
const LONGEST_PIECE: usize = 128 * 1024;

/// Learns the layout of sequences from a tokenizer's post-processor by giving it texts of one token.
/// `None` when it puts no special tokens around.
pub(super) fn layout(tokenizer: &tokenizers::Tokenizer, pair: bool) -> std::result::Result<Option<Vec<Slot>>, String> {
    const FIRST: u32 = u32::MAX;
    const SECOND: u32 = u32::MAX - 1;
    let dummy = |id, type_id| {
        let token = Token { id, value: "x".into(), offsets: (0, 1) };
        tokenizers::Encoding::from_tokens(vec![token], type_id)
    };
    let second = pair.then(|| dummy(SECOND, 1));
    let done = tokenizer.post_process(dummy(FIRST, 0), second, true).map_err(|e| e.to_string())?;
    let slots: Vec<Slot> = done
        .get_ids()
        .iter()
        .zip(done.get_type_ids())
        .map(|(id, t)| match *id {
            FIRST => Slot::First(*t),
            SECOND => Slot::Second(*t),
            id => Slot::Special(id, *t),
        })
        .collect();
    let count = |f: fn(&Slot) -> bool| slots.iter().filter(|s| f(s)).count();
    let firsts = count(|s| matches!(s, Slot::First(_)));
    let seconds = count(|s| matches!(s, Slot::Second(_)));
    if firsts != 1 || seconds != usize::from(pair) {
        return Err(format!("its post_processor puts the first text {firsts} and the second {seconds} times"));
    }
    Ok((slots.len() > firsts + seconds).then_some(slots))
}

/// Tokens of one text without special tokens.
#[derive(Default)]
pub(super) struct Tokens {
    pub ids: Vec<u32>,
    offsets: Vec<Range<usize>>,
    words: Vec<Option<u32>>,
}

pub(super) fn encode(
    tokenizer: &tokenizers::Tokenizer,
    layout: &[Slot],
    text: &str,
    pair: Option<&str>,
    max_len: usize,
) -> Result<Encoding> {
    let specials = layout.iter().filter(|s| matches!(s, Slot::Special(..))).count();
    if max_len <= specials {
        return Err(Error::LengthTooShort { max_len, least: specials + 1 });
    }
    let first = tokens(tokenizer, text)?;
    let second = pair.map(|p| tokens(tokenizer, p)).transpose()?.unwrap_or_default();
    let (keep_first, keep_second) = longest_first(first.ids.len(), second.ids.len(), max_len - specials);
    let truncated = first.ids.len() + second.ids.len() - keep_first - keep_second;
    let (mut out, _) = set(layout, (&first, 0..keep_first), (&second, 0..keep_second));
    out.truncated = truncated;
    Ok(out)
}

/// Sets parts of two texts between special tokens. Also where the second one's (without a second, the
/// first one's) tokens stand.
fn set(layout: &[Slot], first: (&Tokens, Range<usize>), second: (&Tokens, Range<usize>)) -> (Encoding, Range<usize>) {
    let mut out = Encoding::default();
    let mut place = 0..0;
    for slot in layout {
        let ((tokens, kept), type_id) = match slot {
            Slot::Special(id, type_id) => {
                out.ids.push(*id);
                out.type_ids.push(*type_id);
                out.offsets.push(0..0);
                out.words.push(None);
                continue;
            }
            Slot::First(type_id) => (&first, *type_id),
            Slot::Second(type_id) => (&second, *type_id),
        };
        let begin = out.ids.len();
        out.ids.extend_from_slice(&tokens.ids[kept.clone()]);
        out.type_ids.resize(out.ids.len(), type_id);
        out.offsets.extend_from_slice(&tokens.offsets[kept.clone()]);
        out.words.extend_from_slice(&tokens.words[kept.clone()]);
        place = begin..out.ids.len();
    }
    (out, place)
}

/// A part of a long text as the encoder sees it.
#[derive(Clone, Debug, PartialEq)]
pub struct Window {
    /// Its tokens.
    pub encoding: Encoding,
    /// Which of them are the long text's.
    pub place: Range<usize>,
    /// Number of the first of those, counted in the whole text.
    pub first: usize,
}

/// A text in windows of at most `max_len` ids of which `overlap` are those of the window before, each with
/// special tokens and behind the same other text, if there is one.
pub(super) fn windows(
    tokenizer: &tokenizers::Tokenizer,
    layout: &[Slot],
    before: Option<&str>,
    text: &str,
    max_len: usize,
    overlap: usize,
) -> Result<Vec<Window>> {
    let specials = layout.iter().filter(|s| matches!(s, Slot::Special(..))).count();
    if max_len < specials + 2 {
        return Err(Error::LengthTooShort { max_len, least: specials + 2 });
    }
    let question = before.map(|text| tokens(tokenizer, text)).transpose()?;
    let long = tokens(tokenizer, text)?;
    // The other text is cut where it would leave less than half of the room.
    let asked = question.as_ref().map_or(0, |q| q.ids.len().min((max_len - specials) / 2));
    let room = max_len - specials - asked;
    let step = room - overlap.min(room / 2);
    let mut found = Vec::new();
    let mut begin = 0;
    loop {
        let end = (begin + room).min(long.ids.len());
        let (encoding, place) = match &question {
            Some(question) => set(layout, (question, 0..asked), (&long, begin..end)),
            None => set(layout, (&long, begin..end), (&Tokens::default(), 0..0)),
        };
        found.push(Window { encoding, place, first: begin });
        if end == long.ids.len() {
            return Ok(found);
        }
        begin += step;
    }
}

/// Tokens to keep of texts of `a` and `b` tokens so that both fit into `room`, as the reference's
/// `longest_first`: the longer text is cut first; when both must be cut, the one that was shorter
/// keeps half of the room rounded down.
pub(super) fn longest_first(a: usize, b: usize, room: usize) -> (usize, usize) {
    if a + b <= room {
        return (a, b);
    }
    let (short, long) = (a.min(b), a.max(b));
    let (short, long) = if 2 * short <= room { (short, (room - short).min(long)) } else { (room / 2, room - room / 2) };
    if a > b { (long, short) } else { (short, long) }
}

pub(super) fn tokens(tokenizer: &tokenizers::Tokenizer, text: &str) -> Result<Tokens> {
    let mut out = Tokens::default();
    let mut start = 0;
    for piece in pieces(text) {
        // Offsets in characters, as the reference's, not in bytes: where a post-processor takes the
        // space off a token, it takes off one unit, which would be a part of a letter in bytes.
        let encoding = tokenizer.encode_char_offsets(piece, false).map_err(|e| failed(piece, &*e))?;
        let byte = char_starts(piece);
        let word0 = out.words.iter().rev().flatten().next().map_or(0, |w| w + 1);
        out.ids.extend_from_slice(encoding.get_ids());
        out.offsets.extend(encoding.get_offsets().iter().map(|(a, b)| start + byte(*a)..start + byte(*b)));
        out.words.extend(encoding.get_word_ids().iter().map(|w| w.map(|w| w + word0)));
        start += piece.len();
    }
    Ok(out)
}

/// The byte at which the n-th character of a text begins.
fn char_starts(text: &str) -> impl Fn(usize) -> usize {
    let starts: Option<Vec<usize>> = (!text.is_ascii()).then(|| text.char_indices().map(|(i, _)| i).collect());
    let len = text.len();
    move |n| match &starts {
        Some(starts) => starts.get(n).copied().unwrap_or(len),
        None => n.min(len),
    }
}

/// Ids of a text without special tokens.
pub(super) fn ids(tokenizer: &tokenizers::Tokenizer, text: &str) -> Result<Vec<u32>> {
    let mut out = Vec::new();
    for piece in pieces(text) {
        let encoding = tokenizer.encode_fast(piece, false).map_err(|e| failed(piece, &*e))?;
        out.extend_from_slice(encoding.get_ids());
    }
    Ok(out)
}

fn failed(text: &str, error: &(dyn std::error::Error + Send + Sync)) -> Error {
    Error::Encode { begins: text.chars().take(40).collect(), what: error.to_string() }
}

/// The text whole, or cut before white space into pieces of at most [`LONGEST_PIECE`] bytes.
fn pieces(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let text = rest?;
        if text.len() <= LONGEST_PIECE {
            rest = None;
            return Some(text);
        }
        let (piece, tail) = text.split_at(cut_before(text, LONGEST_PIECE));
        rest = Some(tail);
        Some(piece)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn longest_first_equals_cutting_one_token_at_a_time() {
        for a in 0..14 {
            for b in 0..14 {
                for room in 1..30 {
                    let (x, y) = longest_first(a, b, room);
                    let (mut p, mut q) = (a, b);
                    while p + q > room {
                        if p > q || (p == q && a > b) { p -= 1 } else { q -= 1 }
                    }
                    assert_eq!(x + y, p + q, "{a} {b} {room}");
                    // On a tie the reference may cut the other one: lengths differ by one at most.
                    assert!(x.abs_diff(p) <= 1, "{a} {b} {room}: {x} {y} against {p} {q}");
                    assert!(x <= a && y <= b);
                }
            }
        }
    }

    #[test]
    fn pieces_hold_the_whole_text() {
        let text = "word 词语".repeat(40_000);
        let all: Vec<&str> = pieces(&text).collect();
        assert!(all.len() > 2 && all.iter().all(|p| p.len() <= LONGEST_PIECE));
        assert_eq!(all.concat(), text);
        assert!(all[1..].iter().all(|p| p.starts_with(' ')));
        assert_eq!(pieces("").collect::<Vec<_>>(), [""]);
    }
}
