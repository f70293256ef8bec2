//! Calls and states of the few names that may occur: numpy's arrays and types, sets, byte strings, scipy's sparse
//! matrices, a checkpoint's tensors.
//! One file because it is one list: what each allowed name does when it is called and when it gets a state.

use super::machine::{Machine, Unfinished};
use super::names::{Name, TorchName};
use super::{StorageId, malformed};
use crate::formats::array::Array;
use crate::formats::error::FormatError;
use crate::formats::items::{ItemType, Kind, decode_items};
use crate::formats::values::{Node, NodeId, Sparse, SparseFormat, TensorRef};

/// What a call makes.
pub(super) enum Made {
    Plain(Node),
    /// A dict whose attributes may follow.
    Ordered(Node),
}

impl From<Made> for Node {
    fn from(made: Made) -> Self {
        match made {
            Made::Plain(node) | Made::Ordered(node) => node,
        }
    }
}

fn wrong() -> FormatError {
    malformed("wrong arguments")
}

impl Machine<'_> {
    pub(super) fn tuple(&self, id: NodeId) -> Result<&[NodeId], FormatError> {
        match self.node(id) {
            Node::Tuple(items) => Ok(items),
            _ => Err(malformed("arguments that are no tuple")),
        }
    }

    pub(super) fn whole(&self, id: NodeId) -> Result<usize, FormatError> {
        match self.node(id) {
            Node::Int(value) => usize::try_from(*value).map_err(|_| malformed("a size that cannot be one")),
            Node::Array(array) if array.len() == 1 && array.is_integer() => {
                array.to_usize().map(|values| values[0]).map_err(|_| malformed("a size that cannot be one"))
            }
            _ => Err(malformed("a size that is no number")),
        }
    }

    pub(super) fn shape(&self, id: NodeId) -> Result<Vec<usize>, FormatError> {
        match self.node(id) {
            Node::Tuple(items) if items.len() <= 64 => items.iter().map(|&id| self.whole(id)).collect(),
            _ => Err(malformed("a shape that is none")),
        }
    }

    fn name(&self, id: NodeId) -> Option<Name> {
        match self.node(id) {
            Node::Unfinished(Unfinished::Name(name)) => Some(*name),
            _ => None,
        }
    }

    /// The type behind a node, with its byte order.
    fn item_type(&self, id: NodeId) -> Result<ItemType, FormatError> {
        match self.node(id) {
            Node::Unfinished(Unfinished::Type { code, order }) => ItemType::of_code(code, *order == '>'),
            _ => Err(wrong()),
        }
    }

    pub(super) fn call(&mut self, name: NodeId, arguments: NodeId) -> Result<Made, FormatError> {
        let Some(name) = self.name(name) else { return Err(malformed("a call of what is no function")) };
        let list = self.tuple(arguments)?.to_vec();
        Ok(Made::Plain(match (name, list.as_slice()) {
            (Name::Reconstruct, &[class, shape, kind]) => {
                let class = matches!(self.name(class), Some(Name::Ndarray | Name::Matrix));
                let kind = self.bytes_of(kind).is_some_and(|kind| kind.as_ref() == b"b");
                if !class || !kind || self.shape(shape)? != [0] {
                    return Err(wrong());
                }
                Node::Unfinished(Unfinished::Array)
            }
            (Name::Dtype, &[code, _, _] | &[code, _] | &[code]) => match self.node(code) {
                Node::Text(code) => {
                    let order = if code.starts_with('>') { '>' } else { '<' };
                    let code = code.trim_start_matches(['<', '>', '|', '=']).to_owned();
                    Node::Unfinished(Unfinished::Type { code, order })
                }
                _ => return Err(wrong()),
            },
            (Name::Scalar, &[kind, data]) => {
                let item = self.item_type(kind)?;
                self.numbers(item, Vec::new(), false, data)?
            }
            (Name::FromBuffer, &[data, kind, shape, order]) => {
                let (item, shape) = (self.item_type(kind)?, self.shape(shape)?);
                let fortran = match self.node(order) {
                    Node::Text(order) if order == "C" => false,
                    Node::Text(order) if order == "F" => true,
                    _ => return Err(wrong()),
                };
                self.numbers(item, shape, fortran, data)?
            }
            (Name::Encode, &[text, codec]) => match (self.node(text), self.node(codec)) {
                (Node::Text(text), Node::Text(codec)) if matches!(codec.as_str(), "latin1" | "latin-1") => {
                    Node::Bytes(latin1_bytes(text)?)
                }
                (_, Node::Text(codec)) if !matches!(codec.as_str(), "latin1" | "latin-1") => {
                    return Err(FormatError::unsafe_input("an encoding other than latin-1"));
                }
                _ => return Err(wrong()),
            },
            (Name::OrderedDict, &[]) => return Ok(Made::Ordered(Node::Dict(Vec::new()))),
            (Name::OrderedDict, &[pairs]) => {
                return self.pairs(pairs).map(|pairs| Made::Ordered(Node::Dict(pairs)));
            }
            (Name::DefaultDict, &[]) => Node::Dict(Vec::new()),
            (Name::DefaultDict, &[factory]) => match self.node(factory) {
                Node::None | Node::Unfinished(Unfinished::Name(_)) => Node::Dict(Vec::new()),
                _ => return Err(wrong()),
            },
            (Name::Set | Name::FrozenSet, &[]) => Node::Set(Vec::new()),
            (Name::Set | Name::FrozenSet, &[items]) => match self.node(items) {
                Node::List(items) | Node::Tuple(items) => Node::Set(self.set_of(items)?),
                _ => return Err(wrong()),
            },
            (Name::ByteArray, &[]) => Node::Bytes(Vec::new()),
            (Name::ByteArray, &[data] | &[data, _]) => {
                Node::Bytes(self.bytes_of(data).ok_or_else(wrong)?.into_owned())
            }
            (Name::Reconstructor, &[class, base, state]) => {
                match (self.name(class), self.name(base), self.node(state)) {
                    (Some(name @ (Name::Sparse(_) | Name::Chumpy(_))), Some(Name::Object), Node::None) => {
                        Node::Unfinished(Unfinished::Object(name))
                    }
                    (Some(Name::Sparse(_) | Name::Chumpy(_)), ..) => return Err(wrong()),
                    _ => {
                        return Err(FormatError::unsafe_input("an object of a class that is never made"));
                    }
                }
            }
            (Name::Torch(name), list) => self.torch(name, list)?,
            (
                Name::Ndarray
                | Name::Matrix
                | Name::Object
                | Name::Argument
                | Name::Sparse(_)
                | Name::Chumpy(_),
                _,
            ) => {
                return Err(FormatError::unsafe_input("a call of a class that is never called"));
            }
            _ => return Err(wrong()),
        }))
    }

    /// Entries of a dict from a list of pairs.
    fn pairs(&self, id: NodeId) -> Result<Vec<(NodeId, NodeId)>, FormatError> {
        let Node::List(items) = self.node(id) else { return Err(wrong()) };
        let mut keys = Vec::new();
        let mut entries: Vec<(NodeId, NodeId)> = Vec::new();
        for &item in items {
            let (Node::Tuple(pair) | Node::List(pair)) = self.node(item) else { return Err(wrong()) };
            let &[key, value] = pair.as_slice() else { return Err(wrong()) };
            keys.push(key);
            entries.push((key, value));
        }
        if self.set_of(&keys)?.len() != keys.len() {
            return Err(malformed("a key twice"));
        }
        Ok(entries)
    }

    /// NEWOBJ.
    pub(super) fn new_object(&self, class: NodeId, arguments: NodeId) -> Result<Node, FormatError> {
        match self.name(class) {
            Some(name @ (Name::Sparse(_) | Name::Chumpy(_))) => {
                if self.tuple(arguments)?.is_empty() {
                    Ok(Node::Unfinished(Unfinished::Object(name)))
                } else {
                    Err(wrong())
                }
            }
            Some(_) => Err(FormatError::unsafe_input("an object of a class that is never made")),
            None => Err(malformed("an object of what is no class")),
        }
    }

    /// BUILD.
    pub(super) fn build(&mut self, target: NodeId, state: NodeId) -> Result<(), FormatError> {
        let node = match self.node(target) {
            Node::Unfinished(Unfinished::Array) => self.built_array(state)?,
            Node::Unfinished(Unfinished::Type { code, .. }) => {
                let state = self.tuple(state)?;
                let order = match state.get(1).map(|&id| self.node(id)) {
                    Some(Node::Text(order)) => order,
                    _ => return Err(malformed("a type without its byte order")),
                };
                let order = match order.as_str() {
                    ">" => '>',
                    "<" | "=" => '<',
                    "|" => '|',
                    _ => return Err(malformed("a byte order that is none")),
                };
                let structured = (2..5)
                    .map(|at| state.get(at).map(|&id| self.node(id)))
                    .any(|part| !matches!(part, Some(Node::None)));
                if structured {
                    return Err(FormatError::value("structured arrays are not read"));
                }
                Node::Unfinished(Unfinished::Type { code: code.clone(), order })
            }
            Node::Unfinished(Unfinished::Object(Name::Sparse(format))) => {
                let sparse = self.sparse(*format, state)?;
                self.spend(sparse.entries.len() as u64 * 16)?;
                Node::Sparse(sparse)
            }
            Node::Unfinished(Unfinished::Object(Name::Chumpy(class))) => self.chumpy(*class, state)?,
            // Attributes of an OrderedDict are dropped.
            Node::Dict(_) if self.ordered.contains(&target) && matches!(self.node(state), Node::Dict(_)) => {
                return Ok(());
            }
            Node::Array(_) | Node::Objects { .. } => return Err(malformed("an array that is filled twice")),
            _ => return Err(FormatError::unsafe_input("state for an object that has none")),
        };
        if let Some(place) = self.nodes.get_mut(target) {
            *place = node;
        }
        Ok(())
    }

    fn built_array(&mut self, state: NodeId) -> Result<Node, FormatError> {
        let state = self.tuple(state)?;
        // A version stands first in all but the oldest.
        let rest = match state {
            [version, rest @ ..] if rest.len() == 4 => {
                if !matches!(self.node(*version), Node::Int(0 | 1)) {
                    return Err(FormatError::value("a version of array state that is not known"));
                }
                rest
            }
            _ => state,
        };
        let &[shape, kind, fortran, data] = rest else { return Err(malformed("an array of another state")) };
        let (shape, item) = (self.shape(shape)?, self.item_type(kind)?);
        let fortran = match self.node(fortran) {
            Node::Bool(value) => *value,
            Node::Int(value) => *value != 0,
            _ => return Err(malformed("an array of another state")),
        };
        if item.kind != Kind::Object {
            return self.numbers(item, shape, fortran, data);
        }
        let Node::List(items) = self.node(data) else {
            return Err(malformed("an object array without its objects"));
        };
        let count = shape.iter().try_fold(1usize, |product, &size| product.checked_mul(size));
        if count != Some(items.len()) {
            return Err(malformed("an object array of another size"));
        }
        let items = if fortran {
            use crate::formats::array::ArrayData;
            let order = ArrayData::U64((0..items.len() as u64).collect()).reordered_from_columns(&shape);
            match order {
                ArrayData::U64(order) => {
                    order.iter().filter_map(|&at| items.get(at as usize).copied()).collect()
                }
                _ => items.clone(),
            }
        } else {
            items.clone()
        };
        Ok(Node::Objects { shape, items })
    }

    /// An array from its raw bytes, whose number must be exact.
    fn numbers(
        &mut self,
        item: ItemType,
        shape: Vec<usize>,
        fortran: bool,
        data: NodeId,
    ) -> Result<Node, FormatError> {
        let count = shape
            .iter()
            .try_fold(1usize, |product, &size| product.checked_mul(size))
            .ok_or_else(|| malformed("a shape overflows"))?;
        if item.kind == Kind::Object {
            return Err(FormatError::value("objects where numbers are expected"));
        }
        let bytes = self.bytes_of(data).ok_or_else(|| malformed("an array without data"))?;
        if count.checked_mul(item.size) != Some(bytes.len()) {
            return Err(malformed(&format!(
                "an array of shape {shape:?} with {} bytes of data, {} a number",
                bytes.len(),
                item.size
            )));
        }
        let length = bytes.len() as u64;
        // Texts cost more than their bytes.
        let texts = if matches!(item.kind, Kind::Bytes | Kind::Unicode) { count as u64 * 24 } else { 0 };
        drop(bytes);
        self.spend(length.saturating_add(texts))?;
        let bytes = self.bytes_of(data).ok_or_else(wrong)?;
        let data = decode_items(&bytes, item, count)?;
        let data = if fortran { data.reordered_from_columns(&shape) } else { data };
        Ok(Node::Array(Array { shape, data }))
    }

    /// The value of a text key in a dict of the pickle.
    pub(super) fn entry(&self, dict: NodeId, key: &str) -> Option<NodeId> {
        match self.node(dict) {
            Node::Dict(entries) => entries
                .iter()
                .find(|(name, _)| matches!(self.node(*name), Node::Text(text) if text == key))
                .map(|&(_, value)| value),
            _ => None,
        }
    }

    fn sparse(&self, format: SparseFormat, state: NodeId) -> Result<Sparse, FormatError> {
        if !matches!(self.node(state), Node::Dict(_)) {
            return Err(malformed("a sparse matrix of another state"));
        }
        let part = |key: &str| {
            self.entry(state, key)
                .ok_or_else(|| malformed(&format!("a sparse matrix without its part `{key}`")))
        };
        let array = |id: NodeId, key: &str| match self.node(id) {
            Node::Array(array) => Ok(array),
            _ => Err(malformed(&format!("part `{key}` of a sparse matrix is no array"))),
        };
        let indices = |id: NodeId, key: &str| {
            array(id, key)?
                .to_usize()
                .map_err(|_| malformed(&format!("part `{key}` of a sparse matrix holds no indices")))
        };
        let shape = self.shape(part("_shape").or_else(|_| part("shape"))?)?;
        let &[rows, columns] = shape.as_slice() else {
            return Err(FormatError::value("a sparse array that is no matrix"));
        };
        let dense = (rows as u64).checked_mul(columns as u64).and_then(|places| places.checked_mul(8));
        let (Some(dense), Ok(_), Ok(_)) = (dense, u32::try_from(rows), u32::try_from(columns)) else {
            return Err(FormatError::unsafe_input("a sparse matrix too large to be made dense"));
        };
        let data = array(part("data")?, "data")?;
        let values = data.to_f64().map_err(|_| malformed("a sparse matrix of what is no number"))?;
        let (row, column) = if format == SparseFormat::Coo {
            let (row, column) = match self.entry(state, "coords") {
                Some(coords) => match self.tuple(coords)? {
                    &[row, column] => (row, column),
                    _ => return Err(malformed("a sparse matrix of another state")),
                },
                None => (part("row")?, part("col")?),
            };
            (indices(row, "row")?, indices(column, "col")?)
        } else {
            let inner = indices(part("indices")?, "indices")?;
            let starts = indices(part("indptr")?, "indptr")?;
            let outer_count = if format == SparseFormat::Csc { columns } else { rows };
            let ordered = starts.windows(2).all(|pair| pair[0] <= pair[1]);
            let ends = starts.first() == Some(&0)
                && starts.last().is_some_and(|&end| end <= inner.len() && end <= values.len());
            if starts.len() != outer_count.saturating_add(1) || !ordered || !ends {
                return Err(malformed("pointers of a sparse matrix that do not fit it"));
            }
            let mut outer = Vec::with_capacity(inner.len());
            for (at, pair) in starts.windows(2).enumerate() {
                outer.extend(std::iter::repeat_n(at, pair[1] - pair[0]));
            }
            let inner = inner[..outer.len()].to_vec();
            if format == SparseFormat::Csc { (inner, outer) } else { (outer, inner) }
        };
        if row.len() != column.len() || row.len() > values.len() {
            return Err(malformed("parts of a sparse matrix of unequal length"));
        }
        if row.iter().any(|&at| at >= rows) || column.iter().any(|&at| at >= columns) {
            return Err(malformed("an index beyond the shape of a sparse matrix"));
        }
        if dense > self.limits.max_array_bytes {
            return Err(FormatError::unsafe_input(format!(
                "a sparse matrix that takes {dense} bytes when made dense"
            )));
        }
        let entries = row
            .into_iter()
            .zip(column)
            .zip(values)
            .map(|((row, column), value)| (row as u32, column as u32, value))
            .collect();
        Ok(Sparse { format, shape: [rows, columns], entries })
    }

    fn torch(&self, name: TorchName, list: &[NodeId]) -> Result<Node, FormatError> {
        match (name, list) {
            (TorchName::Size, &[sizes]) => match self.node(sizes) {
                Node::Tuple(items) | Node::List(items) => Ok(Node::Tuple(items.clone())),
                _ => Err(wrong()),
            },
            (TorchName::Device, &[kind] | &[kind, _]) => {
                let Node::Text(kind) = self.node(kind) else { return Err(wrong()) };
                match list.get(1) {
                    Some(&index) => Ok(Node::Text(format!("{kind}:{}", self.whole(index)?))),
                    None => Ok(Node::Text(kind.clone())),
                }
            }
            (TorchName::RebuildTensorV2, &[storage, offset, size, stride, _, _])
            | (TorchName::RebuildTensorV2, &[storage, offset, size, stride, _, _, _])
            | (TorchName::RebuildTensor, &[storage, offset, size, stride]) => {
                self.tensor(storage, offset, size, stride)
            }
            (TorchName::RebuildParameter, &[data, _, _]) => match self.node(data) {
                Node::Tensor(tensor) => Ok(Node::Tensor(tensor.clone())),
                _ => Err(wrong()),
            },
            (TorchName::Storage(_) | TorchName::Type(_), _) => {
                Err(FormatError::unsafe_input("a call of a class that is never called"))
            }
            _ => Err(wrong()),
        }
    }

    fn tensor(
        &self,
        storage: NodeId,
        offset: NodeId,
        size: NodeId,
        stride: NodeId,
    ) -> Result<Node, FormatError> {
        let &Node::Unfinished(Unfinished::Storage { index, offset: base, count }) = self.node(storage) else {
            return Err(wrong());
        };
        let (offset, shape, strides) = (self.whole(offset)?, self.shape(size)?, self.shape(stride)?);
        let beyond = || malformed("a tensor beyond its storage");
        if shape.len() != strides.len() {
            return Err(malformed("a tensor with more sizes than strides, or less"));
        }
        let elements = shape
            .iter()
            .try_fold(1u64, |product, &size| product.checked_mul(size as u64))
            .ok_or_else(|| malformed("the sizes of a tensor overflow"))?;
        if elements > 0 {
            let last = shape
                .iter()
                .zip(&strides)
                .try_fold(offset, |last, (&size, &stride)| last.checked_add((size - 1).checked_mul(stride)?))
                .ok_or_else(beyond)?;
            if last >= count {
                return Err(beyond());
            }
        }
        let size = self.storages.get(index).map_or(1, |storage| storage.element.size()) as u64;
        if elements.checked_mul(size).is_none_or(|bytes| bytes > self.limits.max_array_bytes) {
            return Err(FormatError::unsafe_input(format!(
                "a tensor of {elements} numbers passes the limit of {} bytes",
                self.limits.max_array_bytes
            )));
        }
        Ok(Node::Tensor(TensorRef { storage: index, offset: base.saturating_add(offset), shape, strides }))
    }

    /// BINPERSID in a checkpoint: a storage.
    pub(super) fn storage(&mut self, id: NodeId) -> Result<Node, FormatError> {
        let other = || FormatError::unsafe_input("a persistent id that names no storage");
        let parts = match self.node(id) {
            Node::Tuple(parts) => parts,
            _ => return Err(other()),
        };
        if !matches!(parts.first().map(|&id| self.node(id)), Some(Node::Text(kind)) if kind == "storage") {
            return Err(other());
        }
        let (&[_, class, key, location, count] | &[_, class, key, location, count, _]) = parts.as_slice()
        else {
            return Err(malformed("a storage with more or fewer parts"));
        };
        let element = match self.name(class) {
            Some(Name::Torch(TorchName::Storage(element))) => element,
            _ => return Err(malformed("a storage of what is no class of storages")),
        };
        let (Node::Text(key), Node::Text(_)) = (self.node(key), self.node(location)) else {
            return Err(malformed("a storage without its key"));
        };
        let id = StorageId { key: key.clone(), element, count: self.whole(count)? };
        let view = match parts.get(5).map(|&id| self.node(id)) {
            None | Some(Node::None) => (0, id.count),
            Some(Node::Tuple(view)) => match view.as_slice() {
                &[_, offset, size] => (self.whole(offset)?, self.whole(size)?),
                _ => return Err(malformed("a view of a storage with more or fewer parts")),
            },
            _ => return Err(malformed("a view of a storage that is none")),
        };
        if view.0.checked_add(view.1).is_none_or(|end| end > id.count) {
            return Err(malformed("a view beyond its storage"));
        }
        let index = match self.storage_of_key.get(&id.key) {
            Some(&index) if self.storages.get(index) == Some(&id) => index,
            Some(_) => return Err(malformed("one storage with two types or lengths")),
            None => {
                self.storage_of_key.insert(id.key.clone(), self.storages.len());
                self.storages.push(id);
                self.storages.len() - 1
            }
        };
        Ok(Node::Unfinished(Unfinished::Storage { index, offset: view.0, count: view.1 }))
    }
}

pub(super) fn latin1_bytes(text: &str) -> Result<Vec<u8>, FormatError> {
    text.chars()
        .map(|letter| u8::try_from(u32::from(letter)).map_err(|_| malformed("text that is not latin-1")))
        .collect()
}
