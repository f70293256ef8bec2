//! The stack machine: opcodes to nodes.

use std::collections::HashMap;

use super::objects::{named, unescaped};
use super::{Node, NodeId, malformed};
use crate::formats::error::{FormatError, Limits};

pub(super) struct Machine<'a> {
    bytes: &'a [u8],
    at: usize,
    pub(super) nodes: Vec<Node>,
    /// `None` is a mark.
    stack: Vec<Option<NodeId>>,
    memo: HashMap<u64, NodeId>,
}

impl<'a> Machine<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0, nodes: Vec::new(), stack: Vec::new(), memo: HashMap::new() }
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], FormatError> {
        let end = self.at.checked_add(count).ok_or_else(|| malformed("a length overflows"))?;
        let part = self.bytes.get(self.at..end).ok_or_else(|| malformed("it ends early"))?;
        self.at = end;
        Ok(part)
    }

    fn byte(&mut self) -> Result<u8, FormatError> {
        Ok(self.take(1)?[0])
    }

    /// A little-endian number of up to eight bytes.
    fn number(&mut self, bytes: usize) -> Result<u64, FormatError> {
        Ok(self.take(bytes)?.iter().rev().fold(0, |value, &byte| value << 8 | u64::from(byte)))
    }

    fn counted(&mut self, bytes: usize) -> Result<&'a [u8], FormatError> {
        let length = self.number(bytes)?;
        self.take(usize::try_from(length).map_err(|_| malformed("a length overflows"))?)
    }

    fn line(&mut self) -> Result<&'a str, FormatError> {
        let rest = &self.bytes[self.at..];
        let end = rest.iter().position(|&byte| byte == b'\n').ok_or_else(|| malformed("it ends early"))?;
        self.at += end + 1;
        std::str::from_utf8(&rest[..end]).map_err(|_| malformed("a line that is no text"))
    }

    fn push(&mut self, node: Node) {
        self.nodes.push(node);
        self.stack.push(Some(self.nodes.len() - 1));
    }

    fn pop(&mut self) -> Result<NodeId, FormatError> {
        self.stack.pop().flatten().ok_or_else(|| malformed("a value is missing"))
    }

    fn last(&self) -> Result<NodeId, FormatError> {
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

    fn latin1(bytes: &[u8]) -> Node {
        Node::Text(bytes.iter().map(|&byte| byte as char).collect())
    }

    fn utf8(bytes: &[u8]) -> Result<Node, FormatError> {
        std::str::from_utf8(bytes)
            .map(|text| Node::Text(text.to_owned()))
            .map_err(|_| malformed("text that is not UTF-8"))
    }

    fn long(bytes: &[u8], limits: &Limits) -> Result<Node, FormatError> {
        if bytes.len() as u64 * 8 > limits.max_int_bits {
            return Err(FormatError::unsafe_input("an integer with too many bits"));
        }
        if bytes.len() > 16 {
            return Err(FormatError::value("an integer of more than 128 bits"));
        }
        let fill = if bytes.last().is_some_and(|&byte| byte >= 0x80) { 0xff } else { 0 };
        let mut all = [fill; 16];
        all[..bytes.len()].copy_from_slice(bytes);
        Ok(Node::Int(i128::from_le_bytes(all)))
    }

    pub fn run(&mut self, limits: &Limits) -> Result<NodeId, FormatError> {
        loop {
            let opcode = self.byte()?;
            match opcode {
                0x80 => {
                    let protocol = self.byte()?;
                    if protocol > 5 {
                        return Err(FormatError::value(format!("pickle protocol {protocol} is not known")));
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
                b'N' => self.push(Node::None),
                0x88 => self.push(Node::Bool(true)),
                0x89 => self.push(Node::Bool(false)),
                b'I' => {
                    let node = match self.line()? {
                        "00" => Node::Bool(false),
                        "01" => Node::Bool(true),
                        text => text.trim().parse().map(Node::Int).map_err(|_| malformed("a bad number"))?,
                    };
                    self.push(node);
                }
                b'L' => {
                    let text = self.line()?;
                    let digits = text.strip_suffix('L').unwrap_or(text);
                    let node = digits.parse().map(Node::Int).map_err(|_| malformed("a bad number"))?;
                    self.push(node);
                }
                b'F' => {
                    let node = self
                        .line()?
                        .trim()
                        .parse()
                        .map(Node::Float)
                        .map_err(|_| malformed("a bad number"))?;
                    self.push(node);
                }
                b'J' => {
                    let value = self.number(4)? as u32 as i32;
                    self.push(Node::Int(value.into()));
                }
                b'K' => {
                    let value = self.number(1)?;
                    self.push(Node::Int(value.into()));
                }
                b'M' => {
                    let value = self.number(2)?;
                    self.push(Node::Int(value.into()));
                }
                0x8a => {
                    let node = Self::long(self.counted(1)?, limits)?;
                    self.push(node);
                }
                0x8b => {
                    let node = Self::long(self.counted(4)?, limits)?;
                    self.push(node);
                }
                b'G' => {
                    let bytes: [u8; 8] = self.take(8)?.try_into().map_err(|_| malformed("it ends early"))?;
                    self.push(Node::Float(f64::from_be_bytes(bytes)));
                }
                b'T' => {
                    let node = Self::latin1(self.counted(4)?);
                    self.push(node);
                }
                b'U' => {
                    let node = Self::latin1(self.counted(1)?);
                    self.push(node);
                }
                b'X' => {
                    let node = Self::utf8(self.counted(4)?)?;
                    self.push(node);
                }
                0x8c => {
                    let node = Self::utf8(self.counted(1)?)?;
                    self.push(node);
                }
                0x8d => {
                    let node = Self::utf8(self.counted(8)?)?;
                    self.push(node);
                }
                b'B' => {
                    let node = Node::Bytes(self.counted(4)?.to_vec());
                    self.push(node);
                }
                b'C' => {
                    let node = Node::Bytes(self.counted(1)?.to_vec());
                    self.push(node);
                }
                0x8e | 0x96 => {
                    let node = Node::Bytes(self.counted(8)?.to_vec());
                    self.push(node);
                }
                b']' => self.push(Node::List(Vec::new())),
                b'}' => self.push(Node::Dict(Vec::new())),
                b')' => self.push(Node::Tuple(Vec::new())),
                0x8f => self.push(Node::Set(Vec::new())),
                b'l' => {
                    let items = self.pop_mark()?;
                    self.push(Node::List(items));
                }
                b't' => {
                    let items = self.pop_mark()?;
                    self.push(Node::Tuple(items));
                }
                0x91 => {
                    let items = self.pop_mark()?;
                    self.push(Node::Set(items));
                }
                b'd' => {
                    let items = self.pop_mark()?;
                    self.push(Node::Dict(Vec::new()));
                    self.set_items(&items)?;
                }
                0x85 => {
                    let items = self.popped::<1>()?;
                    self.push(Node::Tuple(items.to_vec()));
                }
                0x86 => {
                    let items = self.popped::<2>()?;
                    self.push(Node::Tuple(items.to_vec()));
                }
                0x87 => {
                    let items = self.popped::<3>()?;
                    self.push(Node::Tuple(items.to_vec()));
                }
                b'a' => {
                    let items = self.popped::<1>()?;
                    self.append(&items)?;
                }
                b'e' | 0x90 => {
                    let items = self.pop_mark()?;
                    self.append(&items)?;
                }
                b's' => {
                    let items = self.popped::<2>()?;
                    self.set_items(&items)?;
                }
                b'u' => {
                    let items = self.pop_mark()?;
                    self.set_items(&items)?;
                }
                b'p' => {
                    let index = self.line()?.parse().map_err(|_| malformed("a bad memo number"))?;
                    self.remember(index)?;
                }
                b'q' => {
                    let index = self.number(1)?;
                    self.remember(index)?;
                }
                b'r' => {
                    let index = self.number(4)?;
                    self.remember(index)?;
                }
                0x94 => self.remember(self.memo.len() as u64)?,
                b'g' => {
                    let index = self.line()?.parse().map_err(|_| malformed("a bad memo number"))?;
                    self.recall(index)?;
                }
                b'h' => {
                    let index = self.number(1)?;
                    self.recall(index)?;
                }
                b'j' => {
                    let index = self.number(4)?;
                    self.recall(index)?;
                }
                b'c' => {
                    let (module, name) = (self.line()?, self.line()?);
                    self.push(Node::Name(named(module, name)?));
                }
                0x93 => {
                    let [module, name] = self.popped::<2>()?;
                    let name = match (&self.nodes[module], &self.nodes[name]) {
                        (Node::Text(module), Node::Text(name)) => named(module, name)?,
                        _ => return Err(malformed("a name that is no text")),
                    };
                    self.push(Node::Name(name));
                }
                b'R' => {
                    let [name, arguments] = self.popped::<2>()?;
                    let node = self.call(name, arguments)?;
                    self.push(node);
                }
                b'b' => {
                    let [state] = self.popped::<1>()?;
                    let target = self.last()?;
                    self.build(target, state, limits)?;
                }
                b'P' | b'Q' | b'i' | b'o' | 0x81 | 0x82 | 0x83 | 0x84 | 0x92 => {
                    return Err(FormatError::unsafe_input(format!(
                        "pickle opcode {opcode:#04x} is never read"
                    )));
                }
                b'S' | b'V' => {
                    let node = self.old_text(opcode)?;
                    self.push(node);
                }
                _ => return Err(malformed("an unknown opcode")),
            }
        }
    }

    /// Text of protocol 0: quoted with escapes, or with \u escapes.
    fn old_text(&mut self, opcode: u8) -> Result<Node, FormatError> {
        let rest = &self.bytes[self.at..];
        let end = rest.iter().position(|&byte| byte == b'\n').ok_or_else(|| malformed("it ends early"))?;
        self.at += end + 1;
        let line: String = rest[..end].iter().map(|&byte| byte as char).collect();
        if opcode == b'V' {
            return unescaped(&line, false).map(Node::Text);
        }
        let quote = line.chars().next().filter(|quote| matches!(quote, '\'' | '"'));
        let body = quote
            .and_then(|quote| line.strip_prefix(quote)?.strip_suffix(quote))
            .ok_or_else(|| malformed("a bad text"))?;
        unescaped(body, true).map(Node::Text)
    }

    fn remember(&mut self, index: u64) -> Result<(), FormatError> {
        let last = self.last()?;
        self.memo.insert(index, last);
        Ok(())
    }

    fn recall(&mut self, index: u64) -> Result<(), FormatError> {
        let id = *self.memo.get(&index).ok_or_else(|| malformed("an unknown memo number"))?;
        self.stack.push(Some(id));
        Ok(())
    }

    fn append(&mut self, items: &[NodeId]) -> Result<(), FormatError> {
        let target = self.last()?;
        match &mut self.nodes[target] {
            Node::List(list) | Node::Set(list) => list.extend_from_slice(items),
            _ => return Err(malformed("an item for what is no list")),
        }
        Ok(())
    }

    fn set_items(&mut self, items: &[NodeId]) -> Result<(), FormatError> {
        let target = self.last()?;
        if !items.len().is_multiple_of(2) {
            return Err(malformed("a key without a value"));
        }
        let mut entries = match &self.nodes[target] {
            Node::Dict(entries) => entries.clone(),
            _ => return Err(malformed("an entry for what is no dict")),
        };
        for &[key, value] in items.as_chunks::<2>().0 {
            let known = match &self.nodes[key] {
                Node::Text(text) => entries
                    .iter()
                    .position(|(id, _)| matches!(&self.nodes[*id], Node::Text(other) if other == text)),
                Node::Int(number) => entries
                    .iter()
                    .position(|(id, _)| matches!(&self.nodes[*id], Node::Int(other) if other == number)),
                Node::List(_) | Node::Dict(_) | Node::Set(_) => {
                    return Err(malformed("a key that cannot be one"));
                }
                _ => None,
            };
            match known {
                Some(at) => entries[at].1 = value,
                None => entries.push((key, value)),
            }
        }
        self.nodes[target] = Node::Dict(entries);
        Ok(())
    }
}
