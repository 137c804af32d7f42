//! Which candidate is made next, and which goes on. Nothing here makes or measures one; what was made before comes to
//! the same decisions again.

use super::candidate::{Candidate, Measured};
use super::settings::{Gate, RecipeSettings};

/// What is to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    /// The number it will have.
    pub number: u64,
    /// The step, from 0.
    pub step: usize,
    /// The alternative, from 0.
    pub alternative: usize,
    /// Number of the candidate to make it from.
    pub from: u64,
}

/// Where a search stands after the candidates that there are.
#[derive(Clone, Debug, PartialEq)]
pub struct Standing {
    /// The best candidate so far.
    pub best: u64,
    /// What is made next; `None`: the search is at its end.
    pub next: Option<Order>,
    /// What was decided at the end of each step, in words.
    pub said: Vec<String>,
    /// Whether the best candidate has all that is wanted; always so where nothing is.
    pub wanted: bool,
}

/// Where the search stands after `candidates`, of which the first is the whole model.
pub fn standing(settings: &RecipeSettings, candidates: &[Candidate]) -> Standing {
    let mut walk = Walk { gate: &settings.gate, whole: worth(&candidates[0]), candidates, best: 0, said: Vec::new() };
    let mut number = 1;
    for (step, asked) in settings.step.iter().enumerate() {
        if walk.asks() && walk.has_all() {
            walk.said.push(format!("all that is wanted is there: step {} and later ones are not needed", step + 1));
            break;
        }
        let from = walk.best;
        let mut survivors = Vec::new();
        for alternative in 0..asked.alternatives.len() {
            let Some(made) = candidates.get(number) else {
                let next = Order { number: number as u64, step, alternative, from };
                return Standing { best: walk.best_with(&survivors), next: Some(next), said: walk.said, wanted: false };
            };
            number += 1;
            if made.within {
                survivors.push(made.number);
            }
            let enough = walk.asks() && made.within && walk.wants(worth(made));
            if enough || !made.within && made.measured.is_some() && !asked.try_all {
                break; // harder ones would lose more
            }
        }
        walk.end_step(step, &survivors);
    }
    let wanted = walk.has_all();
    Standing { best: walk.best, next: None, said: walk.said, wanted }
}

fn worth(candidate: &Candidate) -> &Measured {
    candidate.measured.as_ref().expect("only what was measured is within the gate")
}

struct Walk<'a> {
    gate: &'a Gate,
    whole: &'a Measured,
    candidates: &'a [Candidate],
    best: u64,
    said: Vec<String>,
}

impl Walk<'_> {
    fn of(&self, number: u64) -> &Measured {
        worth(&self.candidates[number as usize])
    }

    /// Whether a size or a speed is wanted.
    fn asks(&self) -> bool {
        self.gate.size.is_some() || self.gate.speed.is_some()
    }

    /// Whether this is as small and as fast as wanted.
    fn wants(&self, found: &Measured) -> bool {
        self.gate.size.is_none_or(|size| share(found, self.whole) <= size)
            && self.gate.speed.is_none_or(|speed| found.speed.median >= speed)
    }

    fn has_all(&self) -> bool {
        self.wants(self.of(self.best))
    }

    /// How far a model is from what is wanted, in logarithms, with what is noise of it; where nothing is wanted, how
    /// large it is.
    fn distance(&self, found: &Measured) -> (f64, f64) {
        let size = share(found, self.whole).ln();
        let (mut distance, mut noise) = (0.0, 0.0);
        match self.gate.size {
            Some(wanted) => distance += (size - wanted.ln()).max(0.0),
            None if self.gate.speed.is_none() => distance += size,
            None => {}
        }
        if let Some(wanted) = self.gate.speed {
            distance += (wanted.ln() - found.speed.median.ln()).max(0.0);
            noise = 0.5 * (found.speed.high / found.speed.low).ln();
        }
        (distance, noise)
    }

    /// Whether one model goes on rather than another: it is nearer to what is wanted, beyond the noise; else smaller;
    /// else better.
    fn goes_before(&self, one: u64, other: u64) -> bool {
        let (a, b) = (self.of(one), self.of(other));
        let ((da, na), (db, nb)) = (self.distance(a), self.distance(b));
        if (da - db).abs() > na + nb {
            return da < db;
        }
        let by_size = b.weights_bytes.cmp(&a.weights_bytes);
        by_size.then(self.gate.good(a.score).total_cmp(&self.gate.good(b.score))).is_gt()
    }

    /// The best of what there was and of those within the gate.
    fn best_with(&self, survivors: &[u64]) -> u64 {
        survivors.iter().fold(self.best, |best, &one| if self.goes_before(one, best) { one } else { best })
    }

    fn end_step(&mut self, step: usize, survivors: &[u64]) {
        let best = self.best_with(survivors);
        let number = step + 1;
        self.said.push(match survivors {
            [] => format!("step {number} is skipped: none of its candidates is within the gate"),
            _ if best == self.best => format!("step {number} is skipped: nothing within the gate is smaller or faster"),
            _ => format!("step {number}: candidate {best} goes on"),
        });
        self.best = best;
    }
}

/// Bytes as a share of the whole model's.
pub fn share(found: &Measured, whole: &Measured) -> f64 {
    found.weights_bytes as f64 / whole.weights_bytes.max(1) as f64
}

#[cfg(test)]
#[path = "search_tests.rs"]
mod tests;
