//! One word, two meanings: words of the corpus in two contexts each, and what lies near them there.

use super::outcome::{Near, Sense, WordSenses};
use super::texts::Texts;
use polyseme_infer::{EmbedOptions, Encoder};
use std::collections::{BTreeMap, HashSet};

/// Words shown.
const SHOWN: usize = 5;
/// Neighbours of each context.
const NEIGHBOURS: usize = 6;
/// Occurrences of a word that are looked at, and the fewest that make it worth looking.
const OCCURRENCES: (usize, usize) = (40, 12);
/// Passages whose words may be neighbours, besides those with the words themselves.
const BACKGROUND: usize = 1500;
/// Longest passage in words; what goes beyond is cut.
const LONGEST: usize = 48;
/// Words with several meanings in writing about programs: looked at first where the corpus has them.
const KNOWN: [&str; 24] = [
    "key",
    "block",
    "string",
    "stream",
    "field",
    "frame",
    "table",
    "lock",
    "leaf",
    "root",
    "match",
    "character",
    "port",
    "branch",
    "thread",
    "pool",
    "signal",
    "window",
    "token",
    "record",
    "page",
    "header",
    "sign",
    "order",
];
/// Words that are never neighbours: they lie near everything.
const STOP: &str = "the a an of to and or in is are be it its this that these those for with by as on at from if not no \
    has have can may will when which then than into any all each other only also but was were been does do you your we i \
    they their there here so such more most use used using same one two must should would could how what who out up over";

/// An occurrence of a word: which text, where, and its vector there.
struct Spot {
    word: String,
    text: usize,
    range: std::ops::Range<usize>,
    vector: Vec<f32>,
}

/// Finds words that the encoder tells apart by context. `progress(done, total)` returns whether to go
/// on; `None` if it said no.
pub fn find(
    encoder: &Encoder,
    texts: &Texts,
    progress: &mut dyn FnMut(u64, u64) -> bool,
) -> polyseme_infer::Result<Option<Vec<WordSenses>>> {
    let clipped: Vec<String> = texts.passages.iter().map(|p| clip(&p.text)).collect();
    let words = candidates(&clipped);
    let chosen = chosen_passages(&clipped, &words, texts);
    let Some(mut spots) = embed(encoder, &clipped, &chosen, progress)? else { return Ok(None) };
    center(&mut spots);
    let mut found: Vec<(f32, WordSenses)> = Vec::new();
    for word in &words {
        let own: Vec<usize> = (0..spots.len()).filter(|i| spots[*i].word == *word).collect();
        if let Some((apart, one, other)) = two_groups(&spots, &own, texts) {
            let similarity = cosine(&spots[one].vector, &spots[other].vector);
            let senses = [one, other].map(|i| sense(&spots, i, &clipped, texts)).into();
            found.push((apart, WordSenses { word: word.clone(), similarity, senses }));
        }
    }
    // The widest apart first; equals stay in the order of the list.
    found.sort_by(|a, b| b.0.total_cmp(&a.0));
    Ok(Some(found.into_iter().take(SHOWN).map(|f| f.1).collect()))
}

fn clip(text: &str) -> String {
    text.split_whitespace().take(LONGEST).collect::<Vec<_>>().join(" ")
}

fn letters(text: &str) -> impl Iterator<Item = String> + '_ {
    text.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|w| is_word(w)).map(str::to_lowercase)
}

fn is_word(word: &str) -> bool {
    word.chars().count() >= 3 && word.chars().all(char::is_alphabetic)
}

/// Known words that occur often enough; in other texts, the most frequent ones.
fn candidates(texts: &[String]) -> Vec<String> {
    let stop: HashSet<&str> = STOP.split_whitespace().collect();
    let mut count: BTreeMap<String, usize> = BTreeMap::new();
    for word in texts.iter().flat_map(|t| letters(t).collect::<HashSet<_>>()) {
        *count.entry(word).or_default() += 1;
    }
    let often = |w: &str| count.get(w).copied().unwrap_or(0) >= OCCURRENCES.1;
    let mut words: Vec<String> = KNOWN.iter().filter(|w| often(w)).map(|w| (*w).to_owned()).collect();
    if words.len() < SHOWN {
        let mut frequent: Vec<(&String, &usize)> = count.iter().filter(|(w, _)| w.chars().count() >= 4).collect();
        frequent.sort_by_key(|(w, n)| (std::cmp::Reverse(**n), (*w).clone()));
        let more = frequent.into_iter().map(|(w, _)| w).filter(|w| often(w) && !stop.contains(w.as_str()));
        words.extend(more.filter(|w| !KNOWN.contains(&w.as_str())).take(60).cloned());
    }
    words
}

/// Passages with the words, taken in turn from different parts, and an even sample of all.
fn chosen_passages(clipped: &[String], words: &[String], texts: &Texts) -> Vec<usize> {
    let mut holding: BTreeMap<&str, BTreeMap<usize, Vec<usize>>> = BTreeMap::new();
    for (i, text) in clipped.iter().enumerate() {
        let found: HashSet<String> = letters(text).collect();
        for word in words.iter().filter(|w| found.contains(w.as_str())) {
            holding.entry(word).or_default().entry(texts.passages[i].part).or_default().push(i);
        }
    }
    let mut chosen: Vec<usize> = Vec::new();
    for parts in holding.values() {
        let rounds = parts.values().map(Vec::len).max().unwrap_or(0);
        let in_turn = (0..rounds).flat_map(|r| parts.values().filter_map(move |of| of.get(r).copied()));
        chosen.extend(in_turn.take(OCCURRENCES.0));
    }
    let every = clipped.len().div_ceil(BACKGROUND).max(1);
    chosen.extend((0..clipped.len()).step_by(every));
    chosen.sort_unstable();
    chosen.dedup();
    chosen
}

fn embed(
    encoder: &Encoder,
    clipped: &[String],
    chosen: &[usize],
    progress: &mut dyn FnMut(u64, u64) -> bool,
) -> polyseme_infer::Result<Option<Vec<Spot>>> {
    let options = EmbedOptions { max_length: Some(encoder.limit()), ..EmbedOptions::default() };
    let mut spots = Vec::new();
    for (n, part) in chosen.chunks(128).enumerate() {
        if !progress((n * 128) as u64, chosen.len() as u64) {
            return Ok(None);
        }
        let texts: Vec<&str> = part.iter().map(|i| clipped[*i].as_str()).collect();
        for (found, text) in encoder.embed_tokens(&texts, &options)?.into_iter().zip(part) {
            let words = found.words.into_iter().zip(found.ranges).zip(found.vectors);
            spots.extend(words.filter(|((w, _), _)| is_word(w)).map(|((word, range), vector)| Spot {
                word: word.to_lowercase(),
                text: *text,
                range,
                vector,
            }));
        }
    }
    Ok(Some(spots))
}

/// Takes the mean vector off and scales to length one: what all words share says nothing.
fn center(spots: &mut [Spot]) {
    let Some(width) = spots.first().map(|s| s.vector.len()) else { return };
    let mut mean = vec![0f64; width];
    for spot in spots.iter() {
        mean.iter_mut().zip(&spot.vector).for_each(|(m, v)| *m += f64::from(*v));
    }
    mean.iter_mut().for_each(|m| *m /= spots.len() as f64);
    for spot in spots.iter_mut() {
        spot.vector.iter_mut().zip(&mean).for_each(|(v, m)| *v -= *m as f32);
        normalize(&mut spot.vector);
    }
}

fn normalize(vector: &mut [f32]) {
    let length = cosine(vector, vector).sqrt().max(f32::MIN_POSITIVE);
    vector.iter_mut().for_each(|v| *v /= length);
}

/// Cosine of vectors of length one.
fn cosine(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(x, y)| x * y).sum()
}

/// Splits the occurrences of a word in two groups; how far they are apart, and the occurrence in the
/// middle of each, from different parts. `None` if there are too few or no two groups.
fn two_groups(spots: &[Spot], own: &[usize], texts: &Texts) -> Option<(f32, usize, usize)> {
    if own.len() < OCCURRENCES.1 {
        return None;
    }
    // Begin with the pair that is farthest apart, then move each occurrence to the nearer mean.
    let pairs = own.iter().enumerate().flat_map(|(n, a)| own[n + 1..].iter().map(move |b| (*a, *b)));
    let (a, b) = pairs.min_by(|x, y| {
        cosine(&spots[x.0].vector, &spots[x.1].vector).total_cmp(&cosine(&spots[y.0].vector, &spots[y.1].vector))
    })?;
    let mut means = [spots[a].vector.clone(), spots[b].vector.clone()];
    let mut groups = [Vec::new(), Vec::new()];
    for _ in 0..10 {
        groups = [Vec::new(), Vec::new()];
        for i in own {
            let nearer = cosine(&spots[*i].vector, &means[1]) > cosine(&spots[*i].vector, &means[0]);
            groups[usize::from(nearer)].push(*i);
        }
        if groups.iter().any(|g| g.len() < own.len() / 5) {
            return None;
        }
        means = [0, 1].map(|g: usize| mean(spots, &groups[g]));
    }
    let part = |i: usize| texts.passages[spots[i].text].part;
    let middle = |g: usize, not: Option<usize>| {
        let allowed = groups[g].iter().filter(|i| not.is_none_or(|n| part(n) != part(**i)));
        allowed
            .copied()
            .max_by(|x, y| cosine(&spots[*x].vector, &means[g]).total_cmp(&cosine(&spots[*y].vector, &means[g])))
    };
    let one = middle(0, None)?;
    let other = middle(1, Some(one))?;
    Some((1.0 - cosine(&means[0], &means[1]), one, other))
}

fn mean(spots: &[Spot], of: &[usize]) -> Vec<f32> {
    let mut sum = vec![0f32; spots[of[0]].vector.len()];
    for i in of {
        sum.iter_mut().zip(&spots[*i].vector).for_each(|(s, v)| *s += v);
    }
    normalize(&mut sum);
    sum
}

/// An occurrence with its text around it and its nearest other words.
fn sense(spots: &[Spot], i: usize, clipped: &[String], texts: &Texts) -> Sense {
    let spot = &spots[i];
    let stop: HashSet<&str> = STOP.split_whitespace().collect();
    let mut best: BTreeMap<&str, (f32, usize)> = BTreeMap::new();
    for (k, other) in spots.iter().enumerate() {
        if kin(&other.word, &spot.word) || stop.contains(other.word.as_str()) || other.text == spot.text {
            continue;
        }
        let near = cosine(&spot.vector, &other.vector);
        let entry = best.entry(&other.word).or_insert((near, k));
        if near > entry.0 {
            *entry = (near, k);
        }
    }
    let mut nearest: Vec<(&str, f32, usize)> = best.into_iter().map(|(w, (near, k))| (w, near, k)).collect();
    nearest.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(b.0)));
    let nearest = nearest.into_iter().take(NEIGHBOURS).map(|(word, similarity, k)| {
        let (before, itself, after) = around(&clipped[spots[k].text], &spots[k].range, 4);
        Near { word: word.to_owned(), similarity, context: format!("… {before}{itself}{after} …") }
    });
    let (before, word, after) = around(&clipped[spot.text], &spot.range, 11);
    let source = texts.parts[texts.passages[spot.text].part].clone();
    Sense { before, word, after, source, nearest: nearest.collect() }
}

/// Whether two words are forms of one: `key`, `keys`; `match`, `matching`.
fn kin(a: &str, b: &str) -> bool {
    a.starts_with(b) || b.starts_with(a)
}

/// The word at `range` and at most `most` words on either side.
fn around(text: &str, range: &std::ops::Range<usize>, most: usize) -> (String, String, String) {
    let (before, after) = (&text[..range.start], &text[range.end..]);
    let from =
        before.char_indices().rev().filter(|(_, c)| c.is_whitespace()).nth(most).map_or(0, |(i, c)| i + c.len_utf8());
    let to = after.char_indices().filter(|(_, c)| c.is_whitespace()).nth(most).map_or(after.len(), |(i, _)| i);
    (before[from..].to_owned(), text[range.clone()].to_owned(), after[..to].to_owned())
}

#[cfg(test)]
mod tests {
    use super::super::texts::Passage;
    use super::*;

    fn spots(vectors: &[(&str, [f32; 2])]) -> (Vec<Spot>, Texts) {
        let mut texts = Texts { parts: vec!["p0".into(), "p1".into()], ..Texts::default() };
        let spots = vectors
            .iter()
            .enumerate()
            .map(|(i, (word, v))| {
                texts.passages.push(Passage { part: i % 2, file: i, text: (*word).to_owned() });
                Spot { word: (*word).to_owned(), text: i, range: 0..word.len(), vector: v.to_vec() }
            })
            .collect();
        (spots, texts)
    }

    #[test]
    fn two_meanings_are_two_groups() {
        let mut vectors: Vec<(&str, [f32; 2])> = Vec::new();
        for i in 0..8 {
            let small = i as f32 * 0.01;
            vectors.push(("key", [1.0, small]));
            vectors.push(("key", [small, 1.0]));
        }
        vectors.extend([("secret", [1.0, 0.1]), ("keys", [1.0, 0.0]), ("entry", [0.1, 1.0]), ("the", [0.0, 1.0])]);
        let (mut spots, texts) = spots(&vectors);
        center(&mut spots);
        let own: Vec<usize> = (0..16).collect();
        let (apart, one, other) = two_groups(&spots, &own, &texts).expect("two groups");
        assert!(apart > 0.5);
        let clipped: Vec<String> = texts.passages.iter().map(|p| p.text.clone()).collect();
        let mut words = [one, other].map(|i| sense(&spots, i, &clipped, &texts).nearest[0].word.clone());
        words.sort();
        assert_eq!(words, ["entry", "secret"]);
        assert!(two_groups(&spots, &own[..4], &texts).is_none(), "too few");
    }

    #[test]
    fn words_around_are_cut_at_blanks() {
        let text = "one two three four five";
        assert_eq!(around(text, &(8..13), 1), ("two ".into(), "three".into(), " four".into()));
        assert_eq!(around(text, &(0..3), 9), (String::new(), "one".into(), " two three four five".into()));
    }

    #[test]
    fn rare_words_are_no_candidates() {
        let texts: Vec<String> = (0..20).map(|i| format!("the key number{i} is often here")).collect();
        let words = candidates(&texts);
        assert!(words.contains(&"key".to_owned()) && words.contains(&"often".to_owned()));
        assert!(!words.iter().any(|w| w == "the" || w == "table"));
    }
}
