//! What is known of a rendered person: body, camera, keypoints, joints, and which keypoints the picture shows.

use glam::{Vec2, Vec3};

use super::lifting::inside;
use super::occlusion::Visibility;
use crate::body::BodyState;
use crate::body::state::JOINTS;
use crate::geometry::camera::Camera;
use crate::keypoints::{COCO_KEYPOINTS, Keypoint, KeypointSource, Person};
use crate::raster::Raster;

/// The answer that belongs to a synthetic picture.
#[derive(Clone, Debug)]
pub struct SyntheticTruth {
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
    /// x0, y0, x1, y1 in pixels: the visible body's box.
    pub bbox: [f32; 4],
}

impl SyntheticTruth {
    /// The person as a perfect detector would report it: hidden keypoints have the score 0.
    pub fn person(&self) -> Person {
        Person {
            bbox: self.bbox,
            keypoints: std::array::from_fn(|k| Keypoint {
                x: self.coco17[k].x,
                y: self.coco17[k].y,
                score: if self.visibility[k] == Visibility::Visible { 1.0 } else { 0.0 },
            }),
            score: 1.0,
            source: KeypointSource::Truth,
            mask: None,
        }
    }
}

/// SMPL joints whose skin may lie over each keypoint, and how far under it the keypoint may lie (metres).
const SKIN: [(&[u8], f32); COCO_KEYPOINTS] = [
    (&[15, 12], 0.05),
    (&[15, 12], 0.05),
    (&[15, 12], 0.05),
    (&[15, 12], 0.06),
    (&[15, 12], 0.06),
    (&[16, 13, 9, 12, 6], 0.16),
    (&[17, 14, 9, 12, 6], 0.16),
    (&[16, 18], 0.10),
    (&[17, 19], 0.10),
    (&[18, 20, 22], 0.08),
    (&[19, 21, 23], 0.08),
    (&[0, 1, 3], 0.22),
    (&[0, 2, 3], 0.22),
    (&[1, 4], 0.12),
    (&[2, 5], 0.12),
    (&[4, 7, 10], 0.10),
    (&[5, 8, 11], 0.10),
];

/// Which keypoints a rendered body shows: those whose own skin is the first thing at their pixel. Faces from
/// `joint_face.len()` on belong to other things.
pub fn visible_in(
    raster: &Raster,
    camera: &Camera,
    joint_face: &[u8],
    coco17_3d: &[Vec3; COCO_KEYPOINTS],
) -> [Visibility; COCO_KEYPOINTS] {
    std::array::from_fn(|k| {
        let Some(place) = camera.project(coco17_3d[k]).filter(|p| inside(*p, camera.size)) else {
            return Visibility::OutOfFrame;
        };
        let scale = Vec2::new(
            raster.width() as f32 / camera.size[0].max(1.0),
            raster.height() as f32 / camera.size[1].max(1.0),
        );
        let at = place * scale;
        let x = (at.x as usize).min(raster.width().saturating_sub(1));
        let y = (at.y as usize).min(raster.height().saturating_sub(1));
        let pixel = y * raster.width() + x;
        let Some(face) = raster.face(pixel) else {
            // A keypoint a hair's breadth outside the outline.
            return Visibility::Visible;
        };
        let under = -coco17_3d[k].z - raster.depth(pixel);
        match joint_face.get(face) {
            None if under > 0.0 => Visibility::Occluded,
            None => Visibility::Visible,
            Some(joint) if SKIN[k].0.contains(joint) && under < SKIN[k].1 => Visibility::Visible,
            Some(_) if under < 0.02 => Visibility::Visible,
            Some(_) => Visibility::SelfOccluded,
        }
    })
}

/// The box of the faces numbered below `faces`, in the camera's pixels; `None` if none is seen.
pub fn seen_box(raster: &Raster, faces: usize, size: [f32; 2]) -> Option<[f32; 4]> {
    let (mut low, mut high) = (Vec2::INFINITY, Vec2::NEG_INFINITY);
    for (pixel, &face) in raster.faces().iter().enumerate() {
        if (face as usize) < faces {
            let place = Vec2::new((pixel % raster.width()) as f32, (pixel / raster.width()) as f32);
            low = low.min(place);
            high = high.max(place + 1.0);
        }
    }
    let scale = Vec2::from(size) / Vec2::new(raster.width() as f32, raster.height() as f32);
    let (low, high) = (low * scale, high * scale);
    (low.x < high.x).then_some([low.x, low.y, high.x, high.y])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::body::BodyModel;
    use crate::synthetic::occlusion::self_occluded;
    use crate::synthetic::poses::normal3;
    use crate::synthetic::{CameraConfig, WorldPose, stream};

    /// The capsules' answers should mostly be the z-buffer's.
    #[test]
    fn capsules_agree_with_the_z_buffer() {
        let model = BodyModel::default_body().unwrap();
        let config = CameraConfig { truncated: 0.0, ..CameraConfig::default() };
        let mut raster = Raster::new(256, 256);
        let (mut agree, mut count, mut hidden) = (0, 0, 0);
        for item in 0..80 {
            let mut rng = stream(31, item);
            let mut pose = WorldPose::rest();
            for joint in &mut pose.body_pose {
                *joint = normal3(&mut rng) * 0.2;
            }
            pose.body_pose[15].z -= 0.9;
            pose.body_pose[16].z += 0.9;
            let view = config.sample(&mut rng);
            let mut state = BodyState {
                betas: vec![0.0; model.num_betas()],
                global_orient: view.rotation * pose.root(),
                body_pose: pose.rotations(),
                transl: Vec3::ZERO,
            };
            let (transl, camera) = view.place(&model.posed_joints(&state), config.size);
            state.transl = transl;
            let posed = model.pose(&state, true);
            let coco = model.coco17(&posed.vertices);
            raster.render(&posed.vertices, &model.faces, &camera);
            let seen = visible_in(&raster, &camera, &model.joint_face, &coco);
            let joints = std::array::from_fn(|j| posed.joints[j]);
            for (seen, blocked) in seen.iter().zip(self_occluded(&joints, &coco)) {
                if *seen != Visibility::OutOfFrame {
                    agree += usize::from((*seen == Visibility::SelfOccluded) == blocked);
                    hidden += usize::from(blocked);
                    count += 1;
                }
            }
        }
        let share = agree as f32 / count as f32;
        assert!(share > 0.9, "{share} of {count}, {hidden} hidden");
        assert!(hidden * 8 > count, "{hidden} of {count}");
    }
}
