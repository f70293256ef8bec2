//! What a body does (`BodyState`) and what it does over time or over steps (`Trajectory`).

use glam::{Mat3, Vec3};

/// Joints of SMPL's tree, the root included.
pub const JOINTS: usize = 24;
/// Joints with a rotation of their own in `body_pose`: SMPL's 1..=23.
pub const BODY_JOINTS: usize = 23;

/// Shape and pose of one body in the camera's space (y up, metres).
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct BodyState {
    /// Shape coefficients, as many as the body model has directions in use (10 by default).
    pub betas: Vec<f32>,
    /// Rotation of the root.
    pub global_orient: Mat3,
    /// Rotation of joint `i + 1` relative to its parent.
    pub body_pose: [Mat3; BODY_JOINTS],
    /// Added to points and joints alike, after posing.
    pub transl: Vec3,
}

impl BodyState {
    /// The T-pose of the mean body, at the origin.
    pub fn rest(betas: usize) -> Self {
        Self {
            betas: vec![0.0; betas],
            global_orient: Mat3::IDENTITY,
            body_pose: [Mat3::IDENTITY; BODY_JOINTS],
            transl: Vec3::ZERO,
        }
    }
}

/// Frames of one body with a value a frame: a refinement, a projection, a clip. One timeline shows them all.
#[derive(Clone, Debug)]
pub struct Trajectory {
    pub frames: Vec<BodyState>,
    /// One value a frame (a loss, a distance), as many as frames.
    pub values: Vec<f32>,
    /// What the value is, with its unit.
    pub value_name: String,
    /// Frames a second where time is meant; `None` where frames are steps of an optimisation.
    pub frame_rate: Option<f32>,
    /// What made it.
    pub source: String,
}
