//! How far the bodies of a distribution lie apart: point by point and joint by joint.
//!
//! Bodies are posed where the estimator left them but for their translation, so the numbers tell about pose,
//! shape and turn, not about where in the room a body stands: an estimator with one global rotation for all
//! samples (as published flows have) gives spreads about the common pelvis. Axes are the camera's: x right,
//! y up, z towards the camera.

use glam::{DMat3, DVec3, Mat3, Vec3};
use rayon::prelude::*;

use super::Estimate;
use crate::body::BodyState;
use crate::body::model::BodyModel;
use crate::body::posing::Posed;

/// Sums are made in so many blocks, whatever the number of threads, and added in order.
const BLOCKS: usize = 16;

/// Spread of a distribution's bodies.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Uncertainty {
    /// Standard deviation of each point along each axis, metres (divided by the number of samples).
    pub std_x: Vec<f32>,
    pub std_y: Vec<f32>,
    pub std_z: Vec<f32>,
    /// Root of the three variances' sum, metres.
    pub total: Vec<f32>,
    /// Covariance of each joint's place, square metres.
    pub joint_covariance: Vec<Mat3>,
    pub samples: usize,
}

/// Sums over bodies, taken about a mesh close to all of them.
struct Sums {
    points: Vec<(DVec3, DVec3)>,
    joints: Vec<(DVec3, DMat3)>,
}

impl Sums {
    fn new(points: usize, joints: usize) -> Self {
        Self {
            points: vec![(DVec3::ZERO, DVec3::ZERO); points],
            joints: vec![(DVec3::ZERO, DMat3::ZERO); joints],
        }
    }

    fn add(&mut self, body: &Posed, about: &Posed) {
        for ((sum, squares), (point, centre)) in
            self.points.iter_mut().zip(body.vertices.iter().zip(&about.vertices))
        {
            let d = (*point - *centre).as_dvec3();
            *sum += d;
            *squares += d * d;
        }
        for ((sum, products), (joint, centre)) in
            self.joints.iter_mut().zip(body.joints.iter().zip(&about.joints))
        {
            let d = (*joint - *centre).as_dvec3();
            *sum += d;
            *products += outer(d);
        }
    }

    fn merge(mut self, other: Self) -> Self {
        for (a, b) in self.points.iter_mut().zip(other.points) {
            *a = (a.0 + b.0, a.1 + b.1);
        }
        for (a, b) in self.joints.iter_mut().zip(other.joints) {
            *a = (a.0 + b.0, a.1 + b.1);
        }
        self
    }
}

fn outer(d: DVec3) -> DMat3 {
    DMat3::from_cols(d * d.x, d * d.y, d * d.z)
}

impl Uncertainty {
    /// Spread of the samples; all zero where there are fewer than two (a point regressor, say).
    ///
    /// No more than a few meshes are held at a time, and the number of threads never changes the result.
    pub fn from_estimate(model: &BodyModel, estimate: &Estimate) -> Self {
        Self::from_states(model, &estimate.mode, &estimate.samples)
    }

    /// As [`Uncertainty::from_estimate`]; `near` is a body close to all of `samples`, for precision.
    pub fn from_states(model: &BodyModel, near: &BodyState, samples: &[BodyState]) -> Self {
        let standing = |state: &BodyState| BodyState { transl: Vec3::ZERO, ..state.clone() };
        let about = model.pose(&standing(near), true);
        let size = samples.len().div_ceil(BLOCKS).max(1);
        let blocks: Vec<Sums> = samples
            .par_chunks(size)
            .map(|block| {
                let mut sums = Sums::new(about.vertices.len(), about.joints.len());
                let mut posed = Posed::default();
                for state in block {
                    model.pose_into(&standing(state), true, &mut posed);
                    sums.add(&posed, &about);
                }
                sums
            })
            .collect();
        let sums = blocks
            .into_iter()
            .reduce(Sums::merge)
            .unwrap_or_else(|| Sums::new(about.vertices.len(), about.joints.len()));
        Self::of_sums(sums, samples.len())
    }

    fn of_sums(sums: Sums, samples: usize) -> Self {
        let n = samples.max(1) as f64;
        let variances: Vec<DVec3> = sums
            .points
            .iter()
            .map(|(sum, squares)| (*squares / n - (*sum / n) * (*sum / n)).max(DVec3::ZERO))
            .collect();
        let along = |axis: usize| variances.iter().map(|v| v[axis].sqrt() as f32).collect();
        Self {
            std_x: along(0),
            std_y: along(1),
            std_z: along(2),
            total: variances.iter().map(|v| v.element_sum().sqrt() as f32).collect(),
            joint_covariance: sums
                .joints
                .iter()
                .map(|(sum, products)| (*products * (1.0 / n) - outer(*sum / n)).as_mat3())
                .collect(),
            samples,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::rotations::exp_so3;
    use rand::{Rng, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    fn bodies(model: &BodyModel, count: usize) -> Vec<BodyState> {
        let mut rng = ChaCha8Rng::seed_from_u64(2);
        (0..count)
            .map(|_| {
                let mut state = model.rest_state();
                for rotation in &mut state.body_pose {
                    *rotation =
                        exp_so3(Vec3::from_array(std::array::from_fn(|_| rng.random_range(-0.3..0.3))));
                }
                state.transl = Vec3::splat(rng.random_range(-5.0..5.0));
                state
            })
            .collect()
    }

    #[test]
    fn spreads_are_those_of_all_meshes_held_at_once() {
        let Ok(model) = BodyModel::default_body() else { return };
        let samples = bodies(&model, 37);
        let got = Uncertainty::from_states(&model, &model.rest_state(), &samples);
        let meshes: Vec<Posed> = samples
            .iter()
            .map(|state| model.pose(&BodyState { transl: Vec3::ZERO, ..state.clone() }, true))
            .collect();
        let n = meshes.len() as f32;
        for point in (0..model.num_vertices()).step_by(97) {
            let mean = meshes.iter().map(|m| m.vertices[point]).sum::<Vec3>() / n;
            let variance = meshes.iter().map(|m| (m.vertices[point] - mean).powf(2.0)).sum::<Vec3>() / n;
            assert!((got.std_x[point] - variance.x.sqrt()).abs() < 1e-5);
            assert!((got.std_z[point] - variance.z.sqrt()).abs() < 1e-5);
            assert!((got.total[point] - variance.element_sum().sqrt()).abs() < 1e-5);
        }
        let wrist = 20;
        let mean = meshes.iter().map(|m| m.joints[wrist]).sum::<Vec3>() / n;
        let xy = meshes.iter().map(|m| m.joints[wrist] - mean).map(|d| d.x * d.y).sum::<f32>() / n;
        assert!((got.joint_covariance[wrist].x_axis.y - xy).abs() < 1e-6);
    }

    #[test]
    fn one_thread_gives_the_same_bits_and_one_body_no_spread() {
        let Ok(model) = BodyModel::default_body() else { return };
        let samples = bodies(&model, 20);
        let near = model.rest_state();
        let alone = rayon::ThreadPoolBuilder::new().num_threads(1).build().expect("a pool");
        let many = Uncertainty::from_states(&model, &near, &samples);
        assert_eq!(many, alone.install(|| Uncertainty::from_states(&model, &near, &samples)));
        let none = Uncertainty::from_states(&model, &near, &samples[..1]);
        assert!(none.total.iter().all(|s| *s < 1e-4) && none.total.len() == model.num_vertices());
        assert!(Uncertainty::from_states(&model, &near, &[]).total.iter().all(|s| *s == 0.0));
    }
}
