//! JSON as strict as results of other programs need: no key twice, nothing after the document.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use super::error::FormatError;
use super::npy::describe;

/// Nesting that is read; the parser itself stops one level earlier.
const MAX_DEPTH: usize = 127;

/// Parses a whole document.
///
/// # Errors
/// `Malformed` with line and column: damaged, NaN or Infinity, a key twice; `Unsafe`: nested too deep.
pub fn parse_json(bytes: &[u8]) -> Result<Value, FormatError> {
    if let Some(at) = too_deep(bytes) {
        return Err(FormatError::unsafe_input(format!(
            "JSON nested more than {MAX_DEPTH} deep at byte {at}"
        )));
    }
    serde_json::from_slice::<Strict>(bytes).map(|value| value.0).map_err(|error| {
        let hint = match bytes.iter().find(|byte| !byte.is_ascii_whitespace()) {
            Some(b'{' | b'[') => {
                let text = String::from_utf8_lossy(bytes);
                if text.contains("NaN") || text.contains("Infinity") {
                    "; NaN and Infinity are no JSON numbers"
                } else {
                    ""
                }
            }
            _ => return FormatError::malformed(format!("not JSON ({}): {error}", describe(bytes))),
        };
        FormatError::malformed(format!("damaged JSON ({error}{hint})"))
    })
}

/// Where brackets first nest deeper than is read.
fn too_deep(bytes: &[u8]) -> Option<usize> {
    let (mut depth, mut text, mut escaped) = (0usize, false, false);
    for (at, &byte) in bytes.iter().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if text => escaped = true,
            b'"' => text = !text,
            b'[' | b'{' if !text => {
                depth += 1;
                if depth > MAX_DEPTH {
                    return Some(at);
                }
            }
            b']' | b'}' if !text => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    None
}

struct Strict(Value);

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(StrictVisitor).map(Strict)
    }
}

struct StrictVisitor;

impl<'de> Visitor<'de> for StrictVisitor {
    type Value = Value;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom("a number that is not finite"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(Strict(value)) = seq.next_element()? {
            list.push(value);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some((key, Strict(value))) = entries.next_entry::<String, Strict>()? {
            if map.contains_key(&key) {
                return Err(serde::de::Error::custom(format!("key {key:?} twice")));
            }
            map.insert(key, value);
        }
        Ok(Value::Object(map))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strictness() {
        assert!(parse_json(br#"{"a": [1, 2.5, null, "x"], "b": {}}"#).is_ok());
        for bad in [r#"{"a": 1, "a": 2}"#, "[1] 2", "[NaN]", "[1", "", "<html>"] {
            assert_eq!(parse_json(bad.as_bytes()).unwrap_err().word(), "malformed", "{bad}");
        }
        assert!(parse_json(b"[NaN]").unwrap_err().to_string().contains("no JSON numbers"));
        let deep = |levels: usize| "[".repeat(levels) + &"]".repeat(levels);
        assert_eq!(parse_json(deep(5000).as_bytes()).unwrap_err().word(), "unsafe");
        assert!(parse_json(deep(MAX_DEPTH).as_bytes()).is_ok());
        assert!(parse_json(format!("[\"{}\"]", "[".repeat(500)).as_bytes()).is_ok());
    }
}
