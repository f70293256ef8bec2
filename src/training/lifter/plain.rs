//! The lifter's network on flat arrays, forwards and backwards: what training runs, some times as fast as the same
//! steps on differentiated tensors. The tests of [`super::tensor_pass`] hold it against burn's own gradient.

use std::ops::Range;

use super::layers::{Active, Dense, Norm, Normed};
use super::picture_pass::{PictureLayout, PicturePass};
use crate::estimators::lifter::LifterConfig;
use crate::estimators::lifter::input::INPUTS;
use crate::estimators::lifter::output::POINT;
use crate::estimators::tangent::TRIANGLE;

/// Where each layer's numbers lie in `LifterNetwork::numbers`.
#[derive(Clone, Debug)]
pub struct Layout {
    first: Dense,
    blocks: Vec<(Norm, Dense, Dense)>,
    norm: Norm,
    point: Dense,
    distribution: Dense,
    triangle: Dense,
    picture: Option<PictureLayout>,
    reads_numbers: bool,
    width: usize,
    inner: usize,
}

impl Layout {
    pub fn new(config: &LifterConfig) -> Self {
        let mut at = 0;
        let mut take = |count: usize| {
            at += count;
            at - count..at
        };
        let dense = |inputs: usize, outputs: usize, take: &mut dyn FnMut(usize) -> Range<usize>| Dense {
            weight: take(inputs * outputs),
            bias: take(outputs),
            inputs,
            outputs,
        };
        let norm = |take: &mut dyn FnMut(usize) -> Range<usize>| Norm {
            gamma: take(config.width),
            beta: take(config.width),
        };
        let first = dense(INPUTS, config.width, &mut take);
        let blocks = (0..config.blocks)
            .map(|_| {
                let norm = norm(&mut take);
                let expand = dense(config.width, config.inner, &mut take);
                (norm, expand, dense(config.inner, config.width, &mut take))
            })
            .collect();
        let norm = norm(&mut take);
        let point = dense(config.width, POINT, &mut take);
        let distribution = dense(config.width, config.distribution_width, &mut take);
        let triangle = dense(config.distribution_width, TRIANGLE, &mut take);
        Self {
            first,
            blocks,
            norm,
            point,
            distribution,
            triangle,
            picture: config.input.reads_picture().then(|| PictureLayout::new(config, &mut take)),
            reads_numbers: config.input.reads_numbers(),
            width: config.width,
            inner: config.inner,
        }
    }

    /// Numbers of the whole network.
    pub fn len(&self) -> usize {
        self.of_picture().end
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Numbers that the point estimate depends on; those of the distribution's head follow, then the picture's.
    pub fn of_point(&self) -> Range<usize> {
        0..self.point.bias.end
    }

    pub fn of_distribution(&self) -> Range<usize> {
        self.point.bias.end..self.triangle.bias.end
    }

    /// Numbers of the picture network; none without one.
    pub fn of_picture(&self) -> Range<usize> {
        let start = self.triangle.bias.end;
        start..self.picture.as_ref().map_or(start, PictureLayout::end)
    }
}

/// One share of a batch on its way through the network and back.
pub struct Pass {
    layout: Layout,
    pub(super) input: Vec<f32>,
    picture: Option<PicturePass>,
    normed: Vec<Normed>,
    active: Vec<Active>,
    x: Vec<f32>,
    last: Normed,
    before_triangle: Active,
    /// Rows of point estimates, and of raw triangles.
    pub points: Vec<f32>,
    pub triangles: Vec<f32>,
    /// To be filled between [`Pass::forward`] and [`Pass::backward`]: gradients by the two.
    pub by_points: Vec<f32>,
    pub by_triangles: Vec<f32>,
    /// Gradient by every number of the network; the distribution's part only where it was asked for.
    pub gradient: Vec<f32>,
    by_x: Vec<f32>,
    by_wide: Vec<f32>,
    by_normed: Vec<f32>,
}

impl Pass {
    pub fn new(layout: &Layout, rows: usize) -> Self {
        let (width, inner) = (layout.width, layout.inner);
        let narrow = layout.distribution.outputs;
        let zeros = |numbers: usize| vec![0.0; rows * numbers];
        Self {
            input: zeros(INPUTS),
            picture: layout.picture.as_ref().map(|picture| PicturePass::new(picture, rows)),
            normed: layout.blocks.iter().map(|_| Normed::new(rows, width)).collect(),
            active: layout.blocks.iter().map(|_| Active::new(rows * inner)).collect(),
            x: zeros(width),
            last: Normed::new(rows, width),
            before_triangle: Active::new(rows * narrow),
            points: zeros(POINT),
            triangles: zeros(TRIANGLE),
            by_points: zeros(POINT),
            by_triangles: zeros(TRIANGLE),
            gradient: vec![0.0; layout.len()],
            by_x: zeros(width),
            by_wide: zeros(inner.max(narrow)),
            by_normed: zeros(width),
            layout: layout.clone(),
        }
    }

    /// People of the share.
    pub fn rows(&self) -> usize {
        self.input.len() / INPUTS
    }

    /// What is known of person `row`; edges only where there is a network for them.
    pub fn set(&mut self, row: usize, input: &[f32], edges: &[f32]) {
        if self.layout.reads_numbers {
            self.input[row * INPUTS..(row + 1) * INPUTS].copy_from_slice(input);
        }
        if let Some(picture) = &mut self.picture {
            picture.set(row, input, edges);
        }
    }

    /// Edges and heatmaps of all people, where there is a network for them.
    pub(super) fn maps(&self) -> Option<(&[f32], Vec<f32>)> {
        self.picture.as_ref().map(PicturePass::maps)
    }

    /// Fills `points`, and `triangles` where asked for.
    pub fn forward(&mut self, weights: &[f32], distribution: bool) {
        let layout = &self.layout;
        layout.first.forward(&self.input, weights, &mut self.x);
        if let Some(picture) = &mut self.picture {
            picture.forward(weights);
            self.x.iter_mut().zip(&picture.features).for_each(|(x, seen)| *x += seen);
        }
        for (((norm, expand, contract), normed), active) in
            layout.blocks.iter().zip(&mut self.normed).zip(&mut self.active)
        {
            normed.forward(&self.x, weights, norm);
            active.forward(&normed.out, weights, expand);
            contract.forward(&active.after, weights, &mut self.by_x);
            self.x.iter_mut().zip(&self.by_x).for_each(|(x, change)| *x += change);
        }
        self.last.forward(&self.x, weights, &layout.norm);
        layout.point.forward(&self.last.out, weights, &mut self.points);
        if distribution {
            self.before_triangle.forward(&self.last.out, weights, &layout.distribution);
            layout.triangle.forward(&self.before_triangle.after, weights, &mut self.triangles);
        }
    }

    /// Fills `gradient`. The distribution's head learns from the triangles, the trunk does not.
    pub fn backward(&mut self, weights: &[f32], distribution: bool) {
        let layout = &self.layout;
        let gradient = &mut self.gradient;
        if distribution {
            let by = &mut self.by_wide[..self.before_triangle.after.len()];
            layout.triangle.backward_weights(&self.before_triangle.after, &self.by_triangles, gradient);
            layout.triangle.backward_input(&self.by_triangles, weights, by);
            self.before_triangle.backward(by);
            layout.distribution.backward_weights(&self.last.out, by, gradient);
        }
        layout.point.backward_weights(&self.last.out, &self.by_points, gradient);
        layout.point.backward_input(&self.by_points, weights, &mut self.by_normed);
        self.by_x.fill(0.0);
        self.last.backward(&mut self.by_normed, weights, &layout.norm, gradient, &mut self.by_x);
        for (((norm, expand, contract), normed), active) in
            layout.blocks.iter().zip(&self.normed).zip(&self.active).rev()
        {
            let by = &mut self.by_wide[..active.after.len()];
            contract.backward_weights(&active.after, &self.by_x, gradient);
            contract.backward_input(&self.by_x, weights, by);
            active.backward(by);
            expand.backward_weights(&normed.out, by, gradient);
            expand.backward_input(by, weights, &mut self.by_normed);
            normed.backward(&mut self.by_normed, weights, norm, gradient, &mut self.by_x);
        }
        layout.first.backward_weights(&self.input, &self.by_x, gradient);
        if let Some(picture) = &mut self.picture {
            picture.backward(weights, &self.by_x, gradient);
        }
    }
}
