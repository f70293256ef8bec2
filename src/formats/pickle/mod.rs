//! A restricted reader of Python's pickles: it builds values from a short list of names and refuses every other name
//! at the opcode that names it. Nothing is ever run.
//!
//! bytes ──stack machine──▶ nodes (shared objects once) ──[`Pickle::get`]──▶ values
//! Used for object arrays in npy and npz files.

mod machine;
mod objects;

use super::array::Array;
use super::error::{FormatError, Limits};
use super::npy::describe;
use machine::Machine;

/// Index of a node in its [`Pickle`].
pub type NodeId = usize;

/// A value; children are other nodes.
#[derive(Clone, Debug)]
pub enum Node {
    None,
    Bool(bool),
    Int(i128),
    Float(f64),
    /// Python 2's byte strings are latin-1 text.
    Text(String),
    Bytes(Vec<u8>),
    List(Vec<NodeId>),
    Tuple(Vec<NodeId>),
    /// A key set twice keeps its first place and last value.
    Dict(Vec<(NodeId, NodeId)>),
    Set(Vec<NodeId>),
    Array(Array),
    /// An object array, row-major.
    Objects {
        shape: Vec<usize>,
        items: Vec<NodeId>,
    },
    /// A name from the list, not yet called.
    Name(Name),
    /// numpy's type, filled in by BUILD.
    Type {
        code: String,
        big_endian: bool,
    },
    /// An array that BUILD has not filled yet.
    EmptyArray,
}

/// Names that may occur.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Name {
    Reconstruct,
    Scalar,
    FromBuffer,
    Ndarray,
    Dtype,
    Encode,
    OrderedDict,
    Set,
    FrozenSet,
    ByteArray,
    /// Stands for a class that may be an argument, never called.
    Argument,
}

/// A parsed pickle.
#[derive(Debug)]
pub struct Pickle {
    nodes: Vec<Node>,
    top: NodeId,
}

impl Pickle {
    /// Bytes after the pickle's end are ignored.
    ///
    /// # Errors
    /// `Malformed`, `Unsafe` (names and opcodes that are never read, limits), `Value` (a variant that is not read).
    pub fn parse(bytes: &[u8], limits: &Limits) -> Result<Self, FormatError> {
        if matches!(bytes.first(), None | Some(b'<' | b'%' | 0x1f | 0x89 | 0x93 | 0xff))
            || bytes.starts_with(b"PK")
        {
            return Err(FormatError::malformed(format!("not a pickle ({})", describe(bytes))));
        }
        let mut machine = Machine::new(bytes);
        let top = machine.run(limits)?;
        let pickle = Self { nodes: machine.nodes, top };
        pickle.check_depth(limits)?;
        Ok(pickle)
    }

    pub fn top(&self) -> NodeId {
        self.top
    }

    pub fn get(&self, id: NodeId) -> &Node {
        self.nodes.get(id).unwrap_or(&Node::None)
    }

    fn children(&self, id: NodeId) -> Vec<NodeId> {
        match self.get(id) {
            Node::List(items) | Node::Tuple(items) | Node::Set(items) | Node::Objects { items, .. } => {
                items.clone()
            }
            Node::Dict(entries) => entries.iter().flat_map(|&(key, value)| [key, value]).collect(),
            _ => Vec::new(),
        }
    }

    /// Walks the value with sharing undone, on a stack of its own.
    fn check_depth(&self, limits: &Limits) -> Result<(), FormatError> {
        let mut path: Vec<(NodeId, Vec<NodeId>)> = vec![(self.top, self.children(self.top))];
        let mut open = vec![false; self.nodes.len()];
        open[self.top] = true;
        let mut met = 1u64;
        while let Some((id, rest)) = path.last_mut() {
            let Some(child) = rest.pop() else {
                open[*id] = false;
                path.pop();
                continue;
            };
            met += 1;
            if open[child] {
                return Err(FormatError::malformed("a value that contains itself"));
            }
            if met > limits.max_nodes || path.len() as u64 >= limits.max_depth {
                return Err(FormatError::unsafe_input("a value nested too deep or too large"));
            }
            match self.get(child) {
                Node::Name(_) | Node::Type { .. } | Node::EmptyArray => {
                    return Err(FormatError::value("a class or an unfinished array where data is expected"));
                }
                _ => {}
            }
            open[child] = true;
            path.push((child, self.children(child)));
        }
        Ok(())
    }
}

fn malformed(what: &str) -> FormatError {
    FormatError::malformed(format!("a damaged pickle ({what})"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(bytes: &[u8]) -> Result<Pickle, FormatError> {
        Pickle::parse(bytes, &Limits::default())
    }

    #[test]
    fn plain_values_and_shared_ones() {
        // {'a': [1, 2.5, None], 'b': the same list}
        let bytes = b"\x80\x02}q\x00(U\x01a]q\x01(K\x01G@\x04\0\0\0\0\0\0NeU\x01bh\x01u.";
        let pickle = parse(bytes).unwrap();
        let Node::Dict(entries) = pickle.get(pickle.top()) else { panic!() };
        assert_eq!(entries.len(), 2);
        assert_eq!(entries[0].1, entries[1].1);
        assert!(matches!(pickle.get(entries[0].1), Node::List(items) if items.len() == 3));
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
    }

    #[test]
    fn loops_and_depth_are_noticed() {
        assert_eq!(parse(b"]q\x00h\x00a.").unwrap_err().word(), "malformed");
        let deep = [b"]".repeat(10_000), b"a".repeat(9_999), b".".to_vec()].concat();
        assert_eq!(parse(&deep).unwrap_err().word(), "unsafe");
        assert_eq!(parse(b"r\xff\xff\xff\x7f").unwrap_err().word(), "malformed");
    }
}
