//! A pickle machine that knows tensors and containers, and runs nothing.
//!
//! The instructions are those that `torch.save` uses (protocol 2, and the few more of protocol 4).
//! Everything lives in one arena and refers to the rest by number, so that hostile nesting costs
//! no stack, and a value used twice is there once.

use super::error::PickleError;
use crate::tensors::DType;
use std::collections::HashMap;

/// Number of an object in the arena.
pub(super) type Id = usize;

/// What the pickle can make.
#[derive(Clone, Debug)]
pub(super) enum Value {
    None,
    Bool,
    Int(i64),
    Float,
    Str(String),
    Tuple(Vec<Id>),
    List(Vec<Id>),
    Dict(Vec<(Id, Id)>),
    Global(Global),
    Storage(Storage),
    Tensor(Tensor),
}

/// The only things of Python that are known by name.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Global {
    OrderedDict,
    RebuildTensor,
    RebuildParameter,
    StorageType(DType),
}

/// A run of bytes in the archive.
#[derive(Clone, Debug)]
pub(super) struct Storage {
    pub key: String,
    pub dtype: DType,
    pub elements: usize,
}

/// A view of a storage.
#[derive(Clone, Debug)]
pub(super) struct Tensor {
    pub storage: Id,
    pub offset: usize,
    pub shape: Vec<usize>,
    pub strides: Vec<usize>,
}

/// Runs a pickle; gives the arena and the number of the object it made.
pub(super) fn run(pickle: &[u8]) -> Result<(Vec<Value>, Id), PickleError> {
    let mut machine =
        Machine { input: pickle, at: 0, arena: Vec::new(), stack: Vec::new(), marks: Vec::new(), memo: HashMap::new() };
    loop {
        let begin = machine.at;
        match machine.byte()? {
            b'.' => {
                let top = machine.pop()?;
                return Ok((machine.arena, top));
            }
            code => machine.step(code, begin)?,
        }
    }
}

struct Machine<'a> {
    input: &'a [u8],
    at: usize,
    arena: Vec<Value>,
    stack: Vec<Id>,
    marks: Vec<usize>,
    memo: HashMap<usize, Id>,
}

type Done = Result<(), PickleError>;

impl Machine<'_> {
    fn step(&mut self, code: u8, begin: usize) -> Done {
        match code {
            0x80 => drop(self.take(1)?), // PROTO
            0x95 => drop(self.take(8)?), // FRAME
            b'(' => self.marks.push(self.stack.len()),
            b'N' => self.push(Value::None),
            0x88 | 0x89 => self.push(Value::Bool),
            b'K' => self.int(1)?,
            b'M' => self.int(2)?,
            b'J' => self.signed()?,
            0x8a => self.long1()?,
            b'G' => {
                self.take(8)?;
                self.push(Value::Float);
            }
            0x8c => self.string(1)?,
            b'X' => self.string(4)?,
            b')' => self.push(Value::Tuple(Vec::new())),
            0x85 => self.tuple(1)?,
            0x86 => self.tuple(2)?,
            0x87 => self.tuple(3)?,
            b't' => {
                let items = self.pop_to_mark()?;
                self.push(Value::Tuple(items));
            }
            b']' => self.push(Value::List(Vec::new())),
            b'a' => {
                let item = self.pop()?;
                self.extend_list(vec![item])?;
            }
            b'e' => {
                let items = self.pop_to_mark()?;
                self.extend_list(items)?;
            }
            b'}' => self.push(Value::Dict(Vec::new())),
            b's' => {
                let value = self.pop()?;
                let key = self.pop()?;
                self.extend_dict(vec![key, value])?;
            }
            b'u' => {
                let items = self.pop_to_mark()?;
                self.extend_dict(items)?;
            }
            b'q' => self.put(1)?,
            b'r' => self.put(4)?,
            0x94 => self.memoize(self.memo.len())?,
            b'h' => self.get(1)?,
            b'j' => self.get(4)?,
            b'c' => {
                let (module, name) = (self.line()?, self.line()?);
                self.global(&module, &name)?;
            }
            0x93 => {
                let (name, module) = (self.pop_str()?, self.pop_str()?);
                self.global(&module, &name)?;
            }
            b'Q' => self.persistent()?,
            b'R' => self.reduce()?,
            b'b' => self.build()?,
            _ => return Err(PickleError::Opcode { code, at: begin }),
        }
        Ok(())
    }

    fn bad(&self, why: &'static str) -> PickleError {
        PickleError::Malformed { at: self.at, why }
    }

    fn take(&mut self, n: usize) -> Result<&[u8], PickleError> {
        match self.input.get(self.at..).and_then(|rest| rest.get(..n)) {
            Some(bytes) => {
                self.at += n;
                Ok(bytes)
            }
            None => Err(self.bad("it ends in the middle")),
        }
    }

    fn byte(&mut self) -> Result<u8, PickleError> {
        Ok(self.take(1)?[0])
    }

    fn number(&mut self, bytes: usize) -> Result<usize, PickleError> {
        Ok(self.take(bytes)?.iter().rev().fold(0, |n, &b| n << 8 | usize::from(b)))
    }

    fn push(&mut self, value: Value) {
        self.stack.push(self.arena.len());
        self.arena.push(value);
    }

    fn pop(&mut self) -> Result<Id, PickleError> {
        if self.marks.last().is_some_and(|&m| m >= self.stack.len()) {
            return Err(self.bad("a value is taken from below a mark"));
        }
        self.stack.pop().ok_or_else(|| self.bad("a value is taken from an empty stack"))
    }

    fn pop_str(&mut self) -> Result<String, PickleError> {
        let id = self.pop()?;
        match &self.arena[id] {
            Value::Str(s) => Ok(s.clone()),
            _ => Err(self.bad("a name is no string")),
        }
    }

    fn pop_to_mark(&mut self) -> Result<Vec<Id>, PickleError> {
        let mark = self.marks.pop().ok_or_else(|| self.bad("a mark is missing"))?;
        Ok(self.stack.split_off(mark))
    }

    fn int(&mut self, bytes: usize) -> Done {
        let n = self.number(bytes)?;
        self.push(Value::Int(n as i64));
        Ok(())
    }

    fn signed(&mut self) -> Done {
        let n = self.number(4)? as u32;
        self.push(Value::Int(i64::from(n as i32)));
        Ok(())
    }

    /// A whole number of up to 8 bytes; longer ones are no size of a tensor.
    fn long1(&mut self) -> Done {
        let n = self.number(1)?;
        let bytes = self.take(n)?;
        if n > 8 {
            return Err(self.bad("a number has more than 64 bits"));
        }
        let negative = bytes.last().is_some_and(|b| b & 0x80 != 0);
        let mut wide = [if negative { 0xff } else { 0 }; 8];
        wide[..n].copy_from_slice(bytes);
        self.push(Value::Int(i64::from_le_bytes(wide)));
        Ok(())
    }

    fn string(&mut self, length_bytes: usize) -> Done {
        let n = self.number(length_bytes)?;
        let bytes = self.take(n)?.to_vec();
        let text = String::from_utf8(bytes).map_err(|_| self.bad("a string is not UTF-8"))?;
        self.push(Value::Str(text));
        Ok(())
    }

    fn line(&mut self) -> Result<String, PickleError> {
        let rest = &self.input[self.at.min(self.input.len())..];
        let n = rest.iter().position(|&b| b == b'\n').ok_or_else(|| self.bad("it ends in the middle"))?;
        let line = String::from_utf8_lossy(&rest[..n]).into_owned();
        self.at += n + 1;
        Ok(line)
    }

    fn tuple(&mut self, n: usize) -> Done {
        let mut items = Vec::with_capacity(n);
        for _ in 0..n {
            items.push(self.pop()?);
        }
        items.reverse();
        self.push(Value::Tuple(items));
        Ok(())
    }

    fn top(&self) -> Result<Id, PickleError> {
        self.stack.last().copied().ok_or_else(|| self.bad("the stack is empty"))
    }

    fn extend_list(&mut self, items: Vec<Id>) -> Done {
        let top = self.top()?;
        match &mut self.arena[top] {
            Value::List(list) => list.extend(items),
            _ => return Err(self.bad("something is appended to what is no list")),
        }
        Ok(())
    }

    fn extend_dict(&mut self, items: Vec<Id>) -> Done {
        let top = self.top()?;
        match &mut self.arena[top] {
            Value::Dict(dict) if items.len().is_multiple_of(2) => dict.extend(items.chunks(2).map(|c| (c[0], c[1]))),
            _ => return Err(self.bad("an item is set in what is no dictionary")),
        }
        Ok(())
    }

    fn put(&mut self, bytes: usize) -> Done {
        let slot = self.number(bytes)?;
        self.memoize(slot)
    }

    fn memoize(&mut self, slot: usize) -> Done {
        let top = self.top()?;
        self.memo.insert(slot, top);
        Ok(())
    }

    fn get(&mut self, bytes: usize) -> Done {
        let slot = self.number(bytes)?;
        let id = *self.memo.get(&slot).ok_or_else(|| self.bad("it refers to what was never remembered"))?;
        self.stack.push(id);
        Ok(())
    }

    fn global(&mut self, module: &str, name: &str) -> Done {
        let global = known(module, name).ok_or_else(|| PickleError::Global { name: format!("{module}.{name}") })?;
        self.push(Value::Global(global));
        Ok(())
    }

    /// `("storage", torch.FloatStorage, "0", "cpu", 12)`
    fn persistent(&mut self) -> Done {
        let id = self.pop()?;
        let Value::Tuple(parts) = &self.arena[id] else { return Err(self.bad("a persistent id is no tuple")) };
        let parts: Vec<&Value> = parts.iter().map(|&p| &self.arena[p]).collect();
        let storage = match parts.as_slice() {
            [
                Value::Str(kind),
                Value::Global(Global::StorageType(dtype)),
                Value::Str(key),
                Value::Str(_),
                Value::Int(n),
            ] if kind == "storage" && *n >= 0 => Storage { key: key.clone(), dtype: *dtype, elements: *n as usize },
            _ => return Err(self.bad("a persistent id names no storage")),
        };
        self.push(Value::Storage(storage));
        Ok(())
    }

    /// Calls one of the few things we know.
    fn reduce(&mut self) -> Done {
        let (args, callee) = (self.pop()?, self.pop()?);
        let Value::Global(global) = self.arena[callee] else { return Err(self.bad("what is called is no function")) };
        let Value::Tuple(args) = self.arena[args].clone() else { return Err(self.bad("arguments are no tuple")) };
        let made = match global {
            Global::OrderedDict if args.is_empty() => Some(Value::Dict(Vec::new())),
            Global::RebuildTensor => self.tensor(&args).map(Value::Tensor),
            Global::RebuildParameter => match args.first().map(|&a| &self.arena[a]) {
                Some(Value::Tensor(t)) => Some(Value::Tensor(t.clone())),
                _ => None,
            },
            Global::OrderedDict | Global::StorageType(_) => None,
        };
        let made = made.ok_or_else(|| PickleError::Call { name: python_name(global).into() })?;
        self.push(made);
        Ok(())
    }

    /// `(storage, offset, size, stride, requires_grad, backward_hooks)`
    fn tensor(&self, args: &[Id]) -> Option<Tensor> {
        let [storage, offset, shape, strides, ..] = *args else { return None };
        let Value::Storage(_) = self.arena[storage] else { return None };
        let shape = self.sizes(shape)?;
        let strides = self.sizes(strides)?;
        if shape.len() != strides.len() {
            return None;
        }
        Some(Tensor { storage, offset: self.size(offset)?, shape, strides })
    }

    fn size(&self, id: Id) -> Option<usize> {
        match self.arena[id] {
            Value::Int(n) => usize::try_from(n).ok(),
            _ => None,
        }
    }

    fn sizes(&self, id: Id) -> Option<Vec<usize>> {
        match &self.arena[id] {
            Value::Tuple(items) => items.iter().map(|&i| self.size(i)).collect(),
            _ => None,
        }
    }

    /// The state of a dictionary (`_metadata` of a state dict) changes no tensor and is dropped.
    fn build(&mut self) -> Done {
        self.pop()?;
        match self.arena[self.top()?] {
            Value::Dict(_) => Ok(()),
            _ => Err(self.bad("a state is given to what is no dictionary")),
        }
    }
}

/// Everything of Python that a file of weights may ask for.
fn known(module: &str, name: &str) -> Option<Global> {
    Some(match (module, name) {
        ("collections", "OrderedDict") => Global::OrderedDict,
        ("torch._utils", "_rebuild_tensor_v2") => Global::RebuildTensor,
        ("torch._utils", "_rebuild_parameter") => Global::RebuildParameter,
        ("torch", storage) => Global::StorageType(match storage {
            "DoubleStorage" => DType::F64,
            "FloatStorage" => DType::F32,
            "HalfStorage" => DType::F16,
            "BFloat16Storage" => DType::BF16,
            "LongStorage" => DType::I64,
            "IntStorage" => DType::I32,
            "ShortStorage" => DType::I16,
            "CharStorage" => DType::I8,
            "ByteStorage" => DType::U8,
            "BoolStorage" => DType::Bool,
            _ => return None,
        }),
        _ => return None,
    })
}

fn python_name(global: Global) -> &'static str {
    match global {
        Global::OrderedDict => "collections.OrderedDict",
        Global::RebuildTensor => "torch._utils._rebuild_tensor_v2",
        Global::RebuildParameter => "torch._utils._rebuild_parameter",
        Global::StorageType(_) => "torch storage",
    }
}
