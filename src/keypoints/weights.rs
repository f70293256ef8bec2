//! Weight files (safetensors, f16 or f32, `[out, in, kh, kw]`) to layers.
//!
//! Every layer's shape is checked against what comes before it, so a wrong or damaged file is refused
//! when it is read and not when it is run. Called by `movenet` and `blazepose`.

use std::path::{Path, PathBuf};

use half::f16;
use half::slice::HalfFloatSliceExt;
use safetensors::{Dtype, SafeTensors};

use super::KeypointError;
use super::dense3x3::Dense3x3;
use super::kernels::{Activation, Depthwise, Padding, Pointwise};

/// Bytes above which a weight file is not read; the largest shipped one has 12.5 million.
const MAX_BYTES: u64 = 200_000_000;

pub(super) fn read_file(path: &Path) -> Result<Vec<u8>, KeypointError> {
    let io = |source| KeypointError::Read { source, path: path.to_owned() };
    let size = std::fs::metadata(path).map_err(io)?.len();
    if size > MAX_BYTES {
        return Err(KeypointError::Weights {
            what: format!("the file has {size} bytes, a detector's weights have at most {MAX_BYTES}"),
            path: path.to_owned(),
        });
    }
    std::fs::read(path).map_err(io)
}

pub(super) struct Weights<'a> {
    tensors: SafeTensors<'a>,
    path: PathBuf,
}

impl<'a> Weights<'a> {
    pub fn new(bytes: &'a [u8], path: &Path) -> Result<Self, KeypointError> {
        let tensors = SafeTensors::deserialize(bytes).map_err(|error| KeypointError::Weights {
            what: format!("not a safetensors file ({error})"),
            path: path.to_owned(),
        })?;
        Ok(Self { tensors, path: path.to_owned() })
    }

    pub fn wrong(&self, what: String) -> KeypointError {
        KeypointError::Weights { what, path: self.path.clone() }
    }

    pub fn contains(&self, name: &str) -> bool {
        self.tensors.tensor(name).is_ok()
    }

    fn tensor(&self, name: &str) -> Result<(Vec<usize>, Vec<f32>), KeypointError> {
        let view =
            self.tensors.tensor(name).map_err(|_| self.wrong(format!("tensor \"{name}\" is missing")))?;
        let values = match view.dtype() {
            Dtype::F16 => {
                let halves: Vec<f16> =
                    view.data().chunks_exact(2).map(|b| f16::from_le_bytes([b[0], b[1]])).collect();
                let mut values = vec![0.0; halves.len()];
                halves.convert_to_f32_slice(&mut values);
                values
            }
            Dtype::F32 => {
                view.data().chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()
            }
            other => {
                return Err(self.wrong(format!("tensor \"{name}\" is {other:?}, F16 or F32 was expected")));
            }
        };
        if values.iter().any(|v| !v.is_finite()) {
            return Err(self.wrong(format!("tensor \"{name}\" holds values that are not finite")));
        }
        Ok((view.shape().to_vec(), values))
    }

    /// A kernel whose trailing three sides are given; the first (outputs) is returned.
    fn kernel(&self, layer: &str, sides: [usize; 3]) -> Result<(usize, Vec<f32>), KeypointError> {
        let name = format!("{layer}.weight");
        let (shape, values) = self.tensor(&name)?;
        match shape[..] {
            [outputs, a, b, c] if [a, b, c] == sides && outputs > 0 => Ok((outputs, values)),
            _ => Err(self.wrong(format!(
                "tensor \"{name}\" has the shape {shape:?}, [outputs, {sides:?}] was expected"
            ))),
        }
    }

    fn bias(&self, layer: &str, outputs: usize) -> Result<Vec<f32>, KeypointError> {
        let name = format!("{layer}.bias");
        let (shape, values) = self.tensor(&name)?;
        if shape != [outputs] {
            return Err(
                self.wrong(format!("tensor \"{name}\" has the shape {shape:?}, [{outputs}] was expected"))
            );
        }
        Ok(values)
    }

    pub fn pointwise(
        &self,
        layer: &str,
        inputs: usize,
        activation: Activation,
    ) -> Result<Pointwise, KeypointError> {
        let (outputs, values) = self.kernel(layer, [inputs, 1, 1])?;
        let bias = self.bias(layer, outputs)?;
        Ok(Pointwise { weight: transposed(&values, outputs, inputs), bias, inputs, outputs, activation })
    }

    /// A bias is read where the file has one.
    pub fn depthwise(
        &self,
        layer: &str,
        kernel: usize,
        stride: usize,
        padding: Padding,
        activation: Activation,
    ) -> Result<Depthwise, KeypointError> {
        let (channels, values) = self.kernel(layer, [1, kernel, kernel])?;
        let bias = if self.contains(&format!("{layer}.bias")) {
            self.bias(layer, channels)?
        } else {
            vec![0.0; channels]
        };
        let weight = transposed(&values, channels, kernel * kernel);
        Ok(Depthwise { weight, bias, channels, kernel, stride, padding, activation })
    }

    pub fn dense3x3(
        &self,
        layer: &str,
        channels: usize,
        stride: usize,
        padding: Padding,
        activation: Activation,
    ) -> Result<Dense3x3, KeypointError> {
        let (outputs, values) = self.kernel(layer, [channels, 3, 3])?;
        let mut weight = vec![0.0; values.len()];
        for o in 0..outputs {
            for c in 0..channels {
                for tap in 0..9 {
                    weight[(tap * channels + c) * outputs + o] = values[(o * channels + c) * 9 + tap];
                }
            }
        }
        let bias = self.bias(layer, outputs)?;
        let taps = Pointwise { weight, bias, inputs: 9 * channels, outputs, activation };
        Ok(Dense3x3 { taps, channels, stride, padding })
    }

    /// Refuses a layer that does not take what the layer before it gives.
    pub fn expect_channels(&self, layer: &str, got: usize, wanted: usize) -> Result<(), KeypointError> {
        if got == wanted {
            return Ok(());
        }
        Err(self.wrong(format!("layer \"{layer}\" has {got} channels, {wanted} were expected")))
    }
}

/// `[rows, columns]` to `[columns, rows]`, in blocks that fit a cache line.
fn transposed(values: &[f32], rows: usize, columns: usize) -> Vec<f32> {
    let mut out = vec![0.0; values.len()];
    for first in (0..rows).step_by(16) {
        for column in 0..columns {
            for row in first..(first + 16).min(rows) {
                out[column * rows + row] = values[row * columns + column];
            }
        }
    }
    out
}
