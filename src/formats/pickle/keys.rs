//! Keys of dicts and members of sets: which are equal, and which cannot be keys.

use std::collections::HashMap;

use super::machine::{Machine, Unfinished};
use super::{FormatError, malformed};
use crate::formats::values::{Node, NodeId};

/// Nodes of one key that are compared; keys beyond are taken as different from all others.
const LONGEST_KEY: usize = 1000;

/// Where in its dict or set a key stands.
#[derive(Debug, Default)]
pub(super) struct Index {
    places: HashMap<Vec<u8>, usize>,
}

impl Machine<'_> {
    /// Sets entries of the dict on top of the stack; `items` are keys and values in turn.
    pub(super) fn set_items(&mut self, items: &[NodeId]) -> Result<(), FormatError> {
        let target = self.last()?;
        if !matches!(self.node(target), Node::Dict(_)) {
            return Err(malformed("an entry for what is no dict"));
        }
        let (pairs, rest) = items.as_chunks::<2>();
        if !rest.is_empty() {
            return Err(malformed("a key without a value"));
        }
        self.index(target)?;
        for &[key, value] in pairs {
            let bytes = self.key(key)?;
            let index = self.indices.entry(target).or_default();
            let Some(Node::Dict(entries)) = self.nodes.get_mut(target) else { continue };
            let place = *index.places.entry(bytes).or_insert(entries.len());
            match entries.get_mut(place) {
                Some(entry) => entry.1 = value,
                None => entries.push((key, value)),
            }
        }
        Ok(())
    }

    /// Items of a set, each once.
    pub(super) fn set_of(&self, items: &[NodeId]) -> Result<Vec<NodeId>, FormatError> {
        let mut known = HashMap::new();
        let mut out = Vec::new();
        for &item in items {
            if known.insert(self.key(item)?, ()).is_none() {
                out.push(item);
            }
        }
        Ok(out)
    }

    /// Adds items to the set on top of the stack.
    pub(super) fn add_items(&mut self, items: &[NodeId]) -> Result<(), FormatError> {
        let target = self.last()?;
        if !matches!(self.node(target), Node::Set(_)) {
            return Err(malformed("an item for what is no set"));
        }
        self.index(target)?;
        for &item in items {
            let bytes = self.key(item)?;
            let index = self.indices.entry(target).or_default();
            let Some(Node::Set(members)) = self.nodes.get_mut(target) else { continue };
            let place = *index.places.entry(bytes).or_insert(members.len());
            if place == members.len() {
                members.push(item);
            }
        }
        Ok(())
    }

    /// Makes the index of a dict or set that has keys from its call.
    fn index(&mut self, target: NodeId) -> Result<(), FormatError> {
        if self.indices.contains_key(&target) {
            return Ok(());
        }
        let known: Vec<NodeId> = match self.node(target) {
            Node::Dict(entries) => entries.iter().map(|&(key, _)| key).collect(),
            Node::Set(members) => members.clone(),
            _ => Vec::new(),
        };
        let mut index = Index::default();
        for (at, key) in known.into_iter().enumerate() {
            index.places.insert(self.key(key)?, at);
        }
        self.indices.insert(target, index);
        Ok(())
    }

    /// Bytes that are equal where Python's keys are.
    fn key(&self, id: NodeId) -> Result<Vec<u8>, FormatError> {
        let mut out = Vec::new();
        let mut left = vec![id];
        let mut met = 0;
        while let Some(id) = left.pop() {
            met += 1;
            if met > LONGEST_KEY {
                out.extend_from_slice(b"?");
                out.extend_from_slice(&id.to_le_bytes());
                break;
            }
            // 1, 1.0 and True are one key.
            let number = |out: &mut Vec<u8>, value: i128| {
                out.push(b'i');
                out.extend_from_slice(&value.to_le_bytes());
            };
            match self.node(id) {
                Node::None => out.push(b'n'),
                Node::Bool(value) => number(&mut out, i128::from(*value)),
                Node::Int(value) => number(&mut out, *value),
                Node::Float(value) if value.fract() == 0.0 && value.abs() < 1e15 => {
                    number(&mut out, *value as i128);
                }
                Node::Float(value) => {
                    out.push(b'f');
                    out.extend_from_slice(&value.to_bits().to_le_bytes());
                }
                Node::BigInt(digits) => {
                    out.push(b'I');
                    out.extend_from_slice(digits.as_bytes());
                    out.push(0);
                }
                Node::Text(text) => {
                    out.push(b's');
                    out.extend_from_slice(&text.len().to_le_bytes());
                    out.extend_from_slice(text.as_bytes());
                }
                Node::Bytes(bytes) => {
                    out.push(b'b');
                    out.extend_from_slice(&bytes.len().to_le_bytes());
                    out.extend_from_slice(bytes);
                }
                Node::Tuple(items) => {
                    out.push(b't');
                    out.extend_from_slice(&items.len().to_le_bytes());
                    left.extend(items.iter().rev());
                }
                Node::List(_)
                | Node::Dict(_)
                | Node::Set(_)
                | Node::Array(_)
                | Node::Objects { .. }
                | Node::Sparse(_)
                | Node::Unfinished(Unfinished::Array) => {
                    return Err(malformed("a key that cannot be one"));
                }
                // Everything else is equal to itself only.
                _ => {
                    out.push(b'?');
                    out.extend_from_slice(&id.to_le_bytes());
                }
            }
        }
        Ok(out)
    }
}
