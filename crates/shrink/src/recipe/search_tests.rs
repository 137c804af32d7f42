//! The search with a fake measurer.

use super::*;
use crate::recipe::candidate::{Speed, front};
use crate::recipe::settings::{Data, Step};

/// A score, bytes and a speed.
type Worth = (f64, u64, f64);

fn settings(gate: Gate, steps: &[usize]) -> RecipeSettings {
    let step = |alternatives: &usize| Step {
        way: "prune".into(),
        max_loss: None,
        try_all: false,
        alternatives: vec![Vec::new(); *alternatives],
    };
    RecipeSettings {
        model: "m".into(),
        out: "o".into(),
        seed: 0,
        gate: Gate { metric: "accuracy".into(), ..gate },
        data: Data { task: "classify".into(), ..Data::default() },
        step: steps.iter().map(step).collect(),
    }
}

fn measured((score, weights_bytes, speed): Worth) -> Measured {
    Measured {
        score,
        parameters: 1,
        weights_bytes,
        folder_bytes: weights_bytes,
        rows_per_second: speed,
        speed: Speed { median: speed, low: 0.95 * speed, high: 1.05 * speed, pairs: 5 },
        peak_memory_bytes: None,
    }
}

fn candidate(number: u64, from: Option<u64>, worth: Option<Worth>, within: bool) -> Candidate {
    Candidate {
        number,
        step: 0,
        alternative: 0,
        way: "prune".into(),
        words: Vec::new(),
        from,
        folder: "f".into(),
        seconds: 0.0,
        measured: worth.map(measured),
        failed: worth.is_none().then(|| "no".to_owned()),
        within,
    }
}

/// Goes through a search whose candidates are worth what `make` says of step and alternative; gives who was made from
/// whom, the best one, and whether it has what is wanted.
fn search(
    settings: &RecipeSettings,
    make: impl Fn(usize, usize) -> Option<Worth>,
) -> (Vec<(usize, usize, u64)>, u64, bool) {
    let mut candidates = vec![candidate(0, None, Some((0.9, 1000, 1.0)), true)];
    let mut made = Vec::new();
    loop {
        let found = standing(settings, &candidates);
        let Some(order) = found.next else { return (made, found.best, found.wanted) };
        // The best so far is never one outside of the gate.
        assert!(candidates[found.best as usize].within);
        made.push((order.step, order.alternative, order.from));
        let worth = make(order.step, order.alternative);
        let limit = settings.gate.limit(0.9, settings.step[order.step].max_loss);
        let within = worth.is_some_and(|w| settings.gate.holds(w.0, limit));
        candidates.push(candidate(order.number, Some(order.from), worth, within));
    }
}

fn gate(max_loss: f64) -> Gate {
    Gate { max_loss: Some(max_loss), ..Gate::default() }
}

#[test]
fn the_hardest_within_the_gate_goes_on_and_harder_ones_are_not_tried() {
    let make = |step: usize, alternative: usize| {
        Some(
            [[(0.9, 800, 1.2), (0.89, 600, 1.6), (0.5, 100, 9.0)], [(0.885, 500, 2.0), (0.7, 50, 3.0), (0.9, 10, 9.0)]]
                [step][alternative],
        )
    };
    let (made, best, wanted) = search(&settings(gate(0.02), &[3, 3]), make);
    assert_eq!(made, [(0, 0, 0), (0, 1, 0), (0, 2, 0), (1, 0, 2), (1, 1, 2)]);
    assert_eq!((best, wanted), (4, true));
    // Unless all are to be tried.
    let mut all = settings(gate(0.02), &[3, 3]);
    all.step[1].try_all = true;
    assert_eq!(search(&all, make).1, 6);
}

#[test]
fn a_gate_that_nothing_meets_ends_with_the_whole_model() {
    let wanting = Gate { size: Some(0.5), ..gate(0.0) };
    let (made, best, wanted) = search(&settings(wanting, &[2, 2]), |_, _| Some((0.89, 10, 9.0)));
    assert_eq!(made, [(0, 0, 0), (1, 0, 0)]);
    assert_eq!((best, wanted), (0, false));
}

#[test]
fn what_could_not_be_made_is_passed_over() {
    let (made, best, _) = search(&settings(gate(0.1), &[3]), |_, a| (a == 2).then_some((0.9, 500, 2.0)));
    assert_eq!((made.len(), best), (3, 3));
}

#[test]
fn it_ends_when_all_that_is_wanted_is_there() {
    let wanting = Gate { size: Some(0.6), speed: Some(1.5), ..gate(0.1) };
    let make = |step: usize, alternative: usize| {
        Some([[(0.9, 700, 1.6), (0.9, 600, 1.6), (0.9, 500, 3.0)], [(0.9, 10, 9.0); 3]][step][alternative])
    };
    let (made, best, wanted) = search(&settings(wanting, &[3, 1]), make);
    assert_eq!(made, [(0, 0, 0), (0, 1, 0)]);
    assert_eq!((best, wanted), (2, true));
}

#[test]
fn a_step_may_be_allowed_less_than_the_gate() {
    let mut strict = settings(gate(0.1), &[2]);
    strict.step[0].max_loss = Some(0.01);
    let make = |_, a: usize| Some([(0.895, 800, 1.2), (0.85, 100, 5.0)][a]);
    assert_eq!(search(&strict, make).1, 1);
    strict.step[0].max_loss = Some(0.5); // no more than the gate, though
    assert_eq!(search(&strict, |_, a| Some([(0.895, 800, 1.2), (0.7, 100, 5.0)][a])).1, 1);
}

#[test]
fn noise_of_the_clock_chooses_nothing() {
    let wanting = |speed| Gate { speed: Some(speed), ..gate(0.1) };
    // A little faster is the same; then the smaller one goes on.
    let make = |_, a: usize| Some([(0.9, 500, 2.0), (0.9, 600, 2.05)][a]);
    assert_eq!(search(&settings(wanting(9.0), &[2]), make).1, 1);
    let make = |_, a: usize| Some([(0.9, 500, 2.0), (0.9, 600, 2.5)][a]);
    assert_eq!(search(&settings(wanting(9.0), &[2]), make).1, 2);
}

#[test]
fn what_is_as_large_and_no_faster_does_not_go_on() {
    let (_, best, _) = search(&settings(gate(0.1), &[1]), |_, _| Some((0.88, 1000, 1.0)));
    assert_eq!(best, 0);
}

#[test]
fn less_of_an_error_is_better() {
    let gate = Gate { metric: "rmse".into(), ..gate(0.1) };
    assert!(gate.holds(1.1, gate.limit(1.0, None)) && !gate.holds(1.11, gate.limit(1.0, None)));
    assert!(gate.holds(0.2, gate.limit(1.0, None)));
    assert!((gate.lost(1.0, 1.05) - 0.05).abs() < 1e-12);
    let points = Gate { metric: "spearman".into(), max_loss_points: Some(0.02), ..Gate::default() };
    assert!(points.holds(0.88, points.limit(0.9, None)) && !points.holds(0.879, points.limit(0.9, None)));
}

#[test]
fn the_front_is_what_nothing_beats() {
    let worth =
        [(0.9, 1000, 1.0), (0.9, 800, 1.0), (0.8, 800, 1.02), (0.8, 400, 3.0), (0.85, 500, 1.0), (0.7, 400, 3.05)];
    let all: Vec<Candidate> =
        worth.iter().enumerate().map(|(n, w)| candidate(n as u64, None, Some(*w), true)).collect();
    assert_eq!(front(&all, |score| score), [1, 3, 4]);
    assert_eq!(front(&all, |score| -score), [5]);
    assert_eq!(front(&[candidate(0, None, None, false)], |score| score), [0u64; 0]);
}

#[test]
fn quartiles_tell_the_spread() {
    let speed = Speed::of(vec![2.0, 1.0, 3.0, 4.0, 100.0]);
    assert_eq!((speed.median, speed.low, speed.high), (3.0, 2.0, 4.0));
    let whole = Speed::of(Vec::new());
    assert_eq!((whole.median, whole.low, whole.high, whole.pairs), (1.0, 1.0, 1.0, 0));
}
