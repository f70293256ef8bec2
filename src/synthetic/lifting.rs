//! Keypoints and 3D truth without pictures: what training a lifter consumes, thousands a second.

use glam::{Vec2, Vec3};
use rand::Rng;
use rand_chacha::ChaCha8Rng;

use super::occlusion::{Visibility, self_occluded};
use super::shape::sample_betas;
use super::{CameraConfig, PoseSource, WorldPose, stream};
use crate::body::keypoint_chain::KeypointChain;
use crate::body::state::JOINTS;
use crate::body::{BodyError, BodyModel, BodyState};
use crate::geometry::camera::Camera;
use crate::keypoints::COCO_KEYPOINTS;

/// Share of samples with a box before the person.
const OCCLUDER_SHARE: f32 = 0.3;

/// COCO keypoints and posed joints in the order [`super::Viewpoint::place`] wants: head and shoulders first.
const FRAMED_COCO: [usize; COCO_KEYPOINTS] = [0, 5, 6, 1, 2, 3, 4, 7, 8, 11, 12, 9, 10, 13, 14, 15, 16];

/// One person before one camera.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub struct LiftingSample {
    /// In the camera's space.
    pub state: BodyState,
    pub camera: Camera,
    /// Pixels.
    pub coco17: [Vec2; COCO_KEYPOINTS],
    /// Metres, camera's space.
    pub coco17_3d: [Vec3; COCO_KEYPOINTS],
    pub visibility: [Visibility; COCO_KEYPOINTS],
    /// Metres, camera's space.
    pub joints: [Vec3; JOINTS],
    /// x0, y0, x1, y1 in pixels: about what a detector would draw round what the frame shows.
    pub bbox: [f32; 4],
}

/// Draws [`LiftingSample`]s.
#[derive(Clone, Debug)]
pub struct LiftingSampler<'a> {
    model: &'a BodyModel,
    chain: KeypointChain,
    poses: &'a PoseSource,
    camera: CameraConfig,
    /// Whether poses are disturbed as training wants it.
    disturbed: bool,
}

impl<'a> LiftingSampler<'a> {
    /// # Errors
    /// For a body whose tree is not SMPL's.
    pub fn new(model: &'a BodyModel, poses: &'a PoseSource, camera: CameraConfig) -> Result<Self, BodyError> {
        Ok(Self { model, chain: KeypointChain::new(model)?, poses, camera, disturbed: true })
    }

    /// The same with poses as captured: for measuring.
    pub fn undisturbed(mut self) -> Self {
        self.disturbed = false;
        self
    }

    /// Sample `item` of the endless list that `seed` names.
    pub fn at(&self, seed: u64, item: u64) -> LiftingSample {
        self.sample(&mut stream(seed, item))
    }

    /// The next sample of a random stream.
    pub fn sample(&self, rng: &mut ChaCha8Rng) -> LiftingSample {
        let pose = if self.disturbed { self.poses.sample(rng) } else { self.poses.sample_undisturbed(rng) };
        let betas = sample_betas(self.model, rng);
        self.with_pose(&pose, betas, rng)
    }

    /// A given person before a random camera.
    pub fn with_pose(&self, pose: &WorldPose, betas: Vec<f32>, rng: &mut ChaCha8Rng) -> LiftingSample {
        let view = self.camera.sample(rng);
        let mut state = BodyState {
            betas,
            global_orient: view.rotation * pose.root(),
            body_pose: pose.rotations(),
            transl: Vec3::ZERO,
        };
        let mut points = self.chain.points();
        self.chain.forward_state(&state, &mut points);
        let (transl, camera) = view.place(&framed(&points.coco, &points.joints), self.camera.size);
        state.transl = transl;
        let joints = points.joints.map(|p| p + transl);
        let coco17_3d = points.coco.map(|p| p + transl);
        let project = |p: Vec3| camera.project(p).unwrap_or(Vec2::splat(-1e4));
        let coco17 = coco17_3d.map(project);
        let hidden = self_occluded(&joints, &coco17_3d);
        let bbox =
            bounding_box(coco17.iter().copied().chain(joints.iter().map(|&p| project(p))), camera.size);
        let boxed = occluder(bbox, rng);
        let visibility = std::array::from_fn(|k| {
            let place = coco17[k];
            if !inside(place, camera.size) {
                Visibility::OutOfFrame
            } else if boxed.is_some_and(|[low, high]| place.cmpge(low).all() && place.cmple(high).all()) {
                Visibility::Occluded
            } else if hidden[k] {
                Visibility::SelfOccluded
            } else {
                Visibility::Visible
            }
        });
        LiftingSample { state, camera, coco17, coco17_3d, visibility, joints, bbox }
    }
}

/// Points that framing takes into account, upper body first.
pub(super) fn framed(coco: &[Vec3; COCO_KEYPOINTS], joints: &[Vec3; JOINTS]) -> Vec<Vec3> {
    FRAMED_COCO
        .iter()
        .map(|&k| coco[k])
        .chain(joints[10..12].iter().chain(&joints[22..24]).copied())
        .collect()
}

pub(super) fn inside(place: Vec2, size: [f32; 2]) -> bool {
    place.x >= 0.0 && place.y >= 0.0 && place.x < size[0] && place.y < size[1]
}

/// The points' box, widened by 5 % and cut to the picture.
fn bounding_box(points: impl Iterator<Item = Vec2>, size: [f32; 2]) -> [f32; 4] {
    let (low, high) =
        points.fold((Vec2::INFINITY, Vec2::NEG_INFINITY), |(low, high), p| (low.min(p), high.max(p)));
    let pad = (high - low).max_element() * 0.05;
    let size = Vec2::from(size);
    let low = (low - pad).clamp(Vec2::ZERO, size);
    let high = (high + pad).clamp(Vec2::ZERO, size);
    [low.x, low.y, high.x, high.y]
}

/// Perhaps a box that covers a part of the person, often the legs (tables, cars, other people).
fn occluder(bbox: [f32; 4], rng: &mut ChaCha8Rng) -> Option<[Vec2; 2]> {
    if rng.random::<f32>() >= OCCLUDER_SHARE {
        return None;
    }
    let [x0, y0, x1, y1] = bbox;
    let size = Vec2::new(x1 - x0, y1 - y0);
    let low = Vec2::new(x0, y0);
    if rng.random::<f32>() < 0.35 {
        let from = rng.random_range(0.45..0.9);
        return Some([low + Vec2::new(-1.0, from) * size, low + Vec2::new(2.0, 2.0) * size]);
    }
    let center = low + Vec2::new(rng.random::<f32>(), rng.random::<f32>()) * size;
    let half = Vec2::new(rng.random_range(0.05..0.3), rng.random_range(0.05..0.3)) * size.max_element();
    Some([center - half, center + half])
}

#[cfg(test)]
mod tests {
    use rayon::prelude::*;

    use super::*;
    use crate::synthetic::PoseFile;

    fn rest_poses() -> PoseSource {
        use crate::formats::array::Array;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("poses.npz");
        let body = Array::f32(&[1, 23, 3], vec![0.0; 69]);
        crate::formats::npz::write_npz(&path, &[("pose_body", &body)]).unwrap();
        PoseSource::File(PoseFile::read(&path).unwrap())
    }

    #[test]
    fn truth_projects_onto_its_keypoints_whatever_the_threads() {
        let model = BodyModel::default_body().unwrap();
        let poses = rest_poses();
        let sampler = LiftingSampler::new(&model, &poses, CameraConfig::default()).unwrap();
        let together: Vec<LiftingSample> = (0..64u64).into_par_iter().map(|i| sampler.at(9, i)).collect();
        let mut seen = 0;
        for (i, sample) in together.iter().enumerate() {
            let alone = sampler.at(9, i as u64);
            assert_eq!(sample.state, alone.state);
            assert_eq!(sample.visibility, alone.visibility);
            for k in 0..COCO_KEYPOINTS {
                let place = sample.camera.project(sample.coco17_3d[k]).unwrap();
                assert!((place - sample.coco17[k]).length() < 1e-3);
                seen += usize::from(sample.visibility[k] == Visibility::Visible);
            }
            let joints = model.posed_joints(&sample.state);
            assert!(joints.iter().zip(&sample.joints).all(|(a, b)| (*a - *b).length() < 1e-4));
        }
        let share = seen as f32 / (64.0 * 17.0);
        assert!((0.55..0.95).contains(&share), "{share}");
    }
}
