//! `quantization_config` of a `config.json`: which matrices are in few bits, and how.

use crate::params::Params;
use crate::{Error, Result};
use polyseme_formats::ConfigJson;
use polyseme_tensor::{Input, Quantized};
use serde_json::{Map, Value, json};
use std::path::PathBuf;

/// The key.
pub(crate) const KEY: &str = "quantization_config";

/// How inputs of a group's matrices are rounded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Inputs {
    Whole,
    Dynamic,
    Static,
}

/// Matrices that are alike.
#[derive(Debug)]
pub(crate) struct Group {
    targets: Vec<Target>,
    pub bits: u32,
    /// Columns that share a scale; `None`: all of a row.
    pub group: Option<usize>,
    pub inputs: Inputs,
}

/// Which modules a group is for.
#[derive(Debug)]
enum Target {
    /// By name, or by class.
    Name(String),
    /// Those whose names begin so.
    Pattern(regex::Regex),
}

/// All of it.
#[derive(Debug)]
pub(crate) struct Scheme {
    pub path: PathBuf,
    groups: Vec<Group>,
    ignore: Vec<Target>,
}

impl Scheme {
    /// What `config.json` says; `None` where it says nothing.
    ///
    /// # Errors
    /// A method that is not ours, or a form that we cannot compute.
    pub fn read(json: &mut ConfigJson) -> Result<Option<Self>> {
        let path = json.path.clone();
        let Some(value) = json.take(KEY).filter(|value| !value.is_null()) else { return Ok(None) };
        let bad = |found: String, expected: &str| Error::BadKey {
            path: path.clone(),
            key: KEY,
            found: found.chars().take(200).collect(),
            expected: expected.into(),
        };
        let method = value.get("quant_method").unwrap_or(&Value::Null);
        if method.as_str() != Some("compressed-tensors") {
            return Err(bad(format!("of the method {method}"), "`quant_method` `compressed-tensors`"));
        }
        let targets = |value: Option<&Value>| -> Result<Vec<Target>> {
            let list = match value {
                None | Some(Value::Null) => Some(Vec::new()),
                Some(value) => value.as_array().map(|list| list.iter().map(Value::as_str).collect()),
            };
            let list = list.and_then(|list: Vec<Option<&str>>| list.into_iter().collect::<Option<Vec<&str>>>());
            let list = list.ok_or_else(|| bad(format!("with {value:?}"), "lists of names"))?;
            list.into_iter()
                .map(|name| match name.strip_prefix("re:") {
                    None => Ok(Target::Name(name.to_owned())),
                    Some(pattern) => regex::Regex::new(&format!("^(?:{pattern})"))
                        .map(Target::Pattern)
                        .map_err(|_| bad(format!("with `{name}`"), "regular expressions without look-around")),
                })
                .collect()
        };
        let Some(found) = value.get("config_groups").and_then(Value::as_object) else {
            return Err(bad("without `config_groups`".into(), "an object with groups of matrices"));
        };
        let mut groups = Vec::with_capacity(found.len());
        for (name, group) in found {
            let of = |what: &str| bad(format!("with {name}: {what}"), SUPPORTED);
            let weights = group.get("weights").filter(|weights| !weights.is_null());
            let weights = weights.ok_or_else(|| of("no `weights`"))?;
            let (bits, columns) = weights_of(weights).ok_or_else(|| of(&format!("weights {weights}")))?;
            if group.get("output_activations").is_some_and(|found| !found.is_null()) {
                return Err(of("rounded outputs"));
            }
            let inputs = match group.get("input_activations").filter(|found| !found.is_null()) {
                None => Inputs::Whole,
                Some(found) => inputs_of(found).ok_or_else(|| of(&format!("inputs {found}")))?,
            };
            groups.push(Group { targets: targets(group.get("targets"))?, bits, group: columns, inputs });
        }
        let ignore = targets(value.get("ignore"))?;
        Ok(Some(Self { path, groups, ignore }))
    }

    /// The group a module of a class belongs to: by its name first, then by a pattern, then by its class.
    pub fn group(&self, module: &str, class: &str) -> Option<&Group> {
        let named = |target: &Target| matches!(target, Target::Name(name) if name == module);
        let like = |target: &Target| matches!(target, Target::Pattern(pattern) if pattern.is_match(module));
        let of_class = |target: &Target| matches!(target, Target::Name(name) if name == class);
        if self.ignore.iter().any(|target| named(target) || like(target) || of_class(target)) {
            return None;
        }
        let find = |is: &dyn Fn(&Target) -> bool| self.groups.iter().find(|group| group.targets.iter().any(is));
        find(&named).or_else(|| find(&like)).or_else(|| find(&of_class))
    }
}

/// Said where something else is asked for.
const SUPPORTED: &str = "symmetric whole numbers of 4 or 8 bits with a scale for each row, block or matrix, and \
                         inputs that are whole, or of 8 bits, rounded token by token or by a range for all";

/// Bits and columns that share a scale.
fn weights_of(args: &Value) -> Option<(u32, Option<usize>)> {
    let bits = args.get("num_bits").and_then(Value::as_u64).unwrap_or(8);
    let whole = args.get("type").is_none_or(|kind| kind == "int");
    let symmetric = args.get("symmetric").is_none_or(|symmetric| symmetric == true);
    if !whole || !symmetric || !matches!(bits, 4 | 8) {
        return None;
    }
    let group = args.get("group_size").and_then(Value::as_u64).filter(|&size| size > 0);
    let group = match args.get("strategy").and_then(Value::as_str).unwrap_or("tensor") {
        "channel" | "tensor" => None,
        "group" => Some(usize::try_from(group?).ok()?),
        _ => return None,
    };
    Some((bits as u32, group))
}

fn inputs_of(args: &Value) -> Option<Inputs> {
    let bits = args.get("num_bits").and_then(Value::as_u64).unwrap_or(8);
    let whole = args.get("type").is_none_or(|kind| kind == "int");
    let dynamic = args.get("dynamic").is_some_and(|dynamic| dynamic == true);
    match (bits == 8 && whole, dynamic, args.get("strategy").and_then(Value::as_str).unwrap_or("tensor")) {
        (true, true, _) => Some(Inputs::Dynamic),
        (true, false, "tensor") => Some(Inputs::Static),
        _ => None,
    }
}

/// How a matrix is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// A byte a number, a scale a row.
    Int,
    /// As many numbers as fit in 32 bits, a scale a block.
    Packed,
}

impl Format {
    fn name(self) -> &'static str {
        match self {
            Self::Int => "int-quantized",
            Self::Packed => "pack-quantized",
        }
    }
}

/// The form in which a matrix is written.
pub(crate) fn format(matrix: &Quantized) -> Format {
    if matrix.bits() == 8 && matrix.group() == matrix.columns() { Format::Int } else { Format::Packed }
}

/// A group that is written.
struct Written {
    /// What its matrices have in common: bits, columns that share a scale, the kind of inputs.
    alike: (u32, Option<usize>, Inputs),
    format: Format,
    modules: Vec<String>,
}

impl Written {
    fn json(self) -> Value {
        let (bits, group, inputs) = self.alike;
        json!({
            "targets": self.modules,
            "weights": {
                "num_bits": bits,
                "type": "int",
                "symmetric": true,
                "strategy": if group.is_some() { "group" } else { "channel" },
                "group_size": group,
                "dynamic": false,
            },
            "input_activations": match inputs {
                Inputs::Whole => Value::Null,
                Inputs::Dynamic => input_args("token", true),
                Inputs::Static => input_args("tensor", false),
            },
            "output_activations": null,
            "format": self.format.name(),
        })
    }
}

/// The key's value for what of `params` is in few bits; `None` where nothing is. Groups stand in the order of their
/// first matrices.
pub(crate) fn write(params: &Params) -> Option<Value> {
    let mut groups: Vec<Written> = Vec::new();
    for (id, spec) in params.numbered_specs() {
        let Some(few) = params.few(id) else { continue };
        let matrix = few.matrix();
        let format = format(matrix);
        let group = (matrix.group() < matrix.columns()).then(|| matrix.group());
        let inputs = match matrix.input() {
            Input::Whole => Inputs::Whole,
            Input::Dynamic => Inputs::Dynamic,
            Input::Static { .. } => Inputs::Static,
        };
        let name = &spec.info.name;
        let module = name.strip_suffix(".weight").unwrap_or(name).to_owned();
        let alike = (matrix.bits(), group, inputs);
        match groups.iter_mut().find(|known| known.alike == alike) {
            Some(known) => known.modules.push(module),
            None => groups.push(Written { alike, format, modules: vec![module] }),
        }
    }
    let first = groups.first()?.format;
    let alike = groups.iter().all(|group| group.format == first);
    let numbered = groups.into_iter().enumerate();
    let config_groups: Map<String, Value> =
        numbered.map(|(number, group)| (format!("group_{number}"), group.json())).collect();
    Some(json!({
        "quant_method": "compressed-tensors",
        "quantization_status": "compressed",
        "format": if alike { first.name() } else { "mixed-precision" },
        "config_groups": config_groups,
        "ignore": [],
        "kv_cache_scheme": null,
        "global_compression_ratio": null,
    }))
}

fn input_args(strategy: &str, dynamic: bool) -> Value {
    json!({"num_bits": 8, "type": "int", "symmetric": false, "strategy": strategy, "dynamic": dynamic})
}
