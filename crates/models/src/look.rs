//! What a model folder holds, in milliseconds: names, shapes and types of its tensors, none of which is read.

use crate::load::{Planned, plan};
use crate::quantized::folder::beside;
use crate::{EncoderConfig, Family, HeadKind, ParamInfo, Result};
use polyseme_formats::ModelFolder;
use std::collections::BTreeSet;

/// What a folder holds.
#[derive(Clone, Debug)]
pub struct Look {
    /// Family.
    pub family: Family,
    /// Settings of the encoder.
    pub config: EncoderConfig,
    /// The head it has.
    pub head: HeadKind,
    /// Every parameter, in the order of the forward pass.
    pub parameters: Vec<Held>,
    /// Tensors that are one: the projection onto the vocabulary and the word embeddings.
    pub tied: Option<[String; 2]>,
    /// Whether an adapter lies there, whose base is elsewhere.
    pub is_adapter: bool,
    /// Tensors of the file that are no part of the model.
    pub unused: Vec<String>,
}

/// A parameter in a file.
#[derive(Clone, Debug, PartialEq)]
pub struct Held {
    /// What is known of it.
    pub info: ParamInfo,
    /// The tensors it is made of: one, or of a matrix in few bits its codes, scales, ….
    pub tensors: Vec<HeldTensor>,
}

/// A tensor of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldTensor {
    /// Its name there.
    pub name: String,
    /// Its type by the file's name for it: `F32`.
    pub dtype: &'static str,
    /// Its dimensions.
    pub shape: Vec<usize>,
    /// Bytes on disk.
    pub bytes: usize,
}

impl Look {
    /// Looks into a folder.
    ///
    /// # Errors
    /// As [`crate::Model::open`], but for what stands in the tensors.
    pub fn at(folder: &ModelFolder) -> Result<Self> {
        let planned = plan(folder, HeadKind::AsFound)?;
        let names: BTreeSet<String> = planned.file.names().into_iter().collect();
        let tied = tied(&planned);
        let Planned { family, config, head, sources, file, report, adapter, .. } = planned;
        let tensor = |name: String| {
            let found = file.get(&name)?;
            let (dtype, shape, bytes) = (found.dtype.name(), found.shape.clone(), found.bytes.len());
            Some(HeldTensor { name, dtype, shape, bytes })
        };
        let held = sources.into_iter().map(|(spec, name)| {
            let all = name.into_iter().flat_map(|name| {
                let more = beside(&names, &name);
                std::iter::once(name).chain(more)
            });
            Held { info: spec.info, tensors: all.filter_map(tensor).collect() }
        });
        let parameters = held.collect();
        let (is_adapter, unused) = (adapter.is_some(), report.unused);
        Ok(Self { family, config, head, parameters, tied, is_adapter, unused })
    }
}

/// The projection onto the vocabulary and the word embeddings, where there is such a head without weights of its own.
fn tied(planned: &Planned) -> Option<[String; 2]> {
    let form = planned.family.form();
    let word =
        planned.sources.iter().find(|(spec, _)| spec.info.name.ends_with(&format!("{}.weight", form.encoder.word)))?;
    let decoder = format!("{}.weight", form.masked_lm.decoder);
    let own = planned.sources.iter().any(|(spec, _)| spec.info.name == decoder);
    (planned.head.is_over_vocabulary() && !own).then(|| [decoder, word.0.info.name.clone()])
}
