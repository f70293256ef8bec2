//! A person in a photo: a box, 17 keypoints, perhaps a mask.

use glam::Vec2;
use serde::{Deserialize, Serialize};

use super::regions::{VISIBLE, joint_box};

/// Number of COCO keypoints; their names and mirror order are in `body::joint_sets`.
pub const COCO_KEYPOINTS: usize = 17;

/// One keypoint in pixels of the photo ((0, 0) is the top-left pixel's corner).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Keypoint {
    pub x: f32,
    pub y: f32,
    /// 0..1; a keypoint switched off by hand has 0, one placed by hand has 1.
    pub score: f32,
}

impl Keypoint {
    pub fn position(self) -> Vec2 {
        Vec2::new(self.x, self.y)
    }
}

/// Where a person's keypoints come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeypointSource {
    MoveNet,
    Hrnet,
    File,
    Hand,
    /// Projected from a known body (synthetic data).
    Truth,
}

/// A person found in a photo.
#[derive(Clone, Debug)]
pub struct Person {
    /// x0, y0, x1, y1 in pixels of the photo.
    pub bbox: [f32; 4],
    /// COCO's order.
    pub keypoints: [Keypoint; COCO_KEYPOINTS],
    /// How sure the detector is that this is a person, 0..1.
    pub score: f32,
    pub source: KeypointSource,
    pub mask: Option<PersonMask>,
}

/// Probability of "this person" on the pixels of the whole photo, row-major, 0..255.
#[derive(Clone, Debug)]
pub struct PersonMask {
    pub width: usize,
    pub height: usize,
    pub values: Vec<u8>,
}

/// A square cut out of a photo and turned by `angle` (radians, x towards y).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Crop {
    pub center: Vec2,
    /// Side in pixels of the photo.
    pub side: f32,
    pub angle: f32,
}

impl Crop {
    /// Position in the crop (0..1 on both axes) to pixels of the photo.
    pub fn to_photo(&self, unit: Vec2) -> Vec2 {
        let offset = (unit - 0.5) * self.side;
        self.center + Vec2::from_angle(self.angle).rotate(offset)
    }

    /// Pixels of the photo to a position in the crop (0..1 on both axes).
    pub fn from_photo(&self, pixel: Vec2) -> Vec2 {
        Vec2::from_angle(-self.angle).rotate(pixel - self.center) / self.side + 0.5
    }
}

/// How far the joints of a person can be trusted.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Reliability {
    /// Joints that count as visible, of 17.
    pub visible: usize,
    /// Mean score of all 17.
    pub mean_score: f32,
}

impl Reliability {
    /// Whether an estimate from these joints deserves a warning. Of 100 labelled photos of one person this picks the
    /// eight with the lowest scores, whose median error is three times that of all; portraits pass.
    pub fn is_low(self) -> bool {
        self.visible < 8 || self.mean_score < 0.4
    }
}

impl Person {
    /// Whether joint `k` counts as seen (score above 0.3).
    pub fn visible(&self, k: usize) -> bool {
        self.keypoints.get(k).is_some_and(|joint| joint.score > VISIBLE)
    }

    pub fn mean_score(&self) -> f32 {
        self.keypoints.iter().map(|joint| joint.score).sum::<f32>() / COCO_KEYPOINTS as f32
    }

    pub fn reliability(&self) -> Reliability {
        let visible = (0..COCO_KEYPOINTS).filter(|k| self.visible(*k)).count();
        Reliability { visible, mean_score: self.mean_score() }
    }

    /// The smallest box around the joints of at least this score.
    pub fn joint_box(&self, score: f32) -> Option<[f32; 4]> {
        joint_box(&self.keypoints, score)
    }
}
