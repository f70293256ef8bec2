//! Training examples of the lifter, made on the fly: a body before a camera, keypoints as a detector would give
//! them, and what the network should say. Item `i` of seed `s` depends on (s, i) alone.

use glam::{Mat3, Quat, Vec2, Vec3};
use rand::Rng;
use rand_chacha::ChaCha8Rng;
use rand_distr::StandardNormal;

use super::pictures::PictureBank;
use crate::body::joint_sets::{COCO_MIRROR, SMPL_MIRROR};
use crate::body::{BodyError, BodyModel, state::JOINTS};
use crate::estimators::lifter::{LifterConfig, input, picture};
use crate::estimators::tangent::{BETAS, ROTATIONS, rotations_of};
use crate::geometry::camera::Camera;
use crate::geometry::rotations::{exp_so3, log_so3, mirror};
use crate::keypoints::{COCO_KEYPOINTS, Crop, Keypoint};
use crate::synthetic::detector_noise::{DetectorNoise, View};
use crate::synthetic::error_bank::ErrorBank;
use crate::synthetic::lifting::{LiftingSample, LiftingSampler};
use crate::synthetic::occlusion::Visibility;
use crate::synthetic::shape::sample_betas;
use crate::synthetic::{CameraConfig, PoseSource, WorldPose, stream};

/// What the network should say about one person, in the frame of a camera that looks straight at the crop.
#[derive(Clone, Debug)]
pub struct Target {
    pub rotations: [Mat3; ROTATIONS],
    pub betas: [f32; BETAS],
    /// As `Point::at` and `Point::log_scale`.
    pub at: Vec2,
    pub log_scale: f32,
    /// Joints minus their mean, metres.
    pub joints: [Vec3; JOINTS],
    /// Where the true keypoints are seen: sides of the crop from its middle.
    pub seen: [Vec2; COCO_KEYPOINTS],
}

impl Target {
    /// The same person seen in a mirror.
    fn mirrored(&self) -> Self {
        let flat = |v: Vec2| Vec2::new(-v.x, v.y);
        Self {
            rotations: std::array::from_fn(|joint| mirror(self.rotations[SMPL_MIRROR[joint]])),
            betas: self.betas,
            at: flat(self.at),
            log_scale: self.log_scale,
            joints: SMPL_MIRROR.map(|joint| self.joints[joint] * Vec3::new(-1.0, 1.0, 1.0)),
            seen: COCO_MIRROR.map(|keypoint| flat(self.seen[keypoint])),
        }
    }
}

/// Input and target of one person.
#[derive(Clone, Debug)]
pub struct Example {
    pub input: [f32; input::INPUTS],
    /// Empty where people are not rendered.
    pub edges: Vec<f32>,
    pub target: Target,
}

impl Example {
    fn mirrored(&self) -> Self {
        let mut input = self.input;
        input.copy_from_slice(&input::mirror(&self.input));
        Self { input, edges: picture::mirror_edges(&self.edges), target: self.target.mirrored() }
    }
}

/// Makes examples.
pub struct ExampleMaker<'a> {
    poses: &'a PoseSource,
    body: &'a BodyModel,
    sampler: LiftingSampler<'a>,
    noise: DetectorNoise,
    bank: Option<ErrorBank>,
    /// Share of examples with true keypoints.
    clean: f32,
    pictures: Option<&'a PictureBank>,
    pub network: LifterConfig,
}

/// Share of people who lean further than any camera's roll.
const TILTED: f32 = 0.06;
/// Share of rendered people whose picture is blank, so that an estimate without one stays sensible.
const BLANK: f32 = 0.1;
/// Share of disturbed people who err like observed ones, where there are any.
const LIKE_OBSERVED: f32 = 0.75;

impl<'a> ExampleMaker<'a> {
    /// # Errors
    /// Where the body has other joints than SMPL's 24.
    pub fn new(
        body: &'a BodyModel,
        poses: &'a PoseSource,
        clean: f32,
        network: &LifterConfig,
    ) -> Result<Self, BodyError> {
        let sampler = LiftingSampler::new(body, poses, CameraConfig::default())?;
        let noise = DetectorNoise::default();
        Ok(Self { poses, body, sampler, noise, bank: None, clean, pictures: None, network: network.clone() })
    }

    /// Half of the disturbed people err like observed ones.
    pub fn with_bank(self, bank: Option<ErrorBank>) -> Self {
        Self { bank, ..self }
    }

    /// Takes people from these pictures.
    pub fn with_pictures(self, pictures: Option<&'a PictureBank>) -> Self {
        Self { pictures: pictures.filter(|bank| !bank.people.is_empty()), ..self }
    }

    /// A random pose, varied as for training.
    pub fn pose(&self, rng: &mut ChaCha8Rng) -> WorldPose {
        let mut pose = self.poses.sample(rng);
        if rng.random::<f32>() < TILTED {
            let way = Vec2::from_angle(rng.random_range(0.0..std::f32::consts::TAU));
            let tilt = Vec3::new(way.x, 0.0, way.y) * (0.7 * rng.sample::<f32, _>(StandardNormal));
            pose.root_orient = log_so3(exp_so3(tilt) * pose.root());
        }
        pose
    }

    /// A random person before a random camera.
    fn view(&self, rng: &mut ChaCha8Rng) -> LiftingSample {
        let pose = self.pose(rng);
        self.sampler.with_pose(&pose, sample_betas(self.body, rng), rng)
    }

    /// Someone as captured, for measuring.
    pub fn plain_view(&self, rng: &mut ChaCha8Rng) -> LiftingSample {
        let pose = self.poses.sample_undisturbed(rng);
        self.sampler.with_pose(&pose, sample_betas(self.body, rng), rng)
    }

    /// Keypoints of a person as the detector would give them.
    pub fn detected(&self, sample: &LiftingSample, rng: &mut ChaCha8Rng) -> [Keypoint; COCO_KEYPOINTS] {
        match &self.bank {
            Some(bank) if rng.random::<f32>() < LIKE_OBSERVED => {
                let visible = sample.visibility.map(|v| v == Visibility::Visible);
                let inside = sample.visibility.map(|v| v != Visibility::OutOfFrame);
                let side = view_of(sample).crop_side;
                let mut keypoints = bank.disturb(&sample.coco17, &visible, &inside, side, rng);
                for keypoint in &mut keypoints {
                    let at = keypoint.position().clamp(Vec2::ZERO, Vec2::from(sample.camera.size));
                    (keypoint.x, keypoint.y) = (at.x, at.y);
                }
                keypoints
            }
            _ => detected(sample, &self.noise, rng),
        }
    }

    /// One example, or `None` for a view of which too little is seen.
    fn try_example(&self, rng: &mut ChaCha8Rng) -> Option<Example> {
        let chosen = self.pictures.map(|bank| (bank, rng.random_range(0..bank.people.len())));
        let view = chosen.map_or_else(|| self.view(rng), |(bank, index)| bank.people[index].clone());
        let mut keypoints =
            if rng.random::<f32>() < self.clean { true_keypoints(&view) } else { self.detected(&view, rng) };
        drop_some(&mut keypoints, rng);
        if keypoints.iter().filter(|k| k.score >= self.network.min_score).count() < 4 {
            return None;
        }
        let crop = input::crop_of(&keypoints, self.network.min_score)?;
        let mut input = [0.0; input::INPUTS];
        input::encode(&keypoints, &crop, self.network.min_score, &mut input);
        let mut example = Example { input, edges: Vec::new(), target: target(&view, &crop) };
        if let Some((bank, index)) = chosen {
            let blank = rng.random::<f32>() < BLANK;
            example.edges = if blank { vec![0.0; picture::EDGES] } else { bank.edges(index, &crop) };
            if rng.random() {
                example = example.mirrored();
            }
        }
        Some(example)
    }

    /// Example `item`.
    pub fn example(&self, seed: u64, item: u64) -> Example {
        let mut rng = stream(seed, item);
        loop {
            if let Some(example) = self.try_example(&mut rng) {
                return example;
            }
        }
    }
}

fn view_of(sample: &LiftingSample) -> View {
    View::of(&sample.coco17_3d, &sample.coco17, sample.bbox)
}

/// Keypoints of a person as the detector would give them.
pub fn detected(
    sample: &LiftingSample,
    noise: &DetectorNoise,
    rng: &mut ChaCha8Rng,
) -> [Keypoint; COCO_KEYPOINTS] {
    let view = view_of(sample);
    let visible = sample.visibility.map(|v| v == Visibility::Visible);
    let mut keypoints = noise.disturb(&sample.coco17, &visible, &view, rng);
    for (keypoint, visibility) in keypoints.iter_mut().zip(sample.visibility) {
        if visibility == Visibility::OutOfFrame {
            // The detector cannot look outside the picture, and mostly knows.
            keypoint.score *= 0.3;
            let at = keypoint.position().clamp(Vec2::ZERO, Vec2::from(sample.camera.size));
            (keypoint.x, keypoint.y) = (at.x, at.y);
        }
    }
    keypoints
}

/// True keypoints; those outside the picture are not given.
pub fn true_keypoints(sample: &LiftingSample) -> [Keypoint; COCO_KEYPOINTS] {
    std::array::from_fn(|k| Keypoint {
        x: sample.coco17[k].x,
        y: sample.coco17[k].y,
        score: if sample.visibility[k] == Visibility::OutOfFrame { 0.0 } else { 1.0 },
    })
}

/// People switch keypoints off, and legs are often behind a table: such inputs must be known.
fn drop_some(keypoints: &mut [Keypoint; COCO_KEYPOINTS], rng: &mut ChaCha8Rng) {
    let luck: f32 = rng.random();
    if luck < 0.06 {
        keypoints[13..].iter_mut().for_each(|k| k.score = 0.0);
        if luck < 0.02 {
            keypoints[11..13].iter_mut().for_each(|k| k.score = 0.0);
        }
    } else if luck < 0.16 {
        for keypoint in keypoints.iter_mut() {
            if rng.random::<f32>() < 0.2 {
                keypoint.score = 0.0;
            }
        }
    } else if luck < 0.22 {
        keypoints[..5].iter_mut().for_each(|k| k.score = 0.0);
    }
}

/// The rotation that turns the direction to the crop's middle onto the camera's axis.
pub fn straight_at(camera: &Camera, crop: &Crop) -> Mat3 {
    let ray = camera.unproject(crop.center, 1.0).normalize_or(Vec3::NEG_Z);
    Mat3::from_quat(Quat::from_rotation_arc(ray, Vec3::NEG_Z))
}

/// What the network should say about a view, given the crop it sees.
pub fn target(view: &LiftingSample, crop: &Crop) -> Target {
    let turn = straight_at(&view.camera, crop);
    let mut rotations = rotations_of(&view.state);
    rotations[0] = turn * rotations[0];
    let mean = view.joints.iter().sum::<Vec3>() / JOINTS as f32;
    let pelvis = view.joints[0];
    let in_crop = |pixel: Vec2| (pixel - crop.center) / crop.side;
    let at = view.camera.project(pelvis).map_or(Vec2::ZERO, in_crop);
    let scale = view.camera.pixels_a_metre(-pelvis.z) / crop.side;
    Target {
        rotations,
        betas: std::array::from_fn(|beta| view.state.betas.get(beta).copied().unwrap_or(0.0)),
        at,
        log_scale: scale.max(1e-3).ln(),
        joints: view.joints.map(|joint| turn * (joint - mean)),
        seen: view.coco17.map(in_crop),
    }
}
