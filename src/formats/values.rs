//! What files of nested values hold (pickles, checkpoints, MATLAB files): a table of nodes in which children are
//! numbers of other nodes, so that shared values are kept once and nothing is ever walked or dropped by recursion.

use super::array::{Array, ArrayData};
use super::error::{FormatError, Limits};
use super::pickle::Unfinished;

/// Index of a node in its [`Values`].
pub type NodeId = usize;

/// A value; children are other nodes.
#[derive(Clone, Debug)]
pub enum Node {
    None,
    Bool(bool),
    Int(i128),
    /// A whole number of more than 128 bits, in decimal digits.
    BigInt(String),
    Float(f64),
    /// Python 2's byte strings are latin-1 text.
    Text(String),
    Bytes(Vec<u8>),
    List(Vec<NodeId>),
    Tuple(Vec<NodeId>),
    /// A key set twice keeps its first place and last value.
    Dict(Vec<(NodeId, NodeId)>),
    Set(Vec<NodeId>),
    Array(Array),
    Sparse(Sparse),
    /// An object or cell array, row-major.
    Objects {
        shape: Vec<usize>,
        items: Vec<NodeId>,
    },
    /// A tensor of a checkpoint, made by [`super::torch::Torch::tensor`].
    Tensor(TensorRef),
    /// Stands for another node.
    Same(NodeId),
    /// What only the pickle's machine meets.
    Unfinished(Unfinished),
}

/// How a sparse matrix was stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SparseFormat {
    Csc,
    Csr,
    Coo,
}

/// A sparse matrix; entries at one place add up.
#[derive(Clone, Debug)]
pub struct Sparse {
    pub format: SparseFormat,
    pub shape: [usize; 2],
    /// Row, column, value; all within the shape.
    pub entries: Vec<(u32, u32, f64)>,
}

/// Where in a checkpoint's storages a tensor lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorRef {
    pub storage: usize,
    /// In elements, as are the strides.
    pub offset: usize,
    pub shape: Vec<usize>,
    pub strides: Vec<usize>,
}

impl SparseFormat {
    /// scipy's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Csc => "csc",
            Self::Csr => "csr",
            Self::Coo => "coo",
        }
    }
}

impl Sparse {
    /// Row-major, every place.
    pub fn dense(&self) -> Array {
        let [rows, columns] = self.shape;
        let mut values = vec![0.0; rows * columns];
        for &(row, column, value) in &self.entries {
            if let Some(place) = values.get_mut(row as usize * columns + column as usize) {
                *place += value;
            }
        }
        Array { shape: vec![rows, columns], data: ArrayData::F64(values) }
    }
}

/// Values of one file, with the outermost.
#[derive(Debug)]
pub struct Values {
    nodes: Vec<Node>,
    top: NodeId,
}

impl Values {
    pub(super) fn new(nodes: Vec<Node>, top: NodeId) -> Self {
        Self { nodes, top }
    }

    pub fn top(&self) -> NodeId {
        self.top
    }

    pub fn get(&self, id: NodeId) -> &Node {
        let mut node = self.nodes.get(id);
        // A stand-in stands for a node that is none, so one step is enough; two are harmless.
        for _ in 0..2 {
            if let Some(Node::Same(other)) = node {
                node = self.nodes.get(*other);
            }
        }
        node.unwrap_or(&Node::None)
    }

    /// The value of a text key in a dict.
    pub fn entry(&self, dict: NodeId, key: &str) -> Option<NodeId> {
        match self.get(dict) {
            Node::Dict(entries) => entries
                .iter()
                .find(|(name, _)| matches!(self.get(*name), Node::Text(text) if text == key))
                .map(|&(_, value)| value),
            _ => None,
        }
    }

    /// Text keys of a dict with their values, in the file's order; empty for what is none.
    pub fn entries(&self, dict: NodeId) -> Vec<(&str, NodeId)> {
        match self.get(dict) {
            Node::Dict(entries) => entries
                .iter()
                .filter_map(|&(name, value)| match self.get(name) {
                    Node::Text(text) => Some((text.as_str(), value)),
                    _ => None,
                })
                .collect(),
            _ => Vec::new(),
        }
    }

    pub fn text(&self, id: NodeId) -> Option<&str> {
        match self.get(id) {
            Node::Text(text) => Some(text),
            Node::Array(Array { data: ArrayData::Text(texts), .. }) => texts.first().map(String::as_str),
            _ => None,
        }
    }

    /// A number, also one in an array of one element.
    pub fn number(&self, id: NodeId) -> Option<f64> {
        match self.get(id) {
            Node::Int(value) => Some(*value as f64),
            Node::Float(value) => Some(*value),
            Node::Bool(value) => Some(f64::from(u8::from(*value))),
            Node::Array(array) => array.to_scalar().ok(),
            _ => None,
        }
    }

    /// Items of a list, tuple, or object array.
    pub fn items(&self, id: NodeId) -> Option<&[NodeId]> {
        match self.get(id) {
            Node::List(items) | Node::Tuple(items) | Node::Objects { items, .. } => Some(items),
            _ => None,
        }
    }

    /// The array behind a node.
    ///
    /// # Errors
    /// `Value` for what is no array.
    pub fn array(&self, id: NodeId) -> Result<&Array, FormatError> {
        match self.get(id) {
            Node::Array(array) => Ok(array),
            other => {
                Err(FormatError::value(format!("{} where an array of numbers is expected", other.what())))
            }
        }
    }

    /// All tensors that are met in it.
    pub(super) fn tensors(&self) -> impl Iterator<Item = &TensorRef> {
        self.nodes.iter().filter_map(|node| match node {
            Node::Tensor(tensor) => Some(tensor),
            _ => None,
        })
    }

    pub(super) fn set(&mut self, id: NodeId, node: Node) {
        if let Some(place) = self.nodes.get_mut(id) {
            *place = node;
        }
    }

    /// The `at`th child, without making a list of them.
    fn child(&self, id: NodeId, at: usize) -> Option<NodeId> {
        match self.get(id) {
            Node::List(items) | Node::Tuple(items) | Node::Set(items) | Node::Objects { items, .. } => {
                items.get(at).copied()
            }
            Node::Dict(entries) => {
                entries.get(at / 2).map(|&(key, value)| if at.is_multiple_of(2) { key } else { value })
            }
            _ => None,
        }
    }

    /// Which nodes are in the value. Depth and number are those of the value with sharing undone, counted without
    /// undoing it: each node once, on a stack of its own.
    ///
    /// # Errors
    /// `Malformed` for a value in itself, `Unsafe` beyond the limits of depth and number.
    pub(super) fn walk(&self, limits: &Limits) -> Result<Vec<bool>, FormatError> {
        /// Values below and including a node, and how deep they nest; zero while the node is open.
        #[derive(Clone, Copy)]
        struct Extent {
            count: u64,
            depth: u64,
        }
        let mut extents: Vec<Option<Extent>> = vec![None; self.nodes.len()];
        let open = Some(Extent { count: 0, depth: 0 });
        let mut path = vec![(self.top, 0, Extent { count: 1, depth: 1 })];
        if let Some(extent) = extents.get_mut(self.top) {
            *extent = open;
        }
        while let Some((id, next, sum)) = path.last_mut() {
            let id = *id;
            let Some(child) = self.child(id, *next) else {
                let sum = *sum;
                if let Some(extent) = extents.get_mut(id) {
                    *extent = Some(sum);
                }
                path.pop();
                if let Some((_, _, parent)) = path.last_mut() {
                    parent.count = parent.count.saturating_add(sum.count);
                    parent.depth = parent.depth.max(sum.depth + 1);
                }
                continue;
            };
            *next += 1;
            match extents.get(child).copied().flatten() {
                Some(Extent { count: 0, .. }) => {
                    return Err(FormatError::malformed("a value that contains itself"));
                }
                Some(known) => {
                    sum.count = sum.count.saturating_add(known.count);
                    sum.depth = sum.depth.max(known.depth + 1);
                }
                None => {
                    if let Some(extent) = extents.get_mut(child) {
                        *extent = open;
                    }
                    path.push((child, 0, Extent { count: 1, depth: 1 }));
                }
            }
        }
        let all = extents.get(self.top).copied().flatten().unwrap_or(Extent { count: 1, depth: 1 });
        if all.depth > limits.max_depth {
            return Err(FormatError::unsafe_input(format!(
                "values nested {} deep, {} levels are read",
                all.depth, limits.max_depth
            )));
        }
        if all.count > limits.max_nodes {
            return Err(FormatError::unsafe_input(format!("more than {} values", limits.max_nodes)));
        }
        let mut met: Vec<bool> = extents.iter().map(Option::is_some).collect();
        // What stands behind a stand-in is in the value too.
        for id in 0..self.nodes.len() {
            if let (true, Some(Node::Same(other))) = (met[id], self.nodes.get(id))
                && let Some(flag) = met.get_mut(*other)
            {
                *flag = true;
            }
        }
        Ok(met)
    }
}

impl Node {
    /// What it is, for messages.
    pub fn what(&self) -> &'static str {
        match self {
            Self::None => "nothing",
            Self::Bool(_) => "true or false",
            Self::Int(_) | Self::BigInt(_) | Self::Float(_) => "a number",
            Self::Text(_) => "text",
            Self::Bytes(_) => "bytes",
            Self::List(_) | Self::Tuple(_) => "a list",
            Self::Dict(_) => "a dict",
            Self::Set(_) => "a set",
            Self::Array(_) => "an array",
            Self::Sparse(_) => "a sparse matrix",
            Self::Objects { .. } => "an array of objects",
            Self::Tensor(_) => "a tensor",
            Self::Same(_) | Self::Unfinished(_) => "something unfinished",
        }
    }
}
