//! BERT's masking: which tokens are hidden from the model, and what it sees instead.
//!
//! Devlin et al. 2019, appendix A.1; whole words as in Google's `create_pretraining_data.py`.
//! Deviations: the number of chosen tokens is not rounded but drawn so that its mean is exactly
//! `probability` × maskable tokens (short sequences would otherwise be masked too much or never).

use crate::pretrain::MaskingSettings;
use polyseme_tensor::Stream;
use polyseme_text::Tokenizer;

/// What masking must know of a vocabulary.
#[derive(Clone, Debug)]
pub struct Vocabulary {
    /// The mask token.
    pub mask: u32,
    /// Ids that are no special tokens: what may be hidden, and shown at random.
    ordinary: Vec<u32>,
    /// By id: special tokens are never hidden.
    special: Vec<bool>,
    /// By id: whether the piece goes on with the word before it.
    continues: Vec<bool>,
}

impl Vocabulary {
    /// From the properties of each id below `size`. Panics if every id is special.
    pub fn new(size: u32, mask: u32, special: impl Fn(u32) -> bool, continues: impl Fn(u32) -> bool) -> Self {
        let special: Vec<bool> = (0..size).map(special).collect();
        let ordinary: Vec<u32> = (0..size).filter(|&id| !special[id as usize]).collect();
        assert!(!ordinary.is_empty(), "a vocabulary of special tokens only");
        Self { mask, ordinary, special, continues: (0..size).map(continues).collect() }
    }

    /// Of a tokenizer. `None` if it has no mask token or nothing but special tokens.
    pub fn of(tokenizer: &Tokenizer) -> Option<Self> {
        let size = tokenizer.vocab_size() as u32;
        let mask = tokenizer.special().mask?;
        let has_ordinary = (0..size).any(|id| !tokenizer.is_special(id));
        has_ordinary.then(|| Self::new(size, mask, |id| tokenizer.is_special(id), |id| tokenizer.continues_word(id)))
    }

    /// Whether an id is never hidden; ids outside the vocabulary count as special.
    pub fn is_special(&self, id: u32) -> bool {
        self.special.get(id as usize).copied().unwrap_or(true)
    }

    /// Whether a piece goes on with the word before it.
    pub fn continues(&self, id: u32) -> bool {
        self.continues.get(id as usize).copied().unwrap_or(false)
    }

    /// Size, special tokens included.
    pub fn len(&self) -> usize {
        self.special.len()
    }

    /// Never.
    pub fn is_empty(&self) -> bool {
        false
    }
}

/// What was hidden in one sequence.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Masked {
    /// Positions, ascending.
    pub positions: Vec<usize>,
    /// The true ids there.
    pub labels: Vec<u32>,
}

/// Hides tokens of `ids` in place. The same stream hides the same tokens: give another one to each
/// epoch and sequence.
pub fn mask(ids: &mut [u32], vocabulary: &Vocabulary, how: &MaskingSettings, stream: Stream) -> Masked {
    let positions = choose(ids, vocabulary, how, stream);
    let labels = positions.iter().map(|&t| ids[t]).collect();
    let fate = stream.named("fate");
    let random = stream.named("random");
    for &t in &positions {
        let draw = f64::from(fate.uniform(t as u64));
        if draw < how.replace_mask {
            ids[t] = vocabulary.mask;
        } else if draw < how.replace_mask + how.replace_random {
            let n = vocabulary.ordinary.len() as u64;
            ids[t] = vocabulary.ordinary[random.below(t as u64, n) as usize];
        }
    }
    Masked { positions, labels }
}

/// Chooses positions: units (tokens or whole words) in random order until `probability` of the
/// maskable tokens are taken. The unit that would go beyond is taken with the probability of the
/// part that is still wanted, so that the mean number is exact.
fn choose(ids: &[u32], vocabulary: &Vocabulary, how: &MaskingSettings, stream: Stream) -> Vec<usize> {
    let mut units = units(ids, vocabulary, how.whole_word);
    let maskable: usize = units.iter().map(|&(from, to)| to - from).sum();
    let mut wanted = how.probability * maskable as f64;
    stream.named("choose").shuffle(&mut units);
    let mut positions = Vec::with_capacity(wanted as usize + 1);
    for (from, to) in units {
        let len = (to - from) as f64;
        if wanted >= len {
            positions.extend(from..to);
            wanted -= len;
            continue;
        }
        if f64::from(stream.named("last").uniform(0)) < wanted / len {
            positions.extend(from..to);
        }
        break;
    }
    positions.sort_unstable();
    positions
}

/// Ranges that are hidden together: single tokens, or words with their continuing pieces.
fn units(ids: &[u32], vocabulary: &Vocabulary, whole_word: bool) -> Vec<(usize, usize)> {
    let mut units: Vec<(usize, usize)> = Vec::with_capacity(ids.len());
    for (t, &id) in ids.iter().enumerate() {
        if vocabulary.is_special(id) {
            continue;
        }
        match units.last_mut() {
            // A special token between two pieces parts them, whatever the second one looks like.
            Some(last) if whole_word && last.1 == t && vocabulary.continues[id as usize] => last.1 = t + 1,
            _ => units.push((t, t + 1)),
        }
    }
    units
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ids 0–4 special (mask 4), even ids from 100 on continue a word.
    fn vocabulary() -> Vocabulary {
        Vocabulary::new(1_000, 4, |id| id < 5, |id| id >= 100 && id % 2 == 0)
    }

    fn settings(whole_word: bool) -> MaskingSettings {
        MaskingSettings { whole_word, ..MaskingSettings::default() }
    }

    fn sequence(i: u64, len: u64) -> Vec<u32> {
        let text = Stream::new(99).at(i);
        let mut ids = vec![2];
        ids.extend((0..len).map(|t| 5 + text.below(t, 995) as u32));
        ids.push(3);
        ids
    }

    /// Shares over 100,000 maskable tokens: chosen, shown as mask, shown as another piece, kept.
    fn statistics(whole_word: bool, len: u64) -> [f64; 4] {
        let (v, how) = (vocabulary(), settings(whole_word));
        let (mut total, mut chosen, mut masks, mut others, mut kept) = (0, 0, 0, 0, 0);
        for i in 0..100_000 / len {
            let before = sequence(i, len);
            let mut after = before.clone();
            let masked = mask(&mut after, &v, &how, Stream::new(7).named("mask").at(0).at(i));
            total += len;
            chosen += masked.positions.len();
            for (t, (&b, &a)) in before.iter().zip(&after).enumerate() {
                let place = masked.positions.iter().position(|&p| p == t);
                assert!(place.is_some() || a == b, "a token that was not chosen changed");
                let Some(place) = place else { continue };
                assert_eq!(masked.labels[place], b);
                assert!(b >= 5, "special token {b} was chosen");
                assert!(a == 4 || a >= 5, "special token {a} was shown");
                match a {
                    4 => masks += 1,
                    a if a == b => kept += 1,
                    _ => others += 1,
                }
            }
        }
        let n = chosen as f64;
        [n / total as f64, f64::from(masks) / n, f64::from(others) / n, f64::from(kept) / n]
    }

    #[test]
    fn statistics_over_a_hundred_thousand_tokens_are_berts() {
        for whole_word in [false, true] {
            for len in [5, 50, 500] {
                let [chosen, masks, others, kept] = statistics(whole_word, len);
                let what = format!("whole_word {whole_word}, length {len}");
                assert!((chosen - 0.15).abs() <= 0.003, "{what}: {chosen} chosen");
                assert!((masks - 0.8).abs() <= 0.01, "{what}: {masks} masked");
                assert!((others - 0.1).abs() <= 0.01, "{what}: {others} random");
                assert!((kept - 0.1).abs() <= 0.01, "{what}: {kept} kept");
            }
        }
    }

    #[test]
    fn probability_is_a_setting() {
        let (v, mut how) = (vocabulary(), settings(false));
        how.probability = 0.4;
        let n: usize =
            (0..1_000).map(|i| mask(&mut sequence(i, 100), &v, &how, Stream::new(1).at(i)).positions.len()).sum();
        assert_eq!(n, 40_000);
    }

    #[test]
    fn whole_words_are_hidden_whole() {
        let v = vocabulary();
        for i in 0..200 {
            let ids = sequence(i, 60);
            let masked = mask(&mut ids.clone(), &v, &settings(true), Stream::new(3).at(i));
            for (from, to) in units(&ids, &v, true) {
                let hidden = (from..to).filter(|t| masked.positions.contains(t)).count();
                assert!(hidden == 0 || hidden == to - from, "word {from}..{to} was hidden in part");
            }
        }
        // The test would see a word in two parts: without the option there are some.
        let parted = (0..200).any(|i| {
            let ids = sequence(i, 60);
            let masked = mask(&mut ids.clone(), &v, &settings(false), Stream::new(3).at(i));
            units(&ids, &v, true).iter().any(|&(from, to)| {
                let hidden = (from..to).filter(|t| masked.positions.contains(t)).count();
                hidden > 0 && hidden < to - from
            })
        });
        assert!(parted);
    }

    #[test]
    fn a_special_token_parts_words() {
        assert_eq!(units(&[2, 5, 100, 102, 3, 104, 5], &vocabulary(), true), [(1, 4), (5, 6), (6, 7)]);
    }

    #[test]
    fn epochs_have_fresh_masks_and_the_same_stream_has_the_same() {
        let (v, how) = (vocabulary(), settings(false));
        let run = |epoch: u64| {
            let mut ids = sequence(0, 200);
            (mask(&mut ids, &v, &how, Stream::new(7).named("mask").at(epoch).at(0)), ids)
        };
        assert_eq!(run(0), run(0));
        assert_ne!(run(0).0.positions, run(1).0.positions);
    }

    #[test]
    fn nothing_to_hide_is_no_error() {
        let masked = mask(&mut [2, 3], &vocabulary(), &settings(false), Stream::new(0));
        assert_eq!(masked, Masked::default());
    }
}
