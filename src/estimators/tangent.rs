//! A Gaussian around a body, in the tangent space of its rotations: what the lifter predicts and what the
//! refiner takes as prior.
//!
//! Coordinates (79): per rotation ω in `R = center · exp(ω)` (root and joints 1..=21; hands stay), ten betas,
//! and where the pelvis is seen: shift right and down in sides of the crop, and the logarithm of its scale.

use std::sync::Arc;

use glam::{Mat3, Vec2, Vec3};

use crate::body::keypoint_chain::{ChainGradient, ChainPoints, KeypointChain};
use crate::body::{BodyState, state::JOINTS};
use crate::geometry::camera::{Camera, Projection};
use crate::geometry::rotations::{exp_so3, hat, log_so3};
use crate::keypoints::Crop;

/// Rotations with coordinates: the root and SMPL's joints 1..=21.
pub const ROTATIONS: usize = 22;
/// Shape coefficients with coordinates.
pub const BETAS: usize = 10;
/// First coordinate of the betas.
pub const BETAS_AT: usize = 3 * ROTATIONS;
/// First coordinate of the place.
pub const PLACE_AT: usize = BETAS_AT + BETAS;
/// Number of coordinates.
pub const DIMS: usize = PLACE_AT + 3;
/// Entries of a lower triangle, rows one after the other, diagonal included.
pub const TRIANGLE: usize = DIMS * (DIMS + 1) / 2;

pub type Coordinates = [f32; DIMS];

/// `N(center, (AᵀA)⁻¹)` with `A` lower triangular: `z = A δ` is white.
#[derive(Clone)]
pub struct TangentGaussian {
    pub chart: TangentChart,
    /// `A`, rows packed.
    whitening: Vec<f32>,
    /// `A⁻¹`, rows packed.
    coloring: Vec<f32>,
}

/// The coordinates around one body before one camera.
#[derive(Clone)]
pub struct TangentChart {
    pub center: BodyState,
    pub camera: Camera,
    pub crop: Crop,
    /// Place of the pelvis joint of the mean body at rest, and its change a beta.
    pelvis: Vec3,
    pelvis_directions: [Vec3; BETAS],
    /// Where the centre's pelvis is seen (pixels) and how far away it is.
    pixel: Vec2,
    depth: f32,
    chain: Arc<KeypointChain>,
}

impl std::fmt::Debug for TangentGaussian {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TangentGaussian").field("center", &self.chart.center).finish_non_exhaustive()
    }
}

/// Rest place of the pelvis and its directions, read off the chain.
pub fn pelvis_of(chain: &KeypointChain) -> (Vec3, [Vec3; BETAS]) {
    let mut points = chain.points();
    let mut at = |betas: &[f32]| {
        chain.forward(betas, &[Mat3::IDENTITY; JOINTS], Vec3::ZERO, &mut points);
        points.joints[0]
    };
    let mean = at(&[]);
    let directions = std::array::from_fn(|beta| {
        let mut betas = [0.0; BETAS];
        betas[beta] = 1.0;
        at(&betas) - mean
    });
    (mean, directions)
}

/// Rotations of a state, the root's first, those that have coordinates.
pub fn rotations_of(state: &BodyState) -> [Mat3; ROTATIONS] {
    std::array::from_fn(|joint| if joint == 0 { state.global_orient } else { state.body_pose[joint - 1] })
}

/// `J` with `exp(ω + dω) = exp(ω) exp(J dω)` to first order.
fn right_jacobian(v: Vec3) -> Mat3 {
    let squared = v.length_squared();
    let k = hat(v);
    let (a, b) = if squared < 1e-6 {
        (0.5 - squared / 24.0, 1.0 / 6.0 - squared / 120.0)
    } else {
        let angle = squared.sqrt();
        ((1.0 - angle.cos()) / squared, (angle - angle.sin()) / (squared * angle))
    };
    Mat3::IDENTITY - k * a + k * k * b
}

impl TangentChart {
    /// `center` must be placed in the camera's space; missing betas are zero.
    pub fn new(chain: Arc<KeypointChain>, center: &BodyState, camera: Camera, crop: Crop) -> Self {
        let (pelvis, pelvis_directions) = pelvis_of(&chain);
        let mut center = center.clone();
        center.betas.resize(center.betas.len().max(BETAS), 0.0);
        let mut chart =
            Self { center, camera, crop, pelvis, pelvis_directions, pixel: Vec2::ZERO, depth: 1.0, chain };
        let place = chart.rest_pelvis(&chart.center.betas) + chart.center.transl;
        chart.depth = (-place.z).max(0.1);
        chart.pixel = camera.project(place).unwrap_or(crop.center);
        chart
    }

    pub fn chain(&self) -> &Arc<KeypointChain> {
        &self.chain
    }

    fn rest_pelvis(&self, betas: &[f32]) -> Vec3 {
        self.pelvis + betas.iter().zip(&self.pelvis_directions).map(|(beta, d)| *d * *beta).sum::<Vec3>()
    }

    /// The body at the coordinates.
    pub fn state(&self, delta: &Coordinates) -> BodyState {
        let mut state = self.center.clone();
        let turn = |joint: usize| exp_so3(Vec3::from_slice(&delta[3 * joint..3 * joint + 3]));
        state.global_orient = self.center.global_orient * turn(0);
        for joint in 1..ROTATIONS {
            state.body_pose[joint - 1] = self.center.body_pose[joint - 1] * turn(joint);
        }
        for (beta, shift) in state.betas.iter_mut().zip(&delta[BETAS_AT..PLACE_AT]) {
            *beta += shift;
        }
        state.transl = self.place(delta).0 - self.rest_pelvis(&state.betas);
        state
    }

    /// Place of the pelvis and its derivatives by the three place coordinates.
    fn place(&self, delta: &Coordinates) -> (Vec3, [Vec3; 3]) {
        let side = self.crop.side;
        let pixel = self.pixel + Vec2::new(delta[PLACE_AT], delta[PLACE_AT + 1]) * side;
        match self.camera.projection {
            Projection::Perspective { .. } => {
                let depth = self.depth * (-delta[PLACE_AT + 2]).exp();
                let place = self.camera.unproject(pixel, depth);
                let step = side / self.camera.pixels_a_metre(depth);
                (place, [Vec3::X * step, Vec3::NEG_Y * step, -place])
            }
            Projection::WeakPerspective { .. } => {
                let step = side / self.camera.pixels_a_metre(self.depth);
                (self.camera.unproject(pixel, self.depth), [Vec3::X * step, Vec3::NEG_Y * step, Vec3::ZERO])
            }
        }
    }

    /// The coordinates of a body.
    pub fn coordinates(&self, state: &BodyState) -> Coordinates {
        let mut delta = [0.0; DIMS];
        for (joint, (own, center)) in rotations_of(state).iter().zip(rotations_of(&self.center)).enumerate() {
            log_so3(center.transpose() * *own).write_to_slice(&mut delta[3 * joint..3 * joint + 3]);
        }
        for (beta, delta) in delta[BETAS_AT..PLACE_AT].iter_mut().enumerate() {
            *delta = state.betas.get(beta).copied().unwrap_or(0.0) - self.center.betas[beta];
        }
        let place = self.rest_pelvis(&state.betas) + state.transl;
        if let Some(pixel) = self.camera.project(place) {
            let shift = (pixel - self.pixel) / self.crop.side;
            delta[PLACE_AT] = shift.x;
            delta[PLACE_AT + 1] = shift.y;
        }
        if matches!(self.camera.projection, Projection::Perspective { .. }) {
            delta[PLACE_AT + 2] = (self.depth / (-place.z).max(0.1)).ln();
        }
        delta
    }

    /// Position in the crop (sides, from its middle) of the camera's picture of a point, and its derivative
    /// (rows) by the point. `None` for a point behind the camera.
    pub fn seen(&self, point: Vec3) -> Option<(Vec2, [Vec3; 2])> {
        let pixel = self.camera.project(point)?;
        let side = self.crop.side;
        let at = (pixel - self.crop.center) / side;
        let scale = self.camera.pixels_a_metre(-point.z) / side;
        let rows = match self.camera.projection {
            Projection::Perspective { principal_px, .. } => {
                let off = (pixel - Vec2::from(principal_px)) / side / -point.z;
                [Vec3::new(scale, 0.0, off.x), Vec3::new(0.0, -scale, off.y)]
            }
            Projection::WeakPerspective { .. } => [Vec3::X * scale, Vec3::NEG_Y * scale],
        };
        Some((at, rows))
    }

    /// What turns gradients by the body into gradients by the coordinates, at these coordinates.
    pub fn pull(&self, delta: &Coordinates) -> Pull<'_> {
        Pull {
            turns: std::array::from_fn(|joint| {
                right_jacobian(Vec3::from_slice(&delta[3 * joint..3 * joint + 3])).transpose()
            }),
            place: self.place(delta).1,
            chart: self,
        }
    }

    /// Joints and keypoints at the coordinates.
    pub fn points(&self, state: &BodyState, out: &mut ChainPoints) {
        self.chain.forward_state(state, out);
    }
}

/// See [`TangentChart::pull`].
pub struct Pull<'a> {
    turns: [Mat3; ROTATIONS],
    place: [Vec3; 3],
    chart: &'a TangentChart,
}

impl Pull<'_> {
    /// Gradient by the coordinates, given those by rotations, betas and translation.
    pub fn back(&self, gradient: &ChainGradient) -> Coordinates {
        let mut out = [0.0; DIMS];
        for (joint, turn) in self.turns.iter().enumerate() {
            (*turn * gradient.rotations[joint]).write_to_slice(&mut out[3 * joint..3 * joint + 3]);
        }
        for (beta, direction) in self.chart.pelvis_directions.iter().enumerate() {
            out[BETAS_AT + beta] =
                gradient.betas.get(beta).copied().unwrap_or(0.0) - direction.dot(gradient.transl);
        }
        for (out, step) in out[PLACE_AT..].iter_mut().zip(&self.place) {
            *out = step.dot(gradient.transl);
        }
        out
    }
}

impl TangentGaussian {
    /// `whitening`: `A`, rows of the lower triangle packed ([`TRIANGLE`] numbers), diagonal positive.
    pub fn new(chart: TangentChart, whitening: Vec<f32>) -> Self {
        let coloring = invert_lower(&whitening);
        Self { chart, whitening, coloring }
    }

    /// Independent coordinates with the spreads that an estimator without a predicted distribution is given.
    pub fn independent(chart: TangentChart, spread: &Coordinates) -> Self {
        let mut whitening = vec![0.0; TRIANGLE];
        for (row, spread) in spread.iter().enumerate() {
            whitening[row * (row + 1) / 2 + row] = 1.0 / spread.max(1e-3);
        }
        Self::new(chart, whitening)
    }

    /// `A δ`.
    pub fn whiten(&self, delta: &Coordinates) -> Coordinates {
        lower_times(&self.whitening, delta)
    }

    /// `A⁻¹ z`.
    pub fn color(&self, z: &Coordinates) -> Coordinates {
        lower_times(&self.coloring, z)
    }

    /// Row vector times `A⁻¹`: a gradient by δ becomes one by z.
    pub fn gradient_by_white(&self, by_delta: &Coordinates) -> Coordinates {
        let mut out = [0.0; DIMS];
        let mut at = 0;
        for (row, value) in by_delta.iter().enumerate() {
            for (out, entry) in out[..=row].iter_mut().zip(&self.coloring[at..=at + row]) {
                *out += value * entry;
            }
            at += row + 1;
        }
        out
    }

    /// Log-density at white coordinates, by the tangent coordinates.
    pub fn log_prob(&self, z: &Coordinates) -> f32 {
        let square: f32 = z.iter().map(|v| v * v).sum();
        let log_det: f32 = (0..DIMS).map(|row| self.whitening[row * (row + 1) / 2 + row].ln()).sum();
        log_det - 0.5 * (square + DIMS as f32 * std::f32::consts::TAU.ln())
    }
}

fn lower_times(lower: &[f32], vector: &Coordinates) -> Coordinates {
    std::array::from_fn(|row| {
        let at = row * (row + 1) / 2;
        lower[at..=at + row].iter().zip(vector).map(|(a, b)| a * b).sum()
    })
}

/// Inverse of a packed lower triangle, by columns of the identity.
fn invert_lower(lower: &[f32]) -> Vec<f32> {
    let at = |row: usize, column: usize| row * (row + 1) / 2 + column;
    let mut inverse = vec![0.0f32; TRIANGLE];
    for row in 0..DIMS {
        let diagonal = f64::from(lower[at(row, row)]);
        let mut sums = [0.0f64; DIMS];
        for k in 0..row {
            let factor = f64::from(lower[at(row, k)]);
            for (sum, entry) in sums[..=k].iter_mut().zip(&inverse[at(k, 0)..=at(k, k)]) {
                *sum += factor * f64::from(*entry);
            }
        }
        for column in 0..row {
            inverse[at(row, column)] = (-sums[column] / diagonal) as f32;
        }
        inverse[at(row, row)] = (1.0 / diagonal) as f32;
    }
    inverse
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::body::BodyModel;
    use crate::body::BodyState;
    use rand::{Rng, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    fn chart() -> TangentChart {
        let model = BodyModel::default_body().expect("the built-in body");
        let chain = Arc::new(KeypointChain::new(&model).expect("24 joints"));
        let mut center = BodyState::rest(BETAS);
        center.global_orient = exp_so3(Vec3::new(0.1, 0.8, -0.2));
        center.transl = Vec3::new(0.2, 0.3, -4.0);
        let camera = Camera {
            projection: Projection::Perspective { focal_px: 500.0, principal_px: [120.0, 130.0] },
            size: [256.0; 2],
        };
        TangentChart::new(
            chain,
            &center,
            camera,
            Crop { center: Vec2::new(128.0, 128.0), side: 220.0, angle: 0.0 },
        )
    }

    fn random(rng: &mut ChaCha8Rng, size: f32) -> Coordinates {
        std::array::from_fn(|_| size * (rng.random::<f32>() - 0.5))
    }

    #[test]
    fn coordinates_and_states_are_inverse() {
        let chart = chart();
        let delta = random(&mut ChaCha8Rng::seed_from_u64(1), 0.8);
        let back = chart.coordinates(&chart.state(&delta));
        for (a, b) in delta.iter().zip(back) {
            assert!((a - b).abs() < 2e-4, "{a} {b}");
        }
    }

    #[test]
    fn coloring_undoes_whitening() {
        let mut rng = ChaCha8Rng::seed_from_u64(2);
        let mut whitening: Vec<f32> = (0..TRIANGLE).map(|_| rng.random::<f32>() - 0.5).collect();
        (0..DIMS).for_each(|row| whitening[row * (row + 1) / 2 + row] = 4.0 + rng.random::<f32>());
        let gaussian = TangentGaussian::new(chart(), whitening);
        let z = random(&mut rng, 3.0);
        let back = gaussian.whiten(&gaussian.color(&z));
        assert!(z.iter().zip(back).all(|(a, b)| (a - b).abs() < 1e-3));
    }

    #[test]
    fn derivatives_of_seen_keypoints_match_differences() {
        let chart = chart();
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        let delta = random(&mut rng, 0.6);
        let mut points = chart.chain().points();
        let mut gradient = chart.chain().gradient();
        let mut seen = |delta: &Coordinates, k: usize| {
            chart.points(&chart.state(delta), &mut points);
            (chart.seen(points.coco[k]).expect("in front"), points.clone())
        };
        for (k, axis) in [(0, 0), (9, 1), (16, 0)] {
            let ((_, rows), at) = seen(&delta, k);
            chart.chain().backward_keypoint(&at, k, rows[axis], &mut gradient);
            let analytic = chart.pull(&delta).back(&gradient);
            for coordinate in 0..DIMS {
                let step = 1e-2;
                let mut moved = delta;
                moved[coordinate] += step;
                let high = seen(&moved, k).0.0[axis];
                moved[coordinate] -= 2.0 * step;
                let low = seen(&moved, k).0.0[axis];
                let numeric = (high - low) / (2.0 * step);
                assert!(
                    (numeric - analytic[coordinate]).abs() < 2e-3,
                    "{k} {coordinate} {numeric} {}",
                    analytic[coordinate]
                );
            }
        }
    }
}
