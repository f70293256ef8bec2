//! Batch normalisation as PyTorch does it, and its folding into the convolution before it.

use burn::module::{Module, Param, RunningState};
use burn::nn::Initializer;
use burn::tensor::{Device, Tensor, module};

use super::conv::{Conv2d, Geometry, conv2d_fused};

/// Batch normalisation over `[n, c, h, w]`, weights named as in PyTorch (`weight`, `bias`,
/// `running_mean`, `running_var`). On a device with gradients it trains (statistics of the batch,
/// running ones updated), else it uses the running ones.
#[derive(Module, Debug)]
pub struct BatchNorm2d {
    pub weight: Param<Tensor<1>>,
    pub bias: Param<Tensor<1>>,
    pub running_mean: RunningState<Tensor<1>>,
    pub running_var: RunningState<Tensor<1>>,
    pub epsilon: f64,
    pub momentum: f64,
}

impl BatchNorm2d {
    pub fn new(channels: usize, device: &Device) -> Self {
        Self {
            weight: Initializer::Ones.init([channels], device),
            bias: Initializer::Zeros.init([channels], device),
            running_mean: RunningState::new(Tensor::zeros([channels], device)),
            running_var: RunningState::new(Tensor::ones([channels], device)),
            epsilon: 1e-5,
            momentum: 0.1,
        }
    }

    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        if x.device().is_autodiff() { self.forward_training(x) } else { self.forward_inference(x) }
    }

    fn forward_inference(&self, x: Tensor<4>) -> Tensor<4> {
        let (mean, variance) = (self.running_mean.value(), self.running_var.value());
        module::batch_norm(x, self.weight.val(), self.bias.val(), mean, variance, self.epsilon)
    }

    fn forward_training(&self, x: Tensor<4>) -> Tensor<4> {
        let [n, _, height, width] = x.dims();
        let count = (n * height * width) as f64;
        let result = module::batch_norm_train(x, self.weight.val(), self.bias.val(), self.epsilon);
        // The running variance takes the unbiased estimate, the normalisation the biased one.
        let unbiased = result.variance.detach() * (count / (count - 1.0).max(1.0));
        let blend = |old: Tensor<1>, new: Tensor<1>| old * (1.0 - self.momentum) + new * self.momentum;
        let mean = blend(self.running_mean.value_sync(), result.mean.detach());
        let variance = blend(self.running_var.value_sync(), unbiased);
        self.running_mean.update(mean.detach());
        self.running_var.update(variance.detach());
        result.output
    }
}

/// A convolution with the batch normalisation behind it folded in, for inference.
#[derive(Clone, Debug)]
pub struct FoldedConv {
    weight: Tensor<4>,
    bias: Tensor<1>,
    geometry: Geometry,
}

impl FoldedConv {
    /// Takes the running statistics as they are now; without gradients.
    pub fn new(conv: &Conv2d, norm: &BatchNorm2d) -> Self {
        let plain = |tensor: Tensor<1>| tensor.without_autodiff();
        let mean = plain(norm.running_mean.value_sync());
        let variance = plain(norm.running_var.value_sync());
        let scale = plain(norm.weight.val()) / (variance + norm.epsilon).sqrt();
        let weight = conv.weight.val().without_autodiff();
        let [outputs, ..] = weight.dims();
        let before = conv.bias.as_ref().map_or_else(|| mean.zeros_like(), |bias| plain(bias.val()));
        let bias = plain(norm.bias.val()) + (before - mean) * scale.clone();
        Self { weight: weight * scale.reshape([outputs, 1, 1, 1]), bias, geometry: conv.geometry() }
    }

    /// `x` convolved, normalised, `+ residual`, ReLU where `relu`.
    pub fn forward(&self, x: Tensor<4>, residual: Option<Tensor<4>>, relu: bool) -> Tensor<4> {
        conv2d_fused(x, self.weight.clone(), self.bias.clone(), residual, relu, self.geometry)
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Distribution, Tolerance};

    use super::*;
    use crate::tensors::conv::Conv2dConfig;

    #[test]
    fn folding_changes_nothing() {
        let device = Device::flex();
        let conv = Conv2dConfig::square([3, 5], 3, 2, 1).init(&device);
        let mut norm = BatchNorm2d::new(5, &device);
        let uniform = |low, high| Tensor::<1>::random([5], Distribution::Uniform(low, high), &device);
        norm.weight = Param::from_tensor(uniform(0.5, 2.0));
        norm.bias = Param::from_tensor(uniform(-1.0, 1.0));
        norm.running_mean = RunningState::new(uniform(-1.0, 1.0));
        norm.running_var = RunningState::new(uniform(0.2, 3.0));
        let x = Tensor::random([2, 3, 9, 11], Distribution::Default, &device);
        let expected = norm.forward(conv.forward(x.clone()));
        let found = FoldedConv::new(&conv, &norm).forward(x, None, false);
        found.into_data().assert_approx_eq::<f32>(&expected.into_data(), Tolerance::absolute(1e-5));
    }

    #[test]
    fn training_normalises_the_batch_and_moves_the_running_statistics() {
        let device = Device::flex().autodiff();
        let norm = BatchNorm2d::new(2, &device);
        let x = Tensor::<4>::from_floats([[[[1.0, 3.0]], [[10.0, 10.0]]]], &device);
        let out: Vec<f32> = norm.forward(x).into_data().try_to_vec().unwrap();
        assert!((out[0] + 1.0).abs() < 1e-4 && (out[1] - 1.0).abs() < 1e-4 && out[2].abs() < 1e-4, "{out:?}");
        let mean: Vec<f32> = norm.running_mean.value_sync().into_data().try_to_vec().unwrap();
        let variance: Vec<f32> = norm.running_var.value_sync().into_data().try_to_vec().unwrap();
        assert!((mean[0] - 0.2).abs() < 1e-6 && (mean[1] - 1.0).abs() < 1e-6, "{mean:?}");
        // Unbiased variance of {1, 3} is 2.
        assert!((variance[0] - 1.1).abs() < 1e-6 && (variance[1] - 0.9).abs() < 1e-6, "{variance:?}");
    }
}
