//! The encoder as its users see it: a model with its tokenizer, opened from a folder.

use crate::batches::{TOKEN_BUDGET, plan};
use crate::{Error, Result};
use polyseme_formats::folder::SentenceModules;
use polyseme_formats::{LoadReport, ModelFolder};
use polyseme_models::{HeadKind, Model};
use polyseme_tensor::{Device, PackedBatch, Sequence, Stream, Tensor, device};
use polyseme_text::{Encoding, Tokenizer};
use std::path::Path;
use std::sync::OnceLock;

/// A text, or a pair of texts.
pub type TextPair = (String, Option<String>);

/// A model with its tokenizer, ready to use.
pub struct Encoder {
    /// The model.
    pub model: Model,
    /// Its tokenizer.
    pub tokenizer: Tokenizer,
    /// What happened to each tensor of the folder; empty for a model made in memory.
    pub report: LoadReport,
    folder: Option<ModelFolder>,
    modules: OnceLock<Option<SentenceModules>>,
}

impl Encoder {
    /// Opens a model folder on the CPU with whatever head it has.
    ///
    /// # Errors
    /// No model folder, or one with something wrong in it.
    pub fn open(folder: impl AsRef<Path>) -> Result<Self> {
        let device = polyseme_tensor::device::parse("cpu")?;
        Self::open_on(folder.as_ref(), HeadKind::AsFound, &device)
    }

    /// Opens it on a device with a head.
    ///
    /// # Errors
    /// As [`Encoder::open`].
    pub fn open_on(folder: &Path, head: HeadKind, device: &Device) -> Result<Self> {
        let folder = ModelFolder::open(folder)?;
        let tokenizer = Tokenizer::open(&folder.path)?;
        let (model, report) = Model::open(&folder, head, Stream::new(0).named("init"), device)?;
        Ok(Self { model, tokenizer, report, folder: Some(folder), modules: OnceLock::new() })
    }

    /// From parts in memory (used while fine-tuning).
    pub fn from_parts(model: Model, tokenizer: Tokenizer) -> Self {
        let report = LoadReport::default();
        Self { model, tokenizer, report, folder: None, modules: OnceLock::from(None) }
    }

    /// What `modules.json` of the folder asks for; `None` where there is no such file.
    ///
    /// # Errors
    /// A module that is not known.
    pub fn sentence_modules(&self) -> Result<Option<SentenceModules>> {
        if let Some(known) = self.modules.get() {
            return Ok(*known);
        }
        let found = self.folder.as_ref().map_or(Ok(None), ModelFolder::sentence_modules)?;
        Ok(*self.modules.get_or_init(|| found))
    }

    /// Longest input in tokens, special ones included, that model and tokenizer take.
    pub fn limit(&self) -> usize {
        let model = self.model.max_length();
        self.tokenizer.model_max_length().map_or(model, |t| t.min(model))
    }

    /// The longest input for a call: what was asked for, else the folder's limit.
    ///
    /// # Errors
    /// A length the model cannot take.
    pub fn max_length(&self, asked: Option<usize>) -> Result<usize> {
        let limit = self.model.max_length();
        match asked {
            None => Ok(self.limit()),
            Some(asked) if asked > limit || asked < 3 => Err(Error::MaxLength { asked, limit }),
            Some(asked) => Ok(asked),
        }
    }

    /// Token ids of texts or pairs, cut at `max_length` tokens (`None`: the folder's limit).
    ///
    /// # Errors
    /// A length the model cannot take, or an id the model has no embedding for.
    pub fn encode(&self, texts: &[TextPair], max_length: Option<usize>) -> Result<Vec<Encoding>> {
        let encodings = self.tokenizer.encode_batch(texts, self.max_length(max_length)?)?;
        encodings.iter().try_for_each(|e| self.check(e))?;
        Ok(encodings)
    }

    /// A tokenizer of another model may know pieces this model does not.
    ///
    /// # Errors
    /// An id that the model has no embedding for.
    pub fn check(&self, encoding: &Encoding) -> Result<()> {
        self.check_ids(&encoding.ids, &encoding.type_ids)
    }

    /// The same of ids and segments.
    ///
    /// # Errors
    /// As [`Encoder::check`].
    pub fn check_ids(&self, ids: &[u32], type_ids: &[u32]) -> Result<()> {
        let config = self.model.config();
        let (vocabulary, segments) = (config.vocab_size, config.type_vocab_size);
        if let Some(&id) = ids.iter().find(|&&id| id as usize >= vocabulary) {
            let token = self.tokenizer.token(id).unwrap_or_default();
            let pieces = self.tokenizer.vocab_size();
            return Err(Error::ForeignTokenizer { token, id, vocabulary, pieces });
        }
        match type_ids.iter().find(|&&s| segments > 0 && s as usize >= segments) {
            Some(&segment) => Err(Error::NoSegment { segment, segments }),
            None => Ok(()),
        }
    }

    /// Runs `f` on batches of the encodings: the batch, and which encodings are in it.
    pub(crate) fn for_each_batch(
        &self,
        encodings: &[Encoding],
        mut f: impl FnMut(&[usize], &PackedBatch) -> Result<()> + Send,
    ) -> Result<()> {
        let lengths: Vec<usize> = encodings.iter().map(|e| e.ids.len()).collect();
        device::on_pool(|| {
            for members in plan(&lengths, TOKEN_BUDGET) {
                let sequence =
                    |&i: &usize| Sequence { ids: encodings[i].ids.clone(), type_ids: encodings[i].type_ids.clone() };
                let sequences: Vec<Sequence> = members.iter().map(sequence).collect();
                f(&members, &PackedBatch::new(&sequences))?;
            }
            Ok(())
        })
    }
}

/// Values of a tensor, row by row.
pub(crate) fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().convert::<f32>().try_into_vec::<f32>().expect("converted to f32")
}
