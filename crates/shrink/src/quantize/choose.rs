//! Which form each matrix takes: as small and fast as the outputs allow.

use super::sample::{Sample, cosine};
use super::speed::LayerSpeed;
use super::{QuantizeSettings, To, is_of};
use polyseme_models::{MatrixInfo, MatrixRole, Model};
use polyseme_tensor::{Input, Quantized};
use polyseme_train::{Event, Observer, Stop};
use serde::Serialize;
use std::collections::BTreeMap;

/// What a matrix becomes, the smallest and fastest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Form {
    /// Blocks of 4 bits, products in f32.
    Int4,
    /// 8 bits, and 8 bits of what is multiplied by them.
    Int8,
    /// 8 bits, products in f32.
    Int8Weights,
    /// As it was.
    F32,
}

/// What became of a matrix.
#[derive(Clone, Debug, Serialize)]
pub struct MatrixOutcome {
    /// Its name.
    pub name: String,
    /// What it became.
    pub form: Form,
    /// 1 less the cosine of the outputs if this matrix alone took its first form; absent where it was not measured.
    pub cost: Option<f64>,
    /// Why it did not take the first form; empty if it did.
    pub why: &'static str,
}

/// A matrix on its way.
struct Candidate<'a> {
    info: MatrixInfo,
    /// Its values in the whole model.
    whole: &'a Model,
    first: Form,
    form: Form,
    cost: Option<f64>,
    why: &'static str,
    input: Input,
}

/// Chooses the form of each matrix.
pub(super) struct Chooser<'a> {
    candidates: Vec<Candidate<'a>>,
    group: usize,
    least: f64,
}

impl<'a> Chooser<'a> {
    /// Every matrix in the form asked for, but those of layers that are kept.
    pub fn new(settings: &QuantizeSettings, whole: &'a Model, ranges: BTreeMap<String, (f32, f32)>) -> Self {
        let candidates = whole.matrices().into_iter().map(|info| {
            let input = match ranges.get(&info.name) {
                Some(&(least, greatest)) => Input::of_range(least, greatest),
                None => Input::Dynamic,
            };
            let first = match (settings.to, info.role) {
                (To::Int4, MatrixRole::Layer(_)) => Form::Int4,
                (_, MatrixRole::Layer(_)) => Form::Int8,
                // Rows are looked up, or products are few. Transformers opens no table of 4 bits.
                (_, MatrixRole::Table | MatrixRole::Decoder) => Form::Int8Weights,
            };
            let kept = settings.keep.iter().any(|&layer| is_of(info.role, layer));
            let (form, why) = if kept { (Form::F32, "kept") } else { (first, "") };
            Candidate { info, whole, first, form, cost: None, why, input }
        });
        Self { candidates: candidates.collect(), group: settings.group, least: settings.cosine }
    }

    /// Gives each matrix its form.
    pub fn form_all(&self, model: &mut Model) {
        self.candidates.iter().for_each(|candidate| candidate.put(model, candidate.form, self.group));
    }

    /// Layers that are slower at any batch size are multiplied in f32; they stay as small.
    pub fn slower(&mut self, model: &mut Model, speed: &[LayerSpeed]) {
        for layer in speed.iter().filter(|layer| layer.is_slower()) {
            let of_layer = |candidate: &&mut Candidate<'_>| is_of(candidate.info.role, layer.layer);
            for candidate in self.candidates.iter_mut().filter(of_layer).filter(|c| c.form == Form::Int8) {
                (candidate.form, candidate.why) = (Form::Int8Weights, "slower than f32");
                candidate.put(model, candidate.form, self.group);
            }
        }
    }

    /// Measures what each matrix costs alone and, as long as the outputs are too far from the whole model's, gives the
    /// costliest a better form. Errs on the side of the outputs: without end it would end in the whole model.
    /// False: it was asked to stop.
    pub fn until_near(
        &mut self,
        model: &mut Model,
        sample: &Sample,
        expected: &[f32],
        observer: &mut dyn Observer,
        stop: &Stop,
    ) -> bool {
        let width = model.config().hidden_size;
        let far = |model: &Model| 1.0 - cosine(&sample.vectors(model), expected, width);
        let total = self.candidates.len() as u64;
        // One after the other in its first form, all others whole.
        self.candidates.iter().for_each(|candidate| candidate.put(model, Form::F32, self.group));
        for (done, candidate) in self.candidates.iter_mut().enumerate().filter(|(_, c)| c.why != "kept") {
            if stop.requested() {
                return false;
            }
            candidate.put(model, candidate.form, self.group);
            candidate.cost = Some(far(model));
            candidate.put(model, Form::F32, self.group);
            observer.event(Event::Progress { done: done as u64 + 1, total });
        }
        self.form_all(model);
        while far(model) > 1.0 - self.least {
            if stop.requested() {
                return false;
            }
            // A matrix that was given a better form costs less from then on; how much is not measured again: it is put
            // behind those that have their first form.
            let costliest = self.candidates.iter_mut().filter(|c| c.form != Form::F32);
            let key = |c: &Candidate<'_>| (c.form == c.first, c.cost.unwrap_or(0.0));
            let Some(candidate) = costliest.max_by(|a, b| key(a).partial_cmp(&key(b)).expect("costs are numbers"))
            else {
                break;
            };
            candidate.form = match candidate.form {
                Form::Int8 | Form::Int4 => Form::Int8Weights,
                Form::Int8Weights | Form::F32 => Form::F32,
            };
            candidate.why = "costs too much";
            candidate.put(model, candidate.form, self.group);
        }
        true
    }

    /// What became of each.
    pub fn outcome(&self) -> Vec<MatrixOutcome> {
        let outcome =
            |c: &Candidate<'_>| MatrixOutcome { name: c.info.name.clone(), form: c.form, cost: c.cost, why: c.why };
        self.candidates.iter().map(outcome).collect()
    }
}

impl Candidate<'_> {
    /// Puts the matrix into the model in a form.
    fn put(&self, model: &mut Model, form: Form, group: usize) {
        let (name, [_, columns]) = (&self.info.name, self.info.shape);
        let values = self.whole.values(name);
        let few = |bits: u32, group: Option<usize>, input: Input| Quantized::new(&values, columns, bits, group, input);
        match form {
            Form::F32 => model.make_whole(name, values),
            Form::Int4 => model.quantize(name, few(4, Some(group.min(columns)), Input::Whole)),
            Form::Int8 => model.quantize(name, few(8, None, self.input)),
            Form::Int8Weights => model.quantize(name, few(8, None, Input::Whole)),
        }
    }
}
