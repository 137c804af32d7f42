//! What is multiplied by the matrices of a layer is watched, so that its range is known beforehand.

use super::rows::least_and_greatest;
use crate::product::Mat;
use std::sync::{Mutex, PoisonError};

/// Inputs of a layer's matrices: of query, key and value; of the attention's output map; of the two maps of the
/// feed-forward part.
pub const INPUTS: usize = 4;

/// The least and the greatest value of each row that was seen, at most and at least 0.
#[derive(Debug, Default)]
pub struct Watch([Mutex<Vec<(f32, f32)>>; INPUTS]);

impl Watch {
    /// Looks at the rows of input number `input`.
    pub(crate) fn see(&self, input: usize, x: Mat<'_>) {
        let found: Vec<(f32, f32)> = (0..x.size().0).map(|i| least_and_greatest(x.row(i))).collect();
        self.0[input].lock().unwrap_or_else(PoisonError::into_inner).extend(found);
    }

    /// The range that holds the rows of an input but for a share of them at either end; `None`: none was seen. It does
    /// not depend on the order in which threads saw them.
    pub fn range(&self, input: usize, share: f64) -> Option<(f32, f32)> {
        let seen = self.0[input].lock().unwrap_or_else(PoisonError::into_inner);
        let (mut least, mut greatest): (Vec<f32>, Vec<f32>) = seen.iter().copied().unzip();
        least.sort_by(f32::total_cmp);
        greatest.sort_by(f32::total_cmp);
        let beyond = (share * seen.len() as f64) as usize;
        Some((*least.get(beyond)?, greatest[greatest.len() - 1 - beyond]))
    }
}
