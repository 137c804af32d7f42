//! Long lines and large files are read in bounded memory. A binary of its own: it looks at the peak
//! memory of its process, which nothing else may raise.

use polyseme_text::train_tokenizer::{TokenizerKind, TokenizerTraining, train_tokenizer};
use polyseme_text::{CorpusReader, store_builder::build_store};
use std::io::Write;
use std::path::Path;

/// Highest resident memory so far, in MB; `None` where the system does not tell.
fn peak_mb() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"))?;
    Some(line.split_whitespace().next()?.parse::<u64>().ok()? / 1024)
}

/// Writes `mb` megabytes of words without a line break.
fn one_line(path: &Path, mb: usize) {
    let mut out = std::io::BufWriter::new(std::fs::File::create(path).unwrap());
    let mut n = 1u64;
    for _ in 0..mb * 1024 * 1024 / 8 {
        n = n.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        write!(out, "w{:06} ", n >> 48).unwrap();
    }
}

#[test]
fn a_line_of_ten_megabytes_and_a_file_of_sixty_take_little_memory() {
    let dir = tempfile::tempdir().unwrap();
    let (large, small) = (dir.path().join("large.txt"), dir.path().join("small.txt"));
    one_line(&large, 60);
    one_line(&small, 10);
    let Some(before) = peak_mb() else {
        println!("skipped: this system does not tell its peak memory");
        return;
    };
    let corpus = CorpusReader::open(&[large], None).unwrap();
    let mut documents = 0;
    corpus
        .for_each(
            &mut |_| {
                documents += 1;
                Ok(())
            },
            &mut |_| true,
        )
        .unwrap();
    assert!(documents >= 60);
    let reading = peak_mb().unwrap() - before;
    assert!(reading < 16, "reading took {reading} MB");

    let corpus = CorpusReader::open(&[small], None).unwrap();
    let how = TokenizerTraining {
        kind: TokenizerKind::WordPiece,
        vocab_size: 500,
        lowercase: true,
        min_frequency: 2,
        max_length: 128,
        sample_bytes: 2 << 20,
    };
    let tokenizer = train_tokenizer(&corpus, &how, &mut |_| true).unwrap();
    build_store(&corpus, &tokenizer, &dir.path().join("store"), &mut |_| true).unwrap();
    let building = peak_mb().unwrap() - before;
    assert!(building < 250, "building took {building} MB");
    println!("reading {reading} MB, training and building {building} MB");
}
