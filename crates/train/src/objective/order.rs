//! Sentence-order prediction: two parts of a text that follow each other stand in their order or in the other one, and
//! the first token must say which (ALBERT, Lan et al. 2020).
//!
//! Reference: google-research/albert, `create_pretraining_data.py`. Deviations: parts are halves of the pieces that
//! documents are cut into, parted behind the end of a sentence where there is one near the middle, else between words;
//! a piece too short for two parts stands alone and is not asked.

use crate::masking::Vocabulary;
use polyseme_tensor::Stream;
use polyseme_text::Tokenizer;

/// A text of fewer tokens stands alone: of two short parts nobody can say the order.
const SHORTEST: usize = 8;

/// What ends a sentence.
const ENDS: [&str; 7] = [".", "!", "?", "…", "。", "！", "？"];

/// Where texts are parted.
#[derive(Clone, Debug)]
pub struct Order {
    /// By id: whether the piece ends a sentence.
    ends: Vec<bool>,
}

/// A part of a sequence, and whether it stands first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parted {
    /// Tokens of the part that comes first in the text.
    pub at: usize,
    /// Whether the other part stands before it.
    pub swapped: bool,
}

impl Order {
    /// By the ids that end a sentence.
    pub fn new(ends: Vec<bool>) -> Self {
        Self { ends }
    }

    /// Of a tokenizer.
    pub fn of(tokenizer: &Tokenizer) -> Self {
        let end = |id: u32| {
            let piece = tokenizer.token(id).unwrap_or_default();
            ENDS.contains(&piece.trim_start_matches("##").trim_start_matches(['▁', 'Ġ']))
        };
        Self { ends: (0..tokenizer.vocab_size() as u32).map(end).collect() }
    }

    /// Parts a text; `None` where it is too short. One behind the end of a sentence in the middle half is drawn, else
    /// one before a word there, else the middle. The same stream gives the same.
    pub fn part(&self, ids: &[u32], vocabulary: &Vocabulary, stream: Stream) -> Option<Parted> {
        if ids.len() < SHORTEST {
            return None;
        }
        let stream = stream.named("order");
        let middle = ids.len() / 4..ids.len() - ids.len() / 4;
        let ends = |at: &usize| self.ends.get(ids[at - 1] as usize).copied().unwrap_or(false);
        let begins = |at: &usize| !vocabulary.continues(ids[*at]);
        let mut places: Vec<usize> = middle.clone().filter(ends).filter(begins).collect();
        if places.is_empty() {
            places = middle.filter(begins).collect();
        }
        let at = match places.len() {
            0 => ids.len() / 2,
            n => places[stream.below(0, n as u64) as usize],
        };
        Some(Parted { at, swapped: stream.below(1, 2) == 1 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ids 0–4 special, 9 ends a sentence, even ids from 100 on continue a word.
    fn setting() -> (Order, Vocabulary) {
        (
            Order::new((0..200).map(|id| id == 9).collect()),
            Vocabulary::new(200, 4, |id| id < 5, |id| id >= 100 && id % 2 == 0),
        )
    }

    #[test]
    fn parts_are_sentences_where_there_are_some_and_whole_words_else() {
        let (order, vocabulary) = setting();
        let mut text: Vec<u32> = (0..40).map(|t| 10 + t).collect();
        (text[3], text[17], text[24]) = (9, 9, 9);
        let (mut seen, mut swapped) = (Vec::new(), 0);
        for i in 0..400 {
            let parted = order.part(&text, &vocabulary, Stream::new(1).at(i)).unwrap();
            seen.push(parted.at);
            swapped += usize::from(parted.swapped);
            assert_eq!(Some(parted), order.part(&text, &vocabulary, Stream::new(1).at(i)), "the same stream");
        }
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen, [18, 25], "the first one is too near the beginning");
        assert!((160..240).contains(&swapped), "half are swapped, not {swapped} of 400");
        let words: Vec<u32> = (0..40).map(|t| 100 + t % 3).collect();
        for i in 0..100 {
            let at = order.part(&words, &vocabulary, Stream::new(2).at(i)).unwrap().at;
            assert!(words[at] == 101 && (10..30).contains(&at), "{at}");
        }
    }

    #[test]
    fn short_texts_stand_alone_and_one_long_word_is_parted_in_the_middle() {
        let (order, vocabulary) = setting();
        assert_eq!(order.part(&[10; 7], &vocabulary, Stream::new(1)), None);
        assert_eq!(order.part(&[100; 12], &vocabulary, Stream::new(1)).unwrap().at, 6);
    }
}
