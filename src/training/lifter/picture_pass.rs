//! The picture network on flat arrays, forwards and backwards: the part of `plain` that looks at edges and heatmaps.

use std::ops::Range;

use super::layers::{Active, Dense};
use crate::estimators::lifter::LifterConfig;
use crate::estimators::lifter::picture::{EDGES, HEAT_SIDE, HEATS, SIDE, flat, geometry, heatmaps, kernels};
use crate::tensors::conv::plain::PlainConv;

/// Where each layer's numbers lie in `LifterNetwork::numbers`.
#[derive(Clone, Debug)]
pub(super) struct PictureLayout {
    /// Shape of the weights, weights, biases.
    convs: Vec<([usize; 4], Range<usize>, Range<usize>)>,
    hidden: Dense,
    out: Dense,
}

impl PictureLayout {
    /// `take` gives out the next so many numbers.
    pub(super) fn new(config: &LifterConfig, take: &mut dyn FnMut(usize) -> Range<usize>) -> Self {
        let convs = kernels(config)
            .into_iter()
            .map(|shape| (shape, take(shape.iter().product()), take(shape[0])))
            .collect();
        let (inputs, hidden) = (flat(config), config.picture_hidden);
        Self {
            convs,
            hidden: Dense { weight: take(inputs * hidden), bias: take(hidden), inputs, outputs: hidden },
            out: Dense {
                weight: take(hidden * config.width),
                bias: take(config.width),
                inputs: hidden,
                outputs: config.width,
            },
        }
    }

    pub(super) fn end(&self) -> usize {
        self.out.bias.end
    }
}

/// One share of a batch.
pub(super) struct PicturePass {
    layout: PictureLayout,
    sizes: Vec<PlainConv>,
    edges: Vec<f32>,
    /// The first convolution's channels and the heatmaps, person after person.
    joined: Vec<f32>,
    /// Each convolution's output; the first's is in `joined` too.
    outs: Vec<Vec<f32>>,
    hidden: Active,
    /// What is added to the trunk.
    pub(super) features: Vec<f32>,
    by_hidden: Vec<f32>,
    by_flat: Vec<f32>,
}

impl PicturePass {
    pub(super) fn new(layout: &PictureLayout, rows: usize) -> Self {
        let mut side = SIDE;
        let sizes: Vec<PlainConv> = layout
            .convs
            .iter()
            .map(|(shape, ..)| {
                let conv = PlainConv::new([rows, shape[1], side, side], *shape, geometry(*shape));
                side /= 2;
                conv
            })
            .collect();
        let own = layout.convs.first().map_or(0, |(shape, ..)| shape[0] * HEAT_SIDE * HEAT_SIDE);
        Self {
            edges: vec![0.0; rows * EDGES],
            joined: vec![0.0; rows * (own + HEATS)],
            outs: Vec::new(),
            hidden: Active::new(rows * layout.hidden.outputs),
            features: vec![0.0; rows * layout.out.outputs],
            by_hidden: vec![0.0; rows * layout.hidden.outputs],
            by_flat: vec![0.0; rows * layout.hidden.inputs],
            sizes,
            layout: layout.clone(),
        }
    }

    /// Person `row`: encoded keypoints and edges.
    pub(super) fn set(&mut self, row: usize, input: &[f32], edges: &[f32]) {
        self.edges[row * EDGES..(row + 1) * EDGES].copy_from_slice(edges);
        let one = self.joined.len() / (self.edges.len() / EDGES);
        heatmaps(input, &mut self.joined[(row + 1) * one - HEATS..(row + 1) * one]);
    }

    /// Edges and heatmaps of all people.
    pub(super) fn maps(&self) -> (&[f32], Vec<f32>) {
        let one = self.joined.len() / (self.edges.len() / EDGES);
        let heats = self.joined.chunks_exact(one).flat_map(|person| &person[one - HEATS..]);
        (&self.edges, heats.copied().collect())
    }

    /// Fills `features`.
    pub(super) fn forward(&mut self, weights: &[f32]) {
        self.outs.clear();
        for (i, (_, weight, bias)) in self.layout.convs.iter().enumerate() {
            let x = match i {
                0 => &self.edges,
                1 => &self.joined,
                _ => &self.outs[i - 1],
            };
            let out = self.sizes[i].forward_relu(x, &weights[weight.clone()], &weights[bias.clone()]);
            if i == 0 {
                let rows = self.edges.len() / EDGES;
                let (own, both) = (out.len() / rows, self.joined.len() / rows);
                for (joined, out) in self.joined.chunks_exact_mut(both).zip(out.chunks_exact(own)) {
                    joined[..own].copy_from_slice(out);
                }
            }
            self.outs.push(out);
        }
        let Some(last) = self.outs.last() else { return };
        self.hidden.forward(last, weights, &self.layout.hidden);
        self.layout.out.forward(&self.hidden.after, weights, &mut self.features);
    }

    /// Fills its part of `gradient`, from the gradient by `features`.
    pub(super) fn backward(&mut self, weights: &[f32], by_features: &[f32], gradient: &mut [f32]) {
        let PictureLayout { convs, hidden, out } = &self.layout;
        let Some(last) = self.outs.last() else { return };
        out.backward_weights(&self.hidden.after, by_features, gradient);
        out.backward_input(by_features, weights, &mut self.by_hidden);
        self.hidden.backward(&mut self.by_hidden);
        hidden.backward_weights(last, &self.by_hidden, gradient);
        hidden.backward_input(&self.by_hidden, weights, &mut self.by_flat);
        let mut by = std::mem::take(&mut self.by_flat);
        for (i, (_, weight, bias)) in convs.iter().enumerate().rev() {
            for (by, out) in by.iter_mut().zip(&self.outs[i]) {
                *by = if *out > 0.0 { *by } else { 0.0 };
            }
            let x = match i {
                0 => &self.edges,
                1 => &self.joined,
                _ => &self.outs[i - 1],
            };
            gradient[weight.clone()].copy_from_slice(&self.sizes[i].weight_grad(x, &by));
            gradient[bias.clone()].copy_from_slice(&self.sizes[i].bias_grad(&by));
            if i == 0 {
                break;
            }
            let by_x = self.sizes[i].input_grad(&by, &weights[weight.clone()]);
            let before = std::mem::replace(&mut by, by_x);
            if i + 1 == convs.len() {
                self.by_flat = before;
            }
            if i == 1 {
                let rows = self.edges.len() / EDGES;
                let (own, both) = (self.outs[0].len() / rows, self.joined.len() / rows);
                by = by.chunks_exact(both).flat_map(|row| &row[..own]).copied().collect();
            }
        }
    }
}
