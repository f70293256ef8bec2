//! A small picture network for estimators that train on a CPU: strided convolutions to a feature vector.

use burn::config::Config;
use burn::module::Module;
use burn::nn::{GroupNorm, GroupNormConfig, Linear, LinearConfig};
use burn::tensor::{Device, Tensor, activation};

use super::conv::{Conv2d, Conv2dConfig};

/// Sizes of a [`SmallCnn`].
#[derive(Config, Debug)]
pub struct SmallCnnConfig {
    /// Channels of the picture: 1 for grey, 18 for edges and 17 heatmaps.
    pub channels_in: usize,
    /// Length of the feature vector.
    pub features: usize,
    /// Output channels of each convolution, each halving height and width; the first is 5x5, the rest 3x3.
    #[config(default = "vec![16, 32, 64, 96, 128]")]
    pub widths: Vec<usize>,
    /// Groups of group normalisation behind each convolution but the first; 0 leaves it out.
    #[config(default = "0")]
    pub groups: usize,
}

/// Picture `[n, c, h, w]` to features `[n, features]`: strided convolutions with ReLU, the mean over what is
/// left of height and width beside its maximum, one linear layer. Any square size from 32 up.
#[derive(Module, Debug)]
pub struct SmallCnn {
    convs: Vec<Conv2d>,
    norms: Vec<GroupNorm>,
    head: Linear,
}

impl SmallCnnConfig {
    pub fn init(&self, device: &Device) -> SmallCnn {
        let mut channels = self.channels_in;
        let (mut convs, mut norms) = (Vec::new(), Vec::new());
        for (i, &width) in self.widths.iter().enumerate() {
            let kernel = if i == 0 { 5 } else { 3 };
            convs.push(Conv2dConfig::square([channels, width], kernel, 2, kernel / 2).init(device));
            if i > 0 && self.groups > 0 {
                norms.push(GroupNormConfig::new(self.groups, width).init(device));
            }
            channels = width;
        }
        let head = LinearConfig::new(2 * channels, self.features).init(device);
        SmallCnn { convs, norms, head }
    }
}

impl SmallCnn {
    pub fn forward(&self, picture: Tensor<4>) -> Tensor<2> {
        let mut x = picture;
        for (i, conv) in self.convs.iter().enumerate() {
            x = conv.forward(x);
            if i > 0
                && let Some(norm) = self.norms.get(i - 1)
            {
                x = norm.forward(x);
            }
            x = activation::relu(x);
        }
        let places: Tensor<3> = x.flatten(2, 3);
        let mean = places.clone().mean_dim(2).squeeze_dim(2);
        let largest = places.max_dim(2).squeeze_dim(2);
        self.head.forward(Tensor::cat(vec![mean, largest], 1))
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::Distribution;

    use super::*;

    #[test]
    fn takes_both_sizes_and_gives_every_weight_a_gradient() {
        let device = Device::flex().autodiff();
        for groups in [0, 4] {
            let config = SmallCnnConfig::new(3, 7).with_widths(vec![4, 8, 8]).with_groups(groups);
            let net = config.init(&device);
            for size in [64, 128] {
                let x = Tensor::random([2, 3, size, size], Distribution::Default, &device);
                let out = net.forward(x);
                assert_eq!(out.dims(), [2, 7]);
                let gradients = out.sum().backward();
                for conv in &net.convs {
                    let grad = conv.weight.grad(&gradients).expect("a gradient");
                    assert!(grad.abs().sum().into_scalar::<f32>() > 0.0);
                }
            }
        }
    }
}
