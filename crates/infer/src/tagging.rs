//! A label for each word of a text, and the entities they make up.

use crate::batches::WINDOW;
use crate::encoder::values;
use crate::fill::head_name;
use crate::predict::{first_of_best, softmax};
use crate::words::words;
use crate::{Encoder, Error, Result};
use polyseme_models::HeadKind;
use polyseme_tensor::Mode;
use polyseme_text::{Encoding, Tokenizer};
use std::collections::BTreeMap;
use std::ops::Range;

/// A window of a text with the tokens whose labels count: the first piece of a word, where it has most
/// neighbours on both sides.
#[derive(Clone, Debug, PartialEq)]
pub struct TagWindow {
    /// Its tokens.
    pub encoding: Encoding,
    /// Numbers of these tokens in the window, ascending.
    pub tokens: Vec<usize>,
    /// The words they begin.
    pub words: Vec<usize>,
}

/// A text in windows of at most `max_length` tokens, a quarter of which overlap. Every word of which the
/// tokenizer leaves anything stands in exactly one. `words` are byte ranges in `text`, ascending.
///
/// # Errors
/// A length without room for a word.
pub fn tag_windows(
    tokenizer: &Tokenizer,
    text: &str,
    words: &[Range<usize>],
    max_length: usize,
) -> Result<Vec<TagWindow>> {
    let windows = tokenizer.windows(None, text, max_length, max_length / 4)?;
    // First piece of each word: number of the token in the whole text.
    let mut begins: BTreeMap<usize, usize> = BTreeMap::new();
    for window in &windows {
        for (i, token) in window.place.clone().enumerate() {
            if let Some(word) = word_of(text, &window.encoding.offsets[token], words) {
                begins.entry(word).or_insert(window.first + i);
            }
        }
    }
    let mut found: Vec<TagWindow> = windows
        .iter()
        .map(|w| TagWindow { encoding: w.encoding.clone(), tokens: Vec::new(), words: Vec::new() })
        .collect();
    for (word, token) in begins {
        // How many tokens it has at least on either side; an end of the text is no loss.
        let room = |w: &polyseme_text::Window| {
            let (from, to) = (w.first, w.first + w.place.len());
            let inside = (from..to).contains(&token);
            let left = if from == 0 { usize::MAX } else { token.saturating_sub(from) };
            let right = if std::ptr::eq(w, windows.last().expect("never empty")) {
                usize::MAX
            } else {
                to - 1 - token.min(to - 1)
            };
            inside.then(|| left.min(right))
        };
        // Windows with the token lie side by side: a long text has many others.
        let end = windows.partition_point(|w| w.first <= token);
        let with_it = (0..end).rev().take_while(|&i| room(&windows[i]).is_some());
        let best = with_it.max_by_key(|&i| room(&windows[i])).expect("every token is in a window");
        found[best].tokens.push(windows[best].place.start + token - windows[best].first);
        found[best].words.push(word);
    }
    found.retain(|w| !w.tokens.is_empty());
    Ok(found)
}

/// The word in which a piece begins; none for white space.
fn word_of(text: &str, piece: &Range<usize>, words: &[Range<usize>]) -> Option<usize> {
    let (start, end) = (text.floor_char_boundary(piece.start), text.ceil_char_boundary(piece.end));
    let slice = text.get(start..end)?;
    let begin = start + slice.len() - slice.trim_start().len();
    if begin >= end {
        return None;
    }
    let word = words.partition_point(|w| w.end <= begin);
    words.get(word).filter(|w| w.contains(&begin)).map(|_| word)
}

/// Words with single spaces between them, and where each stands.
pub fn joined<S: AsRef<str>>(words: &[S]) -> (String, Vec<Range<usize>>) {
    let mut text = String::new();
    let ranges = words.iter().map(|word| {
        if !text.is_empty() {
            text.push(' ');
        }
        let begin = text.len();
        text.push_str(word.as_ref());
        begin..text.len()
    });
    let ranges = ranges.collect();
    (text, ranges)
}

/// Words that name one thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TaggedSpan<'a> {
    /// The word after its last. No two have the same, and they are found in this order.
    pub end: usize,
    /// Its first word.
    pub start: usize,
    /// What it is: the tag without its prefix.
    pub label: &'a str,
}

/// The entities of one sequence of BIO or BIOES tags, as seqeval's `get_entities` finds them.
///
/// It forgives: an entity may begin with `I-` or `E-`, and a change of type begins another. Its
/// oddities are kept too: a tag without a dash has its first letter for prefix and the rest for
/// type, `_` if nothing is left.
pub fn spans<'a>(tags: &[&'a str]) -> Vec<TaggedSpan<'a>> {
    let mut found = Vec::new();
    let (mut before, mut start) = (('O', ""), 0);
    for (i, tag) in tags.iter().copied().chain(["O"]).enumerate() {
        let now = prefix_and_type(tag);
        if ends(before, now) {
            found.push(TaggedSpan { end: i, start, label: before.1 });
        }
        if begins(before, now) {
            start = i;
        }
        before = now;
    }
    found
}

fn prefix_and_type(tag: &str) -> (char, &str) {
    let mut letters = tag.chars();
    let prefix = letters.next().unwrap_or('O');
    let rest = letters.as_str();
    let label = rest.split_once('-').map_or(rest, |(_, label)| label);
    (prefix, if label.is_empty() { "_" } else { label })
}

/// Whether an entity ends before the tag `now`.
fn ends((before, label): (char, &str), (now, next): (char, &str)) -> bool {
    matches!((before, now), ('E' | 'S', _) | ('B' | 'I', 'B' | 'S' | 'O'))
        || !matches!(before, 'O' | '.') && label != next
}

/// Whether an entity begins at the tag `now`.
fn begins((before, label): (char, &str), (now, next): (char, &str)) -> bool {
    matches!((before, now), (_, 'B' | 'S') | ('E' | 'S' | 'O', 'E' | 'I')) || !matches!(now, 'O' | '.') && label != next
}

/// An entity in a text.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Entity {
    /// Label without its prefix.
    pub label: String,
    /// As it stands in the text.
    pub text: String,
    /// First character, counted from 0.
    pub start: usize,
    /// Character after the last.
    pub end: usize,
    /// Mean probability of its words' labels.
    pub score: f32,
}

/// A word's label.
#[derive(Clone, Debug, PartialEq)]
pub struct WordTag {
    /// The label.
    pub tag: String,
    /// Its probability.
    pub score: f32,
}

impl Encoder {
    /// The labels a tagger chooses from, in order.
    ///
    /// # Errors
    /// No head for tags.
    pub fn tags(&self) -> Result<Vec<String>> {
        match self.model.head() {
            HeadKind::Tag(labels) => Ok(labels),
            other => {
                Err(Error::WrongHead { what: "tags", head: "a head for tags", found: head_name(&other), task: "tag" })
            }
        }
    }

    /// A label for each word of each text; `words` are byte ranges, ascending. A word of which the tokenizer
    /// leaves nothing has the label `O`, or the first one.
    ///
    /// # Errors
    /// No head for tags, a length the model cannot take.
    pub fn tag_words(
        &self,
        texts: &[(String, Vec<Range<usize>>)],
        max_length: Option<usize>,
    ) -> Result<Vec<Vec<WordTag>>> {
        let labels = self.tags()?;
        let longest = self.max_length(max_length)?;
        let none = labels.iter().find(|l| *l == "O").unwrap_or(&labels[0]);
        let mut found: Vec<Vec<WordTag>> =
            texts.iter().map(|(_, words)| vec![WordTag { tag: none.clone(), score: 0.0 }; words.len()]).collect();
        for (at, part) in texts.chunks(WINDOW).enumerate() {
            let mut windows = Vec::new();
            for (i, (text, words)) in part.iter().enumerate() {
                let of_text = tag_windows(&self.tokenizer, text, words, longest)?;
                windows.extend(of_text.into_iter().map(|w| (at * WINDOW + i, w)));
            }
            let encodings: Vec<Encoding> = windows.iter().map(|(_, w)| w.encoding.clone()).collect();
            encodings.iter().try_for_each(|e| self.check(e))?;
            let windows = windows.as_slice();
            self.for_each_batch(&encodings, |members, batch| {
                let token = |(k, &m): (usize, &usize)| {
                    windows[m].1.tokens.iter().map(move |&t| batch.row(k, t)).collect::<Vec<_>>()
                };
                let rows: Vec<usize> = members.iter().enumerate().flat_map(token).collect();
                let logits = values(self.model.token_outputs(batch, &rows, Mode::Eval)); // (rows, labels)
                let places = members.iter().flat_map(|&m| {
                    let (text, window) = &windows[m];
                    window.words.iter().map(move |&word| (*text, word))
                });
                for ((text, word), row) in places.zip(logits.chunks_exact(labels.len())) {
                    let scores = softmax(row);
                    let best = first_of_best(&scores);
                    found[text][word] = WordTag { tag: labels[best].clone(), score: scores[best] };
                }
                Ok(())
            })?;
        }
        Ok(found)
    }

    /// The entities of each text, in order. The words are those of the tokenizer.
    ///
    /// # Errors
    /// As [`Encoder::tag_words`].
    pub fn entities(&self, texts: &[&str], max_length: Option<usize>) -> Result<Vec<Vec<Entity>>> {
        self.tags()?; // before anything is encoded
        let with_words = |text: &&str| {
            let encoding = self.tokenizer.encode(text, None, usize::MAX)?;
            let ranges = words(text, &encoding).into_iter().map(|w| w.range).filter(|r| !r.is_empty());
            Ok(((*text).to_owned(), ranges.collect()))
        };
        let texts: Vec<(String, Vec<Range<usize>>)> = texts.iter().map(with_words).collect::<Result<_>>()?;
        let tags = self.tag_words(&texts, max_length)?;
        Ok(texts.iter().zip(&tags).map(|((text, words), tags)| entities_of(text, words, tags)).collect())
    }
}

/// The entities that the labels of a text's words make up.
fn entities_of(text: &str, words: &[Range<usize>], tags: &[WordTag]) -> Vec<Entity> {
    let names: Vec<&str> = tags.iter().map(|t| t.tag.as_str()).collect();
    let characters = |byte: usize| text[..byte].chars().count();
    let entity = |span: TaggedSpan<'_>| {
        let bytes = words[span.start].start..words[span.end - 1].end;
        let scores = &tags[span.start..span.end];
        Entity {
            text: text[bytes.clone()].to_owned(),
            start: characters(bytes.start),
            end: characters(bytes.end),
            score: scores.iter().map(|t| t.score).sum::<f32>() / scores.len() as f32,
            label: span.label.to_owned(),
        }
    };
    spans(&names).into_iter().map(entity).collect()
}
