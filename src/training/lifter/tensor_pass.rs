//! The network's passes as tensors, for devices other than the CPU. Making people, losses and the optimiser's step
//! stay on the CPU; weights go to the device and gradients come back once a step.

use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::{Device, Gradients, Tensor, TensorData};

use super::plain::Pass;
use crate::estimators::lifter::LifterConfig;
use crate::estimators::lifter::input::INPUTS;
use crate::estimators::lifter::network::LifterNetwork;
use crate::estimators::lifter::output::POINT;
use crate::estimators::lifter::picture::{EDGE_CHANNELS, HEAT_SIDE, SIDE};
use crate::estimators::tangent::TRIANGLE;
use crate::keypoints::COCO_KEYPOINTS;

/// The network on a device, and what a step leaves on it between its two passes.
pub struct TensorPass {
    network: LifterNetwork,
    device: Device,
    out: Option<(Tensor<2>, Option<Tensor<2>>)>,
}

impl TensorPass {
    /// `device` without gradients; the weights come with each [`TensorPass::forward`].
    pub fn new(config: &LifterConfig, device: &Device) -> Self {
        let device = device.clone().autodiff();
        Self { network: config.init(&device), device, out: None }
    }

    /// From all shares' inputs to their points, and triangles where asked for.
    pub fn forward(&mut self, shares: &mut [Pass], weights: &[f32], distribution: bool) {
        self.network = self.network.clone().with_numbers(weights);
        let input = self.joined(shares, INPUTS, |share| share.input.clone());
        let features = self.network.features(input, self.pictures(shares));
        let points = self.network.point(features.clone());
        let triangles = distribution.then(|| self.network.triangle(features.detach()));
        scatter(shares, &points, |share| &mut share.points);
        if let Some(triangles) = &triangles {
            scatter(shares, triangles, |share| &mut share.triangles);
        }
        self.out = Some((points, triangles));
    }

    /// The gradient of all shares together, into the first one's; the others' become zero.
    pub fn backward(&mut self, shares: &mut [Pass]) {
        let Some((points, triangles)) = self.out.take() else { return };
        let mut loss = (points * self.joined(shares, POINT, |share| share.by_points.clone())).sum();
        if let Some(triangles) = triangles {
            loss =
                loss + (triangles * self.joined(shares, TRIANGLE, |share| share.by_triangles.clone())).sum();
        }
        let mut reader = Reader { gradients: &loss.backward(), numbers: Vec::new() };
        self.network.visit(&mut reader);
        let mut shares = shares.iter_mut();
        if let Some(first) = shares.next() {
            first.gradient = reader.numbers;
        }
        shares.for_each(|share| share.gradient.fill(0.0));
    }

    /// Edges and heatmaps of all shares.
    fn pictures(&self, shares: &[Pass]) -> Option<(Tensor<4>, Tensor<4>)> {
        let maps: Vec<(&[f32], Vec<f32>)> = shares.iter().filter_map(Pass::maps).collect();
        let people: usize = shares.iter().map(Pass::rows).sum();
        let tensor = |values: Vec<f32>, channels: usize, side: usize| {
            Tensor::from_data(TensorData::new(values, [people, channels, side, side]), &self.device)
        };
        (!maps.is_empty()).then(|| {
            let edges = maps.iter().flat_map(|(edges, _)| edges.iter().copied()).collect();
            let heats = maps.iter().flat_map(|(_, heats)| heats.iter().copied()).collect();
            (tensor(edges, EDGE_CHANNELS, SIDE), tensor(heats, COCO_KEYPOINTS, HEAT_SIDE))
        })
    }

    fn joined(&self, shares: &[Pass], columns: usize, part: impl Fn(&Pass) -> Vec<f32>) -> Tensor<2> {
        let all: Vec<f32> = shares.iter().flat_map(part).collect();
        let rows = all.len() / columns;
        Tensor::from_data(TensorData::new(all, [rows, columns]), &self.device)
    }
}

fn scatter(shares: &mut [Pass], values: &Tensor<2>, part: impl Fn(&mut Pass) -> &mut Vec<f32>) {
    let values: Vec<f32> = values.clone().into_data().iter::<f32>().collect();
    let mut rest = values.as_slice();
    for share in shares {
        let own = part(share);
        let (now, later) = rest.split_at(own.len().min(rest.len()));
        own.copy_from_slice(now);
        rest = later;
    }
}

/// Gradients in the order of `LifterNetwork::numbers`; zero where a weight has none.
struct Reader<'a> {
    gradients: &'a Gradients,
    numbers: Vec<f32>,
}

impl ModuleVisitor for Reader<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let weight = param.val();
        match weight.grad(self.gradients) {
            Some(gradient) => self.numbers.extend(gradient.into_data().iter::<f32>()),
            None => self.numbers.resize(self.numbers.len() + weight.shape().num_elements(), 0.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use rand::Rng;

    use super::super::plain::Layout;
    use super::*;
    use crate::estimators::lifter::config::InputKind;
    use crate::estimators::lifter::picture::EDGES;
    use crate::synthetic::stream;

    /// Values and gradients of both ways through the network, over two shares of unequal size.
    fn both_agree(device: &Device, input: InputKind, distribution: bool) {
        let config = LifterConfig {
            width: 24,
            inner: 40,
            blocks: 2,
            distribution_width: 16,
            input,
            picture_widths: [3, 4, 5, 6],
            picture_hidden: 7,
            ..LifterConfig::default()
        };
        let network = config.init(&Device::flex());
        let mut rng = stream(8, 0);
        let mut random = |count: usize| (0..count).map(|_| rng.random::<f32>() - 0.5).collect::<Vec<f32>>();
        let layout = Layout::new(&config);
        let weights: Vec<f32> =
            network.numbers().iter().zip(random(layout.len())).map(|(w, r)| w + 0.2 * r).collect();
        assert_eq!(weights.len(), layout.len());
        assert_eq!(network.clone().with_numbers(&weights).numbers(), weights);

        let rows = [3, 2];
        let mut plain = rows.map(|rows| Pass::new(&layout, rows));
        let mut tensors = rows.map(|rows| Pass::new(&layout, rows));
        for ((plain, tensors), rows) in plain.iter_mut().zip(&mut tensors).zip(rows) {
            for row in 0..rows {
                let (keypoints, edges) = (random(INPUTS), random(EDGES));
                plain.set(row, &keypoints, &edges);
                tensors.set(row, &keypoints, &edges);
            }
            plain.by_points = random(rows * POINT);
            plain.by_triangles = random(rows * TRIANGLE);
            tensors.by_points = plain.by_points.clone();
            tensors.by_triangles = plain.by_triangles.clone();
            plain.forward(&weights, distribution);
            plain.backward(&weights, distribution);
        }
        let mut pass = TensorPass::new(&config, device);
        pass.forward(&mut tensors, &weights, distribution);
        pass.backward(&mut tensors);

        let near = |own: &[f32], wanted: &[f32]| {
            assert_eq!(own.len(), wanted.len());
            for (i, (a, b)) in own.iter().zip(wanted).enumerate() {
                assert!((a - b).abs() < 2e-4 + 2e-4 * b.abs(), "{i}: {a} {b}");
            }
        };
        for (plain, tensors) in plain.iter().zip(&tensors) {
            near(&plain.points, &tensors.points);
            near(&plain.triangles, &tensors.triangles);
        }
        let sum = |shares: &[Pass]| -> Vec<f32> {
            (0..layout.len()).map(|i| shares.iter().map(|share| share.gradient[i]).sum()).collect()
        };
        near(&sum(&plain), &sum(&tensors));
    }

    #[test]
    fn values_and_gradients_are_those_of_the_plain_pass() {
        for input in [InputKind::Keypoints, InputKind::Picture, InputKind::Both] {
            both_agree(&Device::flex(), input, true);
            both_agree(&Device::flex(), input, false);
        }
    }
}
