//! Learns a vocabulary by merging the most frequent pair of neighbouring pieces, again and again
//! (Sennrich et al. 2016), the same every time.
//!
//! Among pairs of equal frequency the one whose pieces are older wins, as in the `tokenizers` crate;
//! pieces get their numbers in an order that depends on the corpus alone: the alphabet sorted, then
//! the merges as they come. Counts are 64 bits wide.

use crate::Result;
use crate::corpus::go_on;
use std::collections::{BTreeMap, BinaryHeap, HashMap};

/// What the words are made of.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Alphabet {
    /// Letters, with `##` in front where they continue a word.
    Pieces,
    /// The 256 bytes as letters, all of them kept.
    Bytes,
}

/// What was learned.
pub(super) struct Learned {
    /// Pieces by number.
    pub tokens: Vec<String>,
    /// Pairs of piece numbers, best first.
    pub merges: Vec<(usize, usize)>,
}

/// The alphabet covers all but one in this many letters of the text; the letters rarer than that
/// would fill a small vocabulary.
const UNCOVERED: u64 = 10_000;

/// Merges between two questions whether to go on.
const ASKED_EVERY: usize = 16;

type Pair = (u32, u32);

/// Learns at most `size` pieces from words and their counts, sorted by word. Pairs seen less than
/// `min_frequency` times are not merged. `going` is asked now and then, and ends it with `false`.
pub(super) fn learn(
    words: &[(String, u64)],
    size: usize,
    min_frequency: u64,
    alphabet: Alphabet,
    going: &mut dyn FnMut() -> bool,
) -> Result<Learned> {
    let tokens = match alphabet {
        Alphabet::Pieces => letters(words, size),
        Alphabet::Bytes => byte_letters(),
    };
    let mut learner = Learner::new(words, tokens, alphabet);
    learner.run(size, min_frequency.max(1), going)?;
    Ok(Learned { tokens: learner.tokens, merges: learner.merges })
}

/// The symbols of a word: its letters, with `##` before all but the first.
fn symbols(word: &str, alphabet: Alphabet) -> impl Iterator<Item = String> {
    word.chars().enumerate().map(
        move |(i, c)| {
            if i > 0 && alphabet == Alphabet::Pieces { format!("##{c}") } else { c.to_string() }
        },
    )
}

/// The most frequent symbols, at most `size`, sorted.
fn letters(words: &[(String, u64)], size: usize) -> Vec<String> {
    // By letter and whether it continues a word: no string for each letter of the text.
    let mut counts: HashMap<(char, bool), u64> = HashMap::new();
    for (word, n) in words {
        for (i, c) in word.chars().enumerate() {
            *counts.entry((c, i > 0)).or_default() += n;
        }
    }
    let total: u64 = counts.values().sum();
    let mut sorted: Vec<(u64, (char, bool))> = counts.into_iter().map(|(s, n)| (n, s)).collect();
    sorted.sort_unstable_by(|a, b| (b.0, a.1).cmp(&(a.0, b.1)));
    let mut left = total;
    let mut kept: Vec<(char, bool)> = Vec::new();
    for (n, symbol) in sorted {
        if kept.len() == size || left <= total / UNCOVERED {
            break;
        }
        left -= n;
        kept.push(symbol);
    }
    kept.sort_unstable_by_key(|(c, continues)| (*continues, *c));
    kept.into_iter().map(|(c, continues)| if continues { format!("##{c}") } else { c.to_string() }).collect()
}

/// The letters that stand for bytes, sorted.
fn byte_letters() -> Vec<String> {
    let mut letters: Vec<char> = tokenizers::pre_tokenizers::byte_level::ByteLevel::alphabet().into_iter().collect();
    letters.sort_unstable();
    letters.into_iter().map(String::from).collect()
}

struct Learner {
    tokens: Vec<String>,
    ids: HashMap<String, u32>,
    merges: Vec<(usize, usize)>,
    /// Symbols of all words, each word's in `starts[w]..starts[w] + lengths[w]`.
    symbols: Vec<u32>,
    starts: Vec<usize>,
    lengths: Vec<u32>,
    counts: Vec<i64>,
    pair_counts: HashMap<Pair, i64>,
    /// Words in which a pair was seen when it was new; some may have lost it since.
    pair_words: HashMap<Pair, Vec<u32>>,
    /// Pairs by count; an entry whose count is no longer true is put back with the true one.
    queue: BinaryHeap<(i64, std::cmp::Reverse<Pair>)>,
    continues: bool,
}

impl Learner {
    fn new(words: &[(String, u64)], tokens: Vec<String>, alphabet: Alphabet) -> Self {
        let ids: HashMap<String, u32> = tokens.iter().enumerate().map(|(i, t)| (t.clone(), i as u32)).collect();
        let mut this = Self {
            tokens,
            ids,
            merges: Vec::new(),
            symbols: Vec::new(),
            starts: Vec::new(),
            lengths: Vec::new(),
            counts: Vec::new(),
            pair_counts: HashMap::new(),
            pair_words: HashMap::new(),
            queue: BinaryHeap::new(),
            continues: alphabet == Alphabet::Pieces,
        };
        for (word, n) in words {
            let start = this.symbols.len();
            this.symbols.extend(symbols(word, alphabet).map_while(|s| this.ids.get(&s).copied()));
            let len = this.symbols.len() - start;
            // A word with a letter outside the alphabet is unknown to the tokenizer as a whole, and
            // one of a single letter has no pair.
            if len < 2 || len != word.chars().count() {
                this.symbols.truncate(start);
                continue;
            }
            this.starts.push(start);
            this.lengths.push(len as u32);
            this.counts.push(*n as i64);
        }
        this.count_pairs();
        this
    }

    fn count_pairs(&mut self) {
        for w in 0..self.starts.len() {
            let word = &self.symbols[self.starts[w]..self.starts[w] + self.lengths[w] as usize];
            for pair in word.windows(2) {
                let pair = (pair[0], pair[1]);
                *self.pair_counts.entry(pair).or_default() += self.counts[w];
                let seen = self.pair_words.entry(pair).or_default();
                if seen.last() != Some(&(w as u32)) {
                    seen.push(w as u32);
                }
            }
        }
        // The queue gives its entries in one order, whatever the order they came in.
        self.queue = self.pair_counts.iter().map(|(pair, n)| (*n, std::cmp::Reverse(*pair))).collect();
    }

    fn run(&mut self, size: usize, min_frequency: u64, going: &mut dyn FnMut() -> bool) -> Result<()> {
        while self.tokens.len() < size {
            let Some((count, std::cmp::Reverse(pair))) = self.queue.pop() else { break };
            let now = self.pair_counts.get(&pair).copied().unwrap_or(0);
            if now != count {
                if now > 0 {
                    self.queue.push((now, std::cmp::Reverse(pair)));
                }
                continue;
            }
            if count < min_frequency as i64 {
                break;
            }
            if self.merges.len().is_multiple_of(ASKED_EVERY) {
                go_on(going())?;
            }
            self.merge(pair);
        }
        Ok(())
    }

    fn merge(&mut self, pair: Pair) {
        let (a, b) = (&self.tokens[pair.0 as usize], &self.tokens[pair.1 as usize]);
        let tail = if self.continues { b.strip_prefix("##").unwrap_or(b) } else { b };
        let token = format!("{a}{tail}");
        // Two ways of merging may give one and the same piece.
        let id = *self.ids.entry(token.clone()).or_insert_with(|| {
            self.tokens.push(token);
            self.tokens.len() as u32 - 1
        });
        self.merges.push((pair.0 as usize, pair.1 as usize));
        // Sorted, so that pairs are put into the queue in one order and once each.
        let mut changed: BTreeMap<Pair, i64> = BTreeMap::new();
        for w in self.pair_words.remove(&pair).unwrap_or_default() {
            self.merge_in_word(w as usize, pair, id, &mut changed);
        }
        for (changed_pair, change) in changed {
            let count = self.pair_counts.entry(changed_pair).or_default();
            *count += change;
            if *count > 0 && change > 0 {
                self.queue.push((*count, std::cmp::Reverse(changed_pair)));
            }
            if *count == 0 {
                self.pair_counts.remove(&changed_pair);
                self.pair_words.remove(&changed_pair);
            }
        }
    }

    /// Replaces each `pair` in word `w` by `id`, from left to right.
    fn merge_in_word(&mut self, w: usize, pair: Pair, id: u32, changed: &mut BTreeMap<Pair, i64>) {
        let start = self.starts[w];
        let len = self.lengths[w] as usize;
        let n = self.counts[w];
        let word = &mut self.symbols[start..start + len];
        let (mut read, mut write) = (0, 0);
        while read < len {
            if read + 1 < len && (word[read], word[read + 1]) == pair {
                *changed.entry(pair).or_default() -= n;
                let mut gained = |p: Pair| {
                    *changed.entry(p).or_default() += n;
                    let seen = self.pair_words.entry(p).or_default();
                    if seen.last() != Some(&(w as u32)) {
                        seen.push(w as u32);
                    }
                };
                if write > 0 {
                    gained((word[write - 1], id));
                }
                if read + 2 < len {
                    gained((id, word[read + 2]));
                }
                if write > 0 {
                    *changed.entry((word[write - 1], pair.0)).or_default() -= n;
                }
                if read + 2 < len {
                    *changed.entry((pair.1, word[read + 2])).or_default() -= n;
                }
                word[write] = id;
                read += 2;
            } else {
                word[write] = word[read];
                read += 1;
            }
            write += 1;
        }
        self.lengths[w] = write as u32;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(words: &[(&str, u64)]) -> Vec<(String, u64)> {
        let mut out: Vec<(String, u64)> = words.iter().map(|(w, n)| ((*w).to_owned(), *n)).collect();
        out.sort();
        out
    }

    fn all(words: &[(String, u64)], size: usize, min_frequency: u64, alphabet: Alphabet) -> Learned {
        learn(words, size, min_frequency, alphabet, &mut || true).unwrap()
    }

    /// Counts all pairs anew before each merge: slow, and plainly right.
    fn plain(words: &[(String, u64)], size: usize, min_frequency: u64) -> Vec<String> {
        let mut tokens = letters(words, size);
        let id = |tokens: &[String], t: &str| tokens.iter().position(|x| x == t).unwrap();
        let mut split: Vec<(Vec<usize>, u64)> = words
            .iter()
            .filter(|(w, _)| symbols(w, Alphabet::Pieces).all(|s| tokens.contains(&s)))
            .map(|(w, n)| (symbols(w, Alphabet::Pieces).map(|s| id(&tokens, &s)).collect(), *n))
            .collect();
        while tokens.len() < size {
            let mut counts: BTreeMap<(usize, usize), u64> = BTreeMap::new();
            for (word, n) in &split {
                for p in word.windows(2) {
                    *counts.entry((p[0], p[1])).or_default() += n;
                }
            }
            let Some((&pair, &n)) = counts.iter().max_by_key(|(p, n)| (**n, std::cmp::Reverse(**p))) else { break };
            if n < min_frequency {
                break;
            }
            let token = format!("{}{}", tokens[pair.0], tokens[pair.1].trim_start_matches("##"));
            if !tokens.contains(&token) {
                tokens.push(token.clone());
            }
            let new = id(&tokens, &token);
            for (word, _) in &mut split {
                let mut out = Vec::new();
                let mut i = 0;
                while i < word.len() {
                    if i + 1 < word.len() && (word[i], word[i + 1]) == pair {
                        out.push(new);
                        i += 2;
                    } else {
                        out.push(word[i]);
                        i += 1;
                    }
                }
                *word = out;
            }
        }
        tokens
    }

    #[test]
    fn equals_counting_anew_before_each_merge() {
        let words = counted(&[
            ("aaaa", 5),
            ("aaaaa", 3),
            ("abab", 7),
            ("ababab", 2),
            ("banana", 4),
            ("bandana", 6),
            ("cabana", 1),
            ("ananas", 9),
            ("aba", 11),
            ("nab", 2),
            ("x", 100),
        ]);
        for size in [8, 12, 20, 40, 100] {
            for min in [1, 4, 10] {
                let fast = all(&words, size, min, Alphabet::Pieces).tokens;
                assert_eq!(fast, plain(&words, size, min), "size {size}, min {min}");
            }
        }
    }

    #[test]
    fn ties_go_to_the_older_pieces() {
        let words = counted(&[("ab", 2), ("cd", 2), ("ef", 2)]);
        let learned = all(&words, 8, 1, Alphabet::Pieces);
        assert_eq!(learned.tokens, ["a", "c", "e", "##b", "##d", "##f", "ab", "cd"]);
    }

    #[test]
    fn the_alphabet_never_exceeds_the_vocabulary() {
        let words = counted(&[("天", 9), ("地", 5), ("人", 7), ("abc", 1)]);
        let learned = all(&words, 2, 1, Alphabet::Pieces);
        assert_eq!(learned.tokens, ["人", "天"]);
        assert!(learned.merges.is_empty());
    }

    #[test]
    fn counts_above_32_bits_are_right() {
        let words = counted(&[("ab", 5_000_000_000), ("cd", 4_999_999_999)]);
        let learned = all(&words, 5, 4_999_999_999, Alphabet::Pieces);
        assert_eq!(learned.tokens.last().unwrap(), "ab");
    }

    #[test]
    fn all_bytes_are_in_the_byte_alphabet() {
        let learned = all(&counted(&[("ab", 3)]), 300, 2, Alphabet::Bytes);
        assert_eq!(learned.tokens.len(), 257);
        assert_eq!(learned.merges.len(), 1);
    }
}
