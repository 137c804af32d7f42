//! Matrices in few bits among the tensors of a folder.

use super::scheme::{Format, Group, Inputs, Scheme, format};
use crate::load::finite;
use crate::params::{ParamGroup, Spec};
use crate::{Error, Result};
use polyseme_formats::tensors::{DType, TensorFile, TensorOut, TensorRef};
use polyseme_tensor::{Input, Quantized};
use std::collections::BTreeSet;

/// What stands beside a matrix in few bits.
const BESIDE: [&str; 5] = ["weight_packed", "weight_scale", "weight_shape", "input_scale", "input_zero_point"];

/// What a matrix's name ends in.
const WEIGHT: &str = ".weight";

/// Whether a file has a parameter of this name, in whatever form.
pub(crate) fn is_there(names: &BTreeSet<String>, name: &str) -> bool {
    names.contains(name) || name.ends_with(WEIGHT) && names.contains(&format!("{name}_packed"))
}

/// The tensors that make up a matrix in few bits.
pub(crate) fn beside(names: &BTreeSet<String>, name: &str) -> Vec<String> {
    let Some(module) = name.strip_suffix(WEIGHT) else { return Vec::new() };
    BESIDE.iter().map(|what| format!("{module}.{what}")).filter(|name| names.contains(name)).collect()
}

/// The matrix of a name, if the file holds it in few bits.
///
/// # Errors
/// No group of the configuration is for it, or a tensor that does not fit it.
pub(crate) fn read(file: &TensorFile, name: &str, spec: &Spec, scheme: &Scheme) -> Result<Option<Quantized>> {
    let (Some(module), &[rows, columns]) = (name.strip_suffix(WEIGHT), &spec.info.shape[..]) else { return Ok(None) };
    let beside = |what: &str| file.require(&format!("{module}.{what}"));
    let whole = file.get(name);
    if whole.as_ref().is_some_and(|tensor| tensor.dtype != DType::I8) {
        return Ok(None);
    }
    let class = if spec.info.group == ParamGroup::Embeddings { "Embedding" } else { "Linear" };
    let group = scheme.group(module, class).or_else(|| scheme.group(module, "Linear"));
    let Some(group) = group else {
        return Err(Error::BadKey {
            path: scheme.path.clone(),
            key: super::scheme::KEY,
            found: format!("without a group for {module}, whose weight is in few bits"),
            expected: "a group for it".into(),
        });
    };
    let codes = match whole {
        Some(tensor) => {
            tensor.expect_shape(&[rows, columns])?;
            tensor.bytes.iter().map(|&byte| byte as i8).collect()
        }
        None => unpack(&beside("weight_packed")?, rows, columns, group.bits)?,
    };
    let size = group.group.unwrap_or(columns).min(columns);
    let blocks = columns.div_ceil(size);
    let scale = beside("weight_scale")?;
    let scales = match scale.shape.iter().product::<usize>() {
        1 if rows * blocks > 1 => vec![finite(&scale, &scale.shape)?[0]; rows * blocks],
        _ => finite(&scale, &[rows, blocks])?,
    };
    let input = input(group, beside)?;
    Ok(Some(Quantized::of(rows, columns, group.bits, size, codes, scales, input)))
}

fn input<'a>(group: &Group, beside: impl Fn(&str) -> polyseme_formats::Result<TensorRef<'a>>) -> Result<Input> {
    Ok(match group.inputs {
        Inputs::Whole => Input::Whole,
        Inputs::Dynamic => Input::Dynamic,
        Inputs::Static => {
            let scale = beside("input_scale")?;
            let scale = finite(&scale, &[1])?[0];
            // Symmetric ranges have none.
            let zero = match beside("input_zero_point") {
                Err(_) => 0,
                Ok(zero) => {
                    zero.expect_shape(&[1])?;
                    zero.bytes[0] as i8
                }
            };
            Input::Static { scale, zero: (i16::from(zero) + 128) as u8 }
        }
    })
}

/// Numbers out of words of 32 bits, the first in the lowest bits, each raised by half of its range.
fn unpack(tensor: &TensorRef<'_>, rows: usize, columns: usize, bits: u32) -> Result<Vec<i8>> {
    let words = (columns * bits as usize).div_ceil(32);
    tensor.expect_shape(&[rows, words])?;
    let (in_a_word, half) = ((32 / bits) as usize, 1i32 << (bits - 1));
    let mut codes = Vec::with_capacity(rows * columns);
    for row in tensor.bytes.chunks_exact((4 * words).max(1)).take(rows) {
        let words = row.as_chunks::<4>().0;
        codes.extend((0..columns).map(|i| {
            let word = u32::from_le_bytes(words[i / in_a_word]) >> (bits as usize * (i % in_a_word));
            ((word & ((1 << bits) - 1)) as i32 - half) as i8
        }));
    }
    Ok(codes)
}

fn pack(matrix: &Quantized) -> Vec<u8> {
    let bits = matrix.bits() as usize;
    let (in_a_word, half) = (32 / bits, 1i32 << (bits - 1));
    let word = |codes: &[i8]| {
        let numbers = codes.iter().map(|&code| (i32::from(code) + half) as u32);
        numbers.enumerate().fold(0u32, |word, (i, number)| word | number << (bits * i))
    };
    let rows = matrix.codes().chunks(matrix.columns().max(1));
    rows.flat_map(|row| row.chunks(in_a_word).flat_map(|codes| word(codes).to_le_bytes())).collect()
}

/// The tensors of a matrix in few bits.
pub(crate) fn write(spec: &Spec, matrix: &Quantized, tensors: &mut Vec<TensorOut>) {
    let name = &spec.info.name;
    let module = name.strip_suffix(WEIGHT).unwrap_or(name);
    let (rows, columns) = (matrix.rows(), matrix.columns());
    let mut add = |name: String, dtype: DType, shape: Vec<usize>, bytes: Vec<u8>| {
        tensors.push(TensorOut { name, dtype, shape, bytes });
    };
    match format(matrix) {
        Format::Int => {
            let bytes = matrix.codes().iter().map(|&code| code as u8).collect();
            add(name.clone(), DType::I8, vec![rows, columns], bytes);
        }
        Format::Packed => {
            let words = (columns * matrix.bits() as usize).div_ceil(32);
            add(format!("{module}.weight_packed"), DType::I32, vec![rows, words], pack(matrix));
            let shape = [rows as i64, columns as i64].iter().flat_map(|n| n.to_le_bytes()).collect();
            add(format!("{module}.weight_shape"), DType::I64, vec![2], shape);
        }
    }
    let scales = matrix.scales().iter().flat_map(|scale| scale.to_le_bytes()).collect();
    add(format!("{module}.weight_scale"), DType::F32, vec![rows, columns.div_ceil(matrix.group())], scales);
    if let Input::Static { scale, zero } = matrix.input() {
        add(format!("{module}.input_scale"), DType::F32, vec![1], scale.to_le_bytes().to_vec());
        add(format!("{module}.input_zero_point"), DType::I8, vec![1], vec![(i16::from(zero) - 128) as i8 as u8]);
    }
}
