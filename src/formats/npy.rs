//! numpy's npy format, versions 1 to 3.
//! One file because reader, writer and the header's little grammar check each other.

use std::path::Path;

use super::array::{Array, ArrayData};
use super::error::{FormatError, Limits, read_bytes};
use super::items::{Kind, decode_items};
use super::npy_header::{Header, MAGIC};
use super::pickle::parse_pickle;
use super::values::{Node, Values};

/// Reads one array.
///
/// # Errors
/// `Malformed`, `Value` (object arrays, structured types), `Unsafe` (limits), `Missing` (no file).
pub fn read_npy(path: &Path) -> Result<Array, FormatError> {
    read_bytes(path).and_then(|bytes| parse_npy(&bytes, &Limits::default())).map_err(|error| error.at(path))
}

/// An object array: its shape and the values of its pickle, whose top is that array.
///
/// # Errors
/// As [`read_npy`], and what the pickle's reader refuses.
pub fn parse_npy_objects(bytes: &[u8], limits: &Limits) -> Result<Values, FormatError> {
    let header = Header::parse(bytes)?;
    if header.item.kind != Kind::Object {
        return Err(FormatError::value("numbers or text where an array of Python objects is expected"));
    }
    let pickle = parse_pickle(&bytes[header.data_at..], limits)?;
    match pickle.get(pickle.top()) {
        Node::Objects { shape, .. } if *shape == header.shape => Ok(pickle),
        _ => Err(FormatError::malformed("the pickle does not hold the array that the header promises")),
    }
}

/// Whether the array holds Python objects.
pub fn holds_objects(bytes: &[u8]) -> bool {
    Header::parse(bytes).is_ok_and(|header| header.item.kind == Kind::Object)
}

/// An array from the bytes of an npy file.
///
/// # Errors
/// As [`read_npy`].
pub fn parse_npy(bytes: &[u8], limits: &Limits) -> Result<Array, FormatError> {
    let header = Header::parse(bytes)?;
    let data = &bytes[header.data_at..];
    if header.item.kind == Kind::Object {
        return Err(FormatError::value("an array of Python objects where numbers or text are expected"));
    }
    let count = header
        .shape
        .iter()
        .try_fold(1u64, |product, &size| product.checked_mul(size as u64))
        .ok_or_else(|| FormatError::malformed(format!("shape {:?} overflows", header.shape)))?;
    let need = count
        .checked_mul(header.item.size as u64)
        .ok_or_else(|| FormatError::malformed(format!("shape {:?} overflows", header.shape)))?;
    if need > data.len() as u64 {
        return Err(FormatError::malformed(format!(
            "the header promises {need} bytes of data, {} are there",
            data.len()
        )));
    }
    if need > limits.max_array_bytes || (header.item.size == 0 && count > limits.max_nodes) {
        return Err(FormatError::unsafe_input(format!("an array of {need} bytes passes the limit")));
    }
    let values = decode_items(&data[..need as usize], header.item, count as usize)?;
    let values = if header.fortran { values.reordered_from_columns(&header.shape) } else { values };
    Ok(Array { shape: header.shape, data: values })
}

/// The bytes of an npy file.
pub fn npy_bytes(array: &Array) -> Vec<u8> {
    let units = match &array.data {
        ArrayData::Text(values) => values.iter().map(|text| text.chars().count()).max().unwrap_or(0).max(1),
        _ => 0,
    };
    let descr = match &array.data {
        ArrayData::Bool(_) | ArrayData::I8(_) | ArrayData::U8(_) => format!("|{}", array.data.code()),
        ArrayData::Text(_) => format!("<U{units}"),
        // numpy has no such type; every value of it is one of f4 too.
        ArrayData::BF16(_) => "<f4".to_owned(),
        _ => format!("<{}", array.data.code()),
    };
    let sizes: Vec<String> = array.shape.iter().map(usize::to_string).collect();
    let shape = match sizes.as_slice() {
        [one] => format!("({one},)"),
        _ => format!("({})", sizes.join(", ")),
    };
    let mut header = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}");
    // Magic, version and length take ten bytes; the header ends with a newline on a multiple of 64.
    let padding = (64 - (10 + header.len() + 1) % 64) % 64;
    header.extend(std::iter::repeat_n(' ', padding));
    header.push('\n');
    let mut out = Vec::with_capacity(10 + header.len() + array.len() * 8);
    out.extend_from_slice(MAGIC);
    out.extend_from_slice(&[1, 0]);
    out.extend_from_slice(&(header.len() as u16).to_le_bytes());
    out.extend_from_slice(header.as_bytes());
    macro_rules! put {
        ($values:expr) => {
            $values.iter().for_each(|value| out.extend_from_slice(&value.to_le_bytes()))
        };
    }
    match &array.data {
        ArrayData::Bool(v) => out.extend(v.iter().map(|&value| u8::from(value))),
        ArrayData::I8(v) => put!(v),
        ArrayData::U8(v) => out.extend_from_slice(v),
        ArrayData::I16(v) => put!(v),
        ArrayData::U16(v) => put!(v),
        ArrayData::I32(v) => put!(v),
        ArrayData::U32(v) => put!(v),
        ArrayData::I64(v) => put!(v),
        ArrayData::U64(v) => put!(v),
        ArrayData::F16(v) => put!(v),
        ArrayData::BF16(v) => v.iter().for_each(|value| out.extend_from_slice(&value.to_f32().to_le_bytes())),
        ArrayData::F32(v) => put!(v),
        ArrayData::F64(v) => put!(v),
        ArrayData::Text(v) => {
            for text in v {
                let mut left = units;
                for unit in text.chars() {
                    out.extend_from_slice(&(unit as u32).to_le_bytes());
                    left -= 1;
                }
                out.extend(std::iter::repeat_n(0, left * 4));
            }
        }
    }
    out
}

/// What bytes seem to be, in a few words.
pub fn describe(bytes: &[u8]) -> &'static str {
    const KNOWN: [(&[u8], &str); 11] = [
        (b"\x93NUMPY", "an npy array"),
        (b"PK\x03\x04", "a zip archive"),
        (b"PK\x05\x06", "an empty zip archive"),
        (b"\x89PNG", "a PNG picture"),
        (b"\xff\xd8\xff", "a JPEG picture"),
        (b"%PDF", "a PDF"),
        (b"\x1f\x8b", "a gzip archive"),
        (b"\x89HDF", "an HDF5 file"),
        (b"version https://git-lfs", "a git-lfs pointer, not the file itself"),
        (b"<", "a web page or XML, not the file itself"),
        (b"{", "JSON"),
    ];
    if bytes.is_empty() {
        return "the file is empty";
    }
    KNOWN.iter().find(|(start, _)| bytes.starts_with(start)).map_or("unknown content", |(_, name)| name)
}

#[cfg(test)]
mod tests {
    use half::f16;

    use super::*;

    fn round_trip(array: &Array) {
        let bytes = npy_bytes(array);
        assert!(bytes.len().is_multiple_of(64) || !array.is_empty());
        assert_eq!(&parse_npy(&bytes, &Limits::default()).unwrap(), array);
        for cut in 0..bytes.len() {
            assert!(parse_npy(&bytes[..cut], &Limits::default()).is_err(), "prefix of {cut} bytes");
        }
        for at in 0..bytes.len().min(128) {
            for bit in 0..8 {
                let mut flipped = bytes.clone();
                flipped[at] ^= 1 << bit;
                let _ = parse_npy(&flipped, &Limits::default());
            }
        }
    }

    #[test]
    fn arrays_survive_writing_and_damage_is_refused() {
        round_trip(&Array::f32(&[2, 3], vec![1.0, -2.5, 0.0, f32::MAX, 1e-40, 3.0]));
        round_trip(&Array::scalar_f64(std::f64::consts::PI));
        round_trip(&Array::text(&[2], vec!["größe".into(), "日".into()]));
        round_trip(&Array::bool(&[3], vec![true, false, true]));
        round_trip(&Array::u64(&[1], vec![u64::MAX]));
        round_trip(&Array::f16(&[2], vec![f16::from_f32(0.5), f16::from_f32(-2.0)]));
    }

    #[test]
    fn promises_are_checked_before_memory_is_taken() {
        let mut bytes = npy_bytes(&Array::f32(&[4], vec![0.0; 4]));
        let at = bytes.windows(4).position(|window| window == b"(4,)").unwrap();
        bytes[at..at + 4].copy_from_slice(b"(4,)");
        let header = String::from_utf8_lossy(&bytes[10..128]).replace("(4,), }    ", "(99999999,)}");
        let mut huge = bytes[..10].to_vec();
        huge.extend_from_slice(header.as_bytes());
        assert_eq!(parse_npy(&huge, &Limits::default()).unwrap_err().word(), "malformed");
        let limits = Limits { max_array_bytes: 8, ..Limits::default() };
        assert_eq!(parse_npy(&bytes, &limits).unwrap_err().word(), "unsafe");
    }
}
