//! The numbers that the network gives out: rotations as two columns each, betas, where the pelvis is seen.
//! The trainer takes gradients through [`Point`] by hand, the estimator makes bodies of it.

use glam::{Mat3, Vec2, Vec3};

use crate::body::joint_sets::SMPL_MIRROR;
use crate::estimators::tangent::{BETAS, DIMS, ROTATIONS, TRIANGLE};

/// Numbers of the point estimate.
pub const POINT: usize = 6 * ROTATIONS + BETAS + 3;
/// First of the betas, and of the place.
pub const POINT_BETAS: usize = 6 * ROTATIONS;
pub const POINT_PLACE: usize = POINT_BETAS + BETAS;

/// Least and greatest standard deviation of a coordinate given those before it.
pub const LEAST_SPREAD: f32 = 0.02;
const GREATEST_SPREAD: f32 = 2.0;

/// A point estimate.
#[derive(Clone, Debug, PartialEq)]
pub struct Point {
    pub rotations: [Mat3; ROTATIONS],
    pub betas: [f32; BETAS],
    /// Where the pelvis is seen: right and down from the crop's middle, in its sides.
    pub at: Vec2,
    /// Logarithm of the sides of the crop that a metre at the pelvis takes.
    pub log_scale: f32,
}

impl Point {
    pub fn decode(values: &[f32]) -> Self {
        Self {
            rotations: std::array::from_fn(|joint| six_to_rotation(&values[6 * joint..6 * joint + 6])),
            betas: std::array::from_fn(|beta| values[POINT_BETAS + beta].clamp(-4.0, 4.0)),
            at: Vec2::new(values[POINT_PLACE], values[POINT_PLACE + 1]),
            log_scale: values[POINT_PLACE + 2].clamp(-4.0, 4.0),
        }
    }

    /// The same person seen in a mirror.
    pub fn mirrored(&self) -> Self {
        Self {
            rotations: std::array::from_fn(|joint| {
                crate::geometry::rotations::mirror(self.rotations[SMPL_MIRROR[joint]])
            }),
            betas: self.betas,
            at: Vec2::new(-self.at.x, self.at.y),
            log_scale: self.log_scale,
        }
    }

    /// The mean of two estimates: chordal for rotations.
    pub fn mean(&self, other: &Self) -> Self {
        Self {
            rotations: std::array::from_fn(|joint| {
                let sum = self.rotations[joint] + other.rotations[joint];
                crate::geometry::rotations::renormalize(sum * 0.5)
            }),
            betas: std::array::from_fn(|beta| 0.5 * (self.betas[beta] + other.betas[beta])),
            at: 0.5 * (self.at + other.at),
            log_scale: 0.5 * (self.log_scale + other.log_scale),
        }
    }
}

/// Two columns to a rotation (Gram–Schmidt); degenerate ones give some rotation.
pub fn six_to_rotation(six: &[f32]) -> Mat3 {
    let (first, second) = (Vec3::from_slice(&six[..3]), Vec3::from_slice(&six[3..6]));
    let x = first.normalize_or(Vec3::X);
    let y = (second - x * x.dot(second)).try_normalize().unwrap_or_else(|| x.any_orthonormal_vector());
    Mat3::from_cols(x, y, x.cross(y))
}

/// Gradient by the two columns, given the gradient by ω in `R ← R exp(ω)`.
pub fn six_backward(six: &[f32], rotation: &Mat3, by_turn: Vec3, out: &mut [f32]) {
    let (first, second) = (Vec3::from_slice(&six[..3]), Vec3::from_slice(&six[3..6]));
    let along = rotation.x_axis.dot(second);
    let length = first.length().max(1e-3);
    let across = (second - rotation.x_axis * along).length().max(1e-3);
    let by_first = (by_turn.z * rotation.y_axis
        - by_turn.y * rotation.z_axis
        - rotation.z_axis * (by_turn.x * along / across))
        / length;
    let by_second = rotation.z_axis * (by_turn.x / across);
    for (out, value) in out.iter_mut().zip(by_first.to_array().into_iter().chain(by_second.to_array())) {
        *out += value;
    }
}

/// Numbers of the network to the triangle `A` of a `TangentGaussian`, in place: the diagonal holds
/// logarithms of conditional spreads, negated.
pub fn decode_triangle(values: &mut [f32]) {
    debug_assert_eq!(values.len(), TRIANGLE);
    for row in 0..DIMS {
        let at = row * (row + 1) / 2 + row;
        values[at] = values[at].clamp(-GREATEST_SPREAD.ln(), -LEAST_SPREAD.ln()).exp();
    }
}

/// Whether the diagonal entry is inside the range in which it has a gradient.
pub fn diagonal_is_free(raw: f32) -> bool {
    (-GREATEST_SPREAD.ln()..-LEAST_SPREAD.ln()).contains(&raw)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::rotations::exp_so3;

    #[test]
    fn backward_of_two_columns_matches_differences() {
        let six = [0.9, 0.3, -0.2, 0.4, 1.2, 0.5];
        let weights = Mat3::from_cols_array(&[0.3, -0.7, 0.2, 0.9, 0.1, -0.4, 0.5, 0.6, -0.8]);
        let value = |m: Mat3| (0..3).map(|i| m.col(i).dot(weights.col(i))).sum::<f32>();
        let rotation = six_to_rotation(&six);
        let step = 1e-3;
        let by_turn = Vec3::from_array(std::array::from_fn(|axis| {
            let turn = Vec3::AXES[axis] * step;
            (value(rotation * exp_so3(turn)) - value(rotation * exp_so3(-turn))) / (2.0 * step)
        }));
        let mut analytic = [0.0; 6];
        six_backward(&six, &rotation, by_turn, &mut analytic);
        for i in 0..6 {
            let mut moved = six;
            moved[i] += step;
            let high = value(six_to_rotation(&moved));
            moved[i] -= 2.0 * step;
            let numeric = (high - value(six_to_rotation(&moved))) / (2.0 * step);
            assert!((numeric - analytic[i]).abs() < 2e-3, "{i} {numeric} {}", analytic[i]);
        }
    }
}
