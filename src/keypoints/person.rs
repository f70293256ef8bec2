//! A person in a photo: a box, 17 keypoints, perhaps a mask.

use glam::Vec2;
use serde::{Deserialize, Serialize};

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
