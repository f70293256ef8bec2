//! Shape, correctives, chain and skinning: from a [`BodyState`] to joints and points, without tensors.
//!
//! Work goes in blocks that stay in the first cache; nothing is allocated once a [`Posed`] has its size.

use glam::{Affine3A, Mat3, Mat3A, Vec3, Vec3A};
use rayon::prelude::*;

use super::error::BodyError;
use super::model::{BodyModel, MOST_JOINTS};
use super::state::{BODY_JOINTS, BodyState, JOINTS};
use crate::geometry::rotations::exp_so3;

/// Points shaped at a time.
const BLOCK: usize = 64;

/// Fewest and most bodies whose correctives are one matrix product: two read the matrix as often as the lists, many
/// need memory.
const TOGETHER: (usize, usize) = (3, 128);

/// A posed body.
#[derive(Clone, Debug, Default)]
pub struct Posed {
    /// Posed joints, as many as the body has.
    pub joints: Vec<Vec3>,
    pub vertices: Vec<Vec3>,
    /// World rotation and place of each joint (its place is in `joints` too).
    pub joint_transforms: Vec<(Mat3, Vec3)>,
}

/// Everything a body can be asked for beyond a [`BodyState`].
#[derive(Clone, Copy, Debug)]
pub struct PoseInput<'a> {
    /// Missing ones are zero, those beyond the body's own are left out.
    pub betas: &'a [f32],
    /// One a joint, the root first; used as they are.
    pub rotations: &'a [Mat3],
    pub transl: Vec3,
    pub correctives: bool,
    /// Added to the shaped points before the pose (clothes); one a point, or empty.
    pub offsets: &'a [Vec3],
}

impl BodyModel {
    /// Joints and points of a body.
    pub fn pose(&self, state: &BodyState, correctives: bool) -> Posed {
        let mut out = Posed::default();
        self.pose_into(state, correctives, &mut out);
        out
    }

    /// As [`BodyModel::pose`], reusing a result's memory.
    pub fn pose_into(&self, state: &BodyState, correctives: bool, out: &mut Posed) {
        self.pose_offset_into(state, correctives, &[], out);
    }

    /// As [`BodyModel::pose_into`] with points moved before the pose: `offsets` has one a point, or is empty.
    pub fn pose_offset_into(&self, state: &BodyState, correctives: bool, offsets: &[Vec3], out: &mut Posed) {
        let mut rotations = [Mat3::IDENTITY; MOST_JOINTS];
        self.rotations_of(state, &mut rotations);
        let input = PoseInput {
            betas: &state.betas,
            rotations: &rotations[..self.num_joints()],
            transl: state.transl,
            correctives,
            offsets,
        };
        self.pose_input_into(&input, out);
    }

    /// Many bodies on all cores.
    pub fn pose_batch(&self, states: &[BodyState], correctives: bool) -> Vec<Posed> {
        if !correctives || states.len() < TOGETHER.0 || !self.correctives.is_dense(self.num_vertices()) {
            return states.par_iter().map(|state| self.pose(state, correctives)).collect();
        }
        states.chunks(TOGETHER.1).flat_map(|states| self.pose_together(states)).collect()
    }

    /// Some bodies whose correctives are one matrix product.
    fn pose_together(&self, states: &[BodyState]) -> Vec<Posed> {
        let points = self.num_vertices();
        let rotations: Vec<Vec<Mat3>> = states.iter().map(|state| self.rotations_of_state(state)).collect();
        let correctives = self.correctives.of_people(&rotations, points);
        let people = states.par_iter().zip(&rotations).zip(correctives.par_chunks_exact(3 * points.max(1)));
        people
            .map(|((state, rotations), correctives)| {
                let (betas, transl) = (state.betas.as_slice(), state.transl);
                let input = PoseInput { betas, rotations, transl, correctives: false, offsets: &[] };
                let mut out = Posed { vertices: vec![Vec3::ZERO; points], ..Posed::default() };
                self.shape_into(betas, &mut out.vertices);
                for (point, offset) in out.vertices.iter_mut().zip(correctives.as_chunks::<3>().0) {
                    *point += Vec3::from(*offset);
                }
                self.skin_into(&input, &mut out);
                out
            })
            .collect()
    }

    /// As [`BodyModel::pose`] for numbers from outside, with any rotations (one a joint).
    ///
    /// # Errors
    /// `Shape` where counts do not fit the body, `Value` where a number is not finite.
    pub fn pose_checked(&self, input: &PoseInput) -> Result<Posed, BodyError> {
        if input.betas.len() > self.num_betas() {
            return Err(BodyError::Shape(format!(
                "{} shape coefficients, the body has {}",
                input.betas.len(),
                self.num_betas()
            )));
        }
        if input.rotations.len() != self.num_joints() {
            return Err(BodyError::Shape(format!(
                "{} rotations, the body has {} joints",
                input.rotations.len(),
                self.num_joints()
            )));
        }
        if !input.offsets.is_empty() && input.offsets.len() != self.num_vertices() {
            return Err(BodyError::Shape(format!(
                "{} offsets, the body has {} points",
                input.offsets.len(),
                self.num_vertices()
            )));
        }
        let finite = input.betas.iter().all(|value| value.is_finite())
            && input.rotations.iter().all(|rotation| rotation.is_finite())
            && input.transl.is_finite();
        if !finite {
            return Err(BodyError::Value("a pose, shape or translation that is not finite".to_owned()));
        }
        let mut out = Posed::default();
        self.pose_input_into(input, &mut out);
        Ok(out)
    }

    /// Many people from outside: a list of rotations each; one row of betas or of translations serves all.
    ///
    /// # Errors
    /// As [`BodyModel::pose_checked`], and `Shape` for any other number of rows.
    pub fn pose_people(
        &self,
        betas: &[Vec<f32>],
        rotations: &[Vec<Mat3>],
        transl: &[Vec3],
    ) -> Result<Vec<Posed>, BodyError> {
        let people = rotations.len();
        for (what, rows) in [("shapes", betas.len()), ("translations", transl.len())] {
            if rows != people && rows != 1 {
                return Err(BodyError::Shape(format!("{rows} {what} for {people} poses")));
            }
        }
        (0..people)
            .map(|person| {
                self.pose_checked(&PoseInput {
                    betas: &betas[person % betas.len()],
                    rotations: &rotations[person],
                    transl: transl[person % transl.len()],
                    correctives: true,
                    offsets: &[],
                })
            })
            .collect()
    }

    /// One rotation a joint from a row of rotation vectors, the root's first.
    ///
    /// # Errors
    /// `Shape` for another number of numbers, `Value` where one is not finite.
    pub fn rotations_from_vectors(&self, pose: &[f32]) -> Result<Vec<Mat3>, BodyError> {
        if pose.len() != 3 * self.num_joints() {
            return Err(BodyError::Shape(format!(
                "a pose of {} numbers, the body has {} joints",
                pose.len(),
                self.num_joints()
            )));
        }
        if pose.iter().any(|value| !value.is_finite()) {
            return Err(BodyError::Value("a pose that is not finite".to_owned()));
        }
        Ok(pose.chunks_exact(3).map(|v| exp_so3(Vec3::from_slice(v))).collect())
    }

    /// The posed joints of SMPL's tree, without touching the mesh. Exact: the chain gives them.
    pub fn posed_joints(&self, state: &BodyState) -> [Vec3; JOINTS] {
        let mut rotations = [Mat3::IDENTITY; MOST_JOINTS];
        self.rotations_of(state, &mut rotations);
        let mut rest = [Vec3::ZERO; MOST_JOINTS];
        self.rest_joints_into(&state.betas, &mut rest);
        let mut world = [(Mat3::IDENTITY, Vec3::ZERO); MOST_JOINTS];
        self.chain(&rotations, &rest, &mut world);
        std::array::from_fn(|joint| {
            let joint = joint.min(self.num_joints() - 1);
            world[joint].1 + state.transl
        })
    }

    /// Turns a whole placed body about the world's origin.
    pub fn rotate_world(&self, state: &BodyState, turn: Mat3) -> BodyState {
        let mut rest = [Vec3::ZERO; MOST_JOINTS];
        self.rest_joints_into(&state.betas, &mut rest);
        let root = rest[0];
        BodyState {
            global_orient: turn * state.global_orient,
            transl: turn * (root + state.transl) - root,
            ..state.clone()
        }
    }

    /// Rotations of all of this body's joints, the root first.
    pub fn rotations_of_state(&self, state: &BodyState) -> Vec<Mat3> {
        let mut rotations = [Mat3::IDENTITY; MOST_JOINTS];
        self.rotations_of(state, &mut rotations);
        rotations[..self.num_joints()].to_vec()
    }

    /// The rotations of this body's own joints: hands' fingers stay flat, SMPL's two hand joints have no
    /// counterpart in a body with fingers.
    fn rotations_of(&self, state: &BodyState, out: &mut [Mat3; MOST_JOINTS]) {
        out[0] = state.global_orient;
        let own = if self.num_joints() == JOINTS { BODY_JOINTS } else { 21 };
        out[1..=own].copy_from_slice(&state.body_pose[..own]);
    }

    fn rest_joints_into(&self, betas: &[f32], out: &mut [Vec3; MOST_JOINTS]) {
        let joints = self.num_joints();
        out[..joints].copy_from_slice(&self.joints_template);
        for (beta, directions) in betas.iter().zip(&self.joints_shapedirs) {
            for (joint, direction) in out.iter_mut().zip(directions) {
                *joint += *direction * *beta;
            }
        }
    }

    /// World rotation and place of each joint, untranslated.
    fn chain(&self, rotations: &[Mat3], rest: &[Vec3], world: &mut [(Mat3, Vec3)]) {
        for joint in 0..self.num_joints() {
            world[joint] = match self.parent(joint) {
                None => (rotations[joint], rest[joint]),
                Some(parent) => {
                    let (rotation, place) = world[parent];
                    (rotation * rotations[joint], place + rotation * (rest[joint] - rest[parent]))
                }
            };
        }
    }

    /// The mean mesh with the shape's directions added.
    pub(super) fn shape_into(&self, betas: &[f32], out: &mut [Vec3]) {
        for (block, (points, template)) in
            out.chunks_mut(BLOCK).zip(self.v_template.chunks(BLOCK)).enumerate()
        {
            let mut sum = [0.0f32; 3 * BLOCK];
            for (flat, point) in sum.chunks_exact_mut(3).zip(template) {
                flat.copy_from_slice(&point.to_array());
            }
            let start = 3 * BLOCK * block;
            for (beta, direction) in betas.iter().zip(&self.shapedirs) {
                if *beta != 0.0 {
                    let end = (start + 3 * BLOCK).min(direction.len());
                    for (sum, value) in sum.iter_mut().zip(&direction[start..end]) {
                        *sum += beta * value;
                    }
                }
            }
            for (point, flat) in points.iter_mut().zip(sum.chunks_exact(3)) {
                *point = Vec3::from_slice(flat);
            }
        }
    }

    /// The forward pass. `rotations` has at least one a joint; the rest of the input fits the body.
    pub fn pose_input_into(&self, input: &PoseInput, out: &mut Posed) {
        out.vertices.resize(self.num_vertices(), Vec3::ZERO);
        self.shape_into(input.betas, &mut out.vertices);
        for (point, offset) in out.vertices.iter_mut().zip(input.offsets) {
            *point += *offset;
        }
        if input.correctives {
            self.correctives.apply(input.rotations, &mut out.vertices);
        }
        self.skin_into(input, out);
    }

    /// The chain, and the points (shaped, with correctives) moved with it.
    fn skin_into(&self, input: &PoseInput, out: &mut Posed) {
        let joints = self.num_joints();
        let mut rest = [Vec3::ZERO; MOST_JOINTS];
        self.rest_joints_into(input.betas, &mut rest);
        out.joint_transforms.resize(joints, (Mat3::IDENTITY, Vec3::ZERO));
        self.chain(input.rotations, &rest, &mut out.joint_transforms);

        // Rest to posed: the joint's own transform with its rest place taken off first.
        let mut skin = [Affine3A::IDENTITY; MOST_JOINTS];
        for ((skin, (rotation, place)), rest) in skin.iter_mut().zip(&out.joint_transforms).zip(&rest) {
            skin.matrix3 = Mat3A::from(*rotation);
            skin.translation = Vec3A::from(*place - *rotation * *rest);
        }
        for (_, place) in &mut out.joint_transforms {
            *place += input.transl;
        }
        out.joints.clear();
        out.joints.extend(out.joint_transforms.iter().map(|(_, place)| *place));

        for (at, point) in out.vertices.iter_mut().enumerate() {
            let (index, value) = self.weights.row(at);
            let rest = Vec3A::from(*point);
            let moved = if let [only] = index {
                skin[*only as usize].transform_point3a(rest) * value[0]
            } else {
                let mut matrix = Mat3A::ZERO;
                let mut shift = Vec3A::ZERO;
                for (joint, weight) in index.iter().zip(value) {
                    let own = &skin[*joint as usize];
                    matrix += own.matrix3 * *weight;
                    shift += own.translation * *weight;
                }
                matrix * rest + shift
            };
            *point = Vec3::from(moved) + input.transl;
        }
    }

    /// Rest-to-posed transform of each joint, untranslated, as skinning uses them.
    pub fn skin_transforms(&self, betas: &[f32], rotations: &[Mat3]) -> Vec<(Mat3, Vec3)> {
        let rest = self.rest_joints(betas);
        let mut world = vec![(Mat3::IDENTITY, Vec3::ZERO); self.num_joints()];
        self.chain(rotations, &rest, &mut world);
        world
            .iter()
            .zip(&rest)
            .map(|((rotation, place), rest)| (*rotation, *place - *rotation * *rest))
            .collect()
    }
}

#[cfg(test)]
mod tests;
