//! AdamW over all parameters at once (Loshchilov & Hutter 2019; PyTorch's `AdamW` formula).

use crate::fused;
use burn::tensor::Tensor;
use polyseme_kernels::adamw::AdamW;

/// Elements summed at once in [`global_norm`]. Burn's sum on the CPU adds the chunks of tensors of
/// four million elements and more in the order threads finish, so the last bits would change from
/// run to run.
const CHUNK: usize = 1 << 20;

/// First and second moments, flat, in parameter order.
#[derive(Clone, Debug, Default)]
pub struct AdamWState {
    /// Steps done, for the bias correction.
    pub step: u64,
    /// First moments.
    pub m: Vec<Tensor<1>>,
    /// Second moments.
    pub v: Vec<Tensor<1>>,
}

/// Settings of one step.
#[derive(Clone, Copy, Debug)]
pub struct AdamWStep {
    /// Learning rate of this step.
    pub learning_rate: f64,
    /// Decay of the first moment.
    pub beta1: f64,
    /// Decay of the second moment.
    pub beta2: f64,
    /// Added to the square root of the second moment.
    pub epsilon: f64,
    /// Decoupled weight decay, for parameters that decay.
    pub weight_decay: f64,
    /// Gradients are multiplied by this first (clipping, accumulation).
    pub gradient_scale: f64,
}

/// What is particular to one parameter in a step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ParamRates {
    /// Multiple of the learning rate.
    pub rate: f64,
    /// Whether it decays.
    pub decay: bool,
}

impl From<bool> for ParamRates {
    /// The step's own learning rate, with decay or without.
    fn from(decay: bool) -> Self {
        Self { rate: 1.0, decay }
    }
}

/// One step: `params[i]` with gradient `grads[i]` and rates `each[i]`. A fresh state gets its moments
/// here.
///
/// # Shapes
/// - params\[i\], grads\[i\], output\[i\]: `(elements of parameter i)`
pub fn adamw_step(
    params: Vec<Tensor<1>>,
    grads: Vec<Tensor<1>>,
    each: &[ParamRates],
    state: &mut AdamWState,
    step: AdamWStep,
) -> Vec<Tensor<1>> {
    let fused = params.first().is_some_and(|p| fused::on_cpu(&p.device()));
    step_all(params, grads, each, state, step, if fused { by_kernel } else { plain })
}

/// The plain twin of [`adamw_step`].
pub fn adamw_step_plain(
    params: Vec<Tensor<1>>,
    grads: Vec<Tensor<1>>,
    each: &[ParamRates],
    state: &mut AdamWState,
    step: AdamWStep,
) -> Vec<Tensor<1>> {
    step_all(params, grads, each, state, step, plain)
}

/// How one parameter is stepped: parameter, gradient, first and second moment.
type StepOne = fn(AdamWStep, u64, [Tensor<1>; 4]) -> [Tensor<1>; 3];

fn step_all(
    params: Vec<Tensor<1>>,
    grads: Vec<Tensor<1>>,
    each: &[ParamRates],
    state: &mut AdamWState,
    step: AdamWStep,
    one: StepOne,
) -> Vec<Tensor<1>> {
    assert_eq!(params.len(), grads.len(), "a gradient for each parameter");
    assert_eq!(params.len(), each.len(), "rates for each parameter");
    if state.m.is_empty() {
        state.m = params.iter().map(Tensor::zeros_like).collect();
        state.v = params.iter().map(Tensor::zeros_like).collect();
    }
    assert_eq!(params.len(), state.m.len(), "moments for each parameter");
    state.step += 1;
    // Moments are taken out so that each tensor has one owner and is written in place.
    let (first, second) = (std::mem::take(&mut state.m), std::mem::take(&mut state.v));
    let mut updated = Vec::with_capacity(params.len());
    for ((((param, grad), m), v), rates) in params.into_iter().zip(grads).zip(first).zip(second).zip(each) {
        let own = AdamWStep {
            learning_rate: step.learning_rate * rates.rate,
            weight_decay: if rates.decay { step.weight_decay } else { 0.0 },
            ..step
        };
        let [param, m, v] = one(own, state.step, [param, grad, m, v]);
        updated.push(param);
        state.m.push(m);
        state.v.push(v);
    }
    updated
}

fn plain(step: AdamWStep, count: u64, [param, grad, m, v]: [Tensor<1>; 4]) -> [Tensor<1>; 3] {
    let correction = Correction::at(count, step);
    let grad = if step.gradient_scale == 1.0 { grad } else { grad * step.gradient_scale };
    let m = m * step.beta1 + grad.clone() * (1.0 - step.beta1);
    let v = v * step.beta2 + grad.clone() * grad * (1.0 - step.beta2);
    let denominator = (v.clone().sqrt() * correction.inverse_root2) + step.epsilon;
    let shrink = 1.0 - step.learning_rate * step.weight_decay;
    let param = if shrink == 1.0 { param } else { param * shrink };
    [param - m.clone() / denominator * correction.step_size, m, v]
}

fn by_kernel(step: AdamWStep, count: u64, [param, grad, m, v]: [Tensor<1>; 4]) -> [Tensor<1>; 3] {
    let correction = Correction::at(count, step);
    let numbers = AdamW {
        step_size: correction.step_size as f32,
        beta1: step.beta1 as f32,
        beta2: step.beta2 as f32,
        epsilon: step.epsilon as f32,
        inverse_root2: correction.inverse_root2 as f32,
        gradient_scale: step.gradient_scale as f32,
        keep: (1.0 - step.learning_rate * step.weight_decay) as f32,
    };
    fused::adamw(numbers, param, grad, m, v)
}

/// What the bias correction makes of the learning rate and of the second moment.
struct Correction {
    step_size: f64,
    inverse_root2: f64,
}

impl Correction {
    fn at(count: u64, step: AdamWStep) -> Self {
        let done = count as f64;
        Self {
            step_size: step.learning_rate / (1.0 - step.beta1.powf(done)),
            inverse_root2: 1.0 / (1.0 - step.beta2.powf(done)).sqrt(),
        }
    }
}

/// Euclidean norm over all gradients together.
pub fn global_norm(grads: &[Tensor<1>]) -> f64 {
    if grads.first().is_some_and(|g| fused::on_cpu(&g.device())) {
        return grads.iter().map(fused::sum_of_squares).sum::<f64>().sqrt();
    }
    let mut sums = Vec::new();
    for grad in grads {
        let length = grad.dims()[0];
        for start in (0..length).step_by(CHUNK) {
            let part = grad.clone().narrow(0, start, CHUNK.min(length - start));
            sums.push((part.clone() * part).sum());
        }
    }
    if sums.is_empty() {
        return 0.0;
    }
    // One read for all of them, since a read waits for the device.
    let sums: Vec<f32> = Tensor::cat(sums, 0).into_data_as::<f32>().try_into_vec().expect("f32 was asked for");
    sums.into_iter().map(f64::from).sum::<f64>().sqrt()
}
