//! Shape, correctives, chain and skinning: from a [`BodyState`] to joints and points, without tensors.
//!
//! Work goes in blocks that stay in the first cache; nothing is allocated once a [`Posed`] has its size.

use glam::{Affine3A, Mat3, Mat3A, Vec3, Vec3A};
use rayon::prelude::*;

use super::error::BodyError;
use super::model::{BodyModel, MOST_JOINTS};
use super::state::{BODY_JOINTS, BodyState, JOINTS};

/// Points shaped at a time.
const BLOCK: usize = 64;

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
        states.par_iter().map(|state| self.pose(state, correctives)).collect()
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
        let joints = self.num_joints();
        out.vertices.resize(self.num_vertices(), Vec3::ZERO);
        self.shape_into(input.betas, &mut out.vertices);
        for (point, offset) in out.vertices.iter_mut().zip(input.offsets) {
            *point += *offset;
        }
        if input.correctives {
            self.correctives.apply(input.rotations, &mut out.vertices);
        }

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
mod tests {
    use super::*;
    use crate::geometry::rotations::{exp_so3, mirror};

    fn state(model: &BodyModel, seed: f32) -> BodyState {
        let mut state = model.rest_state();
        for (at, beta) in state.betas.iter_mut().enumerate() {
            *beta = (seed + 1.3 * at as f32).sin();
        }
        let turn = |at: usize| {
            let at = at as f32;
            exp_so3(0.6 * Vec3::new((seed * at).sin(), (seed + 2.0 * at).cos(), (0.5 * at - seed).sin()))
        };
        state.global_orient = turn(0);
        for (at, rotation) in state.body_pose.iter_mut().enumerate() {
            *rotation = turn(at + 1);
        }
        state.transl = Vec3::new(0.3, -0.2, -4.0);
        state
    }

    /// The forward pass as it is written on paper, in f64 and without any shortcut.
    fn on_paper(model: &BodyModel, state: &BodyState) -> (Vec<glam::DVec3>, Vec<glam::DVec3>) {
        use glam::{DMat3, DVec3};
        let rotation = |joint: usize| -> DMat3 {
            if joint == 0 { state.global_orient.as_dmat3() } else { state.body_pose[joint - 1].as_dmat3() }
        };
        let mut points: Vec<DVec3> = model.v_template.iter().map(|p| p.as_dvec3()).collect();
        for (beta, direction) in state.betas.iter().zip(&model.shapedirs) {
            for (point, d) in points.iter_mut().zip(direction.chunks_exact(3)) {
                *point += Vec3::from_slice(d).as_dvec3() * f64::from(*beta);
            }
        }
        let rest: Vec<DVec3> = (0..24)
            .map(|j| model.joint_regressor.entries(j).map(|(p, w)| points[p] * f64::from(w)).sum())
            .collect();
        for (joint, point, values) in model.correctives.entries() {
            let r = rotation(joint) - DMat3::IDENTITY;
            for axis in 0..3 {
                for (at, value) in values[axis].iter().enumerate() {
                    points[point][axis] += f64::from(*value) * r.col(at % 3)[at / 3];
                }
            }
        }
        let mut world: Vec<(DMat3, DVec3)> = Vec::new();
        for joint in 0..24 {
            let own = match model.parent(joint) {
                None => (rotation(0), rest[0]),
                Some(parent) => {
                    let (r, t) = world[parent];
                    (r * rotation(joint), t + r * (rest[joint] - rest[parent]))
                }
            };
            world.push(own);
        }
        let transl = state.transl.as_dvec3();
        let moved = points
            .iter()
            .enumerate()
            .map(|(at, point)| {
                let sum: DVec3 = model
                    .weights
                    .entries(at)
                    .map(|(joint, w)| {
                        (world[joint].0 * (*point - rest[joint]) + world[joint].1) * f64::from(w)
                    })
                    .sum();
                sum + transl
            })
            .collect();
        (world.iter().map(|(_, t)| *t + transl).collect(), moved)
    }

    #[test]
    fn fast_path_equals_the_formulas() {
        let model = BodyModel::default_body().unwrap();
        let state = state(&model, 0.7);
        let posed = model.pose(&state, true);
        let (joints, points) = on_paper(&model, &state);
        for (got, want) in posed.joints.iter().zip(&joints).chain(posed.vertices.iter().zip(&points)) {
            assert!((got.as_dvec3() - *want).length() < 5e-6, "{got} for {want}");
        }
        assert!(model.posed_joints(&state).iter().zip(&posed.joints).all(|(a, b)| a.abs_diff_eq(*b, 1e-6)));
    }

    #[test]
    fn reused_memory_and_batches_give_the_same() {
        let model = BodyModel::default_body().unwrap();
        let states: Vec<BodyState> = (0..4).map(|at| state(&model, at as f32)).collect();
        let mut reused = Posed::default();
        for (state, batch) in states.iter().zip(model.pose_batch(&states, true)) {
            model.pose_into(state, true, &mut reused);
            assert_eq!(reused.vertices, batch.vertices);
            assert_eq!(reused.joints, batch.joints);
        }
    }

    #[test]
    fn the_mirrored_pose_gives_the_mirrored_body() {
        let model = BodyModel::default_body().unwrap();
        let extras = model.extras.as_ref().unwrap();
        let mut left = state(&model, 1.9);
        left.transl = Vec3::ZERO;
        let mut right = left.clone();
        right.global_orient = mirror(left.global_orient);
        for joint in 1..24 {
            let other = usize::from(extras.joint_mirror[joint]);
            right.body_pose[joint - 1] = mirror(left.body_pose[other - 1]);
        }
        let (left, right) = (model.pose(&left, true), model.pose(&right, true));
        for (point, other) in extras.mirror.iter().enumerate() {
            let want = left.vertices[*other as usize] * Vec3::new(-1.0, 1.0, 1.0);
            assert!(right.vertices[point].abs_diff_eq(want, 5e-3), "{point}");
        }
    }

    #[test]
    fn turning_the_world_turns_every_point() {
        let model = BodyModel::default_body().unwrap();
        let state = state(&model, 2.4);
        let turn = exp_so3(Vec3::new(-1.2, 0.4, 0.9));
        let (before, after) = (model.pose(&state, true), model.pose(&model.rotate_world(&state, turn), true));
        for (before, after) in before.vertices.iter().zip(&after.vertices) {
            assert!((turn * *before).abs_diff_eq(*after, 5e-6));
        }
    }

    #[test]
    fn the_rest_pose_is_the_template() {
        let model = BodyModel::default_body().unwrap();
        assert_eq!(model.pose(&model.rest_state(), true).vertices.len(), model.num_vertices());
        let posed = model.pose(&model.rest_state(), true);
        assert!(posed.vertices.iter().zip(&model.v_template).all(|(a, b)| a.abs_diff_eq(*b, 1e-6)));
        let joints = model.joints90(&posed, Vec3::ZERO).unwrap();
        let lsp = model.lsp14(&joints).unwrap();
        // Right ankle at −x, left ankle at +x, head above neck.
        assert!(lsp[0].x < 0.0 && lsp[5].x > 0.0 && lsp[13].y > lsp[12].y && lsp[6].x < 0.0);
    }

    #[test]
    fn numbers_that_do_not_fit_are_refused() {
        let model = BodyModel::default_body().unwrap();
        let rotations = [Mat3::IDENTITY; 24];
        let input = PoseInput {
            betas: &[0.0; 10],
            rotations: &rotations,
            transl: Vec3::ZERO,
            correctives: true,
            offsets: &[],
        };
        assert!(model.pose_checked(&input).is_ok());
        assert_eq!(
            model.pose_checked(&PoseInput { betas: &[0.0; 11], ..input }).unwrap_err().word(),
            "shape"
        );
        let short = PoseInput { rotations: &rotations[..23], ..input };
        assert_eq!(model.pose_checked(&short).unwrap_err().word(), "shape");
        assert_eq!(
            model.pose_checked(&PoseInput { betas: &[f32::NAN], ..input }).unwrap_err().word(),
            "value"
        );
        let offsets = [Vec3::ZERO; 3];
        assert!(model.pose_checked(&PoseInput { offsets: &offsets, ..input }).is_err());
    }
}
