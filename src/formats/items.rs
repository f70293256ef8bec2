//! Elements of arrays as numpy's files and pickles name and hold them.

use half::{bf16, f16};

use super::array::ArrayData;
use super::error::FormatError;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Bool,
    Signed,
    Unsigned,
    Float,
    Bytes,
    Unicode,
    Object,
}

/// One element's type.
#[derive(Clone, Copy, Debug)]
pub(super) struct ItemType {
    pub kind: Kind,
    /// Bytes of one element.
    pub size: usize,
    pub big_endian: bool,
}

impl ItemType {
    /// From numpy's code with its byte order, as in npy headers.
    ///
    /// # Errors
    /// `Value` for types that are not read.
    pub fn of_descr(descr: &str) -> Result<Self, FormatError> {
        let (big_endian, code) = match descr.as_bytes().first() {
            Some(b'>') => (true, &descr[1..]),
            Some(b'<' | b'|' | b'=') => (false, &descr[1..]),
            _ => (false, descr),
        };
        Self::of_code(code, big_endian)
    }

    /// From numpy's code: a letter and a number of bytes (units of four bytes for `U`).
    ///
    /// # Errors
    /// `Value` for types that are not read.
    pub fn of_code(code: &str, big_endian: bool) -> Result<Self, FormatError> {
        let unknown = || FormatError::value(format!("arrays of type `{code}` are not read"));
        let of = |kind, size| Ok(Self { kind, size, big_endian });
        match code {
            "b1" | "?" => return of(Kind::Bool, 1),
            "i1" => return of(Kind::Signed, 1),
            "i2" => return of(Kind::Signed, 2),
            "i4" => return of(Kind::Signed, 4),
            "i8" => return of(Kind::Signed, 8),
            "u1" => return of(Kind::Unsigned, 1),
            "u2" => return of(Kind::Unsigned, 2),
            "u4" => return of(Kind::Unsigned, 4),
            "u8" => return of(Kind::Unsigned, 8),
            "f2" => return of(Kind::Float, 2),
            "f4" => return of(Kind::Float, 4),
            "f8" => return of(Kind::Float, 8),
            "O" | "O8" | "O4" => return of(Kind::Object, 0),
            _ => {}
        }
        let (letter, digits) = code.split_at_checked(1).ok_or_else(unknown)?;
        if digits.is_empty() || digits.len() > 9 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(unknown());
        }
        let size: usize = digits.parse().map_err(|_| unknown())?;
        match letter {
            "S" => of(Kind::Bytes, size),
            "U" => of(Kind::Unicode, size * 4),
            _ => Err(unknown()),
        }
    }
}

/// A plain number's type, as checkpoints and MATLAB files name them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Element {
    Bool,
    I8,
    U8,
    I16,
    U16,
    I32,
    U32,
    I64,
    U64,
    F16,
    BF16,
    F32,
    F64,
}

impl Element {
    /// Bytes of one.
    pub(super) fn size(self) -> usize {
        match self {
            Self::Bool | Self::I8 | Self::U8 => 1,
            Self::I16 | Self::U16 | Self::F16 | Self::BF16 => 2,
            Self::I32 | Self::U32 | Self::F32 => 4,
            Self::I64 | Self::U64 | Self::F64 => 8,
        }
    }

    /// All numbers in `data`; what is left over at its end is dropped.
    pub(super) fn decode(self, data: &[u8], big_endian: bool) -> ArrayData {
        macro_rules! numbers {
            ($type:ty, $kind:ident) => {{
                let (chunks, _) = data.as_chunks::<{ size_of::<$type>() }>();
                ArrayData::$kind(if big_endian {
                    chunks.iter().map(|&chunk| <$type>::from_be_bytes(chunk)).collect()
                } else {
                    chunks.iter().map(|&chunk| <$type>::from_le_bytes(chunk)).collect()
                })
            }};
        }
        match self {
            Self::Bool => ArrayData::Bool(data.iter().map(|&byte| byte != 0).collect()),
            Self::I8 => ArrayData::I8(data.iter().map(|&byte| byte as i8).collect()),
            Self::U8 => ArrayData::U8(data.to_vec()),
            Self::I16 => numbers!(i16, I16),
            Self::U16 => numbers!(u16, U16),
            Self::I32 => numbers!(i32, I32),
            Self::U32 => numbers!(u32, U32),
            Self::I64 => numbers!(i64, I64),
            Self::U64 => numbers!(u64, U64),
            Self::F16 => numbers!(f16, F16),
            Self::BF16 => numbers!(bf16, BF16),
            Self::F32 => numbers!(f32, F32),
            Self::F64 => numbers!(f64, F64),
        }
    }
}

/// `count` elements from their bytes.
///
/// # Errors
/// `Malformed` for text that is not Unicode.
pub(super) fn decode_items(data: &[u8], item: ItemType, count: usize) -> Result<ArrayData, FormatError> {
    let element = match (item.kind, item.size) {
        (Kind::Bool, _) => Some(Element::Bool),
        (Kind::Signed, 1) => Some(Element::I8),
        (Kind::Signed, 2) => Some(Element::I16),
        (Kind::Signed, 4) => Some(Element::I32),
        (Kind::Signed, _) => Some(Element::I64),
        (Kind::Unsigned, 1) => Some(Element::U8),
        (Kind::Unsigned, 2) => Some(Element::U16),
        (Kind::Unsigned, 4) => Some(Element::U32),
        (Kind::Unsigned, _) => Some(Element::U64),
        (Kind::Float, 2) => Some(Element::F16),
        (Kind::Float, 4) => Some(Element::F32),
        (Kind::Float, _) => Some(Element::F64),
        _ => None,
    };
    if let Some(element) = element {
        return Ok(element.decode(data, item.big_endian));
    }
    Ok(match (item.kind, item.size) {
        (Kind::Bytes | Kind::Unicode, 0) => ArrayData::Text(vec![String::new(); count]),
        // Python 2 byte strings are read as latin-1.
        (Kind::Bytes, size) => ArrayData::Text(
            data.chunks_exact(size)
                .map(|text| {
                    let text: String = text.iter().map(|&byte| byte as char).collect();
                    text.trim_end_matches('\0').to_owned()
                })
                .collect(),
        ),
        (Kind::Unicode, size) => ArrayData::Text(
            data.chunks_exact(size)
                .map(|text| {
                    let (units, _) = text.as_chunks::<4>();
                    let text: Option<String> = units
                        .iter()
                        .map(|&unit| {
                            char::from_u32(if item.big_endian {
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
        _ => return Err(FormatError::value("an array of Python objects")),
    })
}
