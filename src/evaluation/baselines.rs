//! What is reached without learning: one mean pose, and the known view whose keypoints look most alike.

use glam::{Mat3, Vec2, Vec3};
use rayon::prelude::*;

use super::metrics::straight_at;
use crate::body::{BodyModel, BodyState, state::JOINTS};
use crate::estimators::lifter::input::crop_of;
use crate::geometry::rotations::renormalize;
use crate::keypoints::{COCO_KEYPOINTS, Crop, Keypoint};
use crate::synthetic::lifting::{LiftingSample, LiftingSampler};
use crate::synthetic::{CameraConfig, PoseSource, SyntheticError};
use crate::training::lifter::data::true_keypoints;

/// Keypoints below this score do not take part in the comparison.
const VISIBLE: f32 = 0.2;

/// Known views: keypoints in their crops, joints in the frame of a camera that looks straight at them.
pub struct Baselines {
    mean_pose: BodyState,
    views: Vec<([Vec2; COCO_KEYPOINTS], [Vec3; JOINTS])>,
}

fn in_crop(keypoints: &[Keypoint; COCO_KEYPOINTS], crop: &Crop) -> [Vec2; COCO_KEYPOINTS] {
    keypoints.map(|k| (k.position() - crop.center) / crop.side)
}

impl Baselines {
    /// # Errors
    /// For a body whose tree is not SMPL's.
    pub fn new(
        body: &BodyModel,
        poses: &PoseSource,
        views: usize,
        seed: u64,
    ) -> Result<Self, SyntheticError> {
        let sampler =
            LiftingSampler::new(body, poses, CameraConfig { truncated: 0.0, ..CameraConfig::default() })
                .map_err(|error| SyntheticError::Poses(error.to_string()))?;
        let samples: Vec<LiftingSample> =
            (0..views as u64).into_par_iter().map(|item| sampler.at(seed ^ 0xba5e, item)).collect();
        let mut sums = [Mat3::ZERO; JOINTS - 1];
        for sample in &samples {
            for (sum, rotation) in sums.iter_mut().zip(&sample.state.body_pose) {
                *sum += *rotation;
            }
        }
        let mut mean_pose = body.rest_state();
        if !samples.is_empty() {
            mean_pose.body_pose = sums.map(|sum| renormalize(sum * (1.0 / samples.len() as f32)));
        }
        let views = samples
            .iter()
            .filter_map(|sample| {
                let keypoints = true_keypoints(sample);
                let crop = crop_of(&keypoints, VISIBLE)?;
                let turn = straight_at(&sample.camera, crop.center);
                Some((in_crop(&keypoints, &crop), sample.joints.map(|joint| turn * joint)))
            })
            .collect();
        Ok(Self { mean_pose, views })
    }

    /// Joints of the mean pose with the true root's rotation.
    pub fn mean_pose(&self, body: &BodyModel, root: Mat3) -> [Vec3; JOINTS] {
        body.posed_joints(&BodyState { global_orient: root, ..self.mean_pose.clone() })
    }

    /// Joints of the view whose keypoints lie nearest, in the mean over those that are visible.
    pub fn nearest(&self, keypoints: &[Keypoint; COCO_KEYPOINTS]) -> Option<&[Vec3; JOINTS]> {
        let crop = crop_of(keypoints, VISIBLE)?;
        let wanted = in_crop(keypoints, &crop);
        let used: Vec<usize> = (0..COCO_KEYPOINTS).filter(|k| keypoints[*k].score >= VISIBLE).collect();
        let distance = |seen: &[Vec2; COCO_KEYPOINTS]| -> f32 {
            used.iter().map(|&k| seen[k].distance_squared(wanted[k])).sum()
        };
        self.views.iter().min_by(|a, b| distance(&a.0).total_cmp(&distance(&b.0))).map(|(_, joints)| joints)
    }
}
