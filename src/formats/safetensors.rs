//! safetensors files, read under limits. Networks of this program are read by [`crate::tensors`]; this reader is for
//! files of others.

use std::collections::BTreeMap;

use serde_json::Value;

use super::array::Array;
use super::error::{FormatError, Limits};
use super::items::Element;
use super::json::parse_json;
use super::npy::describe;

/// Headers beyond this are not read; the format's own limit.
const MAX_HEADER: u64 = 100_000_000;

/// A file's tensors in the order in which their numbers lie in it.
#[derive(Debug)]
pub struct SafeTensors {
    pub metadata: BTreeMap<String, String>,
    pub tensors: Vec<(String, Array)>,
}

struct Place {
    name: String,
    element: Element,
    shape: Vec<usize>,
    begin: u64,
    end: u64,
}

fn damaged(what: impl std::fmt::Display) -> FormatError {
    FormatError::malformed(format!("a damaged safetensors file ({what})"))
}

impl SafeTensors {
    /// # Errors
    /// `Malformed`, `Value` (types that are not read), `Unsafe` (limits).
    pub fn parse(bytes: &[u8], limits: &Limits) -> Result<Self, FormatError> {
        let Some((length, rest)) = bytes.split_first_chunk::<8>() else {
            return Err(FormatError::malformed(format!(
                "not a safetensors file ({} bytes; {})",
                bytes.len(),
                describe(bytes)
            )));
        };
        let length = u64::from_le_bytes(*length);
        if length > rest.len() as u64 {
            return Err(FormatError::malformed(format!(
                "not a safetensors file, or a cut one: a header of {length} bytes is promised, {} follow ({})",
                rest.len(),
                describe(bytes)
            )));
        }
        if length > MAX_HEADER {
            return Err(FormatError::unsafe_input(format!("a header of {length} bytes")));
        }
        let (header, buffer) = rest.split_at(length as usize);
        if !header.starts_with(b"{") {
            return Err(damaged("a header that does not begin with `{`"));
        }
        let header = parse_json(header)?;
        let mut metadata = BTreeMap::new();
        let mut places = Vec::new();
        for (name, value) in header.as_object().ok_or_else(|| damaged("a header that is no dict"))? {
            if name == "__metadata__" {
                let entries = value.as_object().ok_or_else(|| damaged("metadata that is no dict"))?;
                for (key, text) in entries {
                    let text = text.as_str().ok_or_else(|| damaged("metadata that is no text"))?;
                    metadata.insert(key.clone(), text.to_owned());
                }
            } else {
                let place = Place::read(name, value, limits);
                places.push(place.map_err(|error| error.within(&format!("tensor `{name}`")))?);
            }
        }
        places.sort_by(|a, b| (a.begin, a.end, &a.name).cmp(&(b.begin, b.end, &b.name)));
        let mut at = 0;
        for place in &places {
            if place.begin != at {
                return Err(damaged(format!("tensor `{}` overlaps another or leaves a hole", place.name)));
            }
            at = place.end;
        }
        if at != buffer.len() as u64 {
            return Err(damaged(format!("its tensors take {at} bytes, {} are there", buffer.len())));
        }
        let tensors = places
            .into_iter()
            .map(|place| {
                let data = place.element.decode(&buffer[place.begin as usize..place.end as usize], false);
                (place.name, Array { shape: place.shape, data })
            })
            .collect();
        Ok(Self { metadata, tensors })
    }
}

impl Place {
    fn read(name: &str, value: &Value, limits: &Limits) -> Result<Self, FormatError> {
        let part = |key: &str| value.get(key).ok_or_else(|| damaged(format!("no `{key}`")));
        let numbers = |key: &str| -> Result<Vec<u64>, FormatError> {
            let list = part(key)?.as_array().ok_or_else(|| damaged(format!("`{key}` is no list")))?;
            list.iter()
                .map(|number| number.as_u64().ok_or_else(|| damaged(format!("`{key}` holds {number}"))))
                .collect()
        };
        let kind = part("dtype")?.as_str().ok_or_else(|| damaged("a type that is no text"))?;
        let element = match kind {
            "BOOL" => Element::Bool,
            "U8" => Element::U8,
            "I8" => Element::I8,
            "I16" => Element::I16,
            "U16" => Element::U16,
            "I32" => Element::I32,
            "U32" => Element::U32,
            "I64" => Element::I64,
            "U64" => Element::U64,
            "F16" => Element::F16,
            "BF16" => Element::BF16,
            "F32" => Element::F32,
            "F64" => Element::F64,
            other => return Err(FormatError::value(format!("numbers of type {other} are not read"))),
        };
        let shape = numbers("shape")?;
        let &[begin, end] = numbers("data_offsets")?.as_slice() else {
            return Err(damaged("`data_offsets` are not two"));
        };
        let bytes = shape
            .iter()
            .try_fold(element.size() as u64, |product, &size| product.checked_mul(size))
            .ok_or_else(|| damaged("its sizes overflow"))?;
        if end.checked_sub(begin) != Some(bytes) {
            return Err(damaged(format!("bytes {begin} to {end} for {bytes} bytes of numbers")));
        }
        if bytes > limits.max_array_bytes {
            return Err(FormatError::unsafe_input(format!("{bytes} bytes pass the limit")));
        }
        let shape = shape.into_iter().map(|size| size as usize).collect();
        Ok(Self { name: name.to_owned(), element, shape, begin, end })
    }
}
