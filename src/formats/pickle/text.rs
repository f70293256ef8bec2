//! Text and numbers as the old protocols write them.

use super::{FormatError, malformed};
use crate::formats::error::Limits;
use crate::formats::values::Node;

/// Decimal digits of one number that are looked at.
const MAX_DIGITS: usize = 1300;

/// The bytes of a quoted line with Python's escapes; unknown escapes stay as they are.
pub(super) fn quoted(line: &[u8]) -> Result<Vec<u8>, FormatError> {
    let bad = || malformed("a text without its end");
    let (&quote, rest) = line.split_first().ok_or_else(bad)?;
    let (&end, body) = rest.split_last().ok_or_else(bad)?;
    if !matches!(quote, b'\'' | b'"') || end != quote {
        return Err(bad());
    }
    let mut out = Vec::with_capacity(body.len().min(1 << 20));
    let mut at = 0;
    while let Some(&byte) = body.get(at) {
        at += 1;
        if byte != b'\\' {
            // Copied up to the next backslash at once: old files are megabytes of this.
            let plain = body[at..].iter().position(|&next| next == b'\\').unwrap_or(body.len() - at);
            out.push(byte);
            out.extend_from_slice(&body[at..at + plain]);
            at += plain;
            continue;
        }
        let &kind = body.get(at).ok_or_else(|| malformed("an escape without its letter"))?;
        at += 1;
        match kind {
            b'\\' | b'\'' | b'"' => out.push(kind),
            b'n' => out.push(b'\n'),
            b'r' => out.push(b'\r'),
            b't' => out.push(b'\t'),
            b'a' => out.push(7),
            b'b' => out.push(8),
            b'f' => out.push(12),
            b'v' => out.push(11),
            b'x' => {
                let digits = body.get(at..at + 2).and_then(|two| std::str::from_utf8(two).ok());
                let value = digits.and_then(|two| u8::from_str_radix(two, 16).ok());
                out.push(value.ok_or_else(|| malformed("a bad escape"))?);
                at += 2;
            }
            b'0'..=b'7' => {
                let mut value = u32::from(kind - b'0');
                for _ in 0..2 {
                    match body.get(at) {
                        Some(&digit @ b'0'..=b'7') => {
                            value = value * 8 + u32::from(digit - b'0');
                            at += 1;
                        }
                        _ => break,
                    }
                }
                out.push(value as u8);
            }
            other => out.extend_from_slice(&[b'\\', other]),
        }
    }
    Ok(out)
}

/// A line of protocol 0's unicode: `\u` and `\U` escapes, the rest latin-1.
pub(super) fn raw_unicode(line: &[u8]) -> Result<String, FormatError> {
    let bad = || malformed("a bad escape");
    let mut out = String::new();
    let mut at = 0;
    while let Some(&byte) = line.get(at) {
        at += 1;
        if byte != b'\\' {
            out.push(byte as char);
            continue;
        }
        let digits = match line.get(at) {
            Some(b'u') => 4,
            Some(b'U') => 8,
            other => {
                out.push('\\');
                if let Some(&other) = other {
                    out.push(other as char);
                    at += 1;
                }
                continue;
            }
        };
        let number = |from: usize, digits: usize| {
            let text = std::str::from_utf8(line.get(from..from + digits)?).ok()?;
            if text.bytes().all(|digit| digit.is_ascii_hexdigit()) {
                u32::from_str_radix(text, 16).ok()
            } else {
                None
            }
        };
        let mut value = number(at + 1, digits).ok_or_else(bad)?;
        at += 1 + digits;
        // Python 2 wrote letters beyond the first 65,536 as two halves.
        if (0xd800..0xdc00).contains(&value)
            && line.get(at..at + 2) == Some(b"\\u")
            && let Some(low @ 0xdc00..0xe000) = number(at + 2, 4)
        {
            value = 0x1_0000 + ((value - 0xd800) << 10) + (low - 0xdc00);
            at += 6;
        }
        out.push(char::from_u32(value).ok_or_else(bad)?);
    }
    Ok(out)
}

/// A whole number in decimal digits.
pub(super) fn whole(text: &str) -> Result<Node, FormatError> {
    let text = text.trim();
    let (negative, digits) = match text.strip_prefix(['+', '-']) {
        Some(digits) => (text.starts_with('-'), digits),
        None => (false, text),
    };
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(malformed("a bad number"));
    }
    if digits.len() > MAX_DIGITS {
        return Err(FormatError::unsafe_input(format!("a number of {} digits", digits.len())));
    }
    Ok(text.parse().map_or_else(
        |_| {
            let digits = digits.trim_start_matches('0');
            Node::BigInt(format!("{}{digits}", if negative { "-" } else { "" }))
        },
        Node::Int,
    ))
}

/// A whole number in little-endian two's complement.
pub(super) fn long(bytes: &[u8], limits: &Limits) -> Result<Node, FormatError> {
    if bytes.len() as u64 * 8 > limits.max_int_bits {
        return Err(FormatError::unsafe_input(format!(
            "a whole number of {} bits, {} are read",
            bytes.len() * 8,
            limits.max_int_bits
        )));
    }
    let negative = bytes.last().is_some_and(|&byte| byte >= 0x80);
    if bytes.len() <= 16 {
        let mut all = [if negative { 0xff } else { 0 }; 16];
        all[..bytes.len()].copy_from_slice(bytes);
        return Ok(Node::Int(i128::from_le_bytes(all)));
    }
    // Magnitude, most significant first, divided down to decimal digits nine at a time.
    let mut magnitude: Vec<u8> = bytes.to_vec();
    if negative {
        let mut carry = true;
        for byte in &mut magnitude {
            (*byte, carry) = (!*byte).overflowing_add(u8::from(carry));
        }
    }
    magnitude.reverse();
    let mut groups = Vec::new();
    while magnitude.iter().any(|&byte| byte != 0) {
        let mut rest = 0u64;
        for byte in &mut magnitude {
            let value = rest << 8 | u64::from(*byte);
            *byte = (value / 1_000_000_000) as u8;
            rest = value % 1_000_000_000;
        }
        groups.push(rest);
    }
    let mut text = String::new();
    for (at, group) in groups.iter().rev().enumerate() {
        text += &if at == 0 { group.to_string() } else { format!("{group:09}") };
    }
    whole(&format!("{}{}", if negative { "-" } else { "" }, if text.is_empty() { "0" } else { &text }))
}
