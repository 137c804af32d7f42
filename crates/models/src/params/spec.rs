//! What is known of parameters before they have values, and how they begin.

use crate::EncoderConfig;
use polyseme_tensor::Stream;

/// Where a parameter stands, for freezing and decay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParamGroup {
    /// Embeddings and their norm and projection.
    Embeddings,
    /// Encoder layer, from 0.
    Layer(usize),
    /// Pooler and task head.
    Head,
}

/// What is known of a parameter without its values.
#[derive(Clone, Debug, PartialEq)]
pub struct ParamInfo {
    /// Its Hugging Face name.
    pub name: String,
    /// Dimensions.
    pub shape: Vec<usize>,
    /// Where it stands.
    pub group: ParamGroup,
    /// Whether weight decay applies (not to norms and biases).
    pub decay: bool,
    /// Whether it is trained.
    pub trainable: bool,
}

impl ParamInfo {
    /// Number of elements.
    pub fn elements(&self) -> usize {
        self.shape.iter().product()
    }
}

/// Where a parameter stands in the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ParamId(pub(super) usize);

/// Numbers of a linear map's weight and bias, if it has one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LinearIds {
    pub weight: ParamId,
    pub bias: Option<ParamId>,
}

/// Numbers of a norm's weight and bias, if it has one, and its epsilon.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NormIds {
    pub weight: ParamId,
    pub bias: Option<ParamId>,
    pub epsilon: f64,
}

impl LinearIds {
    /// Both that there are.
    pub fn both(self) -> impl Iterator<Item = ParamId> {
        [self.weight].into_iter().chain(self.bias)
    }
}

impl NormIds {
    /// Both that there are.
    pub fn both(self) -> impl Iterator<Item = ParamId> {
        [self.weight].into_iter().chain(self.bias)
    }
}

/// How a new parameter begins.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Init {
    /// Normal with the configuration's deviation.
    Normal,
    /// The same, and one row of zeros (padding).
    NormalButRow(usize),
    Zeros,
    Ones,
}

/// A parameter before it has a value.
#[derive(Clone, Debug)]
pub(crate) struct Spec {
    pub info: ParamInfo,
    pub init: Init,
    /// Name without the encoder's prefix, when the prefix may be left out in a file.
    pub bare: Option<String>,
    /// Further names under which the value is written (RoBERTa's and BERT's second bias).
    pub also: Vec<String>,
}

impl Spec {
    /// A new value. The stream is named by the bare name, so that an encoder begins the same with
    /// any head.
    pub fn initial(&self, stream: Stream, deviation: f64) -> Vec<f32> {
        let elements = self.info.elements();
        let stream = stream.named(self.bare.as_ref().unwrap_or(&self.info.name));
        match self.init {
            Init::Zeros => vec![0.0; elements],
            Init::Ones => vec![1.0; elements],
            Init::Normal => stream.normals(elements, deviation),
            Init::NormalButRow(row) => {
                let mut values = stream.normals(elements, deviation);
                let width = elements / self.info.shape[0];
                values[row * width..(row + 1) * width].fill(0.0);
                values
            }
        }
    }
}

/// Collects the parameters of a model, in order.
pub(crate) struct Builder {
    /// What a name inside the encoder begins with, with its dot; empty for an encoder alone.
    pub prefix: String,
    pub specs: Vec<Spec>,
}

impl Builder {
    pub fn new(prefix: String) -> Self {
        Self { prefix, specs: Vec::new() }
    }

    /// An embedding table. `(rows, width)`
    pub fn table(&mut self, name: &str, [rows, width]: [usize; 2], zero_row: Option<usize>) -> ParamId {
        let init = zero_row.map_or(Init::Normal, Init::NormalButRow);
        self.add(format!("{name}.weight"), vec![rows, width], ParamGroup::Embeddings, init, true)
    }

    /// A linear map. Weight `(out, in)`, bias `(out)` if it has one.
    pub fn linear(&mut self, name: &str, [out, input]: [usize; 2], group: ParamGroup, bias: bool) -> LinearIds {
        LinearIds {
            weight: self.add(format!("{name}.weight"), vec![out, input], group, Init::Normal, true),
            bias: bias.then(|| self.bias(&format!("{name}.bias"), out, group)),
        }
    }

    /// A layer norm. Weight `(width)`, bias `(width)` if norms of this encoder have one.
    pub fn norm(&mut self, name: &str, width: usize, config: &EncoderConfig, group: ParamGroup) -> NormIds {
        NormIds {
            weight: self.add(format!("{name}.weight"), vec![width], group, Init::Ones, false),
            bias: config.variant.norm_bias.then(|| self.bias(&format!("{name}.bias"), width, group)),
            epsilon: config.layer_norm_eps,
        }
    }

    /// A bias by its whole name. `(width)`
    pub fn bias(&mut self, name: &str, width: usize, group: ParamGroup) -> ParamId {
        self.add(name.to_owned(), vec![width], group, Init::Zeros, false)
    }

    /// A factor by its whole name. `(width)`
    pub fn ones(&mut self, name: &str, width: usize, group: ParamGroup) -> ParamId {
        self.add(name.to_owned(), vec![width], group, Init::Ones, false)
    }

    /// A matrix by its whole name. `(rows, width)`
    pub fn matrix(&mut self, name: &str, [rows, width]: [usize; 2], group: ParamGroup) -> ParamId {
        self.add(name.to_owned(), vec![rows, width], group, Init::Normal, true)
    }

    /// Writes a parameter under a further name.
    pub fn also(&mut self, id: ParamId, name: &str) {
        self.specs[id.0].also.push(name.to_owned());
    }

    /// Adds a parameter; a name that begins with `~` stands inside the encoder.
    fn add(&mut self, name: String, shape: Vec<usize>, group: ParamGroup, init: Init, decay: bool) -> ParamId {
        let (name, bare) = match name.strip_prefix('~') {
            Some(bare) => (format!("{}{bare}", self.prefix), Some(bare.to_owned())),
            None => (name, None),
        };
        let info = ParamInfo { name, shape, group, decay, trainable: true };
        self.specs.push(Spec { info, init, bare, also: Vec::new() });
        ParamId(self.specs.len() - 1)
    }
}

/// The reference's values of a map's weight before it has learned: Kaiming's uniform ones with a = √5, at most
/// 1/√input.
pub(crate) fn kaiming(stream: Stream, elements: usize, input: usize) -> Vec<f32> {
    let most = 1.0 / (input as f32).sqrt();
    (0..elements).map(|k| most * (2.0 * stream.uniform(k as u64) - 1.0)).collect()
}
