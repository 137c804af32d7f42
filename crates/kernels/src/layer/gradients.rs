//! Gradients of matrices over all chunks of a batch.
//!
//! Each thread takes rows of the gradients and not rows of the batch: nothing is summed twice, and no
//! thread needs a copy of all gradients.

use crate::parallel;
use crate::product::{Mat, Packed, Precision, sum_of_products};
use std::ops::Range;
use std::sync::Arc;

/// What one chunk gives to the gradient `doutᵀ · input` of a matrix `(out, in)`.
pub(super) struct Outer {
    dout: Packed,
    input: Arc<Packed>,
}

impl Outer {
    /// `dout`: gradient of the product `(n, out)`; `input`: what the matrix was multiplied by `(n, in)`.
    pub fn new(dout: Mat<'_>, input: Mat<'_>, precision: Precision) -> Self {
        Self::with(dout, Arc::new(Packed::right(input, precision)), precision)
    }

    /// The same with an input that is packed, which several matrices may share.
    pub fn with(dout: Mat<'_>, input: Arc<Packed>, precision: Precision) -> Self {
        Self { dout: Packed::left(dout.t(), precision), input }
    }
}

/// Rows of one gradient that a thread is to compute, from all chunks, and where they go.
type Task<'a> = (Range<usize>, &'a [Outer], &'a mut [f32]);

/// The gradient of each matrix, dense and row-major `(out, in)`; empty where nothing was given.
pub(super) fn of_matrices(matrices: &[Vec<Outer>]) -> Vec<Vec<f32>> {
    let size = |chunks: &[Outer]| chunks.first().map_or((0, 0), |c| (c.dout.len(), c.input.len()));
    let threads = parallel::threads();
    let mut gradients: Vec<Vec<f32>> =
        matrices.iter().map(|chunks| size(chunks)).map(|(out, inner)| vec![0.0; out * inner]).collect();
    let mut tasks: Vec<Vec<Task<'_>>> = (0..threads).map(|_| Vec::new()).collect();
    for (chunks, gradient) in matrices.iter().zip(&mut gradients).filter(|(chunks, _)| !chunks.is_empty()) {
        let (out, inner) = size(chunks);
        let tall = chunks[0].dout.step();
        let mut rest = &mut gradient[..];
        for (task, panels) in tasks.iter_mut().zip(parallel::even(out.div_ceil(tall), threads)) {
            let rows = panels.start * tall..out.min(panels.end * tall);
            let part = rest.split_off_mut(..rows.len() * inner).expect("as many rows as the gradient has");
            task.push((rows, chunks, part));
        }
    }
    parallel::map(tasks, |parts| {
        for (rows, chunks, gradient) in parts {
            sum_of_products(gradient, rows, chunks.iter().map(|c| (&c.dout, &*c.input)));
        }
    });
    gradients
}
