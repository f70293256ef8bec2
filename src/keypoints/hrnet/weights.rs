//! HRNet's tensors by the authors' names, taken one after the other while the network is built.

use std::collections::BTreeMap;
use std::path::Path;

use burn::module::{Param, RunningState};
use burn::tensor::{Device, Tensor, TensorData};

use crate::formats::FormatError;
use crate::formats::torch::Torch;
use crate::tensors::conv::Conv2d;
use crate::tensors::norm::{BatchNorm2d, FoldedConv};
use crate::tensors::weights;

/// What keeps a file's tensors from being this network's.
#[derive(Debug, thiserror::Error)]
pub enum WeightsError {
    #[error("`{0}` is missing")]
    Missing(String),
    #[error("`{name}` is {found:?}, this network has {expected:?}")]
    Shape { name: String, found: Vec<usize>, expected: Vec<usize> },
    #[error("`{0}` holds numbers that are not finite")]
    NotFinite(String),
}

/// Gives a tensor's numbers by its name and shape.
type Rule = Box<dyn FnMut(&str, &[usize]) -> Vec<f32>>;

/// Tensors that were not taken yet.
#[derive(Default)]
pub struct Weights {
    tensors: BTreeMap<String, (Vec<usize>, Vec<f32>)>,
    rule: Option<Rule>,
}

impl Weights {
    /// Of the authors' `.pth` (either container of torch; bare, or under `state_dict`), or of a safetensors file.
    /// Counters are left out.
    ///
    /// # Errors
    /// Where the file cannot be read or holds no tensors.
    pub fn read(path: &Path) -> Result<Self, FormatError> {
        let ending = path.extension().unwrap_or_default();
        if ending.eq_ignore_ascii_case("safetensors") {
            let file = weights::read(path)
                .map_err(|error| FormatError::malformed(error.to_string().replace('\n', " ")).at(path))?;
            return Ok(Self {
                tensors: file.tensors.into_iter().map(|t| (t.name, (t.shape, t.values))).collect(),
                rule: None,
            });
        }
        let torch = Torch::read(path)?;
        let state = match torch.bare_state_dict() {
            Some(state) => state,
            None => torch.state_dict("state_dict").map_err(|error| error.at(path))?,
        };
        let mut all = Self::default();
        for (name, tensor) in state {
            let of_tensor = |error: FormatError| error.within(&format!("tensor `{name}`")).at(path);
            let array = torch.tensor(tensor).map_err(of_tensor)?;
            if !array.is_integer() {
                let values = array.to_f32().map_err(of_tensor)?;
                all.insert(&name, &array.shape, values);
            }
        }
        Ok(all)
    }

    /// Whatever is asked for, made by `rule` from name and shape: networks for tests and measurements.
    pub fn by_rule(rule: impl FnMut(&str, &[usize]) -> Vec<f32> + 'static) -> Self {
        Self { tensors: BTreeMap::new(), rule: Some(Box::new(rule)) }
    }

    pub fn insert(&mut self, name: &str, shape: &[usize], values: Vec<f32>) {
        self.tensors.insert(name.to_owned(), (shape.to_vec(), values));
    }

    /// Names that no one took.
    pub fn left_over(&self) -> impl Iterator<Item = &str> {
        self.tensors.keys().map(String::as_str)
    }

    /// Takes a tensor out.
    ///
    /// # Errors
    /// Where it is not there, of another shape or not finite.
    pub fn tensor<const D: usize>(
        &mut self,
        name: &str,
        expected: [usize; D],
        device: &Device,
    ) -> Result<Tensor<D>, WeightsError> {
        let made = |rule: &mut Rule| (expected.to_vec(), rule(name, &expected));
        let Some((found, values)) = self.tensors.remove(name).or_else(|| self.rule.as_mut().map(made)) else {
            return Err(WeightsError::Missing(name.to_owned()));
        };
        if found != expected || values.len() != expected.iter().product::<usize>() {
            return Err(WeightsError::Shape { name: name.to_owned(), found, expected: expected.to_vec() });
        }
        if values.iter().any(|value| !value.is_finite()) {
            return Err(WeightsError::NotFinite(name.to_owned()));
        }
        Ok(Tensor::from_data(TensorData::new(values, expected), device))
    }

    /// Takes a convolution without bias and the batch norm behind it, as one convolution.
    ///
    /// # Errors
    /// As [`Weights::tensor`].
    pub fn folded(
        &mut self,
        conv: &str,
        norm: &str,
        [inputs, outputs]: [usize; 2],
        kernel: usize,
        stride: usize,
        device: &Device,
    ) -> Result<FoldedConv, WeightsError> {
        let weight = self.tensor(&format!("{conv}.weight"), [outputs, inputs, kernel, kernel], device)?;
        let conv = Conv2d {
            weight: Param::from_tensor(weight),
            bias: None,
            stride: [stride; 2],
            padding: [kernel / 2; 2],
        };
        let mut of_norm = |part: &str| self.tensor(&format!("{norm}.{part}"), [outputs], device);
        let norm = BatchNorm2d {
            weight: Param::from_tensor(of_norm("weight")?),
            bias: Param::from_tensor(of_norm("bias")?),
            running_mean: RunningState::new(of_norm("running_mean")?),
            running_var: RunningState::new(of_norm("running_var")?),
            ..BatchNorm2d::new(1, device)
        };
        Ok(FoldedConv::new(&conv, &norm))
    }
}
