//! Motions of any kind of file as a body's states, and back: AMASS and other npz, BVH, Acclaim, 3DPW in; AMASS, GLB, BVH
//! and OBJ out.
//!
//! file ──[`read_motion`]──▶ `Motion` (rotation vectors) ──[`BodyModel::states_of`]──▶ states ──[`write_motion`]──▶ file

mod bvh_skeletons;
mod capture;
mod export;

use std::path::Path;

use glam::{DMat3, Mat3, Vec3};

use super::model::BodyModel;
use super::state::{BODY_JOINTS, BodyState};
use crate::formats::acclaim::{Amc, Asf};
use crate::formats::bvh::Bvh;
use crate::formats::motion::{Family, Motion};
use crate::formats::npy::describe;
use crate::formats::pickle::parse_pickle;
use crate::formats::pw3d::Pw3dSequence;
use crate::formats::recognise::{self, Content};
use crate::formats::{FormatError, Limits, Npz, read_bytes};
use crate::geometry::rotations::{exp_so3, log_so3};
pub use export::{motion_of, write_motion};

/// Joints that all families of bodies share, the root left out.
const SHARED: usize = 21;

/// Reads a motion of whichever kind by its content; of a sequence with several people the first.
///
/// # Errors
/// What is wrong with the file, or what it is instead.
pub fn read_motion(path: &Path) -> Result<Motion, FormatError> {
    let bytes = read_bytes(path)?;
    let ending = path.extension().map(|ending| ending.to_string_lossy().to_lowercase()).unwrap_or_default();
    let start = bytes.iter().position(|byte| !byte.is_ascii_whitespace()).unwrap_or(0);
    if bytes.starts_with(b"PK") {
        let npz = Npz::from_bytes(bytes, path)?;
        refuse_others(&npz.names().collect::<Vec<_>>()).map_err(|error| error.at(path))?;
        return Motion::from_npz(&npz);
    }
    if bytes[start..].starts_with(b"HIERARCHY") {
        return Bvh::parse(&bytes)
            .and_then(|bvh| bvh_skeletons::motion(&bvh))
            .map_err(|error| error.at(path));
    }
    if ending == "amc" {
        let asf = Asf::read(&Asf::beside(path)?)?;
        return Amc::parse(&bytes)
            .and_then(|amc| capture::of_acclaim(&asf, &amc)?.motion())
            .map_err(|error| error.at(path));
    }
    if ending == "asf" {
        return Err(FormatError::missing("a skeleton without motion; open the .amc file beside it").at(path));
    }
    if bytes.first().is_some_and(|byte| *byte == 0x80 || *byte == b'(') {
        let values = parse_pickle(&bytes, &Limits::default()).map_err(|error| error.at(path))?;
        let keys: Vec<&str> = values.entries(values.top()).iter().map(|(key, _)| *key).collect();
        refuse_others(&keys).map_err(|error| error.at(path))?;
        let sequence = Pw3dSequence::from_values(&values).map_err(|error| error.at(path))?;
        return sequence
            .people
            .into_iter()
            .next()
            .map(|person| person.motion)
            .ok_or_else(|| FormatError::missing("a sequence of 3DPW without people").at(path));
    }
    Err(FormatError::malformed(format!(
        "no motion that is read ({}): npz of AMASS, BVH, AMC beside its ASF, and sequences of 3DPW are",
        describe(&bytes)
    ))
    .at(path))
}

fn refuse_others(keys: &[&str]) -> Result<(), FormatError> {
    match recognise::by_keys(keys) {
        None | Some(Content::Motion | Content::Sequence3dpw | Content::Labels) => Ok(()),
        Some(other) => Err(FormatError::missing(format!("no poses: this is {}", other.description()))),
    }
}

impl BodyModel {
    /// A motion's frames on this body, y up. Betas beyond the body's own are left out, fingers too.
    pub fn states_of(&self, motion: &Motion) -> Vec<BodyState> {
        let betas: Vec<f32> =
            (0..self.num_betas()).map(|at| motion.betas.get(at).map_or(0.0, |beta| *beta as f32)).collect();
        let upright = Mat3::from_rotation_x(-std::f32::consts::FRAC_PI_2);
        let vector = |v: [f64; 3]| Vec3::from(v.map(|value| value as f32));
        motion
            .body
            .iter()
            .zip(&motion.root)
            .zip(&motion.trans)
            .map(|((body, root), trans)| {
                let mut state = BodyState::rest(betas.len());
                state.betas.copy_from_slice(&betas);
                state.global_orient = exp_so3(vector(*root));
                for (joint, v) in state.body_pose.iter_mut().zip(body.as_chunks::<3>().0) {
                    *joint = exp_so3(vector(*v));
                }
                state.transl = vector(*trans);
                if motion.z_up { self.rotate_world(&state, upright) } else { state }
            })
            .collect()
    }
}

/// Rotation vectors of a state as a motion's rows.
fn rows_of(state: &BodyState) -> ([f64; 3], [f64; 63]) {
    let row = |r: Mat3| log_so3(r).to_array().map(f64::from);
    let mut body = [0.0; 63];
    for (to, joint) in body.chunks_exact_mut(3).zip(&state.body_pose[..SHARED.min(BODY_JOINTS)]) {
        to.copy_from_slice(&row(*joint));
    }
    (row(state.global_orient), body)
}

/// A motion of SMPL's tree from world rotations of its 24 joints and places of the pelvis.
fn from_world(world: &[[DMat3; 24]], trans: Vec<[f64; 3]>, frame_rate: f64) -> Motion {
    use super::joint_sets::SMPL_PARENTS;
    use crate::geometry::rotations::log_so3_64;
    let local = |frame: &[DMat3; 24], joint: usize| {
        let parent = usize::try_from(SMPL_PARENTS[joint]).unwrap_or(0);
        log_so3_64(&(frame[parent].transpose() * frame[joint])).to_array()
    };
    let body = |frame: &[DMat3; 24]| {
        let mut row = [0.0; 63];
        for (at, to) in row.chunks_exact_mut(3).enumerate() {
            to.copy_from_slice(&local(frame, at + 1));
        }
        row
    };
    Motion {
        family: Family::Smpl,
        root: world.iter().map(|frame| log_so3_64(&frame[0]).to_array()).collect(),
        body: world.iter().map(body).collect(),
        hands: None,
        trans,
        betas: vec![0.0; 10],
        frame_rate,
        gender: "neutral".to_owned(),
        z_up: false,
    }
}

#[cfg(test)]
mod tests;
