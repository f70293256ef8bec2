//! A restricted reader of Python's pickles: it builds values from a short list of names and refuses every other name
//! at the opcode that names it. Nothing is ever run.
//!
//! bytes ──stack machine──▶ nodes (shared objects once) ──[`Values`]──▶ body models, sequences, checkpoints
//! Used for body models, object arrays in npy and npz files, and inside checkpoints.

mod chumpy;
mod keys;
mod machine;
mod names;
mod objects;
mod text;

use super::error::{FormatError, Limits};
use super::npy::describe;
use super::values::Values;
pub(super) use machine::Machine;
pub use machine::Unfinished;
pub(super) use machine::{Loader, StorageId};

/// Reads one pickle. Bytes after its end are ignored.
///
/// # Errors
/// `Malformed`, `Unsafe` (names and opcodes that are never read, limits), `Value` (a variant that is not read).
pub fn parse_pickle(bytes: &[u8], limits: &Limits) -> Result<Values, FormatError> {
    check_start(bytes)?;
    let mut machine = Machine::new(bytes, limits, Loader::Plain);
    let top = machine.run()?;
    machine.finish(top).map(|(values, _)| values)
}

/// Whether bytes may be a pickle; every other known kind of file is named.
pub(super) fn check_start(bytes: &[u8]) -> Result<(), FormatError> {
    match describe(bytes) {
        "unknown content" => Ok(()),
        known => Err(FormatError::malformed(format!("not a pickle but {known}"))),
    }
}

fn malformed(what: &str) -> FormatError {
    FormatError::malformed(format!("a damaged pickle ({what})"))
}

#[cfg(test)]
mod tests {
    use super::super::values::{Node, NodeId};
    use super::*;

    fn parse(bytes: &[u8]) -> Result<Values, FormatError> {
        parse_pickle(bytes, &Limits::default())
    }

    #[test]
    fn plain_values_and_shared_ones() {
        // {'a': [1, 2.5, None], 'b': the same list}
        let bytes = b"\x80\x02}q\x00(U\x01a]q\x01(K\x01G@\x04\0\0\0\0\0\0NeU\x01bh\x01u.";
        let values = parse(bytes).unwrap();
        let (a, b) = (values.entry(values.top(), "a"), values.entry(values.top(), "b"));
        assert_eq!(a, b);
        assert_eq!(values.items(a.unwrap()).map(<[NodeId]>::len), Some(3));
        for cut in 0..bytes.len() {
            assert!(parse(&bytes[..cut]).is_err());
        }
        for at in 0..bytes.len() {
            let mut flipped = bytes.to_vec();
            flipped[at] ^= 0x08;
            let _ = parse(&flipped);
        }
    }

    #[test]
    fn foreign_names_are_refused_where_they_are_named() {
        assert_eq!(parse(b"cos\nsystem\n(U\x02lstR.").unwrap_err().word(), "unsafe");
        assert!(parse(b"cos\nsystem\n0N.").unwrap_err().to_string().contains("os.system"));
        assert_eq!(parse(b"c__builtin__\nlist\n)R.").unwrap_err().word(), "unsafe");
        let error = parse(b"cchumpy.ch_ops\nadd\n)\x81.").unwrap_err();
        assert!(error.word() == "unsafe" && error.to_string().contains("clean"), "{error}");
    }

    #[test]
    fn loops_and_depth_are_noticed() {
        assert_eq!(parse(b"]q\x00h\x00a.").unwrap_err().word(), "malformed");
        let deep = [b"]".repeat(10_000), b"a".repeat(9_999), b".".to_vec()].concat();
        assert_eq!(parse(&deep).unwrap_err().word(), "unsafe");
        assert_eq!(parse(b"r\xff\xff\xff\x7f").unwrap_err().word(), "malformed");
    }

    #[test]
    fn whole_numbers_of_any_size() {
        let top = |bytes: &[u8]| {
            let values = parse(bytes).unwrap();
            values.get(values.top()).clone()
        };
        assert!(matches!(top(b"\x8a\x01\xff."), Node::Int(-1)));
        let big = [b"\x8a\x14".to_vec(), vec![0; 19], vec![1], b".".to_vec()].concat();
        // 2^152
        assert!(
            matches!(top(&big), Node::BigInt(text) if text == "5708990770823839524233143877797980545530986496")
        );
        assert!(matches!(top(b"L-12L\n."), Node::Int(-12)));
        assert_eq!(parse(format!("L{}\n.", "9".repeat(2000)).as_bytes()).unwrap_err().word(), "unsafe");
    }

    #[test]
    fn a_dict_of_many_keys_takes_no_quadratic_time() {
        let mut bytes = b"\x80\x02}(".to_vec();
        for key in 0..200_000u32 {
            bytes.push(b'J');
            bytes.extend(key.to_le_bytes());
            bytes.push(b'N');
        }
        bytes.extend(b"u.");
        let values = parse(&bytes).unwrap();
        assert!(matches!(values.get(values.top()), Node::Dict(entries) if entries.len() == 200_000));
    }
}
