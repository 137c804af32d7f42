//! The page of a recipe: whole, escaped, with every candidate in the pictures and in the table.

use super::super::tests::{EVIL, check, made, show};
use super::*;
use polyseme_shrink::recipe::{Data, Gate, Speed, Step, front};

/// Way, score, bytes, speed.
type Worth = (&'static str, f64, u64, f64);

const WORTH: [Worth; 8] = [
    ("whole", 0.912, 91_000_000, 1.0),
    ("vocab", 0.912, 77_000_000, 1.02),
    ("distil", 0.905, 53_000_000, 1.95),
    ("distil", 0.861, 42_000_000, 2.9),
    ("prune", 0.903, 47_000_000, 2.4),
    ("prune", 0.899, 41_000_000, 3.0),
    ("quantize", 0.8975, 10_500_000, 4.6),
    ("quantize", 0.88, 7_100_000, 2.8),
];

fn settings() -> RecipeSettings {
    RecipeSettings {
        model: "classifier".into(),
        out: "small".into(),
        seed: 0,
        gate: Gate { metric: "accuracy".into(), max_loss: Some(0.02), ..Gate::default() },
        data: Data { task: "classify".into(), test: Some("test.csv".into()), ..Data::default() },
        step: vec![Step { way: EVIL.into(), max_loss: None, try_all: false, alternatives: vec![vec![EVIL.into()]] }],
    }
}

fn outcome(worth: &[Worth]) -> RecipeOutcome {
    let gate = settings().gate;
    let limit = gate.limit(worth[0].1, None);
    let mut candidates: Vec<Candidate> = worth
        .iter()
        .zip(0..)
        .map(|(&(way, score, weights_bytes, speed), number)| Candidate {
            number,
            step: number,
            alternative: 1,
            way: way.into(),
            words: vec![EVIL.into()],
            from: number.checked_sub(1),
            folder: format!("small/candidates/{number}").into(),
            seconds: 61.0,
            measured: Some(Measured {
                score,
                parameters: 22_000_000,
                weights_bytes,
                folder_bytes: weights_bytes + 900_000,
                rows_per_second: 310.0 * speed,
                speed: Speed { median: speed, low: 0.93 * speed, high: 1.05 * speed, pairs: 15 },
                peak_memory_bytes: (number != 3).then_some(2 * weights_bytes),
            }),
            failed: None,
            within: gate.holds(score, limit),
        })
        .collect();
    let number = candidates.len() as u64;
    let failed = Some(EVIL.to_owned());
    candidates.push(Candidate { number, measured: None, failed, within: false, ..candidates[0].clone() });
    let best = (0..worth.len()).filter(|&n| candidates[n].within).min_by_key(|&n| worth[n].2).unwrap() as u64;
    RecipeOutcome {
        model: "small".into(),
        metric: "accuracy".into(),
        limit,
        front: front(&candidates, |score| score),
        candidates,
        best,
        said: vec![EVIL.into(), "step 2: candidate 2 goes on".into()],
        wanted: true,
        test: Some(polyseme_shrink::recipe::Tested { whole: 0.9, best: 0.89 }),
        interrupted: false,
    }
}

#[test]
fn the_page_shows_every_candidate_and_escapes_what_is_not_ours() {
    let found = outcome(&WORTH);
    let page = page(&settings(), &found, &made());
    check(&page);
    show("recipe.html", &page);
    assert!(!page.contains("<script") && page.contains("&lt;script&gt;"));
    let drawings: Vec<&str> = page.split("<svg").skip(1).collect();
    assert_eq!(drawings.len(), 2);
    for drawing in drawings {
        let drawing = drawing.split("</svg>").next().unwrap();
        assert_eq!(drawing.matches("<title>").count(), WORTH.len(), "a mark a candidate");
        assert_eq!(drawing.matches("class=\"ring\"").count(), 1);
        assert_eq!(drawing.matches("class=\"outside\"").count(), 2, "those outside of the gate");
        assert!(drawing.contains("gate 0.894"), "{drawing}");
        for (number, (way, ..)) in WORTH.iter().enumerate() {
            assert!(drawing.contains(&format!(">{number} {way}</text>")), "{number}");
        }
    }
    assert!(page.contains("The best is candidate 6: 11.5 % of the bytes, 4.60 times as fast"), "{page}");
    assert!(page.contains("test.csv, which decided nothing"));
}

#[test]
fn the_line_of_a_picture_joins_what_none_beats_there() {
    let found = outcome(&WORTH);
    let size = scatter(&settings(), &found, "bytes", true, &|m| (m.weights_bytes as f64, None));
    let svg = size.figure("");
    let line = svg.split("front\" points=\"").nth(1).unwrap().split('"').next().unwrap();
    // Of 0 and 1 the smaller one, then all that trade score for bytes; 3 is beaten by 5.
    assert_eq!(line.split(' ').count(), 6, "{line}");
}

#[test]
fn one_candidate_and_equal_ones_are_drawn() {
    for worth in [&WORTH[..1], &[("whole", 0.9, 1000, 1.0), ("vocab", 0.9, 1000, 1.0)][..]] {
        let page = page(&settings(), &outcome(worth), &made());
        check(&page);
        assert!(page.contains("Nothing smaller or faster is within the gate (accuracy 0.8") || worth.len() > 1);
    }
}
