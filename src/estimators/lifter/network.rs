//! The network: 17 keypoints with scores, the picture's edges, or both, to a point estimate and the triangle of a
//! Gaussian around it.

use burn::module::{Module, Param};
use burn::nn::{Gelu, Initializer, LayerNorm, LayerNormConfig, Linear, LinearConfig};
use burn::tensor::{Device, Tensor, TensorData};

use super::config::LifterConfig;
use super::input::INPUTS;
use super::output::{POINT, POINT_PLACE};
use super::picture::PictureNetwork;
use crate::estimators::tangent::{BETAS_AT, DIMS, PLACE_AT, ROTATIONS, TRIANGLE};

#[derive(Module, Debug)]
pub struct ResidualBlock {
    norm: LayerNorm,
    expand: Linear,
    contract: Linear,
}

impl ResidualBlock {
    fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        let inner = Gelu::new().forward(self.expand.forward(self.norm.forward(x.clone())));
        x + self.contract.forward(inner)
    }
}

#[derive(Module, Debug)]
pub struct LifterNetwork {
    first: Linear,
    blocks: Vec<ResidualBlock>,
    norm: LayerNorm,
    point: Linear,
    distribution: Linear,
    triangle: Linear,
    /// Last, so that the numbers of a network without it come first.
    picture: Option<PictureNetwork>,
}

impl LifterConfig {
    /// Fresh weights; the point starts at the rest pose facing the camera.
    pub fn init(&self, device: &Device) -> LifterNetwork {
        let small = |inputs: usize, outputs: usize, bias: Vec<f32>| {
            let mut layer = LinearConfig::new(inputs, outputs)
                .with_initializer(Initializer::Normal { mean: 0.0, std: 0.002 })
                .init(device);
            layer.bias = Some(Param::from_data(TensorData::new(bias, [outputs]), device));
            layer
        };
        let mut point = vec![0.0; POINT];
        for joint in 0..ROTATIONS {
            point[6 * joint] = 1.0;
            point[6 * joint + 4] = 1.0;
        }
        point[POINT_PLACE + 2] = -0.7;
        let mut triangle = vec![0.0; TRIANGLE];
        for row in 0..DIMS {
            let spread: f32 = if row < BETAS_AT {
                0.3
            } else if row < PLACE_AT {
                1.0
            } else {
                0.05
            };
            triangle[row * (row + 1) / 2 + row] = -spread.ln();
        }
        LifterNetwork {
            first: LinearConfig::new(INPUTS, self.width).init(device),
            blocks: (0..self.blocks)
                .map(|_| ResidualBlock {
                    norm: LayerNormConfig::new(self.width).init(device),
                    expand: LinearConfig::new(self.width, self.inner).init(device),
                    contract: LinearConfig::new(self.inner, self.width).init(device),
                })
                .collect(),
            norm: LayerNormConfig::new(self.width).init(device),
            point: small(self.width, POINT, point),
            distribution: LinearConfig::new(self.width, self.distribution_width).init(device),
            triangle: small(self.distribution_width, TRIANGLE, triangle),
            picture: self.input.reads_picture().then(|| PictureNetwork::new(self, device)),
        }
    }
}

impl LifterNetwork {
    /// [batch, 51], with edges and heatmaps where it looks at pictures, to the trunk's features [batch, width].
    pub fn features(&self, input: Tensor<2>, picture: Option<(Tensor<4>, Tensor<4>)>) -> Tensor<2> {
        let mut x = self.first.forward(input);
        if let (Some(network), Some((edges, heats))) = (&self.picture, picture) {
            x = x + network.forward(edges, heats);
        }
        for block in &self.blocks {
            x = block.forward(x);
        }
        self.norm.forward(x)
    }

    /// Features to point estimates [batch, 145].
    pub fn point(&self, features: Tensor<2>) -> Tensor<2> {
        self.point.forward(features)
    }

    /// Features to raw triangles [batch, 3160]. Cut the features off the graph where the trunk is not to
    /// learn from the likelihood.
    pub fn triangle(&self, features: Tensor<2>) -> Tensor<2> {
        self.triangle.forward(Gelu::new().forward(self.distribution.forward(features)))
    }
}

impl LifterNetwork {
    /// Whether every weight is a finite number.
    pub fn is_finite(&self) -> bool {
        struct Finite(bool);
        impl burn::module::ModuleVisitor for Finite {
            fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
                self.0 &= param.val().into_data().iter::<f32>().all(f32::is_finite);
            }
        }
        let mut finite = Finite(true);
        self.visit(&mut finite);
        finite.0
    }
}

/// The weights as one list, layer after layer in the order of the fields: what the trainer works on.
impl LifterNetwork {
    pub fn numbers(&self) -> Vec<f32> {
        struct Reader(Vec<f32>);
        impl burn::module::ModuleVisitor for Reader {
            fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
                self.0.extend(param.val().into_data().iter::<f32>());
            }
        }
        let mut reader = Reader(Vec::new());
        self.visit(&mut reader);
        reader.0
    }

    /// The network with other weights, in the order of [`LifterNetwork::numbers`]; missing ones are zero.
    pub fn with_numbers(self, numbers: &[f32]) -> Self {
        struct Writer<'a>(&'a [f32]);
        impl burn::module::ModuleMapper for Writer<'_> {
            fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
                param.map(|tensor| {
                    let shape = tensor.shape();
                    let (own, rest) = self.0.split_at(shape.num_elements().min(self.0.len()));
                    self.0 = rest;
                    let mut own = own.to_vec();
                    own.resize(shape.num_elements(), 0.0);
                    let active = tensor.is_require_grad();
                    let new = Tensor::from_data(TensorData::new(own, shape), &tensor.device());
                    if active { new.require_grad() } else { new }
                })
            }
        }
        self.map(&mut Writer(numbers))
    }
}
