//! Motions out: AMASS' npz, GLB with skin and animation, BVH, OBJ of one frame.

use std::fmt::Write;
use std::path::Path;

use glam::{Mat3, Quat, Vec3};

use super::rows_of;
use crate::body::joint_sets::SMPL_NAMES;
use crate::body::model::{BodyModel, Family};
use crate::body::state::BodyState;
use crate::formats::FormatError;
use crate::formats::atomic::write_atomic;
use crate::formats::bvh::{Bvh, BvhJoint, Channel};
use crate::formats::glb_skin::{SkinMotion, SkinnedMesh, write_skinned_glb};
use crate::formats::motion::{self, Motion};

/// Frames a second where a motion does not say.
const USUAL_RATE: f64 = 30.0;
const FINGERS: [&str; 5] = ["index", "middle", "pinky", "ring", "thumb"];
/// Linear.
const SKIN: [f32; 3] = [0.6, 0.45, 0.36];

/// A body's states as a motion, y up.
pub fn motion_of(states: &[BodyState], frame_rate: f64) -> Motion {
    let rows: Vec<_> = states.iter().map(rows_of).collect();
    Motion {
        family: motion::Family::Smpl,
        root: rows.iter().map(|(root, _)| *root).collect(),
        body: rows.iter().map(|(_, body)| *body).collect(),
        hands: None,
        trans: states.iter().map(|state| state.transl.to_array().map(f64::from)).collect(),
        betas: states
            .first()
            .map(|state| state.betas.iter().map(|b| f64::from(*b)).collect())
            .unwrap_or_default(),
        frame_rate,
        gender: "neutral".to_owned(),
        z_up: false,
    }
}

/// Writes states by the target's ending: `npz` (AMASS, z up), `glb` (one state posed exactly, several animated
/// without pose correctives), `bvh` (centimetres), `obj` (the first state).
///
/// # Errors
/// `Value` for another ending, `Missing` where there are no states, `Io`.
pub fn write_motion(
    path: &Path,
    model: &BodyModel,
    states: &[BodyState],
    frame_rate: f64,
) -> Result<(), FormatError> {
    let Some(first) = states.first() else { return Err(FormatError::missing("no frames to write").at(path)) };
    let rate = if frame_rate > 0.0 { frame_rate } else { USUAL_RATE };
    match path.extension().map(|ending| ending.to_string_lossy().to_lowercase()).as_deref() {
        Some("npz") => {
            let lying = Mat3::from_rotation_x(std::f32::consts::FRAC_PI_2);
            let turned: Vec<BodyState> =
                states.iter().map(|state| model.rotate_world(state, lying)).collect();
            Motion { z_up: true, ..motion_of(&turned, rate) }.write(path)
        }
        Some("glb") => write_glb(path, model, states, rate),
        Some("bvh") => bvh_of(model, states, rate).write(path),
        Some("obj") => write_obj(path, &model.pose(first, true).vertices, &model.faces),
        _ => Err(FormatError::value("an ending that is not written: .npz (AMASS), .glb, .bvh and .obj are")
            .at(path)),
    }
}

/// A mesh as Wavefront's text.
fn write_obj(path: &Path, vertices: &[Vec3], faces: &[[u32; 3]]) -> Result<(), FormatError> {
    let mut text = String::with_capacity(vertices.len() * 32 + faces.len() * 20);
    // Writing into a text cannot fail.
    for Vec3 { x, y, z } in vertices {
        let _ = writeln!(text, "v {x:.6} {y:.6} {z:.6}");
    }
    for [a, b, c] in faces {
        let _ = writeln!(text, "f {} {} {}", a + 1, b + 1, c + 1);
    }
    write_atomic(path, text.as_bytes())
}

fn write_glb(path: &Path, model: &BodyModel, states: &[BodyState], rate: f64) -> Result<(), FormatError> {
    let betas = &states[0].betas;
    // A skin cannot carry pose correctives: they are baked into a single pose, and left out of a motion.
    let baked = if states.len() == 1 {
        model.rotations_of_state(&states[0])
    } else {
        vec![Mat3::IDENTITY; model.num_joints()]
    };
    let rigged = model.rigged(betas, &baked, Vec3::ZERO);
    let names = joint_names(model.family);
    let mesh = SkinnedMesh {
        name: "body",
        points: &rigged.points,
        normals: &model.normals(&rigged.points),
        faces: &model.faces,
        joints: &rigged.joints,
        weights: &rigged.weights,
        joint_names: &names,
        parents: &model.parents,
        rest_joints: &rigged.rest_joints,
        color: SKIN,
    };
    let quaternions = |state: &BodyState| {
        model.rotations_of_state(state).iter().map(|r| Quat::from_mat3(r).normalize()).collect()
    };
    let motion = SkinMotion {
        frame_time: (1.0 / rate) as f32,
        rotations: states.iter().map(quaternions).collect(),
        places: states.iter().map(|state| state.transl).collect(),
    };
    write_skinned_glb(path, &mesh, &motion)
}

/// The skeleton and its motion, joints depth first as the format wants them.
fn bvh_of(model: &BodyModel, states: &[BodyState], rate: f64) -> Bvh {
    let rest = model.rest_joints(&states[0].betas);
    let names = joint_names(model.family);
    let mut order: Vec<usize> = Vec::new();
    let mut left = vec![0];
    while let Some(joint) = left.pop() {
        order.push(joint);
        left.extend((0..model.num_joints()).rev().filter(|&child| model.parent(child) == Some(joint)));
    }
    let place = |joint: usize| order.iter().position(|&other| other == joint);
    let turns = [2, 0, 1].map(Channel::Rotation);
    let joints = order
        .iter()
        .map(|&joint| {
            let parent = model.parent(joint);
            let offset = rest[joint] - parent.map_or(Vec3::ZERO, |parent| rest[parent]);
            let leaf = (0..model.num_joints()).all(|child| model.parent(child) != Some(joint));
            let mut channels = turns.to_vec();
            if parent.is_none() {
                channels.splice(0..0, [0, 1, 2].map(Channel::Position));
            }
            BvhJoint {
                name: names[joint].clone(),
                parent: parent.and_then(place),
                offset: (offset * 100.0).to_array().map(f64::from),
                channels,
                end: leaf.then(|| (offset * 50.0).to_array().map(f64::from)),
            }
        })
        .collect();
    let frames = states
        .iter()
        .map(|state| {
            let rotations = model.rotations_of_state(state);
            let mut row: Vec<f64> = ((rest[0] + state.transl) * 100.0).to_array().map(f64::from).to_vec();
            for &joint in &order {
                row.extend(zxy(&rotations[joint]));
            }
            row
        })
        .collect();
    Bvh { joints, frame_time: 1.0 / rate, frames }
}

/// Angles in degrees of a rotation as turns about z, then x, then y, the first outermost.
fn zxy(r: &Mat3) -> [f64; 3] {
    let r = r.as_dmat3();
    let x = r.y_axis.z.clamp(-1.0, 1.0).asin();
    let (y, z) = if r.y_axis.z.abs() < 1.0 - 1e-9 {
        ((-r.x_axis.z).atan2(r.z_axis.z), (-r.y_axis.x).atan2(r.y_axis.y))
    } else {
        // The axes fall together: all of the turn is put into z.
        (0.0, r.x_axis.y.atan2(r.x_axis.x))
    };
    [z, x, y].map(f64::to_degrees)
}

/// SMPL's names; for bodies with fingers and faces theirs.
fn joint_names(family: Family) -> Vec<String> {
    let mut names: Vec<String> = SMPL_NAMES.iter().map(|name| (*name).to_owned()).collect();
    if family == Family::Smpl {
        return names;
    }
    names.truncate(22);
    if family == Family::Smplx {
        names.extend(["jaw", "left_eye", "right_eye"].map(str::to_owned));
    }
    for side in ["left", "right"] {
        for finger in FINGERS {
            names.extend((1..=3).map(|at| format!("{side}_{finger}{at}")));
        }
    }
    names
}
