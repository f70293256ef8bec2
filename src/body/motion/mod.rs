//! Motions of any kind of file as a body's states, and back: AMASS and other npz, BVH, Acclaim, 3DPW in; AMASS, GLB, BVH
//! and OBJ out.
//!
//! file ──[`read_clips`]──▶ `Motion`s (rotation vectors) ──[`BodyModel::states_of`]──▶ states ──[`write_motion`]──▶ file

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
use crate::formats::pw3d::{Pw3dPerson, Pw3dSequence};
use crate::formats::recognise::{self, Content};
use crate::formats::{FormatError, Limits, Npz, read_bytes};
use crate::geometry::rotations::{exp_so3, log_so3};
pub use export::{motion_of, write_motion};

/// Joints that all families of bodies share, the root left out.
const SHARED: usize = 21;

/// One person's motion, and what filmed it where the file says.
#[derive(Clone, Debug)]
pub struct Clip {
    pub motion: Motion,
    /// World to camera of each frame, row-major 4 x 4; the camera looks along +z, its y down. Empty where the file has
    /// no camera.
    pub cameras: Vec<[f64; 16]>,
    /// Frames of the file that are not in `motion`: it calls their camera wrong.
    pub left_out: usize,
}

impl Clip {
    /// A person of a sequence, without the frames whose camera is wrong.
    fn of_sequence(person: Pw3dPerson, cameras: &[[f64; 16]]) -> Self {
        fn kept<T: Clone>(rows: &[T], valid: &[bool]) -> Vec<T> {
            rows.iter().zip(valid).filter(|(_, valid)| **valid).map(|(row, _)| row.clone()).collect()
        }
        let Pw3dPerson { motion, valid, .. } = person;
        Self {
            cameras: kept(cameras, &valid),
            left_out: valid.iter().filter(|valid| !**valid).count(),
            motion: Motion {
                root: kept(&motion.root, &valid),
                body: kept(&motion.body, &valid),
                trans: kept(&motion.trans, &valid),
                ..motion
            },
        }
    }
}

/// Reads motions of whichever kind by its content: one a person, so several of some sequences of 3DPW.
///
/// # Errors
/// What is wrong with the file, or what it is instead.
pub fn read_clips(path: &Path) -> Result<Vec<Clip>, FormatError> {
    let bytes = read_bytes(path)?;
    if bytes.first().is_some_and(|byte| *byte == 0x80 || *byte == b'(') {
        let values = parse_pickle(&bytes, &Limits::default()).map_err(|error| error.at(path))?;
        let keys: Vec<&str> = values.entries(values.top()).iter().map(|(key, _)| *key).collect();
        refuse_others(&keys).map_err(|error| error.at(path))?;
        let sequence = Pw3dSequence::from_values(&values).map_err(|error| error.at(path))?;
        if sequence.people.is_empty() {
            return Err(FormatError::missing("a sequence of 3DPW without people").at(path));
        }
        let cameras = &sequence.cameras;
        return Ok(sequence.people.into_iter().map(|person| Clip::of_sequence(person, cameras)).collect());
    }
    let motion = read_motion(bytes, path)?;
    Ok(vec![Clip { motion, cameras: Vec::new(), left_out: 0 }])
}

/// A motion of one person.
fn read_motion(bytes: Vec<u8>, path: &Path) -> Result<Motion, FormatError> {
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

impl BodyModel {
    /// A clip's frames in its camera's space: y up, the camera at the origin looking along −z. `None` where the clip
    /// has no camera.
    pub fn states_before_camera(&self, clip: &Clip) -> Option<Vec<BodyState>> {
        if clip.cameras.len() != clip.motion.body.len() || clip.cameras.is_empty() {
            return None;
        }
        // Of the file's camera, whose y points down and z away from it.
        let flip = Mat3::from_diagonal(Vec3::new(1.0, -1.0, -1.0));
        let before = |(state, camera): (BodyState, &[f64; 16])| {
            let row = |at: usize| Vec3::new(camera[at] as f32, camera[at + 1] as f32, camera[at + 2] as f32);
            let turn = Mat3::from_cols(row(0), row(4), row(8)).transpose();
            let shift = Vec3::new(camera[3] as f32, camera[7] as f32, camera[11] as f32);
            let turned = self.rotate_world(&state, flip * turn);
            BodyState { transl: turned.transl + flip * shift, ..turned }
        };
        Some(self.states_of(&clip.motion).into_iter().zip(&clip.cameras).map(before).collect())
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
