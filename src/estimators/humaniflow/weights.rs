//! Named tensors as the authors' checkpoints hold them (linear layers output-major), and what can be
//! wrong with them.

use std::collections::BTreeMap;
use std::io::{Read, Seek};
use std::path::Path;

use crate::formats::FormatError;
use crate::formats::recognise::{self, Content};
use crate::formats::torch::Torch;
use crate::formats::values::TensorRef;

/// A safetensors header longer than this is not looked through.
const LONGEST_HEADER: u64 = 1 << 24;

/// One tensor, row-major.
#[derive(Clone, Debug, PartialEq)]
pub struct StateTensor {
    pub shape: Vec<usize>,
    pub values: Vec<f32>,
}

/// A network's tensors by PyTorch's names.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StateDict(pub BTreeMap<String, StateTensor>);

#[derive(Debug, thiserror::Error)]
pub enum WeightsError {
    /// Tensors that are missing or too much.
    #[error("these weights are not of this network: {0}")]
    Tensors(String),
    /// Tensors of other sizes.
    #[error("these weights are not of this network: {0}")]
    Shape(String),
    #[error("{0}")]
    Config(String),
    /// A checkpoint that cannot be read.
    #[error(transparent)]
    Checkpoint(#[from] FormatError),
    #[error(transparent)]
    File(#[from] crate::tensors::TensorError),
}

impl WeightsError {
    /// One word for tests and machine-readable output.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Tensors(_) => "missing",
            Self::Shape(_) => "shape",
            Self::Config(_) => "value",
            Self::Checkpoint(error) => error.word(),
            Self::File(_) => "malformed",
        }
    }
}

/// Whether a file begins as `torch.save` writes them: a zip or a bare pickle, as opposed to the length that a
/// safetensors file begins with.
fn is_torch(file: &mut std::fs::File) -> bool {
    let mut start = [0; 2];
    file.read_exact(&mut start).is_ok() && (&start == b"PK" || start == [0x80, 0x02])
}

/// Whether a file is a checkpoint of `torch.save` or a safetensors file with this network's contexts, as far as
/// its first bytes and its header tell.
pub fn looks_like_humaniflow(path: &Path) -> bool {
    let Ok(mut file) = std::fs::File::open(path) else { return false };
    if is_torch(&mut file) {
        return true;
    }
    let mut length = [0; 8];
    let mut header = Vec::new();
    let read = file
        .rewind()
        .and_then(|()| file.read_exact(&mut length))
        .and_then(|()| file.take(u64::from_le_bytes(length).min(LONGEST_HEADER)).read_to_end(&mut header));
    let name = br#""fc_flow_context.0.weight""#;
    read.is_ok() && header.windows(name.len()).any(|window| window == name)
}

impl StateDict {
    /// A checkpoint of `torch.save` (its `best_model_state_dict` where it has one, then `model_state_dict`, then
    /// its top level) or a safetensors file. Whole-number tensors (counters) are left out.
    ///
    /// # Errors
    /// Where the file cannot be read, or is neither.
    pub fn read(path: &Path) -> Result<Self, WeightsError> {
        let torch = std::fs::File::open(path).is_ok_and(|mut file| is_torch(&mut file));
        if torch {
            let torch = Torch::read(path)?;
            return Self::of_checkpoint(&torch).map_err(|error| error.at(path).into());
        }
        let mut state = Self::default();
        for tensor in crate::tensors::weights::read(path)?.tensors {
            state.insert(&tensor.name, &tensor.shape, tensor.values);
        }
        Ok(state)
    }

    /// The tensors of a checkpoint that are for use: the best epoch's where it keeps them apart.
    fn of_checkpoint(torch: &Torch) -> Result<Self, FormatError> {
        let values = torch.values();
        let keys: Vec<&str> = values.entries(values.top()).iter().map(|(key, _)| *key).collect();
        match recognise::by_keys(&keys) {
            None | Some(Content::HumaniflowWeights) => {}
            Some(other) => {
                return Err(FormatError::value(format!(
                    "no weights of HuManiFlow: this is {}",
                    other.description()
                )));
            }
        }
        for key in ["best_model_state_dict", "model_state_dict"] {
            if keys.contains(&key) {
                return Self::of_tensors(torch, torch.state_dict(key)?);
            }
        }
        let bare = torch.bare_state_dict().ok_or_else(|| {
            FormatError::missing(format!(
                "no `best_model_state_dict` in this checkpoint (there are: {})",
                keys.join(", ")
            ))
        })?;
        Self::of_tensors(torch, bare)
    }

    /// Tensors of a checkpoint by name; whole-number ones are left out.
    ///
    /// # Errors
    /// `Malformed` where a tensor's record is damaged.
    pub fn of_tensors(torch: &Torch, tensors: Vec<(String, &TensorRef)>) -> Result<Self, FormatError> {
        let mut state = Self::default();
        for (name, tensor) in tensors {
            let array = torch.tensor(tensor).map_err(|error| error.within(&format!("tensor `{name}`")))?;
            if !array.is_integer() {
                state.insert(&name, &array.shape, array.to_f32()?);
            }
        }
        Ok(state)
    }

    pub fn insert(&mut self, name: &str, shape: &[usize], values: Vec<f32>) {
        self.0.insert(name.to_owned(), StateTensor { shape: shape.to_vec(), values });
    }

    /// # Errors
    /// Where there is no such tensor.
    pub fn get(&self, name: &str) -> Result<&StateTensor, WeightsError> {
        self.0.get(name).ok_or_else(|| WeightsError::Tensors(format!("`{name}` is missing")))
    }

    /// Every expected tensor is there in its shape and no other is, but for names with a prefix in `others`.
    ///
    /// # Errors
    /// Names everything that is missing, too much or of another shape.
    pub fn check(&self, expected: &[(String, Vec<usize>)], others: &[&str]) -> Result<(), WeightsError> {
        let mut problems = Vec::new();
        let mut only_sizes = true;
        let wanted: BTreeMap<&str, &Vec<usize>> =
            expected.iter().map(|(name, shape)| (name.as_str(), shape)).collect();
        for (name, shape) in &wanted {
            match self.0.get(*name) {
                None => {
                    only_sizes = false;
                    problems.push(format!("`{name}` is missing"));
                }
                Some(tensor) if &tensor.shape != *shape => {
                    problems.push(format!("`{name}` is {:?}, must be {shape:?}", tensor.shape));
                }
                Some(tensor) if tensor.values.iter().any(|v| !v.is_finite()) => {
                    problems.push(format!("`{name}` holds numbers that are not finite"));
                }
                Some(_) => {}
            }
        }
        for name in self.0.keys() {
            if !wanted.contains_key(name.as_str()) && !others.iter().any(|prefix| name.starts_with(prefix)) {
                only_sizes = false;
                problems.push(format!("`{name}` is not expected"));
            }
        }
        let count = problems.len();
        if count == 0 {
            return Ok(());
        }
        problems.truncate(8);
        if count > problems.len() {
            problems.push(format!("and {} more", count - problems.len()));
        }
        let problems = problems.join("; ");
        Err(if only_sizes { WeightsError::Shape(problems) } else { WeightsError::Tensors(problems) })
    }
}
