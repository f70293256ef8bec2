//! The network in plain numbers: a small net a joint, each fed by another joint's features, then one net over all.

use std::collections::BTreeMap;
use std::path::Path;

use super::config::{Activation, PoseNdfConfig};
use crate::formats::recognise::{self, Content};
use crate::formats::torch::Torch;
use crate::formats::values::TensorRef;
use crate::formats::{Array, FormatError};

/// Joints of a pose: SMPL's 1 to 21.
pub const JOINTS: usize = 21;
/// Features of a joint.
const FEATURES: usize = 6;
/// Hidden width of a joint's net.
const BONE: usize = 10;

/// Whose features each joint's net is given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ParentTable {
    /// SMPL's table with the root taken out but its numbers left as they were: what the released weights know.
    Original,
    /// The skeleton's own.
    Kinematic,
    Other(Vec<i32>),
}

const ORIGINAL: [i32; JOINTS] = [-1, -1, -1, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 12, 13, 14, 16, 17, 18, 19];
const KINEMATIC: [i32; JOINTS] = [-1, -1, -1, 0, 1, 2, 3, 4, 5, 6, 7, 8, 8, 8, 11, 12, 13, 15, 16, 17, 18];

#[derive(Clone, Debug)]
struct Linear {
    inputs: usize,
    /// Output-major.
    weight: Vec<f64>,
    bias: Vec<f64>,
}

/// A loaded network.
#[derive(Clone, Debug)]
pub struct PoseNdf {
    parents: Vec<Option<usize>>,
    /// Two layers a joint; empty where the quaternions go in as they are.
    encoder: Vec<[Linear; 2]>,
    encoder_activation: Activation,
    layers: Vec<Linear>,
    activation: Activation,
    /// Of the training, where the file says.
    pub epoch: Option<i64>,
}

impl Activation {
    fn of(self, x: f64) -> f64 {
        match self {
            Self::LeakyRelu if x < 0.0 => 0.01 * x,
            Self::LeakyRelu => x,
            Self::Relu => x.max(0.0),
            // Beyond 20 the published code takes the line itself.
            Self::Softplus { beta } if beta * x > 20.0 => x,
            Self::Softplus { beta } => (beta * x).exp().ln_1p() / beta,
        }
    }

    /// After the last layer: never below zero.
    fn of_output(self, x: f64) -> f64 {
        match self {
            Self::LeakyRelu | Self::Relu => x.max(0.0),
            softplus => softplus.of(x),
        }
    }
}

impl Linear {
    fn apply(&self, x: &[f64]) -> Vec<f64> {
        let row = |row: &[f64]| row.iter().zip(x).map(|(w, x)| w * x).sum::<f64>();
        self.weight
            .chunks_exact(self.inputs)
            .zip(&self.bias)
            .map(|(weights, bias)| row(weights) + bias)
            .collect()
    }
}

/// Tensors of a checkpoint by name.
struct Tensors<'a> {
    torch: &'a Torch,
    by_name: BTreeMap<String, &'a TensorRef>,
}

impl Tensors<'_> {
    fn get(&self, name: &str, shape: &[usize]) -> Result<Vec<f64>, FormatError> {
        let tensor = self
            .by_name
            .get(name)
            .ok_or_else(|| FormatError::missing(format!("no tensor `{name}` in this checkpoint")))?;
        let within = |error: FormatError| error.within(&format!("tensor `{name}`"));
        let array: Array = self.torch.tensor(tensor).map_err(within)?;
        let wanted: Vec<Option<usize>> = shape.iter().map(|&size| Some(size)).collect();
        array.expect_shape(&wanted).map_err(within)?;
        let values = array.to_f64()?;
        if values.iter().any(|value| !value.is_finite()) {
            return Err(within(FormatError::value("a number that is not finite")));
        }
        Ok(values)
    }

    fn linear(&self, name: &str, inputs: usize, outputs: usize) -> Result<Linear, FormatError> {
        let direction = format!("{name}.weight_v");
        let weight = if self.by_name.contains_key(&direction) {
            // Older files keep length and direction of each row apart.
            let mut weight = self.get(&direction, &[outputs, inputs])?;
            let lengths = self.get(&format!("{name}.weight_g"), &[outputs, 1])?;
            for (row, length) in weight.chunks_exact_mut(inputs).zip(lengths) {
                let norm = row.iter().map(|w| w * w).sum::<f64>().sqrt();
                row.iter_mut().for_each(|w| *w *= length / norm);
            }
            weight
        } else {
            self.get(&format!("{name}.weight"), &[outputs, inputs])?
        };
        Ok(Linear { inputs, weight, bias: self.get(&format!("{name}.bias"), &[outputs])? })
    }
}

impl PoseNdf {
    /// A released network with the config beside it.
    ///
    /// # Errors
    /// `Missing` and `Shape` for tensors that do not fit the config, else what is wrong with the file.
    pub fn load(path: &Path, config: &PoseNdfConfig, parents: ParentTable) -> Result<Self, FormatError> {
        Torch::read(path)
            .and_then(|torch| Self::from_checkpoint(&torch, config, parents))
            .map_err(|error| error.at(path))
    }

    /// As [`PoseNdf::load`], from a checkpoint at hand.
    ///
    /// # Errors
    /// As [`PoseNdf::load`].
    pub fn from_checkpoint(
        torch: &Torch,
        config: &PoseNdfConfig,
        parents: ParentTable,
    ) -> Result<Self, FormatError> {
        let values = torch.values();
        let keys: Vec<&str> = values.entries(values.top()).iter().map(|(key, _)| *key).collect();
        if let Some(other @ (Content::HumaniflowWeights | Content::HrnetWeights)) = recognise::by_keys(&keys)
        {
            return Err(FormatError::missing(format!(
                "no weights of Pose-NDF: this is {}",
                other.description()
            )));
        }
        let by_name = torch.state_dict("model_state_dict")?.into_iter().collect();
        let tensors = Tensors { torch, by_name };
        let table = match &parents {
            ParentTable::Original => ORIGINAL.to_vec(),
            ParentTable::Kinematic => KINEMATIC.to_vec(),
            ParentTable::Other(table) => table.clone(),
        };
        let ordered = table.iter().enumerate().all(|(joint, &parent)| parent >= -1 && parent < joint as i32);
        if table.len() != JOINTS || !ordered {
            return Err(FormatError::value(format!(
                "a table of {} parents: {JOINTS} are expected, each before its joint",
                table.len()
            )));
        }
        let parents: Vec<Option<usize>> = table.iter().map(|&parent| usize::try_from(parent).ok()).collect();
        let mut encoder = Vec::new();
        let mut inputs = 4 * JOINTS;
        if config.encoder {
            for (joint, parent) in parents.iter().enumerate() {
                let own = if parent.is_some() { 4 + FEATURES } else { 4 };
                encoder.push([
                    tensors.linear(&format!("enc.net.{joint}.net.0"), own, BONE)?,
                    tensors.linear(&format!("enc.net.{joint}.net.2"), BONE, FEATURES)?,
                ]);
            }
            inputs = FEATURES * JOINTS;
        }
        let mut layers = Vec::new();
        for (layer, &outputs) in config.dims.iter().chain(&[1]).enumerate() {
            layers.push(tensors.linear(&format!("dfnet.lin{layer}"), inputs, outputs)?);
            inputs = outputs;
        }
        let epoch = values.entry(values.top(), "epoch").and_then(|id| values.number(id));
        Ok(Self {
            parents,
            encoder,
            encoder_activation: config.encoder_activation,
            layers,
            activation: config.activation,
            epoch: epoch.map(|epoch| epoch as i64),
        })
    }

    /// The network's own distance of 21 quaternions (w, x, y, z) as they are: it expects them of length one with
    /// w ≥ 0.
    pub fn distance(&self, pose: &[[f64; 4]; JOINTS]) -> f64 {
        let mut x = Vec::with_capacity(FEATURES * JOINTS);
        for (joint, quaternion) in pose.iter().enumerate() {
            let mut own = quaternion.to_vec();
            if let Some([first, second]) = self.encoder.get(joint) {
                if let Some(parent) = self.parents.get(joint).copied().flatten() {
                    own.extend_from_slice(&x[FEATURES * parent..FEATURES * (parent + 1)]);
                }
                for layer in [first, second] {
                    own = layer.apply(&own).into_iter().map(|x| self.encoder_activation.of(x)).collect();
                }
            }
            x.extend(own);
        }
        for (at, layer) in self.layers.iter().enumerate() {
            let last = at + 1 == self.layers.len();
            let activated = |x| if last { self.activation.of_output(x) } else { self.activation.of(x) };
            x = layer.apply(&x).into_iter().map(activated).collect();
        }
        x.first().copied().unwrap_or(f64::NAN)
    }
}
