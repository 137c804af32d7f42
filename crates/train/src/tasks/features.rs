//! Hidden states that are computed once, where the encoder stays as it is and only the head learns.

use super::rows::{Rows, TOKENS_PER_BATCH};
use super::{Task, states};
use polyseme_models::{Model, ParamGroup};
use polyseme_tensor::{Device, Mode, Tensor, TensorData};

/// More than this is not kept in memory, in bytes.
const MOST: usize = 2 << 30;

/// The hidden states that a task looks at, of all its rows. Without dropout: it would be of one mask for ever.
pub struct Features {
    /// Of the rows to learn from.
    pub train: States,
    /// Of the rows to measure on.
    pub valid: States,
}

/// Hidden states of rows.
pub struct States {
    width: usize,
    values: Vec<Vec<f32>>,
}

impl Features {
    /// Those of a model and a task; `None` if the encoder is tuned, or they would be too many.
    pub fn of(model: &Model, task: &dyn Task) -> Option<Self> {
        let tuned = |p: &polyseme_models::ParamInfo| p.trainable && p.group != ParamGroup::Head;
        let width = model.state_width();
        let count = |rows: &Rows| (0..rows.len()).map(|row| rows.states(row)).sum::<usize>();
        let bytes = (count(task.train()) + count(task.valid())) * width * size_of::<f32>();
        if model.parameters().iter().any(tuned) || bytes > MOST {
            return None;
        }
        let of = |rows: &Rows| {
            let found = |part: &[usize]| states(model, rows, part, &rows.sequences(part), Mode::Eval);
            States::collect(rows, width, &found)
        };
        Some(Self { train: of(task.train()), valid: of(task.valid()) })
    }
}

impl States {
    /// What `of` gives for all rows, `width` values a state; `None` if it would be too much.
    pub fn kept(rows: &Rows, width: usize, of: &dyn Fn(&[usize]) -> Tensor<2>) -> Option<Self> {
        let count: usize = (0..rows.len()).map(|row| rows.states(row)).sum();
        (count * width * size_of::<f32>() <= MOST).then(|| Self::collect(rows, width, of))
    }

    fn collect(rows: &Rows, width: usize, of: &dyn Fn(&[usize]) -> Tensor<2>) -> Self {
        let mut order: Vec<usize> = (0..rows.len()).collect();
        order.sort_by_key(|&row| rows.tokens(row));
        let mut values = vec![Vec::new(); rows.len()];
        for part in rows.parts(&order, TOKENS_PER_BATCH / 2) {
            let found: Vec<f32> = of(&part).into_data().iter::<f32>().collect();
            let mut rest = found.as_slice();
            for row in part {
                let (of_row, others) = rest.split_at(rows.states(row) * width);
                values[row] = of_row.to_vec();
                rest = others;
            }
        }
        Self { width, values }
    }

    /// Those of some rows, in order. `(rows or tokens, state_width)`
    pub fn of_rows(&self, rows: &[usize], device: &Device) -> Tensor<2> {
        let values: Vec<f32> = rows.iter().flat_map(|&row| self.values[row].iter().copied()).collect();
        let shape = [values.len() / self.width, self.width];
        Tensor::from_data(TensorData::new(values, shape), &device.clone().without_autodiff())
    }
}
