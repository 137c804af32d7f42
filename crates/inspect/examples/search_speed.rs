//! How long a search among many vectors takes, looking at all and by the graph, and what the graph misses.
//!
//! `cargo run --release -p polyseme-inspect --example search_speed -- FOLDER [VECTORS [DIMENSIONS [graph]]]`
//!
//! A graph is made of more than a million vectors, or with the word `graph`. Vectors lie around ten thousand points, as texts
//! of one subject do. FOLDER is kept; a second run searches only.

use polyseme_infer::EmbedOptions;
use polyseme_inspect::Result;
use polyseme_inspect::index::{Entry, Head, Hit, Index, Writer};
use polyseme_tensor::Stream;
use std::path::Path;
use std::time::Instant;

const QUERIES: usize = 20;
const TOP: usize = 10;
const POINTS: u64 = 10_000;

fn vector(i: usize, width: usize) -> Vec<f32> {
    let stream = Stream::new(i as u64);
    let point = Stream::new(stream.below(0, POINTS)).named("point").normals(width, 1.0);
    let beside = stream.named("beside").normals(width, 0.7);
    point.iter().zip(beside).map(|(a, b)| a + b).collect()
}

fn write(folder: &Path, count: usize, dimensions: usize, graph: bool) -> Result<()> {
    let options = EmbedOptions::default();
    let head =
        Head { model: "none".into(), weights: "none".into(), words: false, options, dimensions, count: 0, graph };
    let mut writer = Writer::create(folder, head)?;
    for i in 0..count {
        writer.push(&Entry { text: format!("text {i}"), word: None }, &vector(i, dimensions))?;
    }
    let begin = Instant::now();
    writer.finish()?;
    println!("{count} vectors of {dimensions} numbers made whole in {:.1} s", begin.elapsed().as_secs_f64());
    Ok(())
}

/// Searches, with the median of the times in milliseconds. The first search, which reads the files, is not counted.
fn search(index: &Index, queries: &[Vec<f32>]) -> Result<(Vec<Vec<Hit>>, f64)> {
    index.nearest(&queries[0], TOP, None)?;
    let (mut found, mut times) = (Vec::new(), Vec::new());
    for query in queries {
        let begin = Instant::now();
        found.push(index.nearest(query, TOP, None)?);
        times.push(1e3 * begin.elapsed().as_secs_f64());
    }
    times.sort_by(f64::total_cmp);
    Ok((found, times[times.len() / 2]))
}

fn main() -> Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [folder, rest @ ..] = &words[..] else { panic!("name a folder for the index") };
    let number = |i: usize, or: usize| rest.get(i).map_or(or, |word| word.parse().expect("a whole number"));
    let (folder, count, width) = (Path::new(folder), number(0, 1_000_000), number(1, 384));
    if !folder.join("index.json").exists() {
        write(folder, count, width, rest.get(2).is_some_and(|word| word == "graph"))?;
    }
    let queries: Vec<Vec<f32>> = (0..QUERIES).map(|i| vector(count + i, width)).collect();
    let begin = Instant::now();
    let mut index = Index::open(folder)?;
    println!("opened in {:.0} ms", 1e3 * begin.elapsed().as_secs_f64());
    let (near, quick) = search(&index, &queries)?;
    if !index.head.graph {
        println!("looking at all {quick:.1} ms");
        return Ok(());
    }
    index.exactly();
    let (all, slow) = search(&index, &queries)?;
    let same: usize = near.iter().zip(&all).map(|(a, b)| a.iter().filter(|hit| b.contains(hit)).count()).sum();
    println!("looking at all {slow:.1} ms, by the graph {quick:.2} ms, {same} of {} the same", QUERIES * TOP);
    Ok(())
}
