//! Pose correctives: how points move with the rotations of single joints, before skinning.
//!
//! Kept a joint at a time, only for the points that the joint moves, so joints at rest cost nothing.

use glam::{Mat3, Vec3};

/// Points of one block; a block's nine planes are summed in registers and then scattered.
const BLOCK: usize = 64;
const PLANE: usize = 3 * BLOCK;

/// The correctives of all joints but the root.
#[derive(Clone, Debug, Default)]
pub struct Correctives {
    joints: Vec<JointCorrectives>,
}

#[derive(Clone, Debug, Default)]
struct JointCorrectives {
    points: Vec<u32>,
    /// A block a 64 points: nine planes (an entry of R − I each, row-major) of 64 (x, y, z).
    planes: Vec<f32>,
}

impl Correctives {
    /// From (joint from 1, point, three rows of nine numbers); joints must be below `joints`.
    pub fn new(joints: usize, entries: impl Iterator<Item = (usize, u32, [[f32; 9]; 3])>) -> Self {
        let mut out = Self { joints: vec![JointCorrectives::default(); joints.saturating_sub(1)] };
        for (joint, point, values) in entries {
            if joint == 0 || joint >= joints || values.iter().flatten().all(|value| *value == 0.0) {
                continue;
            }
            out.joints[joint - 1].push(point, &values);
        }
        out
    }

    /// Adds what the rotations (one a joint, the root's included) do to `points`.
    pub fn apply(&self, rotations: &[Mat3], points: &mut [Vec3]) {
        for (joint, rotation) in self.joints.iter().zip(rotations.iter().skip(1)) {
            let feature = pose_feature(rotation);
            if feature.iter().any(|value| value.abs() > 1e-9) {
                joint.apply(&feature, points);
            }
        }
    }

    /// Pairs of joint (from 1) and point with three rows of nine numbers, as given to [`Correctives::new`].
    pub fn entries(&self) -> impl Iterator<Item = (usize, usize, [[f32; 9]; 3])> + '_ {
        self.joints.iter().enumerate().flat_map(|(joint, own)| {
            own.points.iter().enumerate().map(move |(at, point)| {
                let start = (at / BLOCK) * 9 * PLANE + 3 * (at % BLOCK);
                let values = std::array::from_fn(|axis| {
                    std::array::from_fn(|plane| own.planes[start + plane * PLANE + axis])
                });
                (joint + 1, *point as usize, values)
            })
        })
    }
}

impl JointCorrectives {
    fn push(&mut self, point: u32, values: &[[f32; 9]; 3]) {
        let at = self.points.len();
        if at.is_multiple_of(BLOCK) {
            self.planes.resize(self.planes.len() + 9 * PLANE, 0.0);
        }
        let start = (at / BLOCK) * 9 * PLANE + 3 * (at % BLOCK);
        for (axis, row) in values.iter().enumerate() {
            for (plane, value) in row.iter().enumerate() {
                self.planes[start + plane * PLANE + axis] = *value;
            }
        }
        self.points.push(point);
    }

    fn apply(&self, feature: &[f32; 9], points: &mut [Vec3]) {
        for (block, planes) in self.points.chunks(BLOCK).zip(self.planes.chunks_exact(9 * PLANE)) {
            let mut sum = [0.0f32; PLANE];
            for (plane, factor) in planes.chunks_exact(PLANE).zip(feature) {
                for (sum, value) in sum.iter_mut().zip(plane) {
                    *sum += factor * value;
                }
            }
            for (point, offset) in block.iter().zip(sum.chunks_exact(3)) {
                points[*point as usize] += Vec3::from_slice(offset);
            }
        }
    }
}

/// The nine numbers of R − I, row by row.
#[inline]
pub fn pose_feature(rotation: &Mat3) -> [f32; 9] {
    let mut out = rotation.transpose().to_cols_array();
    for at in [0, 4, 8] {
        out[at] -= 1.0;
    }
    out
}
