//! The header of an npy file: magic, version, and a Python literal.

use super::error::FormatError;
use super::items::ItemType;
use super::npy::describe;

pub(super) const MAGIC: &[u8] = b"\x93NUMPY";

pub(super) struct Header {
    pub item: ItemType,
    /// Column-major.
    pub fortran: bool,
    pub shape: Vec<usize>,
    /// Where in the file the data begins.
    pub data_at: usize,
}

impl Header {
    pub fn parse(bytes: &[u8]) -> Result<Self, FormatError> {
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
        let Descr::Text(descr) = &literal.descr else {
            return Err(FormatError::value("structured arrays are not read"));
        };
        let item = ItemType::of_descr(descr)?;
        Ok(Self { item, fortran: literal.fortran, shape: literal.shape, data_at })
    }
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
