//! The labelled task that comes with the texts: which part is a passage from?

use super::mask::Mask;
use super::texts::Texts;
use std::collections::{HashMap, HashSet};

/// Most labels a task has.
const MOST_LABELS: usize = 20;
/// Fewer labels than this are no task.
const FEWEST_LABELS: usize = 4;
/// Rows of each label to learn from.
const TRAIN: usize = 20;
/// Rows of each label to choose learning rate and epoch by.
const VALID: usize = 20;
/// Rows of each label to measure on, at most and at least.
const TEST: (usize, usize) = (40, 15);
/// Words a passage needs to say what it is about, and words of it that are kept.
const WORDS: (usize, usize) = (12, 80);
/// A passage that shares more than this share of its five-word runs with others is a variant of
/// theirs, and measuring on it would measure memory.
const SHARED: f64 = 0.3;
const RUN: usize = 5;

/// A labelled text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Index into [`Task::labels`].
    pub label: usize,
    /// The text with the names of all labels hidden.
    pub text: String,
}

/// Three sets of rows with nothing in common.
#[derive(Debug, Default)]
pub struct Task {
    /// Labels, sorted.
    pub labels: Vec<String>,
    /// To learn from.
    pub train: Vec<Row>,
    /// To choose by.
    pub valid: Vec<Row>,
    /// To measure on.
    pub test: Vec<Row>,
    /// Passages of the test rows, sorted: they must not be pre-trained on.
    pub held_out: Vec<usize>,
}

/// Makes the task, or says why there is none.
pub fn make(texts: &Texts) -> Result<Task, String> {
    let usable = usable_passages(texts);
    let need = TRAIN + VALID + TEST.1;
    let mut by_size: Vec<usize> = (0..texts.parts.len()).filter(|p| usable[*p].len() >= need).collect();
    by_size.sort_by_key(|p| (std::cmp::Reverse(usable[*p].len()), *p));
    // Crates of one family (`burn-tensor`, `burn-nn`) speak alike: the largest stands for all.
    let mut families = HashSet::new();
    by_size.retain(|p| families.insert(family(&texts.parts[*p])));
    by_size.truncate(MOST_LABELS);
    by_size.sort_unstable(); // parts are sorted by name
    if by_size.len() < FEWEST_LABELS {
        return Err(format!(
            "There is no labelled task in these texts: it needs {FEWEST_LABELS} folders or files with {need} distinct \
             paragraphs of {} words, and found {}.",
            WORDS.0,
            by_size.len()
        ));
    }
    let labels: Vec<String> = by_size.iter().map(|p| texts.parts[*p].clone()).collect();
    let mask = Mask::new(&labels);
    let mut task = Task { labels, ..Task::default() };
    for (label, part) in by_size.iter().enumerate() {
        let mut chosen = usable[*part].clone();
        // An order that has nothing to do with files, and is the same on every machine.
        chosen.sort_by_key(|i| (hash(texts.passages[*i].text.as_bytes()), *i));
        let row = |i: &usize| Row { label, text: mask.hide(&clip(&texts.passages[*i].text)) };
        task.train.extend(chosen.iter().take(TRAIN).map(row));
        task.valid.extend(chosen.iter().skip(TRAIN).take(VALID).map(row));
        let test: Vec<usize> = chosen.iter().skip(TRAIN + VALID).take(TEST.0).copied().collect();
        task.test.extend(test.iter().map(row));
        task.held_out.extend(test);
    }
    task.held_out.sort_unstable();
    Ok(task)
}

/// For each part, its passages that are long enough and no variants of others.
fn usable_passages(texts: &Texts) -> Vec<Vec<usize>> {
    let runs: Vec<Vec<u64>> = texts.passages.iter().map(|p| word_runs(&p.text)).collect();
    let mut count: HashMap<u64, u32> = HashMap::new();
    for run in runs.iter().flatten() {
        *count.entry(*run).or_default() += 1;
    }
    let mut usable = vec![Vec::new(); texts.parts.len()];
    for (i, passage) in texts.passages.iter().enumerate() {
        let shared = runs[i].iter().filter(|r| count[r] > 1).count();
        if passage.text.split_whitespace().count() >= WORDS.0 && shared as f64 <= SHARED * runs[i].len() as f64 {
            usable[passage.part].push(i);
        }
    }
    usable
}

/// Distinct hashes of all runs of five words, letters only, lower case.
fn word_runs(text: &str) -> Vec<u64> {
    let words: Vec<u64> = text
        .split(|c: char| !c.is_alphanumeric())
        .filter(|w| !w.is_empty())
        .map(|w| hash(w.to_lowercase().as_bytes()))
        .collect();
    let mut runs: Vec<u64> = words.windows(RUN).map(|run| run.iter().fold(17, |h, w| mix(h ^ w))).collect();
    runs.sort_unstable();
    runs.dedup();
    runs
}

/// FNV-1a, then mixed: the same on every machine, unlike the standard library's.
fn hash(bytes: &[u8]) -> u64 {
    mix(bytes.iter().fold(0xcbf2_9ce4_8422_2325, |h, b| (h ^ u64::from(*b)).wrapping_mul(0x0100_0000_01b3)))
}

/// The finishing steps of MurmurHash3.
fn mix(mut h: u64) -> u64 {
    h ^= h >> 33;
    h = h.wrapping_mul(0xff51_afd7_ed55_8ccd);
    h ^= h >> 33;
    h = h.wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    h ^ (h >> 33)
}

fn family(name: &str) -> String {
    name.split(['-', '_']).next().unwrap_or(name).to_lowercase()
}

fn clip(text: &str) -> String {
    text.split_whitespace().take(WORDS.1).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::super::texts::Passage;
    use super::*;

    /// Texts of several parts, each passage of words that occur nowhere else.
    fn texts(parts: &[&str], each: usize) -> Texts {
        let mut texts = Texts { parts: parts.iter().map(|p| (*p).to_owned()).collect(), ..Texts::default() };
        for (part, name) in parts.iter().enumerate() {
            for i in 0..each {
                let words: Vec<String> = (0..14).map(|w| format!("w{part}x{i}x{w}")).collect();
                let text = format!("{name} {}", words.join(" "));
                texts.passages.push(Passage { part, file: part, text });
            }
        }
        texts
    }

    #[test]
    fn sets_share_nothing_and_hide_the_label() {
        let texts = texts(&["alpha", "beta", "delta-one", "delta-two", "gamma"], 70);
        let task = make(&texts).expect("a task");
        assert_eq!(task.labels, ["alpha", "beta", "delta-one", "gamma"], "one of a family");
        assert_eq!((task.train.len(), task.valid.len(), task.test.len()), (80, 80, 120));
        let all: HashSet<&str> =
            [&task.train, &task.valid, &task.test].into_iter().flatten().map(|r| r.text.as_str()).collect();
        assert_eq!(all.len(), 280);
        assert!(all.iter().all(|t| t.starts_with("crate ")), "names are hidden");
        let (corpus, _) = texts.corpus(&task.held_out);
        for row in &task.test {
            assert!(!corpus.contains(row.text.strip_prefix("crate ").expect("hidden")));
        }
        for row in task.train.iter().chain(&task.valid) {
            assert!(corpus.contains(row.text.strip_prefix("crate ").expect("hidden")));
        }
    }

    #[test]
    fn variants_of_one_text_are_not_used() {
        let mut texts = texts(&["a1", "b1", "c1", "d1"], 60);
        let before = usable_passages(&texts)[0].len();
        for i in 0..10 {
            let text = format!("Returns the number {i} of a thing that many functions return in the very same words");
            texts.passages.push(Passage { part: 0, file: 0, text });
        }
        assert_eq!(usable_passages(&texts)[0].len(), before);
    }

    #[test]
    fn too_few_parts_are_no_task() {
        let why = make(&texts(&["alpha", "beta", "gamma"], 70)).expect_err("no task");
        assert!(why.contains("found 3"), "{why}");
        assert!(make(&texts(&["alpha", "beta", "gamma", "delta"], 20)).is_err());
    }

    #[test]
    fn the_order_is_the_same_everywhere() {
        // Worked out apart from this program: FNV-1a, 64 bits, then MurmurHash3's finish.
        assert_eq!(hash(b"polyseme"), 16_582_187_956_261_119_320);
    }
}
