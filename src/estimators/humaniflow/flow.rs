//! The distribution of one body part's rotation: base noise through a chain of maps to rotation vectors,
//! and from there onto SO(3).

use std::f64::consts::TAU;

use glam::{DMat3, DVec3};

use super::dense::{Real, Scratch};
use super::so3;
use super::transforms::Transform;

/// What the log-density does with the exactly unturned rotation (see [`so3::exp_log_det_published`]).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AtIdentity {
    #[default]
    Exact,
    AsPublished,
}

/// One part's conditional distribution; the context comes with each call, one row a point.
#[derive(Clone, Debug)]
pub struct PartFlow<R> {
    /// From base noise to rotation vectors.
    pub transforms: Vec<Transform<R>>,
    /// Standard deviation of the base, a normal centred at 0.
    pub base_std: f64,
    /// Radius of the ball of rotation vectors that the last map fills.
    pub support_radius: f64,
}

impl<R: Real> PartFlow<R> {
    /// Base points (already scaled by [`PartFlow::base_std`]) to rotation vectors, in place.
    pub fn push_forward(&self, x: &mut [[R; 3]], context: &[R], scratch: &mut Scratch<R>) {
        let mut unused = vec![R::ZERO; x.len()];
        for transform in &self.transforms {
            transform.forward(x, context, &mut unused, scratch);
        }
    }

    /// Log-density of rotation vectors on so(3), flat measure. NaN outside the support ball.
    pub fn log_prob_vectors(&self, v: &[[R; 3]], context: &[R], scratch: &mut Scratch<R>) -> Vec<R> {
        let mut x = v.to_vec();
        let mut log_det = vec![R::ZERO; x.len()];
        for transform in self.transforms.iter().rev() {
            transform.inverse(&mut x, context, &mut log_det, scratch);
        }
        let constant = R::of(-3.0 * (self.base_std.ln() + 0.5 * TAU.ln()));
        let precision = R::of(0.5 / (self.base_std * self.base_std));
        x.iter()
            .zip(&log_det)
            .map(|(x, &det)| constant - precision * (x[0] * x[0] + x[1] * x[1] + x[2] * x[2]) - det)
            .collect()
    }

    /// Log-density of rotations with respect to the volume in which SO(3) has 8π²: the sum over the
    /// rotation vectors within the support that make each.
    pub fn log_prob(
        &self,
        rotations: &[DMat3],
        context: &[R],
        at_identity: AtIdentity,
        scratch: &mut Scratch<R>,
    ) -> Vec<f64> {
        let width = context.len() / rotations.len().max(1);
        let mut vectors: Vec<DVec3> = Vec::with_capacity(2 * rotations.len());
        let mut rows: Vec<usize> = (0..rotations.len()).collect();
        let mut second = Vec::new();
        for (row, &rotation) in rotations.iter().enumerate() {
            let (v, other) = so3::preimages(rotation, self.support_radius);
            vectors.push(v);
            if let Some(other) = other {
                second.push((row, other));
            }
        }
        let mut contexts = context.to_vec();
        for &(row, v) in &second {
            rows.push(row);
            vectors.push(v);
            contexts.extend_from_slice(&context[row * width..(row + 1) * width]);
        }
        let points: Vec<[R; 3]> = vectors.iter().map(|v| v.to_array().map(R::of)).collect();
        let flat = self.log_prob_vectors(&points, &contexts, scratch);
        let mut total = vec![f64::NEG_INFINITY; rotations.len()];
        for ((v, row), flat) in vectors.into_iter().zip(rows).zip(flat) {
            let volume = match at_identity {
                AtIdentity::Exact => so3::exp_log_det(v),
                AtIdentity::AsPublished => so3::exp_log_det_published(v),
            };
            total[row] = log_sum_exp(total[row], flat.wide() - volume);
        }
        total
    }
}

fn log_sum_exp(a: f64, b: f64) -> f64 {
    let (low, high) = if a < b { (a, b) } else { (b, a) };
    if low == f64::NEG_INFINITY { high } else { high + (low - high).exp().ln_1p() }
}
