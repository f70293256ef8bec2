//! Which keypoints a body hides from the camera by itself: rays against capsules round limbs and trunk.
//! A stand-in for the z-buffer that costs a microsecond; how far the two agree is tested in `truth`.

use glam::Vec3;

use crate::body::state::JOINTS;
use crate::keypoints::COCO_KEYPOINTS;

/// Whether a keypoint can be seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Visibility {
    Visible,
    /// Behind another part of the same body.
    SelfOccluded,
    /// Behind something else.
    Occluded,
    OutOfFrame,
}

/// A capsule, or a sphere where both ends are one.
#[derive(Clone, Copy, Debug)]
struct Capsule {
    ends: [Vec3; 2],
    radius: f32,
}

/// Number of capsules of [`capsules`].
const COUNT: usize = 15;

/// Capsules that may lie round a keypoint itself and so never hide it, by COCO keypoint.
const OWN: [&[usize]; COCO_KEYPOINTS] = [
    &[],
    &[],
    &[],
    &[],
    &[],
    &[TRUNK_LEFT, ARM_LEFT, NECK],
    &[TRUNK_RIGHT, ARM_RIGHT, NECK],
    &[ARM_LEFT, FOREARM_LEFT],
    &[ARM_RIGHT, FOREARM_RIGHT],
    &[FOREARM_LEFT],
    &[FOREARM_RIGHT],
    &[TRUNK_LEFT, TRUNK, THIGH_LEFT],
    &[TRUNK_RIGHT, TRUNK, THIGH_RIGHT],
    &[THIGH_LEFT, SHIN_LEFT],
    &[THIGH_RIGHT, SHIN_RIGHT],
    &[SHIN_LEFT, FOOT_LEFT],
    &[SHIN_RIGHT, FOOT_RIGHT],
];

const HEAD: usize = 0;
const NECK: usize = 1;
const TRUNK: usize = 2;
const TRUNK_LEFT: usize = 3;
const TRUNK_RIGHT: usize = 4;
const ARM_LEFT: usize = 5;
const ARM_RIGHT: usize = 6;
const FOREARM_LEFT: usize = 7;
const FOREARM_RIGHT: usize = 8;
const THIGH_LEFT: usize = 9;
const THIGH_RIGHT: usize = 10;
const SHIN_LEFT: usize = 11;
const SHIN_RIGHT: usize = 12;
const FOOT_LEFT: usize = 13;
const FOOT_RIGHT: usize = 14;

/// The body as capsules; radii scale with its size.
fn capsules(joints: &[Vec3; JOINTS], coco: &[Vec3; COCO_KEYPOINTS]) -> [Capsule; COUNT] {
    let size = (joints[1].distance(joints[4]) + joints[4].distance(joints[7])).clamp(0.4, 1.2) / 0.80;
    let capsule = |a: Vec3, b: Vec3, radius: f32| Capsule { ends: [a, b], radius: radius * size };
    let between = |a: usize, b: usize, t: f32| joints[a].lerp(joints[b], t);
    let ears = (coco[3] + coco[4]) / 2.0;
    let fingers = |elbow: usize, wrist: usize| joints[wrist] + (joints[wrist] - joints[elbow]) * 0.55;
    let mut all = [capsule(ears, ears, 0.0); COUNT];
    all[HEAD] = capsule(ears, ears + (ears - joints[15]) * 0.5, 0.07);
    all[NECK] = capsule(joints[12], joints[15], 0.05);
    all[TRUNK] = capsule(joints[0], joints[9], 0.11);
    all[TRUNK_LEFT] = capsule(between(1, 2, 0.1), between(16, 17, 0.22), 0.105);
    all[TRUNK_RIGHT] = capsule(between(2, 1, 0.1), between(17, 16, 0.22), 0.105);
    all[ARM_LEFT] = capsule(joints[16], joints[18], 0.048);
    all[ARM_RIGHT] = capsule(joints[17], joints[19], 0.048);
    all[FOREARM_LEFT] = capsule(joints[18], fingers(18, 20), 0.038);
    all[FOREARM_RIGHT] = capsule(joints[19], fingers(19, 21), 0.038);
    all[THIGH_LEFT] = capsule(joints[1], joints[4], 0.072);
    all[THIGH_RIGHT] = capsule(joints[2], joints[5], 0.072);
    all[SHIN_LEFT] = capsule(joints[4], joints[7], 0.05);
    all[SHIN_RIGHT] = capsule(joints[5], joints[8], 0.05);
    all[FOOT_LEFT] = capsule(joints[7], joints[10], 0.042);
    all[FOOT_RIGHT] = capsule(joints[8], joints[11], 0.042);
    all
}

/// Whether the body hides each of its keypoints from a camera at the origin.
pub fn self_occluded(joints: &[Vec3; JOINTS], coco: &[Vec3; COCO_KEYPOINTS]) -> [bool; COCO_KEYPOINTS] {
    let capsules = capsules(joints, coco);
    std::array::from_fn(|k| {
        let point = coco[k];
        let Some(towards) = (-point).try_normalize() else {
            return false;
        };
        // Joints lie a few centimetres under the skin: what begins nearer than that belongs to them.
        let start = point + towards * 0.03;
        let end = point + towards * 2.5f32.min(point.length());
        capsules.iter().enumerate().any(|(i, capsule)| {
            !OWN[k].contains(&i) && segment_distance(start, end, capsule.ends) < 0.9 * capsule.radius
        })
    })
}

/// Least distance of two segments.
fn segment_distance(a0: Vec3, a1: Vec3, [b0, b1]: [Vec3; 2]) -> f32 {
    let (u, v, w) = (a1 - a0, b1 - b0, a0 - b0);
    let (uu, uv, vv, uw, vw) = (u.dot(u), u.dot(v), v.dot(v), u.dot(w), v.dot(w));
    let denominator = uu * vv - uv * uv;
    let mut s = if denominator > 1e-9 { ((uv * vw - vv * uw) / denominator).clamp(0.0, 1.0) } else { 0.0 };
    let mut t = if vv > 1e-12 { (uv * s + vw) / vv } else { 0.0 };
    if !(0.0..=1.0).contains(&t) || vv <= 1e-12 {
        t = t.clamp(0.0, 1.0);
        s = if uu > 1e-12 { ((uv * t - uw) / uu).clamp(0.0, 1.0) } else { 0.0 };
    }
    (w + u * s - v * t).length()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::body::{BodyModel, BodyState};
    use glam::Mat3;

    #[test]
    fn distances_of_segments() {
        let d = segment_distance(Vec3::ZERO, Vec3::X, [Vec3::new(0.5, 1.0, -1.0), Vec3::new(0.5, 1.0, 1.0)]);
        assert!((d - 1.0).abs() < 1e-6);
        let d = segment_distance(Vec3::ZERO, Vec3::X, [Vec3::new(3.0, 0.0, 0.0), Vec3::new(4.0, 1.0, 0.0)]);
        assert!((d - 2.0).abs() < 1e-6);
        let d = segment_distance(Vec3::ZERO, Vec3::X, [Vec3::new(-1.0, 1.0, 0.0); 2]);
        assert!((d - 2f32.sqrt()).abs() < 1e-6);
    }

    fn seen(heading_deg: f32) -> [bool; COCO_KEYPOINTS] {
        let model = BodyModel::default_body().unwrap();
        let mut state = BodyState::rest(model.num_betas());
        state.global_orient = Mat3::from_rotation_y(heading_deg.to_radians());
        state.transl = Vec3::new(0.0, 0.0, -4.0);
        // Arms down.
        state.body_pose[15] = Mat3::from_rotation_z(-1.2);
        state.body_pose[16] = Mat3::from_rotation_z(1.2);
        let posed = model.pose(&state, true);
        let joints = std::array::from_fn(|j| posed.joints[j]);
        self_occluded(&joints, &model.coco17(&posed.vertices)).map(|hidden| !hidden)
    }

    #[test]
    fn front_side_and_back() {
        assert_eq!(seen(0.0), [true; COCO_KEYPOINTS]);
        let back = seen(180.0);
        assert!(!back[0] && !back[1] && !back[2]);
        assert!(back[5..].iter().all(|&v| v), "{back:?}");
        // Turned to the person's left: the left side faces away from the camera, which is at the right.
        let side = seen(90.0);
        assert!(!side[3] && !side[5] && !side[11] && side[4] && side[6] && side[8], "{side:?}");
    }
}
