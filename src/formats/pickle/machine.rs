//! The stack machine: opcodes to nodes.
//! One file because the table of opcodes is one `match`, and its little readers belong to it.

use std::collections::{HashMap, HashSet};
use std::ops::Range;

use super::keys::Index;
use super::names::{Name, TorchName, named};
use super::text::{long, quoted, raw_unicode, whole};
use super::{malformed, objects};
use crate::formats::error::{FormatError, Limits};
use crate::formats::items::Element;
use crate::formats::values::{Node, NodeId, Values};

/// Byte strings longer than this stay where they are in the file until they are asked for.
const LEFT_IN_PLACE: usize = 64;

/// What stands in the table only while a pickle is read.
#[derive(Clone, Debug)]
pub enum Unfinished {
    /// A name from the list, not yet called.
    Name(Name),
    /// numpy's type: its code and the mark of its byte order.
    Type { code: String, order: char },
    /// An array that BUILD has not filled yet.
    Array,
    /// An object of that class without its state.
    Object(Name),
    /// A long byte string of the file; text where Python 2 wrote it.
    Raw { bytes: Raw, text: bool },
    /// A checkpoint's storage, or the part of one that a view is.
    Storage { index: usize, offset: usize, count: usize },
}

#[derive(Clone, Debug)]
pub enum Raw {
    InPlace(Range<usize>),
    Own(Vec<u8>),
}

/// Which names and opcodes there are beyond the common ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::formats) enum Loader {
    Plain,
    Torch,
}

/// A storage that a checkpoint's pickle names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::formats) struct StorageId {
    pub key: String,
    pub element: Element,
    /// In elements.
    pub count: usize,
}

pub(in crate::formats) struct Machine<'a> {
    bytes: &'a [u8],
    at: usize,
    pub(super) limits: &'a Limits,
    /// Bytes that arrays may still take.
    budget: u64,
    pub(super) loader: Loader,
    pub(super) nodes: Vec<Node>,
    /// `None` is a mark.
    stack: Vec<Option<NodeId>>,
    memo: HashMap<u64, NodeId>,
    pub(super) indices: HashMap<NodeId, Index>,
    /// Dicts whose attributes BUILD may give.
    pub(super) ordered: HashSet<NodeId>,
    pub(super) storages: Vec<StorageId>,
    pub(super) storage_of_key: HashMap<String, usize>,
}

impl<'a> Machine<'a> {
    pub fn new(bytes: &'a [u8], limits: &'a Limits, loader: Loader) -> Self {
        Self {
            bytes,
            at: 0,
            limits,
            budget: limits.budget(bytes.len()),
            loader,
            nodes: vec![Node::None, Node::Bool(true), Node::Bool(false)],
            stack: Vec::new(),
            memo: HashMap::new(),
            indices: HashMap::new(),
            ordered: HashSet::new(),
            storages: Vec::new(),
            storage_of_key: HashMap::new(),
        }
    }

    /// Where the next byte is read.
    pub fn position(&self) -> usize {
        self.at
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], FormatError> {
        let end = self.at.checked_add(count).ok_or_else(|| malformed("a length overflows"))?;
        let part = self.bytes.get(self.at..end).ok_or_else(|| {
            malformed(&format!("{count} bytes are promised at {}, it ends at {}", self.at, self.bytes.len()))
        })?;
        self.at = end;
        Ok(part)
    }

    fn byte(&mut self) -> Result<u8, FormatError> {
        self.take(1).map(|bytes| bytes[0])
    }

    /// A little-endian number of up to eight bytes.
    fn number(&mut self, bytes: usize) -> Result<u64, FormatError> {
        Ok(self.take(bytes)?.iter().rev().fold(0, |value, &byte| value << 8 | u64::from(byte)))
    }

    /// As many bytes as a number of `bytes` bytes says.
    fn counted(&mut self, bytes: usize) -> Result<&'a [u8], FormatError> {
        let length = self.number(bytes)?;
        self.take(usize::try_from(length).map_err(|_| malformed("a length overflows"))?)
    }

    fn raw_line(&mut self) -> Result<&'a [u8], FormatError> {
        let rest = &self.bytes[self.at..];
        let end = rest.iter().position(|&byte| byte == b'\n').ok_or_else(|| malformed("a cut line"))?;
        self.at += end + 1;
        Ok(&rest[..end])
    }

    fn line(&mut self) -> Result<&'a str, FormatError> {
        std::str::from_utf8(self.raw_line()?).map_err(|_| malformed("a line that is no text"))
    }

    fn push(&mut self, node: Node) -> Result<(), FormatError> {
        if self.nodes.len() as u64 > self.limits.max_nodes.saturating_mul(2) {
            return Err(FormatError::unsafe_input(format!("more than {} values", self.limits.max_nodes)));
        }
        self.nodes.push(node);
        self.stack.push(Some(self.nodes.len() - 1));
        Ok(())
    }

    fn pop(&mut self) -> Result<NodeId, FormatError> {
        self.stack.pop().flatten().ok_or_else(|| malformed("a value is missing"))
    }

    pub(super) fn last(&self) -> Result<NodeId, FormatError> {
        self.stack.last().copied().flatten().ok_or_else(|| malformed("a value is missing"))
    }

    fn pop_mark(&mut self) -> Result<Vec<NodeId>, FormatError> {
        let mark =
            self.stack.iter().rposition(Option::is_none).ok_or_else(|| malformed("a mark is missing"))?;
        let items = self.stack[mark + 1..].iter().flatten().copied().collect();
        self.stack.truncate(mark);
        Ok(items)
    }

    fn popped<const N: usize>(&mut self) -> Result<[NodeId; N], FormatError> {
        let mut items = [0; N];
        for item in items.iter_mut().rev() {
            *item = self.pop()?;
        }
        Ok(items)
    }

    /// The node itself, stand-ins followed.
    pub(super) fn node(&self, id: NodeId) -> &Node {
        match self.nodes.get(id) {
            Some(Node::Same(other)) => self.nodes.get(*other).unwrap_or(&Node::None),
            Some(node) => node,
            None => &Node::None,
        }
    }

    /// The bytes of a byte string, short or long, or of Python 2's text.
    pub(super) fn bytes_of(&self, id: NodeId) -> Option<std::borrow::Cow<'_, [u8]>> {
        match self.node(id) {
            Node::Bytes(bytes) => Some(bytes.into()),
            Node::Text(text) => objects::latin1_bytes(text).ok().map(Into::into),
            Node::Unfinished(Unfinished::Raw { bytes: Raw::InPlace(range), .. }) => {
                self.bytes.get(range.clone()).map(Into::into)
            }
            Node::Unfinished(Unfinished::Raw { bytes: Raw::Own(bytes), .. }) => Some(bytes.into()),
            _ => None,
        }
    }

    /// Takes `bytes` from what arrays may take.
    pub(super) fn spend(&mut self, bytes: u64) -> Result<(), FormatError> {
        if bytes > self.limits.max_array_bytes {
            return Err(FormatError::unsafe_input(format!("an array of {bytes} bytes passes the limit")));
        }
        self.budget = self.budget.checked_sub(bytes).ok_or_else(|| {
            FormatError::unsafe_input("its arrays take more memory than a file of this size may ask for")
        })?;
        Ok(())
    }

    /// A byte string of the file, or Python 2's text.
    fn push_bytes(&mut self, length: usize, text: bool) -> Result<(), FormatError> {
        let start = self.at;
        let bytes = self.take(length)?;
        self.push(if length > LEFT_IN_PLACE {
            Node::Unfinished(Unfinished::Raw { bytes: Raw::InPlace(start..start + length), text })
        } else if text {
            Node::Text(bytes.iter().map(|&byte| byte as char).collect())
        } else {
            Node::Bytes(bytes.to_vec())
        })
    }

    fn push_counted(&mut self, bytes: usize, text: bool) -> Result<(), FormatError> {
        let length = self.number(bytes)?;
        self.push_bytes(usize::try_from(length).map_err(|_| malformed("a length overflows"))?, text)
    }

    fn push_utf8(&mut self, bytes: usize) -> Result<(), FormatError> {
        let bytes = self.counted(bytes)?;
        let text = std::str::from_utf8(bytes).map_err(|_| malformed("text that is not UTF-8"))?;
        self.push(Node::Text(text.to_owned()))
    }

    pub fn run(&mut self) -> Result<NodeId, FormatError> {
        loop {
            let at = self.at;
            let opcode = self.byte()?;
            match opcode {
                0x80 => {
                    let protocol = self.byte()?;
                    if protocol > 5 {
                        return Err(FormatError::value(format!(
                            "pickle protocol {protocol}: 0 to 5 are read"
                        )));
                    }
                }
                0x95 => drop(self.take(8)?),
                b'.' => return self.pop(),
                b'(' => self.stack.push(None),
                b'0' => drop(self.stack.pop().ok_or_else(|| malformed("a value is missing"))?),
                b'1' => drop(self.pop_mark()?),
                b'2' => {
                    let last = self.last()?;
                    self.stack.push(Some(last));
                }
                b'N' => self.stack.push(Some(0)),
                0x88 => self.stack.push(Some(1)),
                0x89 => self.stack.push(Some(2)),
                b'I' => match self.line()? {
                    "00" => self.stack.push(Some(2)),
                    "01" => self.stack.push(Some(1)),
                    text => self.push(whole(text)?)?,
                },
                b'L' => {
                    let text = self.line()?;
                    self.push(whole(text.strip_suffix('L').unwrap_or(text))?)?;
                }
                b'F' => {
                    let text = self.line()?;
                    let value = text.trim().parse().map_err(|_| malformed("a bad number"))?;
                    self.push(Node::Float(value))?;
                }
                b'J' => {
                    let value = self.number(4)? as u32 as i32;
                    self.push(Node::Int(value.into()))?;
                }
                b'K' | b'M' => {
                    let value = self.number(if opcode == b'K' { 1 } else { 2 })?;
                    self.push(Node::Int(value.into()))?;
                }
                0x8a | 0x8b => {
                    let bytes = self.counted(if opcode == 0x8a { 1 } else { 4 })?;
                    self.push(long(bytes, self.limits)?)?;
                }
                b'G' => {
                    let bits = self.take(8)?.iter().fold(0, |bits, &byte| bits << 8 | u64::from(byte));
                    self.push(Node::Float(f64::from_bits(bits)))?;
                }
                b'T' => self.push_counted(4, true)?,
                b'U' => self.push_counted(1, true)?,
                b'X' => self.push_utf8(4)?,
                0x8c => self.push_utf8(1)?,
                0x8d => self.push_utf8(8)?,
                b'B' => self.push_counted(4, false)?,
                b'C' => self.push_counted(1, false)?,
                0x8e | 0x96 => self.push_counted(8, false)?,
                b'S' => {
                    let bytes = quoted(self.raw_line()?)?;
                    self.push(if bytes.len() > LEFT_IN_PLACE {
                        Node::Unfinished(Unfinished::Raw { bytes: Raw::Own(bytes), text: true })
                    } else {
                        Node::Text(bytes.iter().map(|&byte| byte as char).collect())
                    })?;
                }
                b'V' => {
                    let text = raw_unicode(self.raw_line()?)?;
                    self.push(Node::Text(text))?;
                }
                b']' => self.push(Node::List(Vec::new()))?,
                b'}' => self.push(Node::Dict(Vec::new()))?,
                b')' => self.push(Node::Tuple(Vec::new()))?,
                0x8f => self.push(Node::Set(Vec::new()))?,
                b'l' => {
                    let items = self.pop_mark()?;
                    self.push(Node::List(items))?;
                }
                b't' => {
                    let items = self.pop_mark()?;
                    self.push(Node::Tuple(items))?;
                }
                0x91 => {
                    let items = self.pop_mark()?;
                    let set = self.set_of(&items)?;
                    self.push(Node::Set(set))?;
                }
                b'd' => {
                    let items = self.pop_mark()?;
                    self.push(Node::Dict(Vec::new()))?;
                    self.set_items(&items)?;
                }
                0x85 => {
                    let items = self.popped::<1>()?;
                    self.push(Node::Tuple(items.to_vec()))?;
                }
                0x86 => {
                    let items = self.popped::<2>()?;
                    self.push(Node::Tuple(items.to_vec()))?;
                }
                0x87 => {
                    let items = self.popped::<3>()?;
                    self.push(Node::Tuple(items.to_vec()))?;
                }
                b'a' | b'e' => {
                    let items = if opcode == b'a' { vec![self.pop()?] } else { self.pop_mark()? };
                    let target = self.last()?;
                    match self.nodes.get_mut(target) {
                        Some(Node::List(list)) => list.extend_from_slice(&items),
                        _ => return Err(malformed("an item for what is no list")),
                    }
                }
                0x90 => {
                    let items = self.pop_mark()?;
                    self.add_items(&items)?;
                }
                b's' => {
                    let items = self.popped::<2>()?;
                    self.set_items(&items)?;
                }
                b'u' => {
                    let items = self.pop_mark()?;
                    self.set_items(&items)?;
                }
                b'p' | b'q' | b'r' | 0x94 => {
                    let index = match opcode {
                        b'p' => self.line()?.parse().map_err(|_| malformed("a bad memo number"))?,
                        b'q' => self.number(1)?,
                        b'r' => self.number(4)?,
                        _ => self.memo.len() as u64,
                    };
                    let last = self.last()?;
                    self.memo.insert(index, last);
                }
                b'g' | b'h' | b'j' => {
                    let index = match opcode {
                        b'g' => self.line()?.parse().map_err(|_| malformed("a bad memo number"))?,
                        b'h' => self.number(1)?,
                        _ => self.number(4)?,
                    };
                    let id = *self.memo.get(&index).ok_or_else(|| malformed("an unknown memo number"))?;
                    self.stack.push(Some(id));
                }
                b'c' => {
                    let (module, name) = (self.line()?, self.line()?);
                    let name = named(module, name, self.loader == Loader::Torch)?;
                    self.push(Node::Unfinished(Unfinished::Name(name)))?;
                }
                0x93 => {
                    let [module, name] = self.popped::<2>()?;
                    let name = match (self.node(module), self.node(name)) {
                        (Node::Text(module), Node::Text(name)) => {
                            named(module, name, self.loader == Loader::Torch)?
                        }
                        _ => return Err(malformed("a name that is no text")),
                    };
                    self.push(Node::Unfinished(Unfinished::Name(name)))?;
                }
                b'R' => {
                    let [name, arguments] = self.popped::<2>()?;
                    let node = self.call(name, arguments)?;
                    let ordered = matches!(node, objects::Made::Ordered(_));
                    self.push(node.into())?;
                    if ordered {
                        self.ordered.insert(self.last()?);
                    }
                }
                0x81 => {
                    let [class, arguments] = self.popped::<2>()?;
                    let node = self.new_object(class, arguments)?;
                    self.push(node)?;
                }
                b'b' => {
                    let [state] = self.popped::<1>()?;
                    let target = self.last()?;
                    self.build(target, state)?;
                }
                b'Q' if self.loader == Loader::Torch => {
                    let [id] = self.popped::<1>()?;
                    let node = self.storage(id)?;
                    self.push(node)?;
                }
                b'P' | b'Q' | b'i' | b'o' | 0x82 | 0x83 | 0x84 | 0x92 => {
                    return Err(FormatError::unsafe_input(format!(
                        "opcode {opcode:#04x} at byte {at} of the pickle is never read; nothing of it was run"
                    )));
                }
                0x97 | 0x98 => return Err(malformed("a buffer that is not in the file")),
                _ => return Err(malformed(&format!("unknown opcode {opcode:#04x} at byte {at}"))),
            }
        }
    }

    /// The finished value: names that are data become text, long texts are taken over, what was only met on the way
    /// is dropped.
    pub fn finish(mut self, top: NodeId) -> Result<(Values, Vec<StorageId>), FormatError> {
        let nodes = std::mem::take(&mut self.nodes);
        let mut values = Values::new(nodes, top);
        let met = values.walk(self.limits)?;
        for (id, met) in met.into_iter().enumerate() {
            if !met {
                values.set(id, Node::None);
                continue;
            }
            let Node::Unfinished(unfinished) = values.get(id).clone() else { continue };
            let node = match unfinished {
                Unfinished::Raw { bytes, text } => {
                    let bytes = match bytes {
                        Raw::InPlace(range) => self.bytes.get(range).unwrap_or_default().to_vec(),
                        Raw::Own(bytes) => bytes,
                    };
                    if text {
                        Node::Text(bytes.iter().map(|&byte| byte as char).collect())
                    } else {
                        Node::Bytes(bytes)
                    }
                }
                Unfinished::Name(Name::Torch(TorchName::Type(name))) => Node::Text(name.to_owned()),
                Unfinished::Type { code, order } => {
                    let mark = match code.as_bytes() {
                        [_, b'1'] | [b'S' | b'O', ..] => '|',
                        _ => order,
                    };
                    Node::Text(format!("{mark}{code}"))
                }
                Unfinished::Array => return Err(malformed("an array without its numbers")),
                Unfinished::Object(_) => return Err(malformed("an object without its state")),
                Unfinished::Name(_) | Unfinished::Storage { .. } => {
                    return Err(FormatError::value("a class or a bare storage where data is expected"));
                }
            };
            values.set(id, node);
        }
        Ok((values, self.storages))
    }
}
