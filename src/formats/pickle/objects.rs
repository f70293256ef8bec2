//! Calls and states of the few names that may occur: numpy's arrays and types, sets, byte strings.

use super::machine::Machine;
use super::{Name, Node, NodeId, malformed};
use crate::formats::array::Array;
use crate::formats::error::{FormatError, Limits};
use crate::formats::items::{ItemType, decode_items};

impl Machine<'_> {
    fn tuple(&self, id: NodeId) -> Result<&[NodeId], FormatError> {
        match self.nodes.get(id) {
            Some(Node::Tuple(items)) => Ok(items),
            _ => Err(malformed("arguments that are no tuple")),
        }
    }

    pub(super) fn call(&self, name: NodeId, arguments: NodeId) -> Result<Node, FormatError> {
        let Node::Name(name) = &self.nodes[name] else {
            return Err(FormatError::unsafe_input("a call of what is no function"));
        };
        let arguments = self.tuple(arguments)?;
        let wrong = || malformed("wrong arguments");
        let node = |at: usize| arguments.get(at).map(|&id| &self.nodes[id]).ok_or_else(wrong);
        Ok(match name {
            Name::Reconstruct => Node::EmptyArray,
            Name::Dtype => match node(0)? {
                Node::Text(code) => Node::Type { code: code.clone(), big_endian: false },
                _ => return Err(wrong()),
            },
            Name::Scalar => match (node(0)?, node(1)?) {
                (Node::Type { code, big_endian }, Node::Bytes(bytes)) => {
                    Node::Array(numbers(code, *big_endian, Vec::new(), false, bytes)?)
                }
                (Node::Type { code, big_endian }, Node::Text(text)) => {
                    Node::Array(numbers(code, *big_endian, Vec::new(), false, &latin1_bytes(text)?)?)
                }
                _ => return Err(wrong()),
            },
            Name::FromBuffer => match (node(0)?, node(1)?, node(2)?, node(3)?) {
                (Node::Bytes(bytes), Node::Type { code, big_endian }, _, Node::Text(order)) => {
                    let shape = self.shape(arguments[2])?;
                    Node::Array(numbers(code, *big_endian, shape, order == "F", bytes)?)
                }
                _ => return Err(wrong()),
            },
            Name::Encode => match (node(0)?, node(1)?) {
                (Node::Text(text), Node::Text(codec)) if matches!(codec.as_str(), "latin1" | "latin-1") => {
                    Node::Bytes(latin1_bytes(text)?)
                }
                _ => return Err(FormatError::unsafe_input("an encoding other than latin-1")),
            },
            Name::OrderedDict if arguments.is_empty() => Node::Dict(Vec::new()),
            Name::Set | Name::FrozenSet => match arguments.first().map(|&id| &self.nodes[id]) {
                None => Node::Set(Vec::new()),
                Some(Node::List(items) | Node::Tuple(items)) => Node::Set(items.clone()),
                Some(_) => return Err(wrong()),
            },
            Name::ByteArray => match arguments.first().map(|&id| &self.nodes[id]) {
                None => Node::Bytes(Vec::new()),
                Some(Node::Bytes(bytes)) => Node::Bytes(bytes.clone()),
                Some(Node::Text(text)) => Node::Bytes(latin1_bytes(text)?),
                Some(_) => return Err(wrong()),
            },
            Name::OrderedDict => return Err(wrong()),
            Name::Ndarray | Name::Argument => {
                return Err(FormatError::unsafe_input("a call of a class that is never called"));
            }
        })
    }

    fn shape(&self, id: NodeId) -> Result<Vec<usize>, FormatError> {
        let size = |id: &NodeId| match &self.nodes[*id] {
            Node::Int(value) => usize::try_from(*value).map_err(|_| malformed("a bad shape")),
            _ => Err(malformed("a bad shape")),
        };
        match &self.nodes[id] {
            Node::Tuple(items) if items.len() <= 64 => items.iter().map(size).collect(),
            _ => Err(malformed("a bad shape")),
        }
    }

    pub(super) fn build(
        &mut self,
        target: NodeId,
        state: NodeId,
        limits: &Limits,
    ) -> Result<(), FormatError> {
        let node = match &self.nodes[target] {
            Node::EmptyArray => self.built_array(state, limits)?,
            Node::Type { code, .. } => {
                let state = self.tuple(state)?;
                let order = state.get(1).map(|&id| &self.nodes[id]);
                let structured =
                    (2..5).any(|at| state.get(at).is_none_or(|&id| !matches!(self.nodes[id], Node::None)));
                let Some(Node::Text(order)) = order else { return Err(malformed("a bad type")) };
                if structured {
                    return Err(FormatError::value("structured arrays are not read"));
                }
                Node::Type { code: code.clone(), big_endian: order == ">" }
            }
            // Attributes of an OrderedDict are dropped.
            Node::Dict(entries) => Node::Dict(entries.clone()),
            _ => return Err(FormatError::unsafe_input("state for an object that has none")),
        };
        self.nodes[target] = node;
        Ok(())
    }

    fn built_array(&self, state: NodeId, limits: &Limits) -> Result<Node, FormatError> {
        let state = self.tuple(state)?;
        // A version stands first in all but the oldest.
        let rest = if state.len() == 5 { &state[1..] } else { state };
        let &[shape, kind, fortran, data] = rest else { return Err(malformed("a bad array")) };
        let shape = self.shape(shape)?;
        let Node::Type { code, big_endian } = &self.nodes[kind] else { return Err(malformed("a bad array")) };
        let fortran = matches!(self.nodes[fortran], Node::Bool(true) | Node::Int(1));
        if let Node::List(items) = &self.nodes[data] {
            let count = shape.iter().try_fold(1usize, |product, &size| product.checked_mul(size));
            if !code.starts_with('O') || count != Some(items.len()) {
                return Err(malformed("an object array of another size"));
            }
            if fortran && shape.len() > 1 {
                return Err(FormatError::value("an object array in column-major order"));
            }
            return Ok(Node::Objects { shape, items: items.clone() });
        }
        let owned;
        let bytes = match &self.nodes[data] {
            Node::Bytes(bytes) => bytes,
            Node::Text(text) => {
                owned = latin1_bytes(text)?;
                &owned
            }
            _ => return Err(malformed("an array without data")),
        };
        if bytes.len() as u64 > limits.max_array_bytes {
            return Err(FormatError::unsafe_input("an array passes the limit"));
        }
        numbers(code, *big_endian, shape, fortran, bytes).map(Node::Array)
    }
}

/// An array from its raw bytes, whose number must be exact.
fn numbers(
    code: &str,
    big_endian: bool,
    shape: Vec<usize>,
    fortran: bool,
    bytes: &[u8],
) -> Result<Array, FormatError> {
    let item = ItemType::of_code(code, big_endian)?;
    let count = shape
        .iter()
        .try_fold(1usize, |product, &size| product.checked_mul(size))
        .ok_or_else(|| malformed("a shape overflows"))?;
    if count.checked_mul(item.size) != Some(bytes.len()) {
        return Err(malformed("array data of another length"));
    }
    let data = decode_items(bytes, item, count)?;
    let data = if fortran { data.reordered_from_columns(&shape) } else { data };
    Ok(Array { shape, data })
}

fn latin1_bytes(text: &str) -> Result<Vec<u8>, FormatError> {
    text.chars()
        .map(|letter| u8::try_from(u32::from(letter)).map_err(|_| malformed("text that is not latin-1")))
        .collect()
}

pub(super) fn named(module: &str, name: &str) -> Result<Name, FormatError> {
    let multiarray = matches!(module, "numpy.core.multiarray" | "numpy._core.multiarray");
    let numeric = matches!(module, "numpy.core.numeric" | "numpy._core.numeric");
    let builtin = matches!(module, "builtins" | "__builtin__");
    Ok(match name {
        "_reconstruct" if multiarray => Name::Reconstruct,
        "scalar" if multiarray => Name::Scalar,
        "_frombuffer" if numeric => Name::FromBuffer,
        "ndarray" if module == "numpy" => Name::Ndarray,
        "dtype" if module == "numpy" => Name::Dtype,
        "encode" if module == "_codecs" => Name::Encode,
        "OrderedDict" if module == "collections" => Name::OrderedDict,
        "set" if builtin => Name::Set,
        "frozenset" if builtin => Name::FrozenSet,
        "bytearray" if builtin => Name::ByteArray,
        "object" | "list" | "dict" | "int" | "float" if builtin => Name::Argument,
        _ => {
            return Err(FormatError::unsafe_input(format!(
                "the pickle names `{module}.{name}`, which is never read"
            )));
        }
    })
}

/// Python's escapes; unknown ones stay as they are.
pub(super) fn unescaped(text: &str, quoted: bool) -> Result<String, FormatError> {
    let bad = || malformed("a bad escape");
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        let kind = rest.chars().next().ok_or_else(bad)?;
        let after = &rest[kind.len_utf8()..];
        let hex = |digits: usize| -> Result<(char, &str), FormatError> {
            let (number, rest) = after.split_at_checked(digits).ok_or_else(bad)?;
            let value = u32::from_str_radix(number, 16).map_err(|_| bad())?;
            Ok((char::from_u32(value).ok_or_else(bad)?, rest))
        };
        let (letter, next) = match kind {
            'u' if !quoted => hex(4)?,
            'U' if !quoted => hex(8)?,
            'x' if quoted => hex(2)?,
            '\\' | '\'' | '"' if quoted => (kind, after),
            'n' if quoted => ('\n', after),
            'r' if quoted => ('\r', after),
            't' if quoted => ('\t', after),
            _ => {
                out.push('\\');
                (kind, after)
            }
        };
        out.push(letter);
        rest = next;
    }
    out.push_str(rest);
    Ok(out)
}
