//! MATLAB's level 5 files (`UV_Processed.mat`, joint files of data sets): numbers, text, cells, structs, sparse
//! matrices. HDF5 files of version 7.3 are named as such and not read.
//! One file because every kind of element is read by the same walk over tags.

use std::borrow::Cow;
use std::io::Read;
use std::path::Path;

use super::array::{Array, ArrayData};
use super::error::{FormatError, Limits, read_bytes};
use super::items::Element;
use super::npy::describe;
use super::values::{Node, NodeId, Sparse, SparseFormat, Values};

/// Structs without a field take no bytes in the file; more of them than this are not read.
const MAX_EMPTY_STRUCTS: usize = 1 << 16;

/// How many times the bytes of a file its inflated elements usually are at most.
const USUAL_INFLATION: usize = 32;

/// Reads a file's variables: a dict.
///
/// # Errors
/// `Malformed`, `Value` (7.3, complex numbers, objects), `Unsafe` (limits), `Missing` (no file).
pub fn read_matlab(path: &Path) -> Result<Values, FormatError> {
    read_bytes(path)
        .and_then(|bytes| parse_matlab(&bytes, &Limits::default()))
        .map_err(|error| error.at(path))
}

/// As [`read_matlab`], from bytes.
///
/// # Errors
/// As [`read_matlab`].
pub fn parse_matlab(bytes: &[u8], limits: &Limits) -> Result<Values, FormatError> {
    let hdf5 = b"\x89HDF\r\n\x1a\n";
    if bytes.starts_with(b"MATLAB 7.3") || bytes.starts_with(hdf5) || bytes.get(512..520) == Some(hdf5) {
        return Err(FormatError::value(
            "a MATLAB 7.3 file (HDF5); save it with `save('-v7', …)` in MATLAB to have it read",
        ));
    }
    let Some((header, body)) = bytes.split_first_chunk::<128>() else {
        return Err(FormatError::malformed(format!("not a MATLAB file ({})", describe(bytes))));
    };
    let big_endian = match &header[126..] {
        b"IM" => false,
        b"MI" => true,
        _ => {
            return Err(FormatError::malformed(format!(
                "not a MATLAB 5 file ({}; files of MATLAB 4 are not read)",
                describe(bytes)
            )));
        }
    };
    let version = if big_endian { [header[124], header[125]] } else { [header[125], header[124]] };
    if version != [1, 0] {
        return Err(FormatError::value(format!("MATLAB version {}.{} is not read", version[0], version[1])));
    }
    let mut reader = Reader {
        big_endian,
        limits,
        budget: limits.budget(bytes.len().saturating_mul(USUAL_INFLATION)),
        nodes: Vec::new(),
    };
    let top = reader.file(body)?;
    let values = Values::new(reader.nodes, top);
    values.walk(limits)?;
    Ok(values)
}

fn damaged(what: impl std::fmt::Display) -> FormatError {
    FormatError::malformed(format!("a damaged MATLAB file ({what})"))
}

struct Reader<'a> {
    big_endian: bool,
    limits: &'a Limits,
    budget: u64,
    nodes: Vec<Node>,
}

/// One element: its type and its bytes.
type Tagged<'b> = (u32, &'b [u8]);

impl Reader<'_> {
    fn push(&mut self, node: Node) -> Result<NodeId, FormatError> {
        if self.nodes.len() as u64 >= self.limits.max_nodes {
            return Err(FormatError::unsafe_input(format!("more than {} values", self.limits.max_nodes)));
        }
        self.nodes.push(node);
        Ok(self.nodes.len() - 1)
    }

    fn spend(&mut self, bytes: u64) -> Result<(), FormatError> {
        let rest = self.budget.checked_sub(bytes).filter(|_| bytes <= self.limits.max_array_bytes);
        self.budget =
            rest.ok_or_else(|| FormatError::unsafe_input(format!("{bytes} bytes pass the limit")))?;
        Ok(())
    }

    fn word(&self, bytes: [u8; 4]) -> u32 {
        if self.big_endian { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) }
    }

    /// Takes the next element; `padded` ones fill up to eight bytes.
    fn element<'b>(&self, rest: &mut &'b [u8]) -> Result<Tagged<'b>, FormatError> {
        let cut = || damaged("an element reaches beyond its end");
        let (&first, after) = rest.split_first_chunk::<4>().ok_or_else(cut)?;
        let first = self.word(first);
        // Up to four bytes stand in the tag itself.
        if first >> 16 != 0 {
            let (data, next) = after.split_first_chunk::<4>().ok_or_else(cut)?;
            *rest = next;
            let data = data.get(..(first >> 16) as usize).ok_or_else(cut)?;
            return Ok((first & 0xffff, data));
        }
        let (&length, after) = after.split_first_chunk::<4>().ok_or_else(cut)?;
        let length = self.word(length) as usize;
        let data = after.get(..length).ok_or_else(cut)?;
        // Compressed elements are not padded; the last element may not be.
        let padded = if first == 15 { length } else { length.next_multiple_of(8) };
        *rest = after.get(padded..).unwrap_or_default();
        Ok((first, data))
    }

    fn file(&mut self, mut rest: &[u8]) -> Result<NodeId, FormatError> {
        let mut variables: Vec<(NodeId, NodeId)> = Vec::new();
        let mut places = std::collections::HashMap::new();
        while !rest.is_empty() {
            let (kind, data) = self.element(&mut rest)?;
            let data: Cow<[u8]> = match kind {
                14 => data.into(),
                15 => {
                    let inflated = self.inflate(data)?;
                    let mut rest = inflated.as_slice();
                    match self.element(&mut rest)? {
                        (14, inner) if rest.is_empty() => inner.to_vec().into(),
                        _ => return Err(damaged("a compressed element that holds no matrix")),
                    }
                }
                _ => return Err(damaged(format!("an element of type {kind} where a variable is expected"))),
            };
            let (name, value) = self.matrix(&data, 1)?;
            // Workspaces of functions have no name.
            if name.is_empty() {
                continue;
            }
            let key = self.push(Node::Text(name.clone()))?;
            let place = *places.entry(name).or_insert(variables.len());
            match variables.get_mut(place) {
                Some(entry) => entry.1 = value,
                None => variables.push((key, value)),
            }
        }
        self.push(Node::Dict(variables))
    }

    fn inflate(&mut self, data: &[u8]) -> Result<Vec<u8>, FormatError> {
        // Room for the tags around the numbers.
        let limit = self.limits.max_array_bytes.saturating_add(4096).min(self.budget);
        let mut out = Vec::new();
        let mut inflater = flate2::bufread::ZlibDecoder::new(data);
        inflater
            .by_ref()
            .take(limit.saturating_add(1))
            .read_to_end(&mut out)
            .map_err(|error| damaged(format!("an element cannot be inflated: {error}")))?;
        if out.len() as u64 > limit {
            return Err(FormatError::unsafe_input(format!(
                "a compressed element of more than {limit} bytes"
            )));
        }
        self.budget -= out.len() as u64;
        Ok(out)
    }

    /// A variable, cell or field: its name and its value.
    fn matrix(&mut self, mut rest: &[u8], depth: u64) -> Result<(String, NodeId), FormatError> {
        if depth > self.limits.max_depth {
            return Err(FormatError::unsafe_input(format!("cells more than {} deep", self.limits.max_depth)));
        }
        // Cells that were never set hold no bytes at all.
        if rest.is_empty() {
            let node = Node::Array(Array { shape: vec![0, 0], data: ArrayData::F64(Vec::new()) });
            return Ok((String::new(), self.push(node)?));
        }
        let (6, flags) = self.element(&mut rest)? else { return Err(damaged("a matrix without its flags")) };
        let Some(&flags) = flags.first_chunk::<4>() else { return Err(damaged("flags of a matrix are cut")) };
        let flags = self.word(flags);
        let class = flags & 0xff;
        if !(1..=15).contains(&class) || class == 3 {
            let what = match class {
                3 => "an object",
                16 => "a function",
                17 => "an opaque object",
                _ => return Err(damaged(format!("a matrix of class {class}"))),
            };
            return Err(FormatError::value(format!(
                "{what} of MATLAB; numbers, text, cells and structs are read"
            )));
        }
        let (5, sizes) = self.element(&mut rest)? else { return Err(damaged("a matrix without its sizes")) };
        let shape: Vec<usize> = sizes
            .as_chunks::<4>()
            .0
            .iter()
            .map(|&size| usize::try_from(self.word(size) as i32).map_err(|_| damaged("a negative size")))
            .collect::<Result<_, _>>()?;
        if shape.len() < 2 || shape.len() > 64 {
            return Err(damaged(format!("a matrix of {} axes", shape.len())));
        }
        let count = shape
            .iter()
            .try_fold(1usize, |product, &size| product.checked_mul(size))
            .ok_or_else(|| damaged("the sizes of a matrix overflow"))?;
        let (1 | 2, name) = self.element(&mut rest)? else {
            return Err(damaged("a matrix without its name"));
        };
        let name: String = name.iter().map(|&byte| byte as char).collect();
        let within = |error: FormatError| {
            if depth == 1 { error.within(&format!("variable `{name}`")) } else { error }
        };
        if flags & 0x800 != 0 {
            return Err(within(FormatError::value("complex numbers are not read")));
        }
        let value = match class {
            1 => self.cells(rest, shape, count, depth),
            2 => self.structs(rest, shape, count, depth),
            4 => self.letters(rest, &shape, count),
            5 => self.sparse(rest, &shape),
            _ => self.numbers(rest, shape, count, class, flags & 0x200 != 0),
        };
        value.map(|value| (name.clone(), value)).map_err(within)
    }

    fn numbers(
        &mut self,
        mut rest: &[u8],
        shape: Vec<usize>,
        count: usize,
        class: u32,
        logical: bool,
    ) -> Result<NodeId, FormatError> {
        let (stored, bytes) = self.element(&mut rest)?;
        let element = element_of(stored)?;
        if count.checked_mul(element.size()) != Some(bytes.len()) {
            return Err(damaged(format!(
                "sizes {shape:?} with {} numbers",
                bytes.len() / element.size().max(1)
            )));
        }
        self.spend(count as u64 * 8)?;
        let stored = element.decode(bytes, self.big_endian).reordered_from_columns(&shape);
        let array = Array { shape, data: stored };
        let data = if logical {
            ArrayData::Bool(array.to_f64()?.into_iter().map(|value| value != 0.0).collect())
        } else {
            of_class(&array, class)?
        };
        self.push(Node::Array(Array { shape: array.shape, data }))
    }

    fn letters(&mut self, mut rest: &[u8], shape: &[usize], count: usize) -> Result<NodeId, FormatError> {
        let &[rows, columns] = shape else { return Err(FormatError::value("text of three axes")) };
        let (stored, bytes) = self.element(&mut rest)?;
        self.spend(bytes.len() as u64 * 8)?;
        let bad = || damaged("text that is none");
        let text: Vec<char> = match stored {
            1 | 2 => bytes.iter().map(|&byte| byte as char).collect(),
            16 => std::str::from_utf8(bytes).map_err(|_| bad())?.chars().collect(),
            4 | 17 => {
                let units = bytes.as_chunks::<2>().0.iter().map(|&unit| {
                    if self.big_endian { u16::from_be_bytes(unit) } else { u16::from_le_bytes(unit) }
                });
                char::decode_utf16(units).collect::<Result<_, _>>().map_err(|_| bad())?
            }
            18 => {
                let units = bytes.as_chunks::<4>().0.iter();
                units
                    .map(|&unit| char::from_u32(self.word(unit)).ok_or_else(bad))
                    .collect::<Result<_, _>>()?
            }
            _ => return Err(bad()),
        };
        // One row may hold letters of several units; sizes of more rows must fit exactly.
        if rows <= 1 {
            return self.push(Node::Text(text.into_iter().collect()));
        }
        if text.len() != count {
            return Err(damaged(format!("sizes {shape:?} with {} letters", text.len())));
        }
        self.spend(rows as u64 * 32)?;
        let row = |row: usize| (0..columns).filter_map(|at| text.get(at * rows + row)).collect::<String>();
        let rows = (0..rows).map(row).collect::<Vec<_>>();
        self.push(Node::Array(Array { shape: vec![rows.len(), 1], data: ArrayData::Text(rows) }))
    }

    fn cells(
        &mut self,
        mut rest: &[u8],
        shape: Vec<usize>,
        count: usize,
        depth: u64,
    ) -> Result<NodeId, FormatError> {
        let mut items = Vec::new();
        for _ in 0..count {
            items.push(self.inner(&mut rest, depth)?);
        }
        let items = by_rows(&items, &shape);
        self.push(Node::Objects { shape, items })
    }

    fn inner(&mut self, rest: &mut &[u8], depth: u64) -> Result<NodeId, FormatError> {
        match self.element(rest)? {
            (14, data) => self.matrix(data, depth + 1).map(|(_, value)| value),
            (kind, _) => Err(damaged(format!("an element of type {kind} where a matrix is expected"))),
        }
    }

    fn structs(
        &mut self,
        mut rest: &[u8],
        shape: Vec<usize>,
        count: usize,
        depth: u64,
    ) -> Result<NodeId, FormatError> {
        let (5, length) = self.element(&mut rest)? else {
            return Err(damaged("fields without their length"));
        };
        let length = match length.first_chunk::<4>().map(|&length| self.word(length) as usize) {
            Some(length) if length > 0 => length,
            _ => return Err(damaged("fields without their length")),
        };
        let (1 | 2, names) = self.element(&mut rest)? else {
            return Err(damaged("a struct without its fields"));
        };
        let names: Vec<String> = names
            .chunks_exact(length)
            .map(|name| name.iter().take_while(|&&byte| byte != 0).map(|&byte| byte as char).collect())
            .collect();
        if names.is_empty() && count > MAX_EMPTY_STRUCTS {
            return Err(FormatError::unsafe_input(format!("{count} structs without a field")));
        }
        let mut keys = Vec::new();
        for name in names {
            keys.push(self.push(Node::Text(name))?);
        }
        let mut items = Vec::new();
        for _ in 0..count {
            let mut entries = Vec::new();
            for &key in &keys {
                entries.push((key, self.inner(&mut rest, depth)?));
            }
            items.push(self.push(Node::Dict(entries))?);
        }
        if let (&[item], true) = (items.as_slice(), shape.iter().all(|&side| side == 1)) {
            return Ok(item);
        }
        let items = by_rows(&items, &shape);
        self.push(Node::Objects { shape, items })
    }

    fn sparse(&mut self, mut rest: &[u8], shape: &[usize]) -> Result<NodeId, FormatError> {
        let &[rows, columns] = shape else { return Err(damaged("a sparse matrix of three axes")) };
        let mut part = || -> Result<Array, FormatError> {
            let (stored, bytes) = self.element(&mut rest)?;
            let element = element_of(stored)?;
            let data = element.decode(bytes, self.big_endian);
            Ok(Array { shape: vec![data.len()], data })
        };
        let (row, starts, values) = (part()?, part()?, part()?);
        let bad = |_| damaged("indices of a sparse matrix");
        let (row, starts) = (row.to_usize().map_err(bad)?, starts.to_usize().map_err(bad)?);
        let values = values.to_f64()?;
        let end = starts.last().copied().unwrap_or(0);
        let ordered = starts.windows(2).all(|pair| pair[0] <= pair[1]) && starts.first() == Some(&0);
        if !ordered || starts.len() != columns.saturating_add(1) || end > row.len() || end > values.len() {
            return Err(damaged("columns of a sparse matrix that do not fit it"));
        }
        let mut entries = Vec::with_capacity(end);
        for (column, pair) in starts.windows(2).enumerate() {
            for at in pair[0]..pair[1] {
                match (row.get(at).filter(|&&row| row < rows), values.get(at)) {
                    (Some(&row), Some(&value)) => entries.push((row as u32, column as u32, value)),
                    _ => return Err(damaged("an index beyond the sizes of a sparse matrix")),
                }
            }
        }
        let places = (rows as u64).checked_mul(columns as u64).and_then(|places| places.checked_mul(8));
        self.spend(places.unwrap_or(u64::MAX))?;
        let sparse = Sparse { format: SparseFormat::Csc, shape: [rows, columns], entries };
        self.push(Node::Sparse(sparse))
    }
}

/// Nodes in column-major order, in row-major order.
fn by_rows(items: &[NodeId], shape: &[usize]) -> Vec<NodeId> {
    let order = ArrayData::U64((0..items.len() as u64).collect()).reordered_from_columns(shape);
    match order {
        ArrayData::U64(order) => order.iter().filter_map(|&at| items.get(at as usize).copied()).collect(),
        _ => Vec::new(),
    }
}

fn element_of(stored: u32) -> Result<Element, FormatError> {
    Ok(match stored {
        1 => Element::I8,
        2 => Element::U8,
        3 => Element::I16,
        4 => Element::U16,
        5 => Element::I32,
        6 => Element::U32,
        7 => Element::F32,
        9 => Element::F64,
        12 => Element::I64,
        13 => Element::U64,
        other => return Err(damaged(format!("numbers of type {other}"))),
    })
}

/// Numbers in the type of their class, whatever they were stored as.
fn of_class(stored: &Array, class: u32) -> Result<ArrayData, FormatError> {
    macro_rules! whole {
        ($kind:ident, $type:ty) => {
            match &stored.data {
                ArrayData::U64(values) => {
                    ArrayData::$kind(values.iter().map(|&value| value as $type).collect())
                }
                ArrayData::F64(_) | ArrayData::F32(_) => {
                    ArrayData::$kind(stored.to_f64()?.into_iter().map(|value| value as $type).collect())
                }
                _ => ArrayData::$kind(stored.to_i64()?.into_iter().map(|value| value as $type).collect()),
            }
        };
    }
    Ok(match class {
        6 => ArrayData::F64(stored.to_f64()?),
        7 => ArrayData::F32(stored.to_f32()?),
        8 => whole!(I8, i8),
        9 => whole!(U8, u8),
        10 => whole!(I16, i16),
        11 => whole!(U16, u16),
        12 => whole!(I32, i32),
        13 => whole!(U32, u32),
        14 => whole!(I64, i64),
        _ => whole!(U64, u64),
    })
}
