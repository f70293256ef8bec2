//! Named tensors as the authors' checkpoints hold them (linear layers output-major), and what can be
//! wrong with them.

use std::collections::BTreeMap;
use std::io::{Read, Seek};
use std::path::{Path, PathBuf};

use burn::store::{ModuleStore, PytorchStore, bridge};

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
    #[error("these weights are not of this network: {0}")]
    Tensors(String),
    #[error("{0}")]
    Config(String),
    #[error("not a readable checkpoint: {reason}: {path}")]
    Checkpoint { reason: String, path: PathBuf },
    #[error(transparent)]
    File(#[from] crate::tensors::TensorError),
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
    /// Where the file cannot be read or is neither.
    pub fn read(path: &Path) -> Result<Self, WeightsError> {
        let failed = |reason: &dyn std::fmt::Display| WeightsError::Checkpoint {
            reason: reason.to_string(),
            path: path.to_path_buf(),
        };
        let mut state = Self::default();
        if is_torch(&mut std::fs::File::open(path).map_err(|error| failed(&error))?) {
            for key in [Some("best_model_state_dict"), Some("model_state_dict"), None] {
                let store = PytorchStore::from_file(path).map_indices_contiguous(false);
                let mut store = match key {
                    Some(key) => store.with_top_level_key(key),
                    None => store,
                };
                let tensors = match store.get_all_tensors() {
                    Ok(tensors) if !tensors.is_empty() => tensors,
                    Err(error) if key.is_none() => return Err(failed(&error)),
                    _ => continue,
                };
                for (name, tensor) in tensors {
                    if tensor.dtype.is_float() {
                        let data = bridge::into_data(tensor.clone()).map_err(|error| failed(&error))?;
                        let shape = data.shape().to_vec();
                        let values = data
                            .convert::<f32>()
                            .try_into_vec::<f32>()
                            .map_err(|error| failed(&format!("{error:?}")))?;
                        state.insert(name, &shape, values);
                    }
                }
                return Ok(state);
            }
            return Err(failed(&"it holds no tensors"));
        }
        for tensor in crate::tensors::weights::read(path)?.tensors {
            state.insert(&tensor.name, &tensor.shape, tensor.values);
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
        let wanted: BTreeMap<&str, &Vec<usize>> =
            expected.iter().map(|(name, shape)| (name.as_str(), shape)).collect();
        for (name, shape) in &wanted {
            match self.0.get(*name) {
                None => problems.push(format!("`{name}` is missing")),
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
        Err(WeightsError::Tensors(problems.join("; ")))
    }
}
