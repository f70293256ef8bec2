//! The fast path against the formulas, symmetry, refusals.

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
                .map(|(joint, w)| (world[joint].0 * (*point - rest[joint]) + world[joint].1) * f64::from(w))
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
    assert_eq!(model.pose_checked(&PoseInput { betas: &[0.0; 11], ..input }).unwrap_err().word(), "shape");
    let short = PoseInput { rotations: &rotations[..23], ..input };
    assert_eq!(model.pose_checked(&short).unwrap_err().word(), "shape");
    assert_eq!(model.pose_checked(&PoseInput { betas: &[f32::NAN], ..input }).unwrap_err().word(), "value");
    let offsets = [Vec3::ZERO; 3];
    assert!(model.pose_checked(&PoseInput { offsets: &offsets, ..input }).is_err());
}
