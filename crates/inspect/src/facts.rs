//! What is in a model folder, without reading its tensors; and how far two models are from each other.

use crate::{Error, Result};
use polyseme_formats::ModelFolder;
use polyseme_infer::head_name;
use polyseme_models::{HeadKind, Held, HeldTensor, Look, Model, ParamGroup, ParamInfo};
use polyseme_tensor::{Stream, device};
use polyseme_text::Tokenizer;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Tokens of the text that multiplications are counted for.
pub const LENGTH: usize = 128;

/// What is in a folder.
#[derive(Clone, Debug, Serialize)]
pub struct Facts {
    /// The folder.
    pub folder: PathBuf,
    /// `model_type` of its family.
    pub family: &'static str,
    /// Its head, in words.
    pub head: &'static str,
    /// Labels of the head.
    pub labels: Vec<String>,
    /// Sizes by the names Hugging Face has for them.
    pub sizes: BTreeMap<&'static str, usize>,
    /// Embeddings, layers, head.
    pub parts: Vec<Part>,
    /// Numbers that are learned; tied ones once.
    pub parameters: usize,
    /// Bytes of tensors on disk.
    pub bytes: usize,
    /// Tensors that are one and the same.
    pub tied: Option<[String; 2]>,
    /// Whether it is an adapter, whose base lies elsewhere.
    pub is_adapter: bool,
    /// Tensors that are no part of the model.
    pub unused: Vec<String>,
    /// Bytes of weights in memory: matrices in few bits stay so, all else is f32.
    pub memory_bytes: usize,
    /// Multiply-adds for a token of a text of [`LENGTH`] tokens, the head's left out.
    pub multiply_adds_per_token: usize,
    /// Of the head, where it looks at each token.
    pub head_multiply_adds: usize,
    /// Its tokenizer.
    pub tokenizer: TokenizerFacts,
}

/// A part of a model.
#[derive(Clone, Debug, Serialize)]
pub struct Part {
    /// `embeddings`, `layer 1`, …, `head`.
    pub name: String,
    /// Numbers in it.
    pub parameters: usize,
    /// Bytes on disk.
    pub bytes: usize,
    /// Its tensors.
    pub tensors: Vec<TensorFacts>,
}

/// A tensor.
#[derive(Clone, Debug, Serialize)]
pub struct TensorFacts {
    /// Its name in the file.
    pub name: String,
    /// Its type there.
    pub dtype: &'static str,
    /// Its dimensions.
    pub shape: Vec<usize>,
    /// Bytes on disk.
    pub bytes: usize,
}

/// A tokenizer.
#[derive(Clone, Debug, Serialize)]
pub struct TokenizerFacts {
    /// WordPiece, BPE, Unigram, …: what `tokenizer.json` says.
    pub kind: String,
    /// Pieces.
    pub pieces: usize,
    /// Longest input it names.
    pub max_length: Option<usize>,
    /// Pieces with a meaning of their own, by it.
    pub special: BTreeMap<&'static str, String>,
    /// Hash of its files.
    pub hash: String,
}

/// Looks into a folder.
///
/// # Errors
/// No model folder, or one with something wrong in what was looked at.
pub fn facts(path: &Path) -> Result<Facts> {
    let folder = ModelFolder::open(path)?;
    let look = Look::at(&folder)?;
    let tokenizer = Tokenizer::open(&folder.path)?;
    let config = &look.config;
    let mut parts: Vec<(ParamGroup, Part)> = Vec::new();
    for held in &look.parameters {
        let group = held.info.group;
        if parts.iter().all(|(known, _)| *known != group) {
            parts.push((group, Part { name: name(group), parameters: 0, bytes: 0, tensors: Vec::new() }));
        }
        let part = parts.iter_mut().find(|(known, _)| *known == group).map(|(_, part)| part).expect("added");
        part.parameters += held.info.elements();
        part.bytes += held.tensors.iter().map(|t| t.bytes).sum::<usize>();
        part.tensors.extend(held.tensors.iter().map(tensor));
    }
    let sizes = [
        ("vocab_size", config.vocab_size),
        ("embedding_size", config.embedding_size),
        ("hidden_size", config.hidden_size),
        ("num_hidden_layers", config.num_hidden_layers),
        ("num_attention_heads", config.layer_size(0).num_attention_heads),
        ("intermediate_size", config.layer_size(0).intermediate_size),
        ("max_length", config.max_length()),
    ];
    let parts: Vec<Part> = parts.into_iter().map(|(_, part)| part).collect();
    Ok(Facts {
        folder: path.to_owned(),
        family: look.family.model_type(),
        head: head_name(&look.head),
        labels: look.head.labels().unwrap_or_default().to_vec(),
        sizes: sizes.into(),
        parameters: parts.iter().map(|p| p.parameters).sum(),
        bytes: parts.iter().map(|p| p.bytes).sum(),
        memory_bytes: look.parameters.iter().map(in_memory).sum(),
        multiply_adds_per_token: multiply_adds(&look),
        head_multiply_adds: of_head(&look),
        parts,
        tied: look.tied,
        is_adapter: look.is_adapter,
        unused: look.unused,
        tokenizer: tokenizer_facts(&tokenizer, &folder.path)?,
    })
}

/// What a part is called.
fn name(group: ParamGroup) -> String {
    match group {
        ParamGroup::Embeddings => "embeddings".to_owned(),
        ParamGroup::Layer(index) => format!("layer {}", index + 1),
        ParamGroup::Head => "head".to_owned(),
    }
}

fn tensor(held: &HeldTensor) -> TensorFacts {
    TensorFacts { name: held.name.clone(), dtype: held.dtype, shape: held.shape.clone(), bytes: held.bytes }
}

/// Half precision becomes f32; few bits stay what they are.
fn in_memory(held: &Held) -> usize {
    match &held.tensors[..] {
        [_, _, ..] => held.tensors.iter().map(|t| t.bytes).sum(),
        _ => 4 * held.info.elements(),
    }
}

/// Products of matrices once a token, and of attention: a query with the keys it sees, its weights with their values.
fn multiply_adds(look: &Look) -> usize {
    let config = &look.config;
    // Layers that share weights each compute with them.
    let uses = |group: ParamGroup| match group {
        ParamGroup::Layer(last) => {
            (0..config.num_hidden_layers).filter(|&l| config.own_layer(l) == config.own_layer(last)).count()
        }
        ParamGroup::Embeddings => 1,
        ParamGroup::Head => 0,
    };
    // A table is looked up; a map behind it, from narrow embeddings to the layers, is not.
    let narrow = config.embedding_size != config.hidden_size;
    let is_map = |info: &ParamInfo| {
        info.group != ParamGroup::Embeddings || narrow && info.elements() == config.embedding_size * config.hidden_size
    };
    let matrices = look.parameters.iter().filter(|held| held.info.shape.len() == 2 && is_map(&held.info));
    let maps: usize = matrices.map(|held| held.info.elements() * uses(held.info.group)).sum();
    let attention = |layer: usize| {
        let seen = config.variant.window(layer).map_or(LENGTH, |w| (2 * w + 1).min(LENGTH));
        2 * seen * config.layer_size(layer).num_attention_heads * config.head_size()
    };
    maps + (0..config.num_hidden_layers).map(attention).sum::<usize>()
}

fn of_head(look: &Look) -> usize {
    if !look.head.is_over_vocabulary() && !matches!(look.head, HeadKind::Tag(_) | HeadKind::Answer) {
        return 0;
    }
    let own = look.parameters.iter().filter(|h| h.info.group == ParamGroup::Head && h.info.shape.len() == 2);
    let tied = if look.tied.is_some() { look.config.vocab_size * look.config.embedding_size } else { 0 };
    own.map(|h| h.info.elements()).sum::<usize>() + tied
}

fn tokenizer_facts(tokenizer: &Tokenizer, folder: &Path) -> Result<TokenizerFacts> {
    let text = std::fs::read_to_string(folder.join("tokenizer.json")).unwrap_or_default();
    #[derive(serde::Deserialize)]
    struct File {
        model: Kind,
    }
    #[derive(serde::Deserialize)]
    struct Kind {
        #[serde(rename = "type")]
        kind: Option<String>,
    }
    let kind = serde_json::from_str::<File>(&text).ok().and_then(|file| file.model.kind);
    let special = tokenizer.special();
    let named = [
        ("padding", Some(special.pad)),
        ("unknown", special.unk),
        ("first", Some(special.cls)),
        ("separator", Some(special.sep)),
        ("mask", special.mask),
    ];
    let name = |(what, id): (&'static str, Option<u32>)| Some((what, tokenizer.token(id?)?));
    Ok(TokenizerFacts {
        kind: kind.unwrap_or_else(|| "WordPiece".to_owned()),
        pieces: tokenizer.vocab_size(),
        max_length: tokenizer.model_max_length(),
        special: named.into_iter().filter_map(name).collect(),
        hash: tokenizer.hash(),
    })
}

/// How far a model is from another one.
#[derive(Clone, Debug, Serialize)]
pub struct Difference {
    /// The one it is compared with.
    pub other: PathBuf,
    /// Embeddings, layers, head.
    pub parts: Vec<Moved>,
    /// Each parameter that both have.
    pub parameters: Vec<Moved>,
    /// Parameters of one of the two only, or of other sizes.
    pub apart: Vec<String>,
}

/// How far a part, or a parameter, has moved.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Moved {
    /// Its name.
    pub name: String,
    /// Length of the difference, as a share of the length of the other's.
    pub relative: f64,
    /// Cosine of both.
    pub cosine: f64,
    /// Greatest difference of a number.
    pub greatest: f64,
}

/// Squares and products, of which the rest is made.
#[derive(Clone, Copy, Default)]
struct Sums {
    own: f64,
    other: f64,
    both: f64,
    apart: f64,
    greatest: f64,
}

impl Sums {
    fn add(&mut self, own: &[f32], other: &[f32]) {
        for (&a, &b) in own.iter().zip(other) {
            let (a, b) = (f64::from(a), f64::from(b));
            self.own += a * a;
            self.other += b * b;
            self.both += a * b;
            self.apart += (a - b) * (a - b);
            self.greatest = self.greatest.max((a - b).abs());
        }
    }

    fn moved(self, name: String) -> Moved {
        let share = |part: f64, of: f64| if of > 0.0 { part / of } else { 0.0 };
        Moved {
            name,
            relative: share(self.apart.sqrt(), self.other.sqrt()),
            cosine: if self.apart == 0.0 { 1.0 } else { share(self.both, (self.own * self.other).sqrt()) },
            greatest: self.greatest,
        }
    }
}

/// How far the model of a folder is from that of another one.
///
/// # Errors
/// Folders that cannot be opened, and models of other families or widths.
pub fn difference(path: &Path, other: &Path) -> Result<Difference> {
    let cpu = device::parse("cpu").map_err(polyseme_infer::Error::from)?;
    let open = |path: &Path| -> Result<Model> {
        Ok(Model::open(&ModelFolder::open(path)?, HeadKind::AsFound, Stream::new(0), &cpu)?.0)
    };
    let (one, before) = (open(path)?, open(other)?);
    let what = |model: &Model| (model.family().model_type(), model.config().hidden_size);
    if what(&one) != what(&before) {
        let [found, expected] = [&one, &before].map(|m| format!("a {} of width {}", what(m).0, what(m).1));
        return Err(Error::OtherModel { path: path.to_owned(), found, other: other.to_owned(), expected });
    }
    // An encoder alone leaves out what its names begin with beside a head.
    let prefix = one.family().prefix();
    let bare = |name: &str| name.strip_prefix(prefix).unwrap_or(name).to_owned();
    let theirs: BTreeMap<String, ParamInfo> =
        before.parameters().into_iter().map(|info| (bare(&info.name), info)).collect();
    let mut apart: Vec<String> = Vec::new();
    let mut parts: Vec<(ParamGroup, Sums)> = Vec::new();
    let mut parameters = Vec::new();
    let ours = one.parameters();
    for info in &ours {
        let Some(other) = theirs.get(&bare(&info.name)).filter(|other| other.shape == info.shape) else {
            apart.push(info.name.clone());
            continue;
        };
        let mut sums = Sums::default();
        let (a, b) = (one.values(&info.name), before.values(&other.name));
        sums.add(&a, &b);
        parameters.push(sums.moved(info.name.clone()));
        match parts.iter_mut().find(|(group, _)| *group == info.group) {
            Some((_, part)) => part.add(&a, &b),
            None => parts.push((info.group, sums)),
        }
    }
    let own: BTreeSet<String> = ours.iter().map(|info| bare(&info.name)).collect();
    apart.extend(theirs.into_iter().filter(|(name, _)| !own.contains(name)).map(|(_, info)| info.name));
    let parts = parts.into_iter().map(|(group, sums)| sums.moved(name(group))).collect();
    Ok(Difference { other: other.to_owned(), parts, parameters, apart })
}
