//! Joints and COCO keypoints of a body in closed form, without its mesh and without correctives, with gradients.
//!
//! A keypoint is a weighed sum of skinned points. Summed over the points first, it is one local point and one
//! mass a joint: `c = Σ_k R_k A_ck(β) + m_ck t_k`, with A affine in β. A few microseconds a body; used to make
//! training data and to refine estimates.

use std::ops::Range;

use glam::{Mat3, Vec3};

use super::error::BodyError;
use super::model::BodyModel;
use super::state::{BodyState, JOINTS};

/// COCO's keypoints.
const KEYPOINTS: usize = 17;

/// One joint's share of one keypoint.
#[derive(Clone, Debug)]
struct Share {
    keypoint: usize,
    joint: usize,
    mass: f32,
    /// Local point of the mean body, relative to the joint, times the mass.
    local: Vec3,
}

/// What the closed form needs of a body.
#[derive(Clone, Debug)]
pub struct KeypointChain {
    betas: usize,
    parents: [usize; JOINTS],
    rest: [Vec3; JOINTS],
    /// A beta after the other, 24 each.
    rest_directions: Vec<Vec3>,
    shares: Vec<Share>,
    /// A beta after the other, as many as shares each.
    local_directions: Vec<Vec3>,
}

/// Joints and keypoints of one body, with what the gradient needs again. Made once, filled many times.
#[derive(Clone, Debug)]
pub struct ChainPoints {
    pub joints: [Vec3; JOINTS],
    pub coco: [Vec3; KEYPOINTS],
    /// World rotation of each joint.
    pub rotations: [Mat3; JOINTS],
    /// Share of each keypoint that each joint carries, in world axes, relative to the joint.
    arms: Vec<Vec3>,
}

/// Gradients with respect to what a body does.
#[derive(Clone, Debug)]
pub struct ChainGradient {
    pub betas: Vec<f32>,
    /// Per joint, the root first: with respect to ω in `R ← R exp(ω)` of its local rotation.
    pub rotations: [Vec3; JOINTS],
    pub transl: Vec3,
}

impl KeypointChain {
    /// # Errors
    /// `Shape` for a body whose tree is not SMPL's 24 joints.
    pub fn new(model: &BodyModel) -> Result<Self, BodyError> {
        if model.num_joints() != JOINTS {
            return Err(BodyError::Shape(format!(
                "keypoints without a mesh need a body of {JOINTS} joints, this one has {}",
                model.num_joints()
            )));
        }
        let betas = model.num_betas();
        let mut shares = Vec::new();
        let mut local_directions = vec![Vec::new(); betas];
        for keypoint in 0..KEYPOINTS {
            for joint in 0..JOINTS {
                let mut mass = 0.0f64;
                let mut local = glam::DVec3::ZERO;
                let mut directions = vec![glam::DVec3::ZERO; betas];
                for (point, share) in model.coco17.entries(keypoint) {
                    let (index, value) = model.weights.row(point);
                    let Some(at) = index.iter().position(|own| *own as usize == joint) else { continue };
                    let factor = f64::from(share) * f64::from(value[at]);
                    mass += factor;
                    local += (model.v_template[point] - model.joints_template[joint]).as_dvec3() * factor;
                    for (beta, direction) in directions.iter_mut().enumerate() {
                        let of_point = Vec3::from_slice(&model.shapedirs[beta][3 * point..3 * point + 3]);
                        *direction += (of_point - model.joints_shapedirs[beta][joint]).as_dvec3() * factor;
                    }
                }
                if mass.abs() > 0.0 {
                    shares.push(Share { keypoint, joint, mass: mass as f32, local: local.as_vec3() });
                    for (beta, direction) in directions.iter().enumerate() {
                        local_directions[beta].push(direction.as_vec3());
                    }
                }
            }
        }
        Ok(Self {
            betas,
            parents: std::array::from_fn(|joint| model.parent(joint).unwrap_or(0)),
            rest: std::array::from_fn(|joint| model.joints_template[joint]),
            rest_directions: model.joints_shapedirs.iter().flatten().copied().collect(),
            shares,
            local_directions: local_directions.into_iter().flatten().collect(),
        })
    }

    pub fn num_betas(&self) -> usize {
        self.betas
    }

    /// Room for the results of [`KeypointChain::forward`].
    pub fn points(&self) -> ChainPoints {
        ChainPoints {
            joints: [Vec3::ZERO; JOINTS],
            coco: [Vec3::ZERO; KEYPOINTS],
            rotations: [Mat3::IDENTITY; JOINTS],
            arms: vec![Vec3::ZERO; self.shares.len()],
        }
    }

    /// Room for the results of [`KeypointChain::backward`].
    pub fn gradient(&self) -> ChainGradient {
        ChainGradient { betas: vec![0.0; self.betas], rotations: [Vec3::ZERO; JOINTS], transl: Vec3::ZERO }
    }

    /// As [`KeypointChain::forward`] for a state.
    pub fn forward_state(&self, state: &BodyState, out: &mut ChainPoints) {
        let mut rotations = [state.global_orient; JOINTS];
        rotations[1..].copy_from_slice(&state.body_pose);
        self.forward(&state.betas, &rotations, state.transl, out);
    }

    /// Joints and keypoints for local rotations, the root's first. Missing betas are zero, further ones left out.
    pub fn forward(&self, betas: &[f32], rotations: &[Mat3; JOINTS], transl: Vec3, out: &mut ChainPoints) {
        let mut rest = self.rest;
        for (beta, directions) in betas.iter().zip(self.rest_directions.chunks_exact(JOINTS)) {
            for (joint, direction) in rest.iter_mut().zip(directions) {
                *joint += *direction * *beta;
            }
        }
        out.rotations[0] = rotations[0];
        out.joints[0] = rest[0] + transl;
        for joint in 1..JOINTS {
            let parent = self.parents[joint];
            out.rotations[joint] = out.rotations[parent] * rotations[joint];
            out.joints[joint] = out.joints[parent] + out.rotations[parent] * (rest[joint] - rest[parent]);
        }

        for (arm, share) in out.arms.iter_mut().zip(&self.shares) {
            *arm = share.local;
        }
        let count = self.shares.len().max(1);
        for (beta, directions) in betas.iter().zip(self.local_directions.chunks_exact(count)) {
            for (arm, direction) in out.arms.iter_mut().zip(directions) {
                *arm += *direction * *beta;
            }
        }
        out.coco = [Vec3::ZERO; KEYPOINTS];
        for (arm, share) in out.arms.iter_mut().zip(&self.shares) {
            *arm = out.rotations[share.joint] * *arm;
            out.coco[share.keypoint] += *arm + out.joints[share.joint] * share.mass;
        }
    }

    /// Gradients of a scalar, given its gradients with respect to the joints and keypoints that
    /// [`KeypointChain::forward`] last put into `points`. Overwrites `out`.
    ///
    /// Each gradient is a force on a point; what turns a joint is the torque of all forces on its subtree.
    pub fn backward(
        &self,
        points: &ChainPoints,
        grad_joints: &[Vec3; JOINTS],
        grad_coco: &[Vec3; KEYPOINTS],
        out: &mut ChainGradient,
    ) {
        self.backward_shares(points, grad_joints, grad_coco, 0..self.shares.len(), out);
    }

    /// As [`KeypointChain::backward`] for a scalar that depends on one keypoint only, some five times as fast:
    /// a row of a Jacobian.
    pub fn backward_keypoint(
        &self,
        points: &ChainPoints,
        keypoint: usize,
        grad: Vec3,
        out: &mut ChainGradient,
    ) {
        let first = self.shares.partition_point(|share| share.keypoint < keypoint);
        let last = self.shares.partition_point(|share| share.keypoint <= keypoint);
        let mut grad_coco = [Vec3::ZERO; KEYPOINTS];
        grad_coco[keypoint] = grad;
        self.backward_shares(points, &[Vec3::ZERO; JOINTS], &grad_coco, first..last, out);
    }

    fn backward_shares(
        &self,
        points: &ChainPoints,
        grad_joints: &[Vec3; JOINTS],
        grad_coco: &[Vec3; KEYPOINTS],
        used: Range<usize>,
        out: &mut ChainGradient,
    ) {
        let mut force = *grad_joints;
        let mut torque: [Vec3; JOINTS] =
            std::array::from_fn(|joint| points.joints[joint].cross(grad_joints[joint]));
        for (share, arm) in self.shares[used.clone()].iter().zip(&points.arms[used.clone()]) {
            let pull = grad_coco[share.keypoint];
            force[share.joint] += pull * share.mass;
            torque[share.joint] += (*arm + points.joints[share.joint] * share.mass).cross(pull);
        }
        for joint in (1..JOINTS).rev() {
            let parent = self.parents[joint];
            force[parent] += force[joint];
            torque[parent] += torque[joint];
        }
        for joint in 0..JOINTS {
            let about = torque[joint] - points.joints[joint].cross(force[joint]);
            out.rotations[joint] = points.rotations[joint].transpose() * about;
        }
        out.transl = force[0];

        // Rest places of the joints: a child's place pulls along its parent's axes.
        let mut rest = [Vec3::ZERO; JOINTS];
        rest[0] = force[0];
        for joint in 1..JOINTS {
            let parent = self.parents[joint];
            let pull = points.rotations[parent].transpose() * force[joint];
            rest[joint] += pull;
            rest[parent] -= pull;
        }
        for (beta, directions) in out.betas.iter_mut().zip(self.rest_directions.chunks_exact(JOINTS)) {
            *beta = rest.iter().zip(directions).map(|(pull, direction)| pull.dot(*direction)).sum();
        }
        let count = self.shares.len().max(1);
        for at in used {
            let share = &self.shares[at];
            let pull = points.rotations[share.joint].transpose() * grad_coco[share.keypoint];
            for (beta, grad) in out.betas.iter_mut().enumerate() {
                *grad += pull.dot(self.local_directions[beta * count + at]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::rotations::exp_so3;

    fn state(model: &BodyModel) -> BodyState {
        let mut state = model.rest_state();
        for (at, beta) in state.betas.iter_mut().enumerate() {
            *beta = (0.4 + 1.7 * at as f32).sin() * 1.5;
        }
        state.global_orient = exp_so3(Vec3::new(0.3, 2.1, -0.4));
        for (at, rotation) in state.body_pose.iter_mut().enumerate() {
            let at = at as f32;
            *rotation = exp_so3(0.8 * Vec3::new(at.sin(), (1.1 * at).cos(), (0.3 * at).sin()));
        }
        state.transl = Vec3::new(0.2, 0.1, -3.0);
        state
    }

    #[test]
    fn equals_the_mesh_without_correctives() {
        let model = BodyModel::default_body().unwrap();
        let chain = KeypointChain::new(&model).unwrap();
        let state = state(&model);
        let mut points = chain.points();
        chain.forward_state(&state, &mut points);
        let posed = model.pose(&state, false);
        for (got, want) in points.coco.iter().zip(&model.coco17(&posed.vertices)) {
            assert!(got.abs_diff_eq(*want, 1e-5), "{got} for {want}");
        }
        assert!(points.joints.iter().zip(&posed.joints).all(|(got, want)| got.abs_diff_eq(*want, 1e-5)));
    }

    #[test]
    fn gradients_equal_difference_quotients() {
        let model = BodyModel::default_body().unwrap();
        let chain = KeypointChain::new(&model).unwrap();
        let state = state(&model);
        let mut rotations = [state.global_orient; JOINTS];
        rotations[1..].copy_from_slice(&state.body_pose);
        let weight =
            |at: usize| Vec3::new((at as f32).sin(), (2.0 * at as f32).cos(), (0.7 * at as f32).sin());
        let grad_joints: [Vec3; JOINTS] = std::array::from_fn(weight);
        let grad_coco: [Vec3; KEYPOINTS] = std::array::from_fn(|at| weight(at + 40));
        let mut points = chain.points();
        let mut value = |betas: &[f32], rotations: &[Mat3; JOINTS], transl: Vec3| -> f64 {
            chain.forward(betas, rotations, transl, &mut points);
            let joints = points.joints.iter().zip(&grad_joints);
            let coco = points.coco.iter().zip(&grad_coco);
            joints.chain(coco).map(|(point, weight)| point.as_dvec3().dot(weight.as_dvec3())).sum()
        };
        let h = 1e-2f32;
        let quotient = |plus: f64, minus: f64| ((plus - minus) / (2.0 * f64::from(h))) as f32;

        let mut numeric = chain.gradient();
        for at in 0..state.betas.len() {
            let mut betas = state.betas.clone();
            betas[at] += h;
            let plus = value(&betas, &rotations, state.transl);
            betas[at] -= 2.0 * h;
            numeric.betas[at] = quotient(plus, value(&betas, &rotations, state.transl));
        }
        for joint in 0..JOINTS {
            for axis in 0..3 {
                let mut step = Vec3::ZERO;
                step[axis] = h;
                let turned = |step: Vec3| {
                    let mut rotations = rotations;
                    rotations[joint] *= exp_so3(step);
                    rotations
                };
                let plus = value(&state.betas, &turned(step), state.transl);
                numeric.rotations[joint][axis] =
                    quotient(plus, value(&state.betas, &turned(-step), state.transl));
            }
        }
        for axis in 0..3 {
            let mut step = Vec3::ZERO;
            step[axis] = h;
            let plus = value(&state.betas, &rotations, state.transl + step);
            numeric.transl[axis] = quotient(plus, value(&state.betas, &rotations, state.transl - step));
        }

        value(&state.betas, &rotations, state.transl);
        let mut got = chain.gradient();
        chain.backward(&points, &grad_joints, &grad_coco, &mut got);
        for (got, want) in got.betas.iter().zip(&numeric.betas) {
            assert!((got - want).abs() < 2e-3 * (1.0 + want.abs()), "betas: {got} for {want}");
        }
        for (joint, (got, want)) in got.rotations.iter().zip(&numeric.rotations).enumerate() {
            assert!(
                (*got - *want).length() < 2e-3 * (1.0 + want.length()),
                "joint {joint}: {got} for {want}"
            );
        }
        assert!((got.transl - numeric.transl).length() < 2e-2);
    }
}
