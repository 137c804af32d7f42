//! An encoder with at most one head, opened from a folder or made anew.

use crate::chosen::{Chosen, ScoreLine};
use crate::encoder::{Encoder, Grown};
use crate::families::{Form, TaskForm};
use crate::heads::{MaskedLmHead, TaskHead};
use crate::layers::{Side, of_map};
use crate::params::{Bf16, Builder, LinearIds, NormIds, ParamGroup, ParamId, ParamInfo, Params, Spec};
use crate::scalar_mix::ScalarMix;
use crate::{AdapterSettings, ClassifierPooling, EncoderConfig, Error, Family, Result, load, save};
use polyseme_formats::tensors::{TensorFile, TensorOut};
use polyseme_formats::{ConfigJson, LoadReport, ModelFolder};
use polyseme_tensor::ops::Activation;
use polyseme_tensor::{Device, Gradients, Mode, PackedBatch, Sequence, Stream, Tensor};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Which head a model gets.
#[derive(Clone, Debug, PartialEq)]
pub enum HeadKind {
    /// The encoder alone.
    None,
    /// Whatever the folder's `architectures` and tensors say; the encoder alone if no known head.
    AsFound,
    /// Masked language modelling: from the folder, or new where it has none.
    MaskedLm,
    /// The same head, of a model that generates a text from another: it says what stands in a mask behind both.
    Generate,
    /// The same, and one that says whether two parts of a sequence stand in their order: likewise. A folder opened as
    /// found has the former only.
    PreTraining,
    /// Sequence classification with these labels: from the folder if it has this head with these
    /// labels, else new.
    Classify(Vec<String>),
    /// Any number of these labels of a sequence: likewise.
    MultiLabel(Vec<String>),
    /// One number of a sequence: from the folder if it has such a head, else new.
    Regress,
    /// One of these labels of each token: likewise.
    Tag(Vec<String>),
    /// Where in a sequence an answer begins and ends: likewise.
    Answer,
    /// How well a sequence fits, beside others: likewise.
    Choice,
}

impl HeadKind {
    /// Outputs of a head of a task; `None` for other heads.
    pub fn outputs(&self) -> Option<usize> {
        match self {
            Self::Classify(labels) | Self::MultiLabel(labels) | Self::Tag(labels) => Some(labels.len()),
            Self::Regress | Self::Choice => Some(1),
            Self::Answer => Some(2),
            Self::None | Self::AsFound | Self::MaskedLm | Self::Generate | Self::PreTraining => None,
        }
    }

    /// Its labels, if it has any.
    pub fn labels(&self) -> Option<&[String]> {
        match self {
            Self::Classify(labels) | Self::MultiLabel(labels) | Self::Tag(labels) => Some(labels),
            _ => None,
        }
    }

    /// How a family builds a head of a task.
    pub(crate) fn form<'a>(&self, form: &'a Form) -> Option<&'a TaskForm> {
        match self {
            Self::Classify(_) | Self::MultiLabel(_) | Self::Regress => Some(&form.classifier),
            Self::Tag(_) => Some(&form.tags),
            Self::Answer => Some(&form.answer),
            Self::Choice => Some(&form.choice),
            Self::None | Self::AsFound | Self::MaskedLm | Self::Generate | Self::PreTraining => None,
        }
    }

    /// Whether it is over the vocabulary.
    pub fn is_over_vocabulary(&self) -> bool {
        matches!(self, Self::MaskedLm | Self::Generate | Self::PreTraining)
    }
}

/// An encoder with its head. All lists of parameters are in one fixed order; tied ones stand once.
pub struct Model {
    pub(crate) family: Family,
    pub(crate) config: EncoderConfig,
    pub(crate) parts: Parts,
    pub(crate) params: Params,
    /// What stands beside the weights, in their place.
    pub(crate) adapter: Option<AdapterSettings>,
    /// What was found on data, of what its outputs mean.
    pub(crate) chosen: Chosen,
    /// The folder's own `config.json`, so that keys nobody knows are written back.
    pub(crate) json: Option<ConfigJson>,
    /// A map of hidden states to those of a teacher.
    pub(crate) projection: Option<ParamId>,
    /// Whether it is what was left of a larger one, so that the folder's sizes are not its own.
    pub(crate) was_cut: bool,
}

/// The parts of a model, as numbers of parameters.
pub(crate) struct Parts {
    pub encoder: Encoder,
    head: Head,
    /// Beside a head over the vocabulary, what says in which order two parts stand.
    order: Option<TaskHead>,
    /// What the head looks at, where that is not the last layer alone.
    pub mix: Option<ScalarMix>,
    /// Kept for whoever reads the folder next; nothing here computes with it.
    pub pooler: Option<LinearIds>,
}

enum Head {
    None,
    /// Over the vocabulary, for what the kind names.
    MaskedLm(MaskedLmHead, HeadKind),
    /// Of a task, which the kind names.
    Task(TaskHead, HeadKind),
}

impl Parts {
    /// Declares all parameters of a model, in order: embeddings, layers, head. An encoder alone has
    /// names without the family's prefix, as the reference writes them.
    /// `dropout` is the rate of a task's head, which looks at all layers if it `mixes` them.
    pub fn declare(
        family: Family,
        config: &EncoderConfig,
        head: &HeadKind,
        pooler: bool,
        dropout: f64,
        mixes: bool,
    ) -> (Self, Vec<Spec>) {
        let form = family.form();
        let alone = matches!(head, HeadKind::None | HeadKind::AsFound);
        let mut builder = Builder::new(if alone { String::new() } else { form.prefix.to_owned() });
        let encoder = Encoder::declare(&mut builder, &form.encoder, config);
        let pooler = form
            .pooler
            .filter(|_| alone && pooler)
            .map(|name| builder.linear(name, [config.hidden_size, config.hidden_size], ParamGroup::Head, true));
        let first = builder.specs.len();
        let head = match (head, head.form(form).zip(head.outputs())) {
            (kind, _) if kind.is_over_vocabulary() => {
                let masked_lm = MaskedLmHead::declare(&mut builder, &form.masked_lm, config, encoder.word);
                Head::MaskedLm(masked_lm, head.clone())
            }
            (_, Some((form, outputs))) => {
                Head::Task(TaskHead::declare(&mut builder, form, config, outputs, dropout), head.clone())
            }
            (_, None) => Head::None,
        };
        let order = form.order.as_ref().filter(|_| matches!(head, Head::MaskedLm(_, HeadKind::PreTraining)));
        let order = order.map(|order| {
            let rate = order.form.rate(config, None).expect("without a file nothing can be wrong in it");
            TaskHead::declare(&mut builder, &order.form, config, 2, rate)
        });
        let mixes = mixes && matches!(head, Head::Task(..));
        let mix = mixes.then(|| ScalarMix::declare(&mut builder, config, first));
        (Self { encoder, head, order, mix, pooler }, builder.specs)
    }

    /// Drops nothing before the last map of a task's head.
    pub fn without_dropout(&mut self) {
        if let Head::Task(head, _) = &mut self.head {
            head.without_dropout();
        }
    }

    /// What has a row for each piece of the vocabulary.
    pub fn over_vocabulary(&self) -> Vec<ParamId> {
        let mut found = vec![self.encoder.word];
        if let Head::MaskedLm(head, _) = &self.head {
            found.extend(head.over_vocabulary());
        }
        found
    }

    /// All parameters that a cut may touch, with what their rows and columns are.
    pub fn sides(&self) -> BTreeMap<ParamId, [Side; 2]> {
        let mut sides = self.encoder.sides();
        sides.extend(self.pooler.into_iter().flat_map(|map| of_map(map, [Side::Width; 2])));
        match &self.head {
            Head::None => (),
            Head::MaskedLm(head, _) => sides.extend(head.sides(self.encoder.narrow())),
            Head::Task(head, _) => sides.extend(head.sides()),
        }
        sides.into_iter().collect()
    }

    /// Whether the head is one of a task.
    pub fn has_task_head(&self) -> bool {
        matches!(self.head, Head::Task(..))
    }
}

impl Model {
    /// A new model with weights from `stream` (normal, `initializer_range`; biases 0, norms 1).
    /// Errors on impossible settings (heads that do not divide the width, …).
    pub fn new(family: Family, config: EncoderConfig, head: HeadKind, stream: Stream, device: &Device) -> Result<Self> {
        config.check()?;
        (family.form().check)(&config)?;
        check_labels(&head)?;
        family.check_head(&head)?;
        let dropout = head.form(family.form()).map_or(Ok(0.0), |form| form.rate(&config, None))?;
        let (parts, specs) = Parts::declare(family, &config, &head, false, dropout, false);
        let values = specs.into_iter().map(|spec| {
            let values = spec.initial(stream, config.initializer_range);
            (spec, values)
        });
        let params = Params::new(values.collect(), device);
        Ok(Self {
            family,
            config,
            parts,
            params,
            adapter: None,
            chosen: Chosen::default(),
            json: None,
            projection: None,
            was_cut: false,
        })
    }

    /// Opens a folder. A part of the encoder that is missing is an error; a missing head is made
    /// new from `stream` and reported.
    pub fn open(folder: &ModelFolder, head: HeadKind, stream: Stream, device: &Device) -> Result<(Self, LoadReport)> {
        check_labels(&head)?;
        let loaded = load::load(folder, head, stream)?;
        let mut params = Params::new(loaded.values, device);
        params.set_precision(loaded.precision);
        let mut model = Self {
            family: loaded.family,
            config: loaded.config,
            parts: loaded.parts,
            params,
            adapter: None,
            chosen: loaded.chosen,
            json: Some(loaded.json),
            projection: None,
            was_cut: false,
        };
        if let Some((settings, values)) = loaded.beside {
            model.add(settings, values);
        }
        Ok((model, loaded.report))
    }

    /// Writes `config.json` and `model.safetensors` under Hugging Face names.
    ///
    /// # Errors
    /// A file that cannot be written, or an adapter that is no part of the weights.
    pub fn save(&self, folder: &Path) -> Result<()> {
        self.check_whole()?;
        save::save(self, folder)
    }

    /// Family.
    pub fn family(&self) -> Family {
        self.family
    }

    /// Shape.
    pub fn config(&self) -> &EncoderConfig {
        &self.config
    }

    /// The device its parameters are on; batches for it must be made there.
    pub fn device(&self) -> &Device {
        self.params.device()
    }

    /// The head it has; for `Classify` with its labels. Never `AsFound`.
    pub fn head(&self) -> HeadKind {
        match &self.parts.head {
            Head::None => HeadKind::None,
            Head::MaskedLm(_, kind) | Head::Task(_, kind) => kind.clone(),
        }
    }

    /// The probability each label of a head for several must have to be said, if it was chosen on data.
    pub fn thresholds(&self) -> Option<&[f64]> {
        self.chosen.thresholds.as_deref()
    }

    /// Says what probability each label must have. It is kept in `config.json`, which the reference reads over.
    /// Panics unless there is one for each label.
    pub fn set_thresholds(&mut self, thresholds: Vec<f64>) {
        assert_eq!(self.head().labels().map(<[String]>::len), Some(thresholds.len()), "a threshold for each label");
        self.chosen.thresholds = Some(thresholds);
    }

    /// The score that the cosine of two vectors stands for, if the model learned from pairs with scores.
    pub fn score_line(&self) -> Option<ScoreLine> {
        self.chosen.score_line
    }

    /// Says what score a cosine stands for, or that there is none. It is kept in `config.json`, which the reference reads
    /// over. Panics on a model with a head.
    pub fn set_score_line(&mut self, line: Option<ScoreLine>) {
        assert_eq!(self.head(), HeadKind::None, "vectors, and no head");
        self.chosen.score_line = line;
    }

    /// All parameters, in order.
    pub fn parameters(&self) -> Vec<ParamInfo> {
        self.params.specs().map(|spec| spec.info.clone()).collect()
    }

    /// Chooses what is trained.
    pub fn set_trainable(&mut self, trained: &dyn Fn(&ParamInfo) -> bool) {
        self.params.set_trainable(trained);
    }

    /// Values of the trainable parameters, flat, taken out (the model must get them back with
    /// [`Model::put`] before it is used again), so that the optimizer may work in place.
    pub fn take(&mut self) -> Vec<Tensor<1>> {
        self.params.take()
    }

    /// Puts values of the trainable parameters back, in the order of `take`. Panics if they are not
    /// as many and as long as those taken.
    pub fn put(&mut self, values: Vec<Tensor<1>>) {
        self.params.put(values);
    }

    /// Gradients of the trainable parameters, flat, in the order of `take`; zeros where the loss
    /// did not depend on one.
    pub fn gradients(&self, grads: &mut Gradients) -> Vec<Tensor<1>> {
        self.params.gradients(grads)
    }

    /// All parameters as they would be written, for checkpoints.
    pub fn to_tensors(&self) -> Vec<TensorOut> {
        save::to_tensors(&self.params)
    }

    /// Reads all parameters back from a file written with [`Model::to_tensors`]; bytes are kept.
    pub fn load_tensors(&mut self, file: &TensorFile) -> Result<()> {
        let values = load::checkpoint(self.params.specs(), file)?;
        self.params.replace(values);
        Ok(())
    }

    /// Values of the word embeddings. `(vocabulary, width)`, row-major
    pub fn word_embeddings(&self) -> Vec<f32> {
        self.params.get(self.parts.encoder.word)
    }

    /// Replaces the word embeddings. `(vocabulary, width)`, row-major. Panics on another size.
    pub fn set_word_embeddings(&mut self, values: Vec<f32>) {
        self.params.set(self.parts.encoder.word, values);
    }

    /// Replaces the bias of the vocabulary's logits. `(vocabulary)` Panics on another size, or
    /// without an MLM head.
    pub fn set_output_bias(&mut self, values: Vec<f32>) {
        let bias = self.masked_lm_head().output_bias();
        self.params.set(bias, values);
    }

    /// Name of the weight of the last map of a task's head. Panics without such a head.
    pub fn task_output(&self) -> &str {
        &self.params.info(self.task_head().output().weight).name
    }

    /// Name of the weight of the dense layer of a task's head that is a map of the first token's vector, an
    /// activation and a last map, both maps with biases; and that activation. `None` where it is anything
    /// else. Panics without such a head.
    pub fn plain_head(&self) -> Option<(&str, Activation)> {
        let variant = &self.config.variant;
        let plain = variant.classifier_bias && variant.classifier_pooling == ClassifierPooling::Cls;
        let (dense, activation) = self.task_head().plain().filter(|_| plain)?;
        Some((&self.params.info(dense.weight).name, activation))
    }

    /// Replaces a plain head: its dense layer `(hidden, hidden)`, `(hidden)` and its last map
    /// `(outputs, hidden)`, `(outputs)`. Panics on other sizes, or where [`Model::plain_head`] gives none.
    pub fn set_plain_head(&mut self, dense: (Vec<f32>, Vec<f32>), output: (Vec<f32>, Vec<f32>)) {
        let head = self.task_head();
        let (first, _) = head.plain().expect("a plain head");
        for (ids, (weight, bias)) in [(first, dense), (head.output(), output)] {
            self.params.set(ids.weight, weight);
            self.params.set(ids.bias.expect("a head with biases"), bias);
        }
    }

    /// Makes a regression head give `scale` times its number plus `shift`, by its weights. Panics without
    /// such a head.
    pub fn rescale_output(&mut self, scale: f32, shift: f32) {
        assert_eq!(self.head(), HeadKind::Regress, "a regression head");
        let ids = self.task_head().output();
        let bias = ids.bias.expect("the last map has a bias");
        let weight = self.params.get(ids.weight).into_iter().map(|w| w * scale).collect();
        let bias_values = self.params.get(bias).into_iter().map(|b| b * scale + shift).collect();
        self.params.set(ids.weight, weight);
        self.params.set(bias, bias_values);
    }

    /// Chooses whether layers keep only their input for the backward pass and are computed again there
    /// (Chen et al. 2016): a third more work, for a fraction of the memory. The results are the same.
    pub fn set_gradient_checkpointing(&mut self, on: bool) {
        self.params.gradient_checkpointing = on;
    }

    /// Chooses when what is multiplied in the layers and by the vocabulary is rounded to bfloat16. Sums, weights and
    /// gradients are f32. Other devices than the CPU take no notice.
    pub fn set_bf16(&mut self, when: Bf16) {
        self.params.set_bf16(when);
    }

    /// Errors if a sequence is longer than the position table or has an id or a segment beyond the
    /// embeddings. To be asked before a batch is made of input one does not know.
    pub fn check_sequences(&self, sequences: &[Sequence]) -> Result<()> {
        let config = &self.config;
        for (index, sequence) in sequences.iter().enumerate() {
            let bad = |what, found: usize, limit: usize| Err(Error::BadSequence { index, what, found, limit });
            let greatest = |values: &[u32]| values.iter().copied().max().unwrap_or(0) as usize;
            if sequence.ids.len() > self.max_length() {
                return bad("its length", sequence.ids.len(), self.max_length());
            }
            if greatest(&sequence.ids) >= config.vocab_size {
                return bad("a token id", greatest(&sequence.ids), config.vocab_size - 1);
            }
            if config.type_vocab_size > 0 && greatest(&sequence.type_ids) >= config.type_vocab_size {
                return bad("a segment", greatest(&sequence.type_ids), config.type_vocab_size - 1);
            }
        }
        Ok(())
    }

    /// Last hidden state. `(tokens, hidden)`
    pub fn hidden(&self, batch: &PackedBatch, mode: Mode) -> Tensor<2> {
        self.hidden_layers_in(batch, mode, |_, _| ())
    }

    /// All hidden states: embeddings first, then each layer. `(tokens, hidden)` each
    pub fn hidden_layers(&self, batch: &PackedBatch) -> Vec<Tensor<2>> {
        let mut states = Vec::new();
        self.hidden_layers_in(batch, Mode::Eval, |_, state| states.push(state.clone()));
        states
    }

    /// Shows `see` the number and the state of the embeddings (0) and of each layer (from 1) as
    /// they are computed, and returns the last. `(tokens, hidden)` each
    pub fn hidden_layers_in(
        &self,
        batch: &PackedBatch,
        mode: Mode,
        mut see: impl FnMut(usize, &Tensor<2>),
    ) -> Tensor<2> {
        let numbers = &mut (0..);
        let see = |state: &Tensor<2>| see(numbers.next().expect("without end"), state);
        self.parts.encoder.forward(self.params.view(mode), batch, &self.config, mode, None, see)
    }

    /// Mean cross-entropy over masked `rows` (packed row numbers) with their true ids, and the
    /// number predicted right. The vocabulary projection runs over these rows only.
    /// Panics without an MLM head, or without rows.
    pub fn masked_lm_loss(
        &self,
        batch: &PackedBatch,
        rows: &[usize],
        labels: &[u32],
        mode: Mode,
    ) -> (Tensor<1>, Tensor<1>) {
        assert_eq!(rows.len(), labels.len(), "a label for each masked row");
        assert!(!rows.is_empty(), "a mean over at least one masked row");
        let (x, params) = self.rows(batch, rows, mode);
        self.masked_lm_head().loss(x, params, labels)
    }

    /// The same from hidden states `(rows, hidden)`, one for each label. Panics without an MLM head.
    pub fn masked_lm_loss_of(&self, states: Tensor<2>, labels: &[u32], mode: Mode) -> (Tensor<1>, Tensor<1>) {
        self.masked_lm_head().loss(states, self.params.view(mode), labels)
    }

    /// Hidden states of some rows (packed row numbers), and logits of whether the parts of some sequences stand in
    /// their order (0) or not (1), in one pass. `(rows, hidden)`, `(sequences, 2)` Panics without a head that says so.
    pub fn states_and_orders(
        &self,
        batch: &PackedBatch,
        rows: &[usize],
        sequences: &[usize],
        mode: Mode,
    ) -> (Tensor<2>, Tensor<2>) {
        let firsts = sequences.iter().map(|&i| batch.row(i, 0));
        let asked: Vec<usize> = rows.iter().copied().chain(firsts).collect();
        let (x, params) = self.rows(batch, &asked, mode);
        let (states, firsts) = (x.clone().narrow(0, 0, rows.len()), x.narrow(0, rows.len(), sequences.len()));
        let order = self.parts.order.as_ref().expect("a head for pre-training with the order of parts");
        (states, order.logits(firsts, params, mode))
    }

    /// Logits from hidden states. `(rows, hidden)` to `(rows, vocabulary)` Panics without an MLM head.
    pub fn masked_lm_logits_of(&self, states: Tensor<2>, mode: Mode) -> Tensor<2> {
        self.masked_lm_head().logits(states, self.params.view(mode))
    }

    /// Logits of some rows. `(rows, vocabulary)` Panics without an MLM head.
    pub fn masked_lm_logits(&self, batch: &PackedBatch, rows: &[usize]) -> Tensor<2> {
        let (x, params) = self.rows(batch, rows, Mode::Eval);
        self.masked_lm_head().logits(x, params)
    }

    /// Logits of some rows of sequences that have grown, by what was computed before they had: only new rows go
    /// through the layers. `from` names the row of the batch before that each row was; `None`: it is new. Rows that
    /// were there must see what they saw then, and the rows asked for be new ones, ascending.
    /// `(rows, vocabulary)` Panics without an MLM head.
    pub fn masked_lm_logits_grown(
        &self,
        batch: &PackedBatch,
        from: &[Option<usize>],
        grown: &mut Grown,
        rows: &[usize],
    ) -> Tensor<2> {
        let params = self.params.view(Mode::Eval);
        let x = self.parts.encoder.forward_grown(params, batch, &self.config, (from, grown), rows);
        self.masked_lm_head().logits(x, params)
    }

    pub(crate) fn task_head(&self) -> &TaskHead {
        match &self.parts.head {
            Head::Task(head, _) => head,
            _ => panic!("a task needs a model with a head for it"),
        }
    }

    /// The parts of the head over the vocabulary. Panics without one.
    pub(crate) fn masked_lm_ids(&self) -> (LinearIds, Activation, NormIds, LinearIds) {
        self.masked_lm_head().ids()
    }

    /// The weight of a projection onto the vocabulary that is no table of embeddings.
    pub(crate) fn own_decoder(&self) -> Option<ParamId> {
        match &self.parts.head {
            Head::MaskedLm(head, _) => Some(head.over_vocabulary()[0]).filter(|&id| id != self.parts.encoder.word),
            _ => None,
        }
    }

    fn masked_lm_head(&self) -> &MaskedLmHead {
        match &self.parts.head {
            Head::MaskedLm(head, _) => head,
            _ => panic!("masked language modelling needs a model with that head"),
        }
    }

    pub(crate) fn params(&self) -> &Params {
        &self.params
    }

    pub(crate) fn json(&self) -> Option<&ConfigJson> {
        self.json.as_ref()
    }
}

/// Errors unless there are two labels or more (one will do where any number may be true), each once.
fn check_labels(head: &HeadKind) -> Result<()> {
    let Some(labels) = head.labels() else { return Ok(()) };
    let distinct: BTreeSet<_> = labels.iter().collect();
    let least = if matches!(head, HeadKind::MultiLabel(_)) { 1 } else { 2 };
    if labels.len() < least || distinct.len() < labels.len() {
        return Err(Error::BadLabels { labels: labels.to_vec() });
    }
    Ok(())
}
