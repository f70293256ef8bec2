//! Edges and heatmaps to features: ResNet-18 or -50 without their last layer, the model's first stage.
//!
//! [`Encoder`] trains and carries the checkpoint's names; [`FoldedEncoder`] is the same for inference,
//! batch normalisation folded into the convolutions and everything else fused behind them.

use std::path::Path;

use burn::config::Config;
use burn::module::Module;
use burn::nn::Initializer;
use burn::tensor::{Device, Tensor, TensorData, activation};

use super::weights::StateDict;
use crate::tensors::TensorError;
use crate::tensors::conv::{Conv2d, Conv2dConfig, max_pool_3x3_stride_2};
use crate::tensors::norm::{BatchNorm2d, FoldedConv};
use crate::tensors::weights::{NamedTensor, fill};

/// Depth of the residual network.
#[derive(Config, Copy, Debug, PartialEq, Eq)]
pub enum Layers {
    /// Two basic blocks a stage.
    Eighteen,
    /// Three, four, six and three bottlenecks.
    Fifty,
}

impl Layers {
    fn blocks(self) -> [usize; 4] {
        match self {
            Self::Eighteen => [2, 2, 2, 2],
            Self::Fifty => [3, 4, 6, 3],
        }
    }

    /// Output channels of a block over its width.
    fn expansion(self) -> usize {
        match self {
            Self::Eighteen => 1,
            Self::Fifty => 4,
        }
    }
}

/// Sizes of an [`Encoder`]; the default is the published one.
#[derive(Config, Debug)]
pub struct EncoderConfig {
    #[config(default = "Layers::Eighteen")]
    pub layers: Layers,
    /// The edge map and 17 heatmaps.
    #[config(default = "18")]
    pub channels_in: usize,
    /// Width of the first stage; each later one is twice as wide.
    #[config(default = "64")]
    pub base_width: usize,
}

impl EncoderConfig {
    /// Length of the feature vector.
    pub fn features(&self) -> usize {
        8 * self.base_width * self.layers.expansion()
    }

    /// Random weights: convolutions normal with standard deviation √(2 / fan_out).
    pub fn init(&self, device: &Device) -> Encoder {
        let gain = std::f64::consts::SQRT_2;
        self.init_with(&Initializer::KaimingNormal { gain, fan_out_only: true }, device)
    }

    /// The encoder of a checkpoint; `path` is named in errors.
    ///
    /// # Errors
    /// Where a tensor `prefix…` is missing, of another shape or not finite.
    pub fn load(
        &self,
        state: &StateDict,
        prefix: &str,
        path: &Path,
        device: &Device,
    ) -> Result<Encoder, TensorError> {
        let tensors = state
            .0
            .iter()
            .filter_map(|(name, tensor)| Some((name.strip_prefix(prefix)?, tensor)))
            .map(|(name, tensor)| NamedTensor {
                name: name.to_owned(),
                shape: tensor.shape.clone(),
                values: tensor.values.clone(),
            })
            .collect();
        let mut encoder = self.init_with(&Initializer::Zeros, device);
        fill(&mut encoder, tensors, path)?;
        Ok(encoder)
    }

    fn init_with(&self, initializer: &Initializer, device: &Device) -> Encoder {
        let maker = Maker { layers: self.layers, initializer, device };
        let width = self.base_width;
        let mut channels = width;
        let mut stage = |index: usize| {
            let width = self.base_width << index;
            let count = self.layers.blocks()[index];
            let blocks = (0..count).map(|i| {
                let stride = if i == 0 && index > 0 { 2 } else { 1 };
                let block = maker.block(channels, width, stride);
                channels = width * self.layers.expansion();
                block
            });
            blocks.collect()
        };
        Encoder {
            layer1: stage(0),
            layer2: stage(1),
            layer3: stage(2),
            layer4: stage(3),
            conv1: maker.conv([self.channels_in, width], 7, 2),
            bn1: BatchNorm2d::new(width, device),
        }
    }
}

struct Maker<'a> {
    layers: Layers,
    initializer: &'a Initializer,
    device: &'a Device,
}

impl Maker<'_> {
    fn conv(&self, channels: [usize; 2], kernel: usize, stride: usize) -> Conv2d {
        Conv2dConfig::square(channels, kernel, stride, kernel / 2)
            .with_bias(false)
            .with_initializer(self.initializer.clone())
            .init(self.device)
    }

    fn norm(&self, channels: usize) -> BatchNorm2d {
        BatchNorm2d::new(channels, self.device)
    }

    fn block(&self, channels: usize, width: usize, stride: usize) -> Block {
        let out = width * self.layers.expansion();
        let downsample =
            (stride != 1 || channels != out).then(|| (self.conv([channels, out], 1, stride), self.norm(out)));
        let (conv1, conv2, conv3) = match self.layers {
            Layers::Eighteen => {
                (self.conv([channels, width], 3, stride), self.conv([width, width], 3, 1), None)
            }
            Layers::Fifty => (
                self.conv([channels, width], 1, 1),
                self.conv([width, width], 3, stride),
                Some(self.conv([width, out], 1, 1)),
            ),
        };
        Block {
            conv1,
            bn1: self.norm(width),
            conv2,
            bn2: self.norm(width),
            bn3: conv3.is_some().then(|| self.norm(out)),
            conv3,
            downsample,
        }
    }
}

/// Basic block, or bottleneck where there is a third convolution.
#[derive(Module, Debug)]
pub struct Block {
    conv1: Conv2d,
    bn1: BatchNorm2d,
    conv2: Conv2d,
    bn2: BatchNorm2d,
    conv3: Option<Conv2d>,
    bn3: Option<BatchNorm2d>,
    downsample: Option<(Conv2d, BatchNorm2d)>,
}

impl Block {
    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let mut out = activation::relu(self.bn1.forward(self.conv1.forward(x.clone())));
        out = self.bn2.forward(self.conv2.forward(out));
        if let (Some(conv), Some(norm)) = (&self.conv3, &self.bn3) {
            out = norm.forward(conv.forward(activation::relu(out)));
        }
        let shortcut = match &self.downsample {
            Some((conv, norm)) => norm.forward(conv.forward(x)),
            None => x,
        };
        activation::relu(out + shortcut)
    }
}

/// The residual network with its batch normalisations, for training and for checkpoints.
#[derive(Module, Debug)]
pub struct Encoder {
    pub conv1: Conv2d,
    pub bn1: BatchNorm2d,
    layer1: Vec<Block>,
    layer2: Vec<Block>,
    layer3: Vec<Block>,
    layer4: Vec<Block>,
}

impl Encoder {
    /// `[n, 18, h, w]` to `[n, features]`. On a device with gradients batch statistics are used and the
    /// running ones move.
    pub fn forward(&self, x: Tensor<4>) -> Tensor<2> {
        let mut x = activation::relu(self.bn1.forward(self.conv1.forward(x)));
        x = max_pool_3x3_stride_2(x);
        for block in self.blocks() {
            x = block.forward(x);
        }
        mean_over_places(x)
    }

    fn blocks(&self) -> impl Iterator<Item = &Block> {
        [&self.layer1, &self.layer2, &self.layer3, &self.layer4].into_iter().flatten()
    }

    /// Running statistics of one of the normalisations by its name in the checkpoint ("bn1",
    /// "layer2.0.bn1"): mean and variance. For checks of training.
    pub fn running_statistics(&self, name: &str) -> Option<(Vec<f32>, Vec<f32>)> {
        let norm = match name.split('.').collect::<Vec<_>>()[..] {
            ["bn1"] => &self.bn1,
            [stage, index, norm] => {
                let stage = match stage {
                    "layer1" => &self.layer1,
                    "layer2" => &self.layer2,
                    "layer3" => &self.layer3,
                    "layer4" => &self.layer4,
                    _ => return None,
                };
                let block = stage.get(index.parse::<usize>().ok()?)?;
                match norm {
                    "bn1" => &block.bn1,
                    "bn2" => &block.bn2,
                    _ => block.bn3.as_ref()?,
                }
            }
            _ => return None,
        };
        let values = |tensor: Tensor<1>| tensor.into_data().try_to_vec().ok();
        Some((values(norm.running_mean.value_sync())?, values(norm.running_var.value_sync())?))
    }

    /// For inference, with the running statistics as they are now.
    pub fn folded(&self) -> FoldedEncoder {
        FoldedEncoder {
            conv1: FoldedConv::new(&self.conv1, &self.bn1),
            blocks: self.blocks().map(FoldedBlock::new).collect(),
        }
    }
}

fn mean_over_places(x: Tensor<4>) -> Tensor<2> {
    x.flatten::<3>(2, 3).mean_dim(2).squeeze_dim(2)
}

#[derive(Clone, Debug)]
struct FoldedBlock {
    /// All but the last are followed by ReLU alone.
    convs: Vec<FoldedConv>,
    downsample: Option<FoldedConv>,
}

impl FoldedBlock {
    fn new(block: &Block) -> Self {
        let mut convs =
            vec![FoldedConv::new(&block.conv1, &block.bn1), FoldedConv::new(&block.conv2, &block.bn2)];
        if let (Some(conv), Some(norm)) = (&block.conv3, &block.bn3) {
            convs.push(FoldedConv::new(conv, norm));
        }
        let downsample = block.downsample.as_ref().map(|(conv, norm)| FoldedConv::new(conv, norm));
        Self { convs, downsample }
    }

    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let shortcut = match &self.downsample {
            Some(conv) => conv.forward(x.clone(), None, false),
            None => x.clone(),
        };
        let Some((last, first)) = self.convs.split_last() else { return x };
        let out = first.iter().fold(x, |x, conv| conv.forward(x, None, true));
        last.forward(out, Some(shortcut), true)
    }
}

/// An [`Encoder`] for inference.
#[derive(Clone, Debug)]
pub struct FoldedEncoder {
    conv1: FoldedConv,
    blocks: Vec<FoldedBlock>,
}

impl FoldedEncoder {
    /// `[n, 18, h, w]` to `[n, features]`.
    pub fn forward(&self, x: Tensor<4>) -> Tensor<2> {
        let x = max_pool_3x3_stride_2(self.conv1.forward(x, None, true));
        mean_over_places(self.blocks.iter().fold(x, |x, block| block.forward(x)))
    }

    /// The features of one proxy representation `[18, height, width]` on `device`.
    ///
    /// # Panics
    /// Where `proxy` has another length.
    pub fn features(&self, proxy: Vec<f32>, height: usize, width: usize, device: &Device) -> Vec<f32> {
        let channels = proxy.len() / (height * width).max(1);
        let x = Tensor::from_data(TensorData::new(proxy, [1, channels, height, width]), device);
        self.forward(x).into_data().convert::<f32>().try_to_vec().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Distribution, Tolerance};

    use super::*;
    use crate::tensors::weights::collect;

    #[test]
    fn names_are_the_checkpoints() {
        let encoder = EncoderConfig::new().with_base_width(2).init(&Device::flex());
        let tensors = collect(&encoder, Path::new("")).unwrap();
        // 120 in the checkpoint, 20 of them counters that are not used.
        assert_eq!(tensors.len(), 100);
        for name in ["conv1.weight", "bn1.running_var", "layer1.1.bn2.bias", "layer4.0.downsample.1.weight"] {
            assert!(tensors.iter().any(|t| t.name == name), "{name}");
        }
    }

    #[test]
    fn folding_keeps_the_features() {
        let device = Device::flex();
        for layers in [Layers::Eighteen, Layers::Fifty] {
            let config = EncoderConfig::new().with_layers(layers).with_base_width(4).with_channels_in(3);
            let encoder = config.init(&device);
            let x = Tensor::random([2, 3, 33, 40], Distribution::Default, &device);
            let expected = encoder.forward(x.clone());
            assert_eq!(expected.dims(), [2, config.features()]);
            let found = encoder.folded().forward(x);
            found.into_data().assert_approx_eq::<f32>(&expected.into_data(), Tolerance::rel_abs(1e-3, 1e-4));
        }
    }
}
