//! numpy's npy format, versions 1 to 3.
//! One file because reader, writer and the header's little grammar check each other.

use std::path::Path;

use half::f16;

use super::array::{Array, ArrayData};
use super::atomic::write_atomic;
use super::error::{FormatError, Limits, read_file};

const MAGIC: &[u8] = b"\x93NUMPY";

/// Reads one array.
///
/// # Errors
/// `Malformed`, `Value` (object arrays, structured types), `Unsafe` (limits), `Missing` (no file).
pub fn read_npy(path: &Path) -> Result<Array, FormatError> {
    read_file(path).and_then(|bytes| parse_npy(&bytes, &Limits::default())).map_err(|error| error.at(path))
}

/// Writes one array: version 1.0, row-major, little-endian.
///
/// # Errors
/// `Io` where the file cannot be written.
pub fn write_npy(path: &Path, array: &Array) -> Result<(), FormatError> {
    write_atomic(path, &npy_bytes(array))
}

/// An array from the bytes of an npy file.
///
/// # Errors
/// As [`read_npy`].
pub fn parse_npy(bytes: &[u8], limits: &Limits) -> Result<Array, FormatError> {
    let header = Header::parse(bytes)?;
    let data = &bytes[header.data_at..];
    if header.kind == Kind::Object {
        return Err(FormatError::value("an array of Python objects where numbers or text are expected"));
    }
    let count = header
        .shape
        .iter()
        .try_fold(1u64, |product, &size| product.checked_mul(size as u64))
        .ok_or_else(|| FormatError::malformed(format!("shape {:?} overflows", header.shape)))?;
    let need = count
        .checked_mul(header.item as u64)
        .ok_or_else(|| FormatError::malformed(format!("shape {:?} overflows", header.shape)))?;
    if need > data.len() as u64 {
        return Err(FormatError::malformed(format!(
            "the header promises {need} bytes of data, {} are there",
            data.len()
        )));
    }
    if need > limits.max_array_bytes || (header.item == 0 && count > limits.max_nodes) {
        return Err(FormatError::unsafe_input(format!("an array of {need} bytes passes the limit")));
    }
    let values = decode(&data[..need as usize], &header, count as usize)?;
    let values = if header.fortran { values.from_column_major(&header.shape) } else { values };
    Ok(Array { shape: header.shape, data: values })
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Bool,
    Signed,
    Unsigned,
    Float,
    Bytes,
    Unicode,
    Object,
}

struct Header {
    kind: Kind,
    /// Bytes of one element.
    item: usize,
    big_endian: bool,
    fortran: bool,
    shape: Vec<usize>,
    data_at: usize,
}

impl Header {
    fn parse(bytes: &[u8]) -> Result<Self, FormatError> {
        if bytes.len() < 8 || &bytes[..6] != MAGIC {
            return Err(FormatError::malformed(format!("not an npy file ({})", describe(bytes))));
        }
        let (length, start) = match (bytes[6], bytes[7]) {
            (1, 0) => match bytes.get(8..10) {
                Some(&[a, b]) => (u16::from_le_bytes([a, b]) as usize, 10),
                _ => return Err(FormatError::malformed("cut within the npy header")),
            },
            (2 | 3, 0) => match bytes.get(8..12) {
                Some(&[a, b, c, d]) => (u32::from_le_bytes([a, b, c, d]) as usize, 12),
                _ => return Err(FormatError::malformed("cut within the npy header")),
            },
            (major, minor) => {
                return Err(FormatError::value(format!("npy version {major}.{minor} is not known")));
            }
        };
        let data_at = start + length;
        let text = bytes
            .get(start..data_at)
            .ok_or_else(|| FormatError::malformed("the npy header is longer than the file"))?;
        let text = if bytes[6] == 3 {
            std::str::from_utf8(text)
                .map_err(|_| FormatError::malformed("the npy header is not UTF-8"))?
                .to_owned()
        } else {
            text.iter().map(|&byte| byte as char).collect()
        };
        let literal = Literal::parse(&text)?;
        let (kind, item, big_endian) = parse_descr(&literal.descr)?;
        Ok(Self { kind, item, big_endian, fortran: literal.fortran, shape: literal.shape, data_at })
    }
}

/// Type code of numpy: byte order, letter, bytes (units of four bytes for `U`).
fn parse_descr(descr: &Descr) -> Result<(Kind, usize, bool), FormatError> {
    let Descr::Text(descr) = descr else {
        return Err(FormatError::value("structured arrays are not read"));
    };
    let unknown = || FormatError::value(format!("arrays of type `{descr}` are not read"));
    let (big_endian, code) = match descr.as_bytes().first() {
        Some(b'>') => (true, &descr[1..]),
        Some(b'<' | b'|' | b'=') => (false, &descr[1..]),
        _ => (false, descr.as_str()),
    };
    let fixed = |kind, size| Ok((kind, size, big_endian));
    match code {
        "b1" | "?" => return fixed(Kind::Bool, 1),
        "i1" => return fixed(Kind::Signed, 1),
        "i2" => return fixed(Kind::Signed, 2),
        "i4" => return fixed(Kind::Signed, 4),
        "i8" => return fixed(Kind::Signed, 8),
        "u1" => return fixed(Kind::Unsigned, 1),
        "u2" => return fixed(Kind::Unsigned, 2),
        "u4" => return fixed(Kind::Unsigned, 4),
        "u8" => return fixed(Kind::Unsigned, 8),
        "f2" => return fixed(Kind::Float, 2),
        "f4" => return fixed(Kind::Float, 4),
        "f8" => return fixed(Kind::Float, 8),
        "O" | "O8" | "O4" => return fixed(Kind::Object, 0),
        _ => {}
    }
    let (letter, digits) = code.split_at_checked(1).ok_or_else(unknown)?;
    if digits.is_empty() || digits.len() > 9 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(unknown());
    }
    let size: usize = digits.parse().map_err(|_| unknown())?;
    match letter {
        "S" => Ok((Kind::Bytes, size, big_endian)),
        "U" => Ok((Kind::Unicode, size * 4, big_endian)),
        _ => Err(unknown()),
    }
}

fn decode(data: &[u8], header: &Header, count: usize) -> Result<ArrayData, FormatError> {
    macro_rules! numbers {
        ($type:ty, $kind:ident) => {{
            const SIZE: usize = size_of::<$type>();
            let (chunks, _) = data.as_chunks::<SIZE>();
            ArrayData::$kind(if header.big_endian {
                chunks.iter().map(|&chunk| <$type>::from_be_bytes(chunk)).collect()
            } else {
                chunks.iter().map(|&chunk| <$type>::from_le_bytes(chunk)).collect()
            })
        }};
    }
    Ok(match (header.kind, header.item) {
        (Kind::Bool, _) => ArrayData::Bool(data.iter().map(|&byte| byte != 0).collect()),
        (Kind::Signed, 1) => ArrayData::I8(data.iter().map(|&byte| byte as i8).collect()),
        (Kind::Signed, 2) => numbers!(i16, I16),
        (Kind::Signed, 4) => numbers!(i32, I32),
        (Kind::Signed, _) => numbers!(i64, I64),
        (Kind::Unsigned, 1) => ArrayData::U8(data.to_vec()),
        (Kind::Unsigned, 2) => numbers!(u16, U16),
        (Kind::Unsigned, 4) => numbers!(u32, U32),
        (Kind::Unsigned, _) => numbers!(u64, U64),
        (Kind::Float, 2) => numbers!(f16, F16),
        (Kind::Float, 4) => numbers!(f32, F32),
        (Kind::Float, _) => numbers!(f64, F64),
        (Kind::Bytes | Kind::Unicode, 0) => ArrayData::Text(vec![String::new(); count]),
        // Python 2 byte strings are read as latin-1.
        (Kind::Bytes, item) => ArrayData::Text(
            data.chunks_exact(item)
                .map(|text| {
                    let text: String = text.iter().map(|&byte| byte as char).collect();
                    text.trim_end_matches('\0').to_owned()
                })
                .collect(),
        ),
        (Kind::Unicode, item) => ArrayData::Text(
            data.chunks_exact(item)
                .map(|text| {
                    let (units, _) = text.as_chunks::<4>();
                    let text: Option<String> = units
                        .iter()
                        .map(|&unit| {
                            char::from_u32(if header.big_endian {
                                u32::from_be_bytes(unit)
                            } else {
                                u32::from_le_bytes(unit)
                            })
                        })
                        .collect();
                    text.map(|text| text.trim_end_matches('\0').to_owned())
                        .ok_or_else(|| FormatError::malformed("text that is not Unicode"))
                })
                .collect::<Result<_, _>>()?,
        ),
        (Kind::Object, _) => return Err(FormatError::value("an array of Python objects")),
    })
}

enum Descr {
    Text(String),
    /// A list: a structured type.
    Structured,
}

/// The Python literal of the header: a dict with exactly three keys.
struct Literal {
    descr: Descr,
    fortran: bool,
    shape: Vec<usize>,
}

impl Literal {
    fn parse(text: &str) -> Result<Self, FormatError> {
        let bad = || FormatError::malformed("the npy header is not the dict that numpy writes");
        let mut reader = Reader { rest: text };
        let (mut descr, mut fortran, mut shape) = (None, None, None);
        reader.expect('{').ok_or_else(bad)?;
        loop {
            if reader.take('}') {
                break;
            }
            let key = reader.string().ok_or_else(bad)?;
            reader.expect(':').ok_or_else(bad)?;
            match key.as_str() {
                "descr" if descr.is_none() => {
                    descr = Some(if reader.peek() == Some('[') {
                        reader.list().ok_or_else(bad)?;
                        Descr::Structured
                    } else {
                        Descr::Text(reader.string().ok_or_else(bad)?)
                    });
                }
                "fortran_order" if fortran.is_none() => {
                    fortran = Some(reader.boolean().ok_or_else(bad)?);
                }
                "shape" if shape.is_none() => shape = Some(reader.tuple().ok_or_else(bad)?),
                _ => return Err(bad()),
            }
            if !reader.take(',') {
                reader.expect('}').ok_or_else(bad)?;
                break;
            }
        }
        if !reader.rest.trim_matches([' ', '\n', '\r', '\t', '\0']).is_empty() {
            return Err(bad());
        }
        match (descr, fortran, shape) {
            (Some(descr), Some(fortran), Some(shape)) => Ok(Self { descr, fortran, shape }),
            _ => Err(bad()),
        }
    }
}

struct Reader<'a> {
    rest: &'a str,
}

impl Reader<'_> {
    fn peek(&mut self) -> Option<char> {
        self.rest = self.rest.trim_start_matches([' ', '\n', '\t', '\r']);
        self.rest.chars().next()
    }

    fn take(&mut self, wanted: char) -> bool {
        let there = self.peek() == Some(wanted);
        if there {
            self.rest = &self.rest[wanted.len_utf8()..];
        }
        there
    }

    fn expect(&mut self, wanted: char) -> Option<()> {
        self.take(wanted).then_some(())
    }

    fn string(&mut self) -> Option<String> {
        let quote = self.peek().filter(|&quote| quote == '\'' || quote == '"')?;
        let body = &self.rest[1..];
        let end = body.find([quote, '\\'])?;
        if !body[end..].starts_with(quote) {
            return None;
        }
        self.rest = &body[end + 1..];
        Some(body[..end].to_owned())
    }

    /// Skips a bracketed list, whatever it holds.
    fn list(&mut self) -> Option<()> {
        let mut depth = 0usize;
        loop {
            match self.peek()? {
                '\'' | '"' => {
                    self.string()?;
                    continue;
                }
                '[' | '(' => depth += 1,
                ']' | ')' => depth = depth.checked_sub(1)?,
                _ => {}
            }
            let next = self.rest.chars().next()?;
            self.rest = &self.rest[next.len_utf8()..];
            if depth == 0 {
                return Some(());
            }
        }
    }

    fn boolean(&mut self) -> Option<bool> {
        self.peek();
        for (word, value) in [("True", true), ("False", false)] {
            if let Some(rest) = self.rest.strip_prefix(word) {
                self.rest = rest;
                return Some(value);
            }
        }
        None
    }

    fn number(&mut self) -> Option<usize> {
        self.peek();
        let digits = self.rest.bytes().take_while(u8::is_ascii_digit).count();
        if digits == 0 || digits > 19 {
            return None;
        }
        let value = self.rest[..digits].parse().ok()?;
        self.rest = &self.rest[digits..];
        // Python 2 wrote `10L`.
        self.rest = self.rest.strip_prefix('L').unwrap_or(self.rest);
        Some(value)
    }

    fn tuple(&mut self) -> Option<Vec<usize>> {
        self.expect('(')?;
        let mut sizes = Vec::new();
        let mut comma = false;
        loop {
            if self.take(')') {
                // `(3)` is a number in Python, not a tuple.
                return (sizes.len() != 1 || comma).then_some(sizes);
            }
            if !sizes.is_empty() && !comma {
                return None;
            }
            sizes.push(self.number()?);
            comma = self.take(',');
            if sizes.len() > 64 {
                return None;
            }
        }
    }
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
pub(crate) fn describe(bytes: &[u8]) -> &'static str {
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
    use super::*;

    fn round_trip(array: &Array) {
        let bytes = npy_bytes(array);
        assert_eq!(bytes.len() % 64 == 0 || !array.is_empty(), true);
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
