//! The training loss: density of pose and shape, 2D joints of point estimate and samples, global rotation.

use std::f64::consts::TAU;

use burn::tensor::Tensor;

/// How squares and log-densities of a batch become one number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reduction {
    #[default]
    Mean,
    Sum,
}

/// Weight of each term in the total.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct LossWeights {
    pub pose: f64,
    pub shape: f64,
    pub joints2d: f64,
    pub global: f64,
}

impl Default for LossWeights {
    fn default() -> Self {
        Self { pose: 150.0, shape: 50.0, joints2d: 25000.0, global: 5000.0 }
    }
}

/// Predictions and targets of one batch of `b` pictures with `s` bodies each (point estimate, then samples).
pub struct LossInput {
    /// \[b, parts\], of the target pose.
    pub pose_log_prob: Tensor<2>,
    /// \[b, betas\]
    pub shape_mean: Tensor<2>,
    /// \[b, betas\]
    pub shape_log_std: Tensor<2>,
    /// \[b, betas\]
    pub target_shape: Tensor<2>,
    /// \[b, 9\]
    pub global: Tensor<2>,
    /// \[b, 9\]
    pub target_global: Tensor<2>,
    /// \[b, s, joints, 2\], −1..1 over the crop, y down.
    pub joints2d: Tensor<4>,
    /// \[b, joints, 2\], pixels of the crop.
    pub target_joints2d: Tensor<3>,
    /// \[b, joints\], 1 for joints that count, else 0.
    pub visible: Tensor<2>,
    /// Side of the crop in pixels.
    pub crop: f64,
}

/// The unweighted terms and their weighted sum.
pub struct Losses {
    pub pose: Tensor<1>,
    pub shape: Tensor<1>,
    pub joints2d: Tensor<1>,
    pub global: Tensor<1>,
    pub total: Tensor<1>,
}

/// Log-density of each shape coefficient under its normal: \[b, betas\].
pub fn shape_log_prob(mean: Tensor<2>, log_std: Tensor<2>, shape: Tensor<2>) -> Tensor<2> {
    let z = (shape - mean) * log_std.clone().neg().exp();
    z.square() * -0.5 - log_std - 0.5 * TAU.ln()
}

pub fn losses(input: LossInput, weights: &LossWeights, reduction: Reduction) -> Losses {
    let [batch, bodies, joints, _] = input.joints2d.dims();
    let pose = input.pose_log_prob.neg();
    let shape = shape_log_prob(input.shape_mean, input.shape_log_std, input.target_shape).neg();
    let target = input.target_joints2d * (2.0 / input.crop) - 1.0;
    let seen = input.visible.reshape([batch, 1, joints, 1]);
    let error = (input.joints2d - target.unsqueeze_dim::<4>(1)).square() * seen.clone();
    let global = (input.global - input.target_global).square();
    let (pose, shape, joints2d, global) = match reduction {
        Reduction::Mean => {
            let compared = seen.sum().clamp_min(1.0) * (2 * bodies) as f64;
            (pose.mean(), shape.sum() / batch as f64, error.sum() / compared, global.mean())
        }
        Reduction::Sum => (pose.sum(), shape.sum(), error.sum(), global.sum()),
    };
    let total = pose.clone() * weights.pose
        + shape.clone() * weights.shape
        + joints2d.clone() * weights.joints2d
        + global.clone() * weights.global;
    Losses { pose, shape, joints2d, global, total }
}
