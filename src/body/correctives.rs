//! Pose correctives: how points move with the rotations of single joints, before skinning.
//!
//! Kept a joint at a time, only for the points that the joint moves, so joints at rest cost nothing. Where joints move
//! most points, as in SMPL's own files, many people at once are one matrix product.

use std::sync::OnceLock;

use glam::{Mat3, Vec3};

use crate::tensors::product;

/// Points of one block; a block's nine planes are summed in registers and then scattered.
const BLOCK: usize = 64;
const PLANE: usize = 3 * BLOCK;

/// The correctives of all joints but the root.
#[derive(Clone, Debug, Default)]
pub struct Correctives {
    joints: Vec<JointCorrectives>,
    /// The same as a matrix `[9 joints, 3 points]`, made when first needed.
    matrix: OnceLock<Vec<f32>>,
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
        let mut out = Self {
            joints: vec![JointCorrectives::default(); joints.saturating_sub(1)],
            matrix: OnceLock::new(),
        };
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

    /// Whether joints move half of a body's points or more: then a matrix is no larger than the lists are.
    pub fn is_dense(&self, points: usize) -> bool {
        let moved: usize = self.joints.iter().map(|joint| joint.points.len()).sum();
        moved > 0 && 2 * moved >= self.joints.len() * points
    }

    /// What the rotations of several people do to a body of so many points: x, y, z of each point, one person after
    /// the other.
    pub fn of_people(&self, rotations: &[Vec<Mat3>], points: usize) -> Vec<f32> {
        let depth = 9 * self.joints.len();
        let mut features = vec![0.0; rotations.len() * depth];
        for (row, rotations) in features.chunks_exact_mut(depth.max(1)).zip(rotations) {
            for (feature, rotation) in row.as_chunks_mut::<9>().0.iter_mut().zip(rotations.iter().skip(1)) {
                *feature = pose_feature(rotation);
            }
        }
        let matrix = self.matrix.get_or_init(|| self.as_matrix(points));
        product::multiply(&features, matrix, [rotations.len(), 3 * points, depth])
    }

    fn as_matrix(&self, points: usize) -> Vec<f32> {
        let width = 3 * points;
        let mut matrix = vec![0.0; 9 * self.joints.len() * width];
        for (joint, point, rows) in self.entries() {
            for (axis, row) in rows.iter().enumerate() {
                for (plane, value) in row.iter().enumerate() {
                    matrix[(9 * (joint - 1) + plane) * width + 3 * point + axis] = *value;
                }
            }
        }
        matrix
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::rotations::exp_so3;

    #[test]
    fn many_people_get_what_each_gets_alone() {
        let (joints, points) = (5, 150);
        let value = |i: usize| ((i * 37 % 101) as f32 - 50.0) * 1e-3;
        let all = (1..joints).flat_map(|joint| (0..points).map(move |point| (joint, point)));
        let entries = all.map(|(joint, point)| {
            let rows = std::array::from_fn(|axis| {
                std::array::from_fn(|plane| value(joint * 5000 + point * 27 + axis * 9 + plane))
            });
            (joint, point as u32, rows)
        });
        let correctives = Correctives::new(joints, entries);
        assert!(
            correctives.is_dense(points) && !Correctives::new(joints, std::iter::empty()).is_dense(points)
        );
        let people: Vec<Vec<Mat3>> = (0..6)
            .map(|who| (0..joints).map(|j| exp_so3(Vec3::new(who as f32, j as f32, 1.0) * 0.3)).collect())
            .collect();
        let together = correctives.of_people(&people, points);
        for (rotations, own) in people.iter().zip(together.chunks_exact(3 * points)) {
            let mut alone = vec![Vec3::ZERO; points];
            correctives.apply(rotations, &mut alone);
            for (a, b) in alone.iter().zip(own.as_chunks::<3>().0) {
                assert!(a.distance(Vec3::from(*b)) < 1e-5);
            }
        }
    }
}
