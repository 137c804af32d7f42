//! Where a word stands in texts.

use crate::{Error, Result};
use polyseme_text::corpus::{CorpusReader, Document};
use polyseme_text::table::TextRows;
use std::ops::Range;
use std::path::Path;

/// A text of more characters is cut down to the sentence around the word.
const LONGEST: usize = 400;
/// Rows read at a time.
const ROWS: usize = 256;

/// A word in a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Occurrence {
    /// The text, or the sentence of it.
    pub text: String,
    /// Where the word is. Bytes
    pub range: Range<usize>,
    /// What the file says of the text.
    pub label: Option<String>,
}

/// A word and its other forms, lower case.
#[derive(Clone, Debug)]
pub struct Word {
    forms: Vec<Vec<char>>,
}

impl Word {
    /// A word with other forms that count as it.
    ///
    /// # Errors
    /// One without a letter or a digit.
    pub fn new<'a>(forms: impl IntoIterator<Item = &'a str>) -> Result<Self> {
        let form = |form: &str| {
            let form = form.trim();
            if !form.chars().any(char::is_alphanumeric) {
                return Err(Error::NoWord { word: form.to_owned() });
            }
            Ok(form.chars().flat_map(char::to_lowercase).collect())
        };
        let mut forms: Vec<Vec<char>> = forms.into_iter().map(form).collect::<Result<_>>()?;
        // Of two that begin alike the longer one is found.
        forms.sort_by_key(|form| std::cmp::Reverse(form.len()));
        Ok(Self { forms })
    }

    /// Where it stands in a text, whatever its case; not inside of another word, unless it is written in characters that
    /// stand without blanks (Chinese, Japanese, Thai and their like). Bytes
    pub fn find(&self, text: &str) -> Vec<Range<usize>> {
        let mut found: Vec<Range<usize>> = Vec::new();
        let mut before: Option<char> = None;
        for (at, c) in text.char_indices() {
            let free = found.last().is_none_or(|last| last.end <= at);
            if free && let Some(end) = self.forms.iter().find_map(|form| ends(form, text, at, before)) {
                found.push(at..end);
            }
            before = Some(c);
        }
        found
    }
}

/// Where a form that begins at a byte ends.
fn ends(form: &[char], text: &str, at: usize, before: Option<char>) -> Option<usize> {
    let mut wanted = form.iter();
    let mut rest = text[at..].char_indices();
    let mut end = at;
    while wanted.len() > 0 {
        let (offset, c) = rest.next()?;
        if !c.to_lowercase().all(|lower| wanted.next() == Some(&lower)) {
            return None;
        }
        end = at + offset + c.len_utf8();
    }
    let joined = |outer: Option<char>, inner: char| {
        outer.is_some_and(|o| o.is_alphanumeric() && !without_blanks(o)) && !without_blanks(inner)
    };
    let after = text[end..].chars().next();
    (!joined(before, form[0]) && !joined(after, form[form.len() - 1])).then_some(end)
}

/// Whether a script does not part its words by blanks.
fn without_blanks(c: char) -> bool {
    matches!(u32::from(c),
        0x0e00..=0x0eff | 0x1000..=0x109f | 0x1780..=0x17ff | 0x3005..=0x30ff | 0x31f0..=0x31ff | 0x3400..=0x4dbf
        | 0x4e00..=0x9fff | 0xf900..=0xfaff | 0x20000..=0x3ffff)
}

/// What was found.
#[derive(Clone, Debug, Default)]
pub struct Found {
    /// In the order of the texts.
    pub occurrences: Vec<Occurrence>,
    /// How many there were; of more than are wanted, every second, fourth, … is kept.
    pub total: u64,
    /// Texts that were looked through.
    pub texts: u64,
}

impl Found {
    /// Adds the occurrences in a text; keeps at most `most`, evenly spread.
    fn look(&mut self, word: &Word, text: &str, label: Option<&str>, (most, stride): (usize, &mut u64)) {
        self.texts += 1;
        for range in word.find(text) {
            if self.total.is_multiple_of(*stride) {
                let (text, range) = sentence(text, range);
                self.occurrences.push(Occurrence { text, range, label: label.map(str::to_owned) });
            }
            self.total += 1;
            if self.occurrences.len() > most {
                let mut places = 0..;
                self.occurrences.retain(|_| places.next().is_some_and(|place| place % 2 == 0));
                *stride *= 2;
            }
        }
    }
}

/// Looks for a word in the rows of a file (or of standard input), or in the documents of a folder.
///
/// # Errors
/// What cannot be read, and a word that never occurs.
pub fn find(word: &Word, path: &Path, columns: [Option<&str>; 2], most: usize) -> Result<Found> {
    let (mut found, mut stride) = (Found::default(), 1);
    if path.is_dir() {
        let mut look = |document: Document| {
            found.look(word, &document.text, None, (most, &mut stride));
            Ok(())
        };
        CorpusReader::open(&[path.to_owned()], columns[0])?.for_each(&mut look, &mut |_| true)?;
        return Ok(found);
    }
    let mut rows = TextRows::open((path != Path::new("-")).then_some(path), columns[0], columns[1])?;
    loop {
        let batch = rows.next_batch(ROWS)?;
        if batch.is_empty() {
            return Ok(found);
        }
        for row in &batch {
            found.look(word, &row.text, row.pair.as_deref(), (most, &mut stride));
        }
    }
}

/// The text, or of a long one the sentence around a range, and where the range is in it.
fn sentence(text: &str, range: Range<usize>) -> (String, Range<usize>) {
    if text.chars().count() <= LONGEST {
        let begin = text.len() - text.trim_start().len();
        return (text.trim().to_owned(), range.start - begin..range.end - begin);
    }
    let ends_one = |c: char| matches!(c, '.' | '!' | '?' | '。' | '！' | '？' | '\n');
    let half = LONGEST / 2;
    let mut begin = range.start;
    for (n, (at, c)) in text[..range.start].char_indices().rev().enumerate() {
        // A point inside of a number or a name ends nothing.
        let next = text[at + c.len_utf8()..].chars().next();
        if n >= half || (ends_one(c) && (c == '\n' || !c.is_ascii() || next.is_some_and(char::is_whitespace))) {
            break;
        }
        begin = at;
    }
    let mut end = range.end;
    for (n, (at, c)) in text[range.end..].char_indices().enumerate() {
        let next = text[range.end + at + c.len_utf8()..].chars().next();
        if n >= half || c == '\n' {
            break;
        }
        end = range.end + at + c.len_utf8();
        if ends_one(c) && (!c.is_ascii() || next.is_none_or(char::is_whitespace)) {
            break;
        }
    }
    let cut = &text[begin..end];
    let skipped = begin + cut.len() - cut.trim_start().len();
    (cut.trim().to_owned(), range.start - skipped..range.end - skipped)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spots<'a>(forms: &[&str], text: &'a str) -> Vec<&'a str> {
        Word::new(forms.iter().copied()).unwrap().find(text).into_iter().map(|r| &text[r]).collect()
    }

    #[test]
    fn a_word_is_found_in_any_case_and_not_inside_of_others() {
        assert_eq!(spots(&["bank"], "Bank, embankment, BANK's banks bank"), ["Bank", "BANK", "bank"]);
        assert_eq!(spots(&["bank", "banks"], "banks bank"), ["banks", "bank"]);
        assert_eq!(spots(&["straße"], "Die STRASSE, die Straße"), ["Straße"]);
        assert_eq!(spots(&["new york"], "in New York."), ["New York"]);
        assert_eq!(spots(&["苹果"], "我吃苹果，他买了苹果手机。"), ["苹果", "苹果"]);
        assert!(spots(&["ist"], "İstanbul").is_empty());
        assert!(Word::new(["?!"]).is_err());
    }

    #[test]
    fn of_a_long_text_the_sentence_around_the_word_stays() {
        let long = "x".repeat(LONGEST);
        let text = format!("{long}. The bank of 3.5 miles was green. {long}");
        let (text, range) = sentence(&text, text.find("bank").map(|at| at..at + 4).unwrap());
        assert_eq!((text.as_str(), &text[range]), ("The bank of 3.5 miles was green.", "bank"));
        assert_eq!(sentence("  a bank ", 4..8), ("a bank".to_owned(), 2..6));
        let (text, range) = sentence(&"bank ".repeat(LONGEST), 1000..1004);
        assert!(text.chars().count() <= LONGEST + 4 && &text[range] == "bank");
    }

    #[test]
    fn of_too_many_an_even_part_stays() {
        let word = Word::new(["a"]).unwrap();
        let (mut found, mut stride) = (Found::default(), 1);
        (0..100).for_each(|i| found.look(&word, &format!("a {i}"), None, (10, &mut stride)));
        assert_eq!(found.total, 100);
        let kept: Vec<&str> = found.occurrences.iter().map(|o| &o.text[2..]).collect();
        assert_eq!(kept, ["0", "16", "32", "48", "64", "80", "96"]);
    }
}
