//! chumpy's objects as the arrays they stand for. Only what released body models use: arrays, and arrays picked,
//! reshaped or transposed from others.

use super::machine::{Machine, Unfinished};
use super::malformed;
use super::names::Chumpy;
use crate::formats::array::Array;
use crate::formats::error::FormatError;
use crate::formats::values::{Node, NodeId};

impl Machine<'_> {
    /// The node of an object's value, from its class and state.
    pub(super) fn chumpy(&mut self, class: Chumpy, state: NodeId) -> Result<Node, FormatError> {
        if !matches!(self.node(state), Node::Dict(_)) {
            return Err(malformed("a chumpy object of another state"));
        }
        let key = if class == Chumpy::Ch { "x" } else { "a" };
        let source = self.source(state, key)?;
        if class == Chumpy::Ch {
            return Ok(Node::Same(source));
        }
        let Node::Array(array) = self.node(source) else { return Err(malformed("chumpy of no array")) };
        let bytes = |count: usize| (count as u64).saturating_mul(8);
        match class {
            Chumpy::Ch => Ok(Node::Same(source)),
            Chumpy::Select => {
                let picked = self.entry(state, "idxs").ok_or_else(|| malformed("a Select without idxs"))?;
                let picked = match self.node(picked) {
                    Node::Array(picked) => {
                        picked.to_usize().map_err(|_| malformed("a Select of no index"))?
                    }
                    Node::List(items) | Node::Tuple(items) => {
                        items.iter().map(|&item| self.whole(item)).collect::<Result<_, _>>()?
                    }
                    _ => return Err(malformed("a Select of no index")),
                };
                if let Some(at) = picked.iter().find(|&&at| at >= array.len()) {
                    return Err(malformed(&format!("a Select of number {at} of {}", array.len())));
                }
                let shape = match self.entry(state, "preferred_shape").map(|id| (id, self.node(id))) {
                    None | Some((_, Node::None)) => vec![picked.len()],
                    Some((id, _)) => self.shape(id)?,
                };
                fits(&shape, picked.len())?;
                let data = array.data.picked(&picked);
                self.spend(bytes(picked.len()))?;
                Ok(Node::Array(Array { shape, data }))
            }
            Chumpy::Reshape => {
                let wanted =
                    self.entry(state, "newshape").ok_or_else(|| malformed("a Reshape without newshape"))?;
                let shape = self.new_shape(wanted, array.len())?;
                let made = Array { shape, data: array.data.clone() };
                self.spend(bytes(made.len()))?;
                Ok(Node::Array(made))
            }
            Chumpy::Transpose => {
                let count = array.shape.len();
                let axes: Vec<usize> = match self.entry(state, "axes").map(|id| (id, self.node(id))) {
                    None | Some((_, Node::None)) => (0..count).rev().collect(),
                    Some((_, Node::List(items))) => {
                        items.iter().map(|&item| self.whole(item)).collect::<Result<_, _>>()?
                    }
                    Some((id, _)) => self.shape(id)?,
                };
                let mut sorted = axes.clone();
                sorted.sort_unstable();
                if sorted != (0..count).collect::<Vec<_>>() {
                    return Err(malformed("a transpose of axes that are not there"));
                }
                let made = array.transposed(&axes);
                self.spend(bytes(made.len()))?;
                Ok(Node::Array(made))
            }
        }
    }

    /// The array that an object is made of; it must be finished, else the object is in itself.
    fn source(&self, state: NodeId, key: &str) -> Result<NodeId, FormatError> {
        let mut id =
            self.entry(state, key).ok_or_else(|| malformed(&format!("a chumpy object without `{key}`")))?;
        if let Some(Node::Same(other)) = self.nodes.get(id) {
            id = *other;
        }
        match self.node(id) {
            Node::Array(_) => Ok(id),
            Node::Unfinished(Unfinished::Object(_)) => Err(malformed("a chumpy object in itself")),
            _ => Err(malformed("a chumpy object of what is no array")),
        }
    }

    /// A shape in which one size may be −1: whatever is left.
    fn new_shape(&self, id: NodeId, count: usize) -> Result<Vec<usize>, FormatError> {
        let items = match self.node(id) {
            Node::Tuple(items) | Node::List(items) if items.len() <= 64 => items.clone(),
            Node::Int(_) => vec![id],
            _ => return Err(malformed("a Reshape to what is no shape")),
        };
        let open = items.iter().position(|&item| matches!(self.node(item), Node::Int(-1)));
        let mut shape = Vec::new();
        for (at, &item) in items.iter().enumerate() {
            shape.push(if Some(at) == open { 1 } else { self.whole(item)? });
        }
        if let Some(open) = open {
            let rest = product(&shape).filter(|&rest| rest > 0 && count.is_multiple_of(rest));
            shape[open] = count / rest.ok_or_else(|| malformed("a Reshape that does not fit"))?;
        }
        fits(&shape, count)?;
        Ok(shape)
    }
}

fn product(shape: &[usize]) -> Option<usize> {
    shape.iter().try_fold(1usize, |product, &size| product.checked_mul(size))
}

fn fits(shape: &[usize], count: usize) -> Result<(), FormatError> {
    if product(shape) == Some(count) {
        Ok(())
    } else {
        Err(malformed(&format!("{count} numbers in shape {shape:?}")))
    }
}
