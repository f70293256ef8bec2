//! Heads and flows as a trainable network: parameters by the names of the authors' checkpoints.
//!
//! features ──[`FlowNet::heads`]──▶ shape, global rotation, camera ──[`FlowNet::joint_features`]──▶ `stacked`

use std::path::Path;

use burn::module::Module;
use burn::nn::{Linear, LinearConfig};
use burn::tensor::activation::relu;
use burn::tensor::{Device, Tensor, TensorData};

use super::config::{FlowConfig, Tree};
use super::model::check;
use super::weights::{StateDict, WeightsError};
use crate::tensors::weights::{NamedTensor, collect, fill};

#[derive(Module, Debug)]
pub struct CouplingNet {
    pub layers: Vec<Linear>,
}

#[derive(Module, Debug)]
pub struct Coupling {
    pub nn: CouplingNet,
}

/// Everything behind the encoder.
#[derive(Module, Debug)]
pub struct FlowNet {
    pub fc1: Linear,
    pub fc_shape: Linear,
    pub fc_glob: Linear,
    pub fc_cam: Linear,
    pub fc_input_shape_glob_cam_feats: Linear,
    pub fc_flow_context: Vec<Linear>,
    pub pose_so3flow_transform_modules: Vec<Coupling>,
    #[module(skip)]
    pub config: FlowConfig,
    /// Added to what `fc_glob` gives.
    #[module(skip)]
    pub init_glob: [f32; 6],
    /// Added to what `fc_cam` gives.
    #[module(skip)]
    pub init_cam: [f32; 3],
}

/// What the heads give for a batch of `n` pictures.
#[derive(Clone, Debug)]
pub struct HeadTensors {
    /// \[n, 3\]: scale and shift of the weak-perspective camera.
    pub camera: Tensor<2>,
    /// \[n, 9\], row-major.
    pub global: Tensor<2>,
    /// \[n, betas\]
    pub shape_mean: Tensor<2>,
    /// \[n, betas\]
    pub shape_log_std: Tensor<2>,
}

/// x for x > 0, e^x − 1 otherwise; no branch overflows.
pub(super) fn elu<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    relu(x.clone()) + (x.clamp_max(0.0).exp() - 1.0)
}

pub(super) fn tensor<const D: usize>(values: Vec<f32>, shape: [usize; D], device: &Device) -> Tensor<D> {
    Tensor::from_data(TensorData::new(values, shape), device)
}

impl FlowNet {
    /// Untrained: weights and biases uniform within ±1/√inputs, as PyTorch's.
    ///
    /// # Errors
    /// Where the arithmetic cannot work with these sizes.
    pub fn new(config: &FlowConfig, device: &Device) -> Result<Self, WeightsError> {
        check(config)?;
        let linear = |inputs: usize, outputs: usize| LinearConfig::new(inputs, outputs).init(device);
        let tree = Tree::new(&config.parents);
        let widths = config.coupling_widths();
        let coupling = |_| Coupling {
            nn: CouplingNet { layers: widths.windows(2).map(|pair| linear(pair[0], pair[1])).collect() },
        };
        Ok(Self {
            fc1: linear(config.features, config.hidden),
            fc_shape: linear(config.hidden, 2 * config.betas),
            fc_glob: linear(config.hidden, 6),
            fc_cam: linear(config.hidden, 3),
            fc_input_shape_glob_cam_feats: linear(config.joint_inputs(), config.joint_features),
            fc_flow_context: tree
                .ancestors
                .iter()
                .map(|line| linear(config.joint_features + 9 * line.len(), config.context))
                .collect(),
            pose_so3flow_transform_modules: (0..config.parts() * config.couplings).map(coupling).collect(),
            config: config.clone(),
            init_glob: [1.0, 0.0, 0.0, 1.0, 0.0, 0.0],
            init_cam: [0.9, 0.0, 0.0],
        })
    }

    /// With the weights of a checkpoint.
    ///
    /// # Errors
    /// Where a tensor is missing or has another shape than `config` says.
    pub fn from_state(config: &FlowConfig, state: &StateDict, device: &Device) -> Result<Self, WeightsError> {
        state.check(&config.tensors(), &["image_encoder."])?;
        let mut net = Self::new(config, device)?;
        net.init_glob.copy_from_slice(&state.get("init_glob")?.values);
        net.init_cam.copy_from_slice(&state.get("init_cam")?.values);
        let own = |name: &str| name.starts_with("fc") || name.starts_with("pose_so3flow");
        let tensors = state
            .0
            .iter()
            .filter(|(name, _)| own(name))
            .map(|(name, tensor)| NamedTensor {
                name: name.clone(),
                shape: tensor.shape.clone(),
                values: tensor.values.clone(),
            })
            .collect();
        fill(&mut net, tensors, Path::new(""))?;
        Ok(net)
    }

    /// The weights by the authors' names.
    ///
    /// # Errors
    /// Where the device does not hand a tensor back.
    pub fn to_state(&self) -> Result<StateDict, WeightsError> {
        let mut state = StateDict::default();
        state.insert("init_glob", &[1, 6], self.init_glob.to_vec());
        state.insert("init_cam", &[3], self.init_cam.to_vec());
        for tensor in collect(self, Path::new(""))? {
            state.insert(&tensor.name, &tensor.shape, tensor.values);
        }
        Ok(state)
    }

    /// `features`: \[n, features\].
    pub fn heads(&self, features: Tensor<2>) -> HeadTensors {
        let device = features.device();
        let x = elu(self.fc1.forward(features));
        let six = self.fc_glob.forward(x.clone()) + tensor(self.init_glob.to_vec(), [1, 6], &device);
        let shape = self.fc_shape.forward(x.clone());
        let betas = self.config.betas;
        HeadTensors {
            camera: self.fc_cam.forward(x) + tensor(self.init_cam.to_vec(), [1, 3], &device),
            global: rotation_from_six(six),
            shape_mean: shape.clone().narrow(1, 0, betas),
            shape_log_std: shape.narrow(1, betas, betas),
        }
    }

    /// The feature that all parts' contexts share: \[n, joint features\].
    pub fn joint_features(
        &self,
        features: Tensor<2>,
        shape: Tensor<2>,
        global: Tensor<2>,
        camera: Tensor<2>,
    ) -> Tensor<2> {
        let input = Tensor::cat(vec![features, shape, global, camera], 1);
        elu(self.fc_input_shape_glob_cam_feats.forward(input))
    }
}

/// Six numbers a row, a row-major 3×2 matrix, to rotations by Gram-Schmidt on its columns: \[n, 9\].
pub fn rotation_from_six(six: Tensor<2>) -> Tensor<2> {
    let n = six.dims()[0];
    let columns = six.reshape([n, 3, 2]);
    let column = |k: usize| columns.clone().narrow(2, k, 1).reshape([n, 3]);
    let unit = |v: Tensor<2>| {
        let length = v.clone().square().sum_dim(1).clamp_min(1e-24).sqrt();
        v / length
    };
    let a = unit(column(0));
    let second = column(1);
    let along = (a.clone() * second.clone()).sum_dim(1);
    let b = unit(second - a.clone() * along);
    let part = |v: &Tensor<2>, k: usize| v.clone().narrow(1, k, 1);
    let cross = |i: usize, j: usize| part(&a, i) * part(&b, j) - part(&a, j) * part(&b, i);
    let c = Tensor::cat(vec![cross(1, 2), cross(2, 0), cross(0, 1)], 1);
    Tensor::stack::<3>(vec![a, b, c], 2).reshape([n, 9])
}

/// Rotation vectors to rotations: \[parts, rows, 3\] to \[parts, rows, 9\], row-major.
pub fn exp_map(v: Tensor<3>) -> Tensor<3> {
    let [parts, rows, _] = v.dims();
    let device = v.device();
    let squared = v.clone().square().sum_dim(2).clamp_min(1e-12);
    let t = squared.clone().sqrt();
    let sine = t.clone().sin() / t.clone();
    let half = (t.clone() * 0.5).sin() / t;
    let bend = half.square() * 2.0;
    let outer = (v.clone().unsqueeze_dim::<4>(3) * v.clone().unsqueeze_dim::<4>(2)).reshape([parts, rows, 9]);
    let eye = tensor(vec![1., 0., 0., 0., 1., 0., 0., 0., 1.], [1, 1, 9], &device);
    // Rows: what x, y and z each add to the nine numbers of the skew matrix.
    #[rustfmt::skip]
    let skew = tensor(
        vec![
            0., 0., 0., 0., 0., -1., 0., 1., 0.,
            0., 0., 1., 0., 0., 0., -1., 0., 0.,
            0., -1., 0., 1., 0., 0., 0., 0., 0.,
        ],
        [1, 3, 9],
        &device,
    );
    let turn = v.reshape([1, parts * rows, 3]).matmul(skew).reshape([parts, rows, 9]);
    eye * ((bend.clone() * squared).neg() + 1.0) + outer * bend + turn * sine
}
