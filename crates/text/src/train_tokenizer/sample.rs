//! An even sample of a corpus of any size, the same every time.

use crate::corpus::{CorpusWarning, cut_before};
use crate::{CorpusReader, Result};
use xxhash_rust::xxh3::xxh3_64;

/// What was looked at.
pub(super) struct Seen {
    pub corpus_bytes: u64,
    pub sampled_bytes: u64,
    pub warnings: Vec<CorpusWarning>,
}

/// Texts are taken or left in pieces of at most this many bytes, so that a few long documents do not
/// decide the sample.
const PIECE: usize = 4096;

/// Calls `f` with at most `limit` bytes of the corpus.
///
/// A corpus of more text is read twice: first to learn how much it holds, then each piece is taken
/// or left by a hash of its number. The share aimed at is 2 % below the limit, since chance makes it
/// a little more or less; should it still be reached, the rest is left.
pub(super) fn for_each(
    corpus: &CorpusReader,
    limit: u64,
    f: &mut dyn FnMut(&str) -> Result<()>,
    progress: &mut dyn FnMut(u64) -> bool,
) -> Result<Seen> {
    // What fits is taken as it comes. When it turns out not to fit, nothing taken so far can be
    // given back, so the size must be known before.
    let corpus_bytes = if may_exceed(corpus, limit) { Some(text_bytes(corpus, progress)?) } else { None };
    let all = corpus_bytes.is_none_or(|total| total <= limit);
    let share = if all { 1.0 } else { 0.98 * limit as f64 / corpus_bytes.unwrap_or(1) as f64 };
    let bound = (share * u64::MAX as f64) as u64;

    let mut seen = Seen { corpus_bytes: 0, sampled_bytes: 0, warnings: Vec::new() };
    let mut number = 0u64;
    let (total, sampled) = (&mut seen.corpus_bytes, &mut seen.sampled_bytes);
    seen.warnings = corpus.for_each(
        &mut |document| {
            *total += document.text.len() as u64;
            let mut rest = document.text.as_str();
            while !rest.is_empty() {
                let cut = if rest.len() > PIECE { cut_before(rest, PIECE) } else { rest.len() };
                let (piece, tail) = rest.split_at(cut);
                rest = tail;
                number += 1;
                let taken = all || xxh3_64(&number.to_le_bytes()) <= bound;
                if taken && *sampled + piece.len() as u64 <= limit {
                    *sampled += piece.len() as u64;
                    f(piece)?;
                }
            }
            Ok(())
        },
        progress,
    )?;
    Ok(seen)
}

/// Whether the corpus may hold more text than `limit`, by what is known without reading it.
fn may_exceed(corpus: &CorpusReader, limit: u64) -> bool {
    use crate::source::{Format, Packing, by_ending};
    // Reading can make text longer than its file only by unpacking and by replacing bad bytes, at
    // most threefold.
    let plain = corpus.files.iter().all(|file| {
        by_ending(file).is_some_and(|(format, packing)| format != Format::Parquet && packing == Packing::Plain)
    });
    !plain || corpus.bytes().saturating_mul(3) > limit
}

fn text_bytes(corpus: &CorpusReader, progress: &mut dyn FnMut(u64) -> bool) -> Result<u64> {
    let mut total = 0;
    corpus.for_each(
        &mut |document| {
            total += document.text.len() as u64;
            Ok(())
        },
        &mut |_| progress(0), // done is what the second reading has done
    )?;
    Ok(total)
}
