//! Named tensors as the authors' checkpoints hold them (linear layers output-major), and what can be
//! wrong with them.

use std::collections::BTreeMap;

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
}

impl StateDict {
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
