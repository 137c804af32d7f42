//! Learning from a teacher of language on texts without labels: what it says of hidden tokens, and what is inside it.

use super::DistilSettings;
use super::divergence::of_classes;
use super::inside::{self, Seen};
use crate::error::{Error, Result};
use polyseme_formats::ModelFolder;
use polyseme_models::{Bf16, HeadKind, Model};
use polyseme_tensor::packed::row_tensor;
use polyseme_tensor::{Device, Mode, PackedBatch, Stream, Tensor};
use polyseme_text::Tokenizer;
use std::path::Path;

/// A pre-trained model and what a student learns from it.
pub struct Language {
    model: Model,
    settings: DistilSettings,
}

impl Language {
    /// Opens a teacher.
    ///
    /// # Errors
    /// A folder that cannot be read, a tokenizer that is not the student's, a teacher that says nothing of hidden tokens
    /// where that is to be learned.
    pub fn open(folder: &Path, settings: &DistilSettings, tokenizer: &Tokenizer, device: &Device) -> Result<Self> {
        if Tokenizer::open(folder)?.hash() != tokenizer.hash() {
            return Err(Error::OtherTokenizer { teacher: folder.to_owned() });
        }
        let device = device.clone().without_autodiff();
        let source = ModelFolder::open(folder)?;
        let (model, _) = Model::open(&source, HeadKind::AsFound, Stream::new(0), &device)?;
        if settings.soft > 0.0 && model.head() != HeadKind::MaskedLm {
            return Err(Error::OtherTeacher {
                teacher: folder.to_owned(),
                wanted: Box::new(HeadKind::MaskedLm),
                found: Box::new(model.head()),
            });
        }
        Ok(Self { model, settings: settings.clone() })
    }

    /// The teacher.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// Chooses when it rounds to bfloat16, once it is measured.
    pub fn set_bf16(&mut self, when: Bf16) {
        self.model.set_bf16(when);
    }

    /// Whether it says what tokens are hidden.
    pub fn speaks(&self) -> bool {
        self.model.head() == HeadKind::MaskedLm
    }

    /// Makes a student ready to be compared with it.
    ///
    /// # Errors
    /// A student that is larger, or cannot be compared in the way that was asked for.
    pub fn prepare(&self, student: &mut Model, init: Stream) -> Result<()> {
        let (own, other) = (self.model.config(), student.config());
        self.settings.check_sizes(other, own)?;
        if self.settings.compares_states() && own.hidden_size != other.hidden_size {
            student.add_projection(own.hidden_size, init);
        }
        Ok(())
    }

    /// The loss of a batch in which `rows` are asked for their true ids: the mean over these of what it says of them
    /// and of what is true, and over all tokens of what is inside.
    ///
    /// # Shapes
    /// - output: `(1)`
    pub(crate) fn loss(
        &self,
        student: &Model,
        batch: &PackedBatch,
        rows: &[usize],
        labels: &[u32],
        mode: Mode,
    ) -> Tensor<1> {
        let DistilSettings { soft, hard, temperature, .. } = self.settings;
        let mut seen = Vec::new();
        let last = student.hidden_layers_in(batch, mode, |_, state| seen.push(state.clone()));
        let taught = self.model.hidden_layers(batch);
        let asked = |states: &Tensor<2>| states.clone().select(0, row_tensor(rows, &states.device()));
        let mut terms: Vec<Tensor<1>> = Vec::new();
        if self.settings.looks_inside() {
            let student = Seen { model: student, states: &seen, mode };
            let teacher = Seen { model: &self.model, states: &taught, mode: Mode::Eval };
            terms.push(inside::loss(&self.settings, &student, &teacher, batch));
        }
        if soft > 0.0 {
            let taught = self.model.masked_lm_logits_of(asked(taught.last().expect("a state")), Mode::Eval);
            let said = student.masked_lm_logits_of(asked(&last), mode);
            terms.push(of_classes(said, taught, temperature) * (soft / rows.len() as f64));
        }
        if hard > 0.0 {
            terms.push(student.masked_lm_loss_of(asked(&last), labels, mode).0 * hard);
        }
        terms.into_iter().reduce(|a, b| a + b).expect("something is learned")
    }
}
