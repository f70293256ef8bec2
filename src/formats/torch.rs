//! Checkpoints of `torch.save`, in the zip container and in the older stream, read by the restricted unpickler:
//! tensors, numbers, texts, dicts and lists; whole networks and code are refused.
//!
//! file ──▶ pickle (tensors as places in storages) ──[`Torch::tensor`]──▶ arrays, one at a time

use std::borrow::Cow;
use std::collections::HashMap;
use std::ops::Range;
use std::path::Path;
use std::sync::OnceLock;

use super::array::{Array, strided};
use super::error::{FormatError, Limits, read_bytes};
use super::items::Element;
use super::pickle::{Loader, Machine, StorageId, check_start};
use super::values::{Node, NodeId, TensorRef, Values};
use super::zip_reader::{self, Entry};

/// The first pickle of the stream that torch wrote before it wrote zip archives.
const MAGIC: i128 = 0x1950_a86a_20f9_469c_fc6c;
const STREAM_VERSION: i128 = 1001;

/// A checkpoint: its values, and the storages that its tensors lie in.
#[derive(Debug)]
pub struct Torch {
    bytes: Vec<u8>,
    values: Values,
    storages: Vec<Storage>,
    big_endian: bool,
}

#[derive(Debug)]
struct Storage {
    element: Element,
    place: Place,
    /// The inflated bytes, where they do not lie in the file as they are.
    inflated: OnceLock<Result<Option<Vec<u8>>, FormatError>>,
}

#[derive(Debug)]
enum Place {
    Stream(Range<usize>),
    Member(Entry),
}

fn damaged(what: impl std::fmt::Display) -> FormatError {
    FormatError::malformed(format!("a damaged checkpoint ({what})"))
}

impl Torch {
    /// # Errors
    /// `Malformed`, `Unsafe` (names that are never read, limits), `Value` (a variant that is not read), `Missing`.
    pub fn read(path: &Path) -> Result<Self, FormatError> {
        read_bytes(path)
            .and_then(|bytes| Self::parse(bytes, &Limits::default()))
            .map_err(|error| error.at(path))
    }

    /// # Errors
    /// As [`Torch::read`].
    pub fn parse(bytes: Vec<u8>, limits: &Limits) -> Result<Self, FormatError> {
        let (values, storages, big_endian) =
            if bytes.starts_with(b"PK") { zipped(&bytes, limits)? } else { streamed(&bytes, limits)? };
        let total = values.tensors().fold(0u64, |total, tensor| {
            let size = storages.get(tensor.storage).map_or(1, |storage| storage.element.size());
            let numbers = tensor.shape.iter().fold(1u64, |all, &side| all.saturating_mul(side as u64));
            total.saturating_add(numbers.saturating_mul(size as u64))
        });
        if total > limits.budget(bytes.len()) {
            return Err(FormatError::unsafe_input(format!(
                "tensors of {total} bytes in a file of {}",
                bytes.len()
            )));
        }
        Ok(Self { bytes, values, storages, big_endian })
    }

    pub fn values(&self) -> &Values {
        &self.values
    }

    /// A tensor's numbers, row-major.
    ///
    /// # Errors
    /// `Malformed` where its storage's record is damaged.
    pub fn tensor(&self, tensor: &TensorRef) -> Result<Array, FormatError> {
        let storage = self.storages.get(tensor.storage).ok_or_else(|| damaged("a tensor without storage"))?;
        let bytes = self.storage(storage)?;
        let (size, shape) = (storage.element.size(), &tensor.shape);
        let count: usize = shape.iter().product();
        if count == 0 {
            return Ok(Array { shape: shape.clone(), data: storage.element.decode(&[], false) });
        }
        let mut expected = 1;
        let contiguous = shape.iter().zip(&tensor.strides).rev().all(|(&side, &stride)| {
            let fits = side == 1 || stride == expected;
            expected *= side;
            fits
        });
        let beyond = || damaged("a tensor beyond its storage");
        let data = if contiguous {
            let start = tensor.offset * size;
            let part = bytes.get(start..start + count * size).ok_or_else(beyond)?;
            storage.element.decode(part, self.big_endian)
        } else {
            let mut part = Vec::with_capacity(count * size);
            for at in strided(tensor.offset, shape, &tensor.strides) {
                part.extend_from_slice(bytes.get(at * size..(at + 1) * size).ok_or_else(beyond)?);
            }
            storage.element.decode(&part, self.big_endian)
        };
        Ok(Array { shape: shape.clone(), data })
    }

    fn storage<'a>(&'a self, storage: &'a Storage) -> Result<&'a [u8], FormatError> {
        match &storage.place {
            Place::Stream(range) => {
                self.bytes.get(range.clone()).ok_or_else(|| damaged("a storage beyond its end"))
            }
            Place::Member(entry) => {
                let inflated = storage.inflated.get_or_init(|| {
                    zip_reader::read(&self.bytes, entry).map(|bytes| match bytes {
                        Cow::Borrowed(_) => None,
                        Cow::Owned(bytes) => Some(bytes),
                    })
                });
                match inflated {
                    Ok(Some(bytes)) => Ok(bytes),
                    Ok(None) => entry
                        .stored_range()
                        .and_then(|range| self.bytes.get(range))
                        .ok_or_else(|| damaged("a storage beyond its end")),
                    Err(error) => Err(error.clone()),
                }
            }
        }
    }

    /// The dict of tensors under a key of the outermost dict.
    ///
    /// # Errors
    /// `Missing`, with the keys that are there; `Value` where the key holds no tensors.
    pub fn state_dict(&self, key: &str) -> Result<Vec<(String, &TensorRef)>, FormatError> {
        let top = self.values.top();
        let dict = self.values.entry(top, key).ok_or_else(|| {
            let keys: Vec<&str> = self.values.entries(top).iter().take(12).map(|(key, _)| *key).collect();
            FormatError::missing(format!("no `{key}` in this checkpoint (there are: {})", keys.join(", ")))
        })?;
        self.tensors_of(dict)
            .ok_or_else(|| FormatError::value(format!("`{key}` of this checkpoint holds no tensors")))
    }

    /// The outermost value as a dict of tensors, for files that hold nothing else.
    pub fn bare_state_dict(&self) -> Option<Vec<(String, &TensorRef)>> {
        self.tensors_of(self.values.top())
    }

    /// Tensors by name; `module.` is left out where every name begins with it. `None` where there are none.
    fn tensors_of(&self, dict: NodeId) -> Option<Vec<(String, &TensorRef)>> {
        let tensors: Vec<(&str, &TensorRef)> = self
            .values
            .entries(dict)
            .into_iter()
            .filter_map(|(name, id)| match self.values.get(id) {
                Node::Tensor(tensor) => Some((name, tensor)),
                _ => None,
            })
            .collect();
        let wrapped = tensors.iter().all(|(name, _)| name.starts_with("module."));
        let own = |name: &str| name.strip_prefix("module.").filter(|_| wrapped).unwrap_or(name).to_owned();
        (!tensors.is_empty()).then(|| tensors.into_iter().map(|(name, tensor)| (own(name), tensor)).collect())
    }
}

type Parts = (Values, Vec<Storage>, bool);

fn zipped(bytes: &[u8], limits: &Limits) -> Result<Parts, FormatError> {
    let entries = zip_reader::entries(bytes, limits)?;
    let by_name: HashMap<&str, &Entry> = entries.iter().map(|entry| (entry.name.as_str(), entry)).collect();
    let root = entries
        .iter()
        .find_map(|entry| entry.name.strip_suffix("/data.pkl").filter(|root| !root.contains('/')))
        .ok_or_else(|| FormatError::malformed("a zip archive without `data.pkl`: no checkpoint of torch"))?;
    let member = |name: &str| by_name.get(format!("{root}/{name}").as_str()).copied();
    if member("constants.pkl").is_some() {
        return Err(FormatError::value(
            "a TorchScript archive; only checkpoints with weights (state_dict) are read",
        ));
    }
    let big_endian = match member("byteorder").map(|entry| zip_reader::read(bytes, entry)).transpose()? {
        None => false,
        Some(order) => match order.as_ref() {
            b"little" => false,
            b"big" => true,
            _ => return Err(damaged("a byte order that is none")),
        },
    };
    let pickle = member("data.pkl").ok_or_else(|| damaged("no data.pkl"))?;
    let pickle = zip_reader::read(bytes, pickle)?;
    let mut machine = Machine::new(&pickle, limits, Loader::Torch);
    let top = machine.run()?;
    let (values, ids) = machine.finish(top)?;
    let storages = ids
        .into_iter()
        .map(|StorageId { key, element, count }| {
            let entry =
                member(&format!("data/{key}")).ok_or_else(|| damaged(format!("no record `data/{key}`")))?;
            if (count as u64).checked_mul(element.size() as u64) != Some(entry.size) {
                return Err(damaged(format!(
                    "record `data/{key}` has {} bytes where {count} numbers of {} bytes are promised",
                    entry.size,
                    element.size()
                )));
            }
            Ok(Storage { element, place: Place::Member(entry.clone()), inflated: OnceLock::new() })
        })
        .collect::<Result<_, _>>()?;
    Ok((values, storages, big_endian))
}

fn streamed(bytes: &[u8], limits: &Limits) -> Result<Parts, FormatError> {
    check_start(bytes).map_err(|_| {
        FormatError::malformed(format!("not a checkpoint of torch but {}", super::npy::describe(bytes)))
    })?;
    let mut at = 0;
    let mut next = || -> Result<(Values, Vec<StorageId>, usize), FormatError> {
        let mut machine = Machine::new(bytes.get(at..).unwrap_or_default(), limits, Loader::Torch);
        let top = machine.run()?;
        at += machine.position();
        let (values, ids) = machine.finish(top)?;
        Ok((values, ids, at))
    };
    let (magic, ..) = next()?;
    if !matches!(magic.get(magic.top()), Node::Int(MAGIC)) {
        return Err(FormatError::malformed("a pickle that is no checkpoint of torch: it begins otherwise"));
    }
    let (version, ..) = next()?;
    match version.get(version.top()) {
        Node::Int(STREAM_VERSION) => {}
        Node::Int(other) => {
            return Err(FormatError::value(format!("stream version {other}: {STREAM_VERSION} is read")));
        }
        _ => return Err(damaged("no stream version")),
    }
    let (system, ..) = next()?;
    let big_endian = match system.entry(system.top(), "little_endian").map(|id| system.get(id)) {
        Some(Node::Bool(little)) => !little,
        _ => return Err(damaged("no byte order")),
    };
    let (values, ids, _) = next()?;
    let (keys, _, mut at) = next()?;
    let key_list = keys.items(keys.top()).ok_or_else(|| damaged("no list of storages"))?;
    let index: HashMap<&str, usize> = ids.iter().enumerate().map(|(at, id)| (id.key.as_str(), at)).collect();
    let mut places: Vec<Option<Range<usize>>> = vec![None; ids.len()];
    for &key in key_list {
        let key = keys.text(key).ok_or_else(|| damaged("a storage without its key"))?;
        let &place =
            index.get(key).ok_or_else(|| damaged(format!("storage `{key}` that no tensor names")))?;
        let id = &ids[place];
        let cut = || damaged(format!("it ends within storage `{key}`"));
        let (count, rest) = bytes.get(at..).and_then(|rest| rest.split_first_chunk::<8>()).ok_or_else(cut)?;
        // Counts are little-endian on machines of either kind.
        if u64::from_le_bytes(*count) != id.count as u64 || places[place].is_some() {
            return Err(damaged(format!("storage `{key}` of another length than its tensors say")));
        }
        let length = id.count.checked_mul(id.element.size()).filter(|&length| length <= rest.len());
        let start = at + 8;
        at = start + length.ok_or_else(cut)?;
        places[place] = Some(start..at);
    }
    let storages = ids
        .into_iter()
        .zip(places)
        .map(|(id, place)| {
            let place = place.ok_or_else(|| damaged(format!("storage `{}` is not in the file", id.key)))?;
            Ok(Storage { element: id.element, place: Place::Stream(place), inflated: OnceLock::new() })
        })
        .collect::<Result<_, FormatError>>()?;
    Ok((values, storages, big_endian))
}
