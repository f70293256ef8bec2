//! A posed body as a rigged mesh for other programs (glTF's skin): nodes, inverse binds, four weights a point.

use glam::{Mat3, Vec3};

use super::model::BodyModel;
use super::posing::Posed;
use crate::geometry::rotations::matrix_to_quaternion;

/// A skin that reproduces one pose exactly: its correctives are baked into the points.
#[derive(Clone, Debug)]
pub struct RiggedBody {
    /// Rest place of each joint; the inverse bind matrix is the translation by its negative.
    pub rest_joints: Vec<Vec3>,
    /// Place of each joint relative to its parent; the root's relative to the world.
    pub node_translation: Vec<Vec3>,
    /// x, y, z, w (glTF's order), w not negative.
    pub node_rotation: Vec<[f32; 4]>,
    /// The four strongest joints of each point, the strongest first; unused ones are joint 0 with weight 0.
    pub joints: Vec<[u16; 4]>,
    pub weights: Vec<[f32; 4]>,
    /// Shaped points with correctives, in the T-pose.
    pub points: Vec<Vec3>,
}

impl BodyModel {
    /// `rotations` has one a joint, the root first.
    pub fn rigged(&self, betas: &[f32], rotations: &[Mat3], transl: Vec3) -> RiggedBody {
        let rest_joints = self.rest_joints(betas);
        let mut points = self.shaped(betas);
        self.correctives.apply(rotations, &mut points);
        let node_translation = (0..self.num_joints())
            .map(|joint| match self.parent(joint) {
                Some(parent) => rest_joints[joint] - rest_joints[parent],
                None => rest_joints[joint] + transl,
            })
            .collect();
        let node_rotation = rotations
            .iter()
            .map(|rotation| {
                let [w, x, y, z] = matrix_to_quaternion(&rotation.as_dmat3());
                [x as f32, y as f32, z as f32, w as f32]
            })
            .collect();
        let (joints, weights) = (0..self.num_vertices()).map(|point| self.four_strongest(point)).unzip();
        RiggedBody { rest_joints, node_translation, node_rotation, joints, weights, points }
    }

    fn four_strongest(&self, point: usize) -> ([u16; 4], [f32; 4]) {
        let mut all: Vec<(usize, f32)> = self.weights.entries(point).collect();
        all.sort_by(|a, b| b.1.total_cmp(&a.1));
        all.truncate(4);
        let sum: f32 = all.iter().map(|(_, weight)| weight).sum();
        let (mut joints, mut weights) = ([0; 4], [0.0; 4]);
        for (at, (joint, weight)) in all.into_iter().enumerate() {
            (joints[at], weights[at]) = (joint as u16, weight / sum);
        }
        (joints, weights)
    }
}

impl RiggedBody {
    /// What a viewer makes of it; used to check an export.
    pub fn skinned(&self, parents: &[i32]) -> Posed {
        let mut world: Vec<(Mat3, Vec3)> = Vec::with_capacity(parents.len());
        for (joint, parent) in parents.iter().enumerate() {
            let rotation = Mat3::from_quat(glam::Quat::from_array(self.node_rotation[joint]));
            let own = match usize::try_from(*parent).ok().and_then(|parent| world.get(parent)) {
                Some((turn, place)) => (*turn * rotation, *place + *turn * self.node_translation[joint]),
                None => (rotation, self.node_translation[joint]),
            };
            world.push(own);
        }
        let vertices = self
            .points
            .iter()
            .enumerate()
            .map(|(at, point)| {
                (0..4)
                    .map(|slot| {
                        let joint = usize::from(self.joints[at][slot]);
                        let (turn, place) = world[joint];
                        (turn * (*point - self.rest_joints[joint]) + place) * self.weights[at][slot]
                    })
                    .sum()
            })
            .collect();
        Posed { joints: world.iter().map(|(_, place)| *place).collect(), vertices, joint_transforms: world }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::body::PoseInput;
    use crate::geometry::rotations::exp_so3;

    #[test]
    fn the_rig_reproduces_the_pose() {
        let model = BodyModel::default_body().unwrap();
        let rotations: Vec<Mat3> = (0..24)
            .map(|at| exp_so3(Vec3::new((at as f32).sin(), (2.0 * at as f32).cos(), 0.3) * 0.8))
            .collect();
        let betas = [0.5; 10];
        let transl = Vec3::new(0.1, 0.9, -2.0);
        let input =
            PoseInput { betas: &betas, rotations: &rotations, transl, correctives: true, offsets: &[] };
        let posed = model.pose_checked(&input).unwrap();
        let shown = model.rigged(&betas, &rotations, transl).skinned(&model.parents);
        let same = |a: &[Vec3], b: &[Vec3]| a.iter().zip(b).all(|(a, b)| a.abs_diff_eq(*b, 1e-5));
        assert!(same(&posed.joints, &shown.joints) && same(&posed.vertices, &shown.vertices));
    }
}
