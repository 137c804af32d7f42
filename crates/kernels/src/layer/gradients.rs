//! Gradients of matrices over all rows of a batch.
//!
//! Each thread takes rows of the gradients and not rows of the batch: nothing is summed twice, no
//! thread needs a copy of all gradients, and the inner dimension is as long as it can be.

use crate::parallel;
use crate::product::{Into, Mat, Packed, multiply, tall};

/// The gradient of a matrix `(out, in)` of a product: `doutᵀ · input`.
#[derive(Clone, Copy)]
pub(super) struct Outer<'a> {
    /// Gradient of the product. `(n, out)`
    pub dout: Mat<'a>,
    /// What the matrix was multiplied by. `(n, in)`
    pub input: Mat<'a>,
}

/// The gradients, dense and row-major `(out, in)`.
pub(super) fn of_matrices(outers: &[Outer<'_>]) -> Vec<Vec<f32>> {
    let inputs: Vec<Packed> = outers.iter().map(|o| Packed::right_by_all(o.input)).collect();
    let threads = parallel::threads();
    let mut gradients: Vec<Vec<f32>> = outers.iter().map(|o| vec![0.0; o.dout.cols() * o.input.cols()]).collect();
    let mut tasks: Vec<Vec<_>> = (0..threads).map(|_| Vec::with_capacity(outers.len())).collect();
    for ((outer, input), gradient) in outers.iter().zip(&inputs).zip(&mut gradients) {
        let (out, inner) = (outer.dout.cols(), outer.input.cols());
        let mut rest = &mut gradient[..];
        for (task, panels) in tasks.iter_mut().zip(parallel::even(out.div_ceil(tall()), threads)) {
            let rows = panels.start * tall()..out.min(panels.end * tall());
            let part = rest.split_off_mut(..rows.len() * inner).expect("as many rows as the gradient has");
            task.push((outer.dout.t().rows(rows), input, part));
        }
    }
    parallel::map(tasks, |parts| {
        for (dout, input, gradient) in parts {
            multiply(gradient, input.len(), Into::Set, 1.0, dout, input);
        }
    });
    gradients
}
