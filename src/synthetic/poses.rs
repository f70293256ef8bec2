//! Where random poses come from: a file of captured poses, or the shipped generative prior.

use std::path::Path;

use glam::{Mat3, Quat, Vec3};
use rand::Rng;
use rand_chacha::ChaCha8Rng;
use rand_distr::StandardNormal;

use super::{PoseFile, PosePrior, SyntheticError};
use crate::body::joint_sets::SMPL_MIRROR;
use crate::body::state::BODY_JOINTS;

/// A pose in a world with y up, in which the rest pose faces +z.
#[derive(Clone, Debug, PartialEq)]
pub struct WorldPose {
    /// Axis-angle of the pelvis, radians.
    pub root_orient: Vec3,
    /// Axis-angles of joints 1..=23 relative to their parents, radians.
    pub body_pose: [Vec3; BODY_JOINTS],
}

impl WorldPose {
    pub fn rest() -> Self {
        Self { root_orient: Vec3::ZERO, body_pose: [Vec3::ZERO; BODY_JOINTS] }
    }

    /// The root's rotation matrix.
    pub fn root(&self) -> Mat3 {
        rotation(self.root_orient)
    }

    /// The body joints' rotation matrices.
    pub fn rotations(&self) -> [Mat3; BODY_JOINTS] {
        self.body_pose.map(rotation)
    }

    /// The pose seen in a mirror.
    pub fn mirrored(&self) -> Self {
        let flip = |v: Vec3| Vec3::new(v.x, -v.y, -v.z);
        Self {
            root_orient: flip(self.root_orient),
            body_pose: std::array::from_fn(|i| flip(self.body_pose[SMPL_MIRROR[i + 1] - 1])),
        }
    }

    /// The world's up as the pelvis sees it: (0, 1, 0) for an upright trunk.
    pub fn up(&self) -> Vec3 {
        self.root().transpose() * Vec3::Y
    }

    /// Adds independent noise of `sd` radians an axis to the given joints (1..=23).
    pub(super) fn disturb(&mut self, rng: &mut ChaCha8Rng, joints: &[usize], sd: f32) {
        for &joint in joints {
            self.body_pose[joint - 1] += normal3(rng) * sd;
        }
    }

    /// Straightens knees and elbows that noise has bent backwards.
    pub(super) fn respect_hinges(&mut self) {
        for knee in [4, 5] {
            let v = &mut self.body_pose[knee - 1];
            v.x = v.x.max(-0.05);
        }
        let (left, right) = (18, 19);
        self.body_pose[left - 1].y = self.body_pose[left - 1].y.min(0.05);
        self.body_pose[right - 1].y = self.body_pose[right - 1].y.max(-0.05);
    }
}

fn rotation(axis_angle: Vec3) -> Mat3 {
    Mat3::from_quat(Quat::from_scaled_axis(axis_angle))
}

/// Three independent standard normal numbers.
pub(super) fn normal3(rng: &mut ChaCha8Rng) -> Vec3 {
    Vec3::new(rng.sample(StandardNormal), rng.sample(StandardNormal), rng.sample(StandardNormal))
}

/// A distribution over poses.
#[derive(Clone, Debug)]
pub enum PoseSource {
    File(PoseFile),
    Prior(PosePrior),
}

impl PoseSource {
    /// Poses of a user's npz; see [`PoseFile::read`].
    ///
    /// # Errors
    /// Where the file cannot be read or holds no usable poses.
    pub fn from_npz(path: &Path) -> Result<Self, SyntheticError> {
        Ok(Self::File(PoseFile::read(path)?))
    }

    /// The generative prior in `model_files/humanifold/pose_prior.npz`.
    ///
    /// # Errors
    /// Where that file is missing or damaged.
    pub fn prior() -> Result<Self, SyntheticError> {
        Ok(Self::Prior(PosePrior::load()?))
    }

    /// The file's poses where a path is given, else the prior.
    ///
    /// # Errors
    /// As [`PoseSource::from_npz`] and [`PoseSource::prior`].
    pub fn open(path: Option<&Path>) -> Result<Self, SyntheticError> {
        path.map_or_else(Self::prior, Self::from_npz)
    }

    /// A random pose, disturbed as training wants it.
    pub fn sample(&self, rng: &mut ChaCha8Rng) -> WorldPose {
        match self {
            Self::File(file) => file.sample(rng),
            Self::Prior(prior) => prior.sample(rng),
        }
    }

    /// A random pose as captured (files), for measuring: no noise, no mirror image. The prior samples as ever.
    pub fn sample_undisturbed(&self, rng: &mut ChaCha8Rng) -> WorldPose {
        match self {
            Self::File(file) => file.pose(file.draw(rng)),
            Self::Prior(prior) => prior.sample(rng),
        }
    }

    /// What it is, for reports.
    pub fn describe(&self) -> String {
        match self {
            Self::File(file) => format!("{} poses of {}", file.len(), file.path().display()),
            Self::Prior(_) => "the built-in pose prior".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::synthetic::stream;

    #[test]
    fn mirroring_twice_changes_nothing() {
        let mut pose = WorldPose::rest();
        let mut rng = stream(3, 0);
        pose.disturb(&mut rng, &(1..=23).collect::<Vec<_>>(), 0.4);
        pose.root_orient = Vec3::new(0.3, 0.7, -0.2);
        assert_eq!(pose.mirrored().mirrored(), pose);
        let mirror = Mat3::from_diagonal(Vec3::new(-1.0, 1.0, 1.0));
        let expected = mirror * pose.root() * mirror;
        assert!((pose.mirrored().root() - expected).abs_diff_eq(Mat3::ZERO, 1e-6));
    }

    #[test]
    fn up_of_a_hand_stand_points_to_the_feet() {
        let mut pose = WorldPose::rest();
        pose.root_orient = Vec3::new(std::f32::consts::PI, 0.0, 0.0);
        assert!((pose.up() - Vec3::NEG_Y).length() < 1e-5);
    }
}
