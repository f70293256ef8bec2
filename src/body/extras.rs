//! What the built-in body has beyond SMPL's arrays: clothes, parts, texture corners, landmarks, statistics.

use std::collections::BTreeMap;

use glam::{Vec2, Vec3};

use super::arrays::{BodyArrays, finite, indices, shaped, triangles};
use super::shape_statistics::ShapeStatistics;
use crate::formats::FormatError;

/// Names of the soft masks, as in the file after `mask_`.
pub const MASKS: [&str; 15] = [
    "upper_sleeveless",
    "upper_short",
    "upper_long",
    "trousers",
    "shorts",
    "skirt",
    "shoes",
    "gloves",
    "hair",
    "eye",
    "iris",
    "pupil",
    "brow",
    "lips",
    "skin",
];

/// Names of the landmarks, as in the file after `landmark_`.
const LANDMARKS: [&str; 7] = ["chest", "c7", "acromion", "crotch", "chin", "fingertip", "navel"];

#[derive(Clone, Debug)]
pub struct MannequinExtras {
    /// Texture corners in the unit square, origin at the lower left.
    pub vt: Vec<Vec2>,
    /// Texture corners of each triangle.
    pub ft: Vec<[u32; 3]>,
    /// The point that each point becomes in the mirror (x → −x).
    pub mirror: Vec<u32>,
    /// The same for joints.
    pub joint_mirror: Vec<u8>,
    /// DensePose's 24 parts, 1 to 24, of each point and each triangle.
    pub part24_vertex: Vec<u8>,
    pub part24_face: Vec<u8>,
    /// 0 to 1 a point, by name (see [`MASKS`]).
    pub masks: BTreeMap<String, Vec<f32>>,
    /// A point: along the sleeve (0 shoulder, 0.5 elbow, 1 wrist, −1 off the arms), along the leg (0 hip, 0.5
    /// knee, 1 ankle), along the trunk (0 hips, 1 neck).
    pub cloth_coords: Vec<[f32; 3]>,
    /// Stand-off of loose clothes in metres, a point.
    pub cloth_looseness: Vec<f32>,
    /// Directions in the T-pose, a point.
    pub cloth_normal: Vec<Vec3>,
    pub skirt_direction: Vec<Vec3>,
    /// 0 skin, 1 to 3 rings of the eyeball from the lid inwards, 4 its pole.
    pub eye_ring: Vec<u8>,
    /// Point numbers by name: chest, c7, acromion, crotch, chin, fingertip, navel.
    pub landmarks: BTreeMap<String, usize>,
    pub statistics: ShapeStatistics,
}

impl MannequinExtras {
    pub(super) fn from_arrays(
        source: &dyn BodyArrays,
        points: usize,
        faces: usize,
        betas: usize,
    ) -> Result<Self, FormatError> {
        let of_points = [Some(points)];
        let bytes = |name: &str, count: usize, limit: usize| -> Result<Vec<u8>, FormatError> {
            let array = shaped(source, name, &[Some(count)])?;
            Ok(indices(&array, limit, name)?.into_iter().map(|value| value as u8).collect())
        };
        let directions = |name: &str| -> Result<Vec<Vec3>, FormatError> {
            let array = shaped(source, name, &[Some(points), Some(3)])?;
            Ok(finite(&array, name)?.chunks_exact(3).map(|v| Vec3::from_slice(v) / 127.0).collect())
        };

        let corners = shaped(source, "vt", &[None, Some(2)])?;
        let vt: Vec<Vec2> = finite(&corners, "vt")?.chunks_exact(2).map(Vec2::from_slice).collect();
        let ft = triangles(&*shaped(source, "ft", &[Some(faces), Some(3)])?, vt.len(), "ft")?;
        let mirror = indices(&*shaped(source, "mirror", &of_points)?, points, "mirror")?;

        let mut masks = BTreeMap::new();
        for name in MASKS {
            let key = format!("mask_{name}");
            let values = finite(&*shaped(source, &key, &of_points)?, &key)?;
            masks.insert(name.to_owned(), values.into_iter().map(|value| value / 255.0).collect());
        }
        let mut landmarks = BTreeMap::new();
        for name in LANDMARKS {
            let key = format!("landmark_{name}");
            let values = indices(&*source.array(&key)?, points, &key)?;
            let Some(point) = values.first() else {
                return Err(FormatError::shape(format!("array `{key}` is empty")));
            };
            landmarks.insert(name.to_owned(), *point);
        }
        let coords = finite(&*shaped(source, "cloth_coords", &[Some(points), Some(3)])?, "cloth_coords")?;
        Ok(Self {
            vt,
            ft,
            mirror: mirror.into_iter().map(|point| point as u32).collect(),
            joint_mirror: bytes("joint_mirror", 24, 24)?,
            part24_vertex: bytes("part24_vertex", points, 25)?,
            part24_face: bytes("part24_face", faces, 25)?,
            masks,
            cloth_coords: coords.chunks_exact(3).map(|c| [c[0], c[1], c[2]]).collect(),
            cloth_looseness: finite(&*shaped(source, "cloth_looseness", &of_points)?, "cloth_looseness")?,
            cloth_normal: directions("cloth_normal")?,
            skirt_direction: directions("skirt_direction")?,
            eye_ring: bytes("eye_ring", points, 256)?,
            landmarks,
            statistics: ShapeStatistics::from_arrays(source, betas)?,
        })
    }

    /// A soft mask by name; empty for a name that is not in [`MASKS`].
    pub fn mask(&self, name: &str) -> &[f32] {
        self.masks.get(name).map_or(&[], Vec::as_slice)
    }
}
