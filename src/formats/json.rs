//! JSON as strict as results of other programs need: no key twice, nothing after the document.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use super::error::FormatError;
use super::npy::describe;

/// Parses a whole document.
///
/// # Errors
/// `Malformed` with line and column: damaged, NaN or Infinity, a key twice, nested beyond 128 levels.
pub fn parse_json(bytes: &[u8]) -> Result<Value, FormatError> {
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
        let deep = "[".repeat(5000) + &"]".repeat(5000);
        assert!(parse_json(deep.as_bytes()).is_err());
    }
}
