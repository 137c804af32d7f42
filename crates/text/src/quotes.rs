//! Quotes of comma-separated values: which one was never closed.

use crate::source::TextSource;
use std::io::Read;

/// A source that follows the quotes in what is read from it, as the CSV reader behind it does, which takes
/// all that follows an open quote for one cell and says nothing.
pub(crate) struct Quotes {
    /// Where the text comes from.
    pub source: TextSource,
    /// Whether quotes mean anything.
    quoting: bool,
    at: At,
    line: u64,
    /// The line of the last quote that began a cell.
    opened: u64,
    ended: bool,
}

/// What the last byte was.
#[derive(Clone, Copy, PartialEq, Eq)]
enum At {
    /// A separator: a quote here opens a cell.
    Start,
    /// In a cell without quotes.
    Plain,
    /// In a cell with quotes.
    Quoted,
    /// A quote in such a cell: its end, unless another one follows.
    Quote,
}

impl Quotes {
    /// Of a source; without `quoting`, quotes are letters as others.
    pub fn new(source: TextSource, quoting: bool) -> Self {
        Self { source, quoting, at: At::Start, line: 1, opened: 0, ended: false }
    }

    /// The line of the quote that is still open at the end of the file.
    pub fn unclosed(&self) -> Option<u64> {
        (self.ended && self.at == At::Quoted).then_some(self.opened)
    }

    fn follow(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.at = match (self.at, byte) {
                (At::Start, b'"') => {
                    self.opened = self.line;
                    At::Quoted
                }
                (At::Quoted, b'"') => At::Quote,
                (At::Quoted, _) | (At::Quote, b'"') => At::Quoted,
                (_, b',' | b'\n' | b'\r') => At::Start,
                _ => At::Plain,
            };
            self.line += u64::from(byte == b'\n');
        }
    }
}

impl Read for Quotes {
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        let n = self.source.read(buf)?;
        self.ended = n == 0;
        if self.quoting {
            self.follow(&buf[..n]);
        }
        Ok(n)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unclosed(text: &'static str) -> Option<u64> {
        let mut quotes = Quotes::new(TextSource::of_reader("a.csv".as_ref(), Box::new(text.as_bytes())), true);
        std::io::copy(&mut quotes, &mut std::io::sink()).unwrap();
        quotes.unclosed()
    }

    #[test]
    fn only_a_quote_that_begins_a_cell_can_stay_open() {
        for text in ["", "a,b\n", "\"a\",b", "a,\"b\"\"c\"", "a,b\"c\n5\",d", "\"\"", "a,\"\n\"\r\nb", "\"a\"b\"c"] {
            assert_eq!(unclosed(text), None, "{text:?}");
        }
        for (text, line) in [("\"", 1), ("a,b\n\"c,d\ne,f\n", 2), ("a\n\nb,\"\"\"", 3), ("\"a\n\",b\n\"", 3)] {
            assert_eq!(unclosed(text), Some(line), "{text:?}");
        }
    }
}
