//! The text form of a loaded file.

use humanifold::formats::torch::Torch;
use humanifold::formats::values::{Node, NodeId, Values};
use humanifold::formats::{Array, ArrayData};

use crate::case::{Failure, Outputs};

/// The text form of a loaded file, one line a node, with its arrays beside it.
#[derive(Default)]
pub struct Listing {
    text: String,
    arrays: Vec<Array>,
}

impl Listing {
    pub fn line(&mut self, path: &str, fields: &[&str]) {
        self.text.push_str(path);
        for field in fields {
            self.text.push('\t');
            self.text.push_str(field);
        }
        self.text.push('\n');
    }

    pub fn array(&mut self, path: &str, array: &Array) {
        let shape = shape_text(&array.shape);
        if let ArrayData::Text(texts) = &array.data {
            self.line(path, &["strs", &shape]);
            let parent = path.trim_end_matches('/');
            for (at, text) in texts.iter().enumerate() {
                self.line(&format!("{parent}/[{at}]"), &["str", &escaped(text, false)]);
            }
        } else {
            self.listed(path, &["array", array.data.code(), &shape], array.clone());
        }
    }

    fn listed(&mut self, path: &str, fields: &[&str], array: Array) {
        let index = self.arrays.len().to_string();
        self.line(path, &[fields, &[&index]].concat());
        self.arrays.push(array);
    }

    /// A whole file without tensors.
    pub fn values(&mut self, values: &Values) {
        // Only tensors can fail.
        let _ = self.node("/", values, values.top(), None);
    }

    pub fn node(
        &mut self,
        path: &str,
        values: &Values,
        id: NodeId,
        torch: Option<&Torch>,
    ) -> Result<(), Failure> {
        let parent = path.trim_end_matches('/');
        match values.get(id) {
            Node::None => self.line(path, &["none"]),
            Node::Bool(value) => self.line(path, &["bool", if *value { "true" } else { "false" }]),
            Node::Int(value) => self.line(path, &["int", &value.to_string()]),
            Node::BigInt(digits) => self.line(path, &["int", digits]),
            Node::Float(value) => {
                let bits = if value.is_nan() { 0x7ff8_0000_0000_0000 } else { value.to_bits() };
                self.line(path, &["float", &format!("{bits:016x}")]);
            }
            Node::Text(text) => self.line(path, &["str", &escaped(text, false)]),
            Node::Bytes(bytes) => {
                let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
                self.line(path, &["bytes", &hex]);
            }
            Node::List(items) => {
                self.line(path, &["list", &items.len().to_string()]);
                self.items(parent, values, items, torch)?;
            }
            Node::Tuple(items) => {
                self.line(path, &["tuple", &items.len().to_string()]);
                self.items(parent, values, items, torch)?;
            }
            Node::Set(items) => self.line(path, &["set", &items.len().to_string()]),
            Node::Objects { shape, items } => {
                self.line(path, &["objs", &shape_text(shape)]);
                self.items(parent, values, items, torch)?;
            }
            Node::Dict(entries) => {
                self.line(path, &["dict", &entries.len().to_string()]);
                for (at, &(key, value)) in entries.iter().enumerate() {
                    let component = match values.get(key) {
                        Node::Text(text) => escaped(text, true),
                        Node::Int(number) => format!("#{number}"),
                        _ => format!("?{at}"),
                    };
                    self.node(&format!("{parent}/{component}"), values, value, torch)?;
                }
            }
            Node::Array(array) => self.array(path, array),
            Node::Sparse(sparse) => {
                let dense = sparse.dense();
                self.listed(path, &["sparse", sparse.format.name(), &shape_text(&dense.shape)], dense);
            }
            Node::Tensor(tensor) => {
                let torch = torch.ok_or_else(|| Failure::broken("a tensor outside a checkpoint"))?;
                self.array(path, &torch.tensor(tensor)?);
            }
            Node::Same(_) | Node::Unfinished(_) => self.line(path, &["unfinished"]),
        }
        Ok(())
    }

    fn items(
        &mut self,
        parent: &str,
        values: &Values,
        items: &[NodeId],
        torch: Option<&Torch>,
    ) -> Result<(), Failure> {
        for (at, &item) in items.iter().enumerate() {
            self.node(&format!("{parent}/[{at}]"), values, item, torch)?;
        }
        Ok(())
    }

    pub fn finish(self) -> Outputs {
        let bytes = self.text.into_bytes();
        let outputs = Outputs::new().u8("tree", &[bytes.len()], bytes);
        self.arrays
            .into_iter()
            .enumerate()
            .fold(outputs, |outputs, (at, array)| outputs.array(&format!("arr_{at}"), array))
    }
}

fn shape_text(shape: &[usize]) -> String {
    let sizes: Vec<String> = shape.iter().map(usize::to_string).collect();
    if sizes.is_empty() { "-".to_owned() } else { sizes.join(",") }
}

pub fn escaped(text: &str, key: bool) -> String {
    let mut out = String::new();
    for letter in text.chars() {
        match letter {
            '\\' => out.push_str("\\\\"),
            '\t' => out.push_str("\\t"),
            '\n' => out.push_str("\\n"),
            '/' if key => out.push_str("\\/"),
            control if (control as u32) < 32 || control as u32 == 127 => {
                out.push_str(&format!("\\x{:02x}", control as u32));
            }
            other => out.push(other),
        }
    }
    out
}
