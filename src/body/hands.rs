//! What bodies with fingers and faces have beyond SMPL: a space of hand poses, and points on the face.

use glam::Vec3;

use super::arrays::{BodyArrays, finite, indices, shaped};
use super::error::BodyError;
use super::model::{BodyModel, Family};
use crate::formats::FormatError;

/// Numbers of one hand: 15 joints.
const HAND: usize = 45;

/// Mean poses of the hands, and the directions in which they vary.
#[derive(Clone, Debug)]
pub struct Hands {
    /// Left, right.
    pub mean: [Vec<f32>; 2],
    /// Rows of 45 numbers; left, right.
    pub components: [Vec<f32>; 2],
}

/// A point on a triangle of the face.
#[derive(Clone, Copy, Debug)]
pub struct FaceLandmark {
    pub face: usize,
    pub barycentric: [f32; 3],
}

/// The rotation vectors of one body with fingers.
#[derive(Clone, Copy, Debug, Default)]
pub struct HandedPose<'a> {
    pub root: &'a [f32],
    pub body: &'a [f32],
    /// 45 numbers, or with `components` the first few of the hand space.
    pub left_hand: &'a [f32],
    pub right_hand: &'a [f32],
    pub jaw: &'a [f32],
    pub left_eye: &'a [f32],
    pub right_eye: &'a [f32],
    /// Whether the hands are given in the hand space.
    pub components: bool,
    /// Whether zero is a flat hand; otherwise it is the mean hand.
    pub flat: bool,
}

impl Hands {
    pub(super) fn from_arrays(source: &dyn BodyArrays) -> Result<Option<Self>, FormatError> {
        if !source.has("hands_meanl") {
            return Ok(None);
        }
        let mean = |name: &str| finite(&*shaped(source, name, &[Some(HAND)])?, name);
        let components = |name: &str| finite(&*shaped(source, name, &[None, Some(HAND)])?, name);
        Ok(Some(Self {
            mean: [mean("hands_meanl")?, mean("hands_meanr")?],
            components: [components("hands_componentsl")?, components("hands_componentsr")?],
        }))
    }
}

pub(super) fn read_landmarks(
    source: &dyn BodyArrays,
    faces: usize,
) -> Result<Vec<FaceLandmark>, FormatError> {
    if !source.has("lmk_faces_idx") {
        return Ok(Vec::new());
    }
    let index = shaped(source, "lmk_faces_idx", &[None])?;
    let corners = shaped(source, "lmk_bary_coords", &[Some(index.shape[0]), Some(3)])?;
    let index = indices(&index, faces, "lmk_faces_idx")?;
    let corners = finite(&corners, "lmk_bary_coords")?;
    Ok(index
        .into_iter()
        .zip(corners.chunks_exact(3))
        .map(|(face, b)| FaceLandmark { face, barycentric: [b[0], b[1], b[2]] })
        .collect())
}

impl BodyModel {
    /// All rotation vectors of a body with fingers, in its own order, the mean hands added.
    ///
    /// # Errors
    /// `Shape` where the numbers do not fit the family, or it has no hands.
    pub fn handed_pose(&self, pose: &HandedPose) -> Result<Vec<f32>, BodyError> {
        let Some(hands) = &self.hands else {
            return Err(BodyError::Shape(format!("a {} body file without hand poses", self.family.name())));
        };
        let hand = |side: usize, given: &[f32]| -> Result<Vec<f32>, BodyError> {
            let rows = hands.components[side].len() / HAND;
            let wrong = if pose.components { given.len() > rows } else { given.len() != HAND };
            if wrong {
                return Err(BodyError::Shape(format!("a hand of {} numbers", given.len())));
            }
            let mut out = if pose.flat { vec![0.0; HAND] } else { hands.mean[side].clone() };
            if pose.components {
                for (factor, row) in given.iter().zip(hands.components[side].chunks_exact(HAND)) {
                    for (out, value) in out.iter_mut().zip(row) {
                        *out += factor * value;
                    }
                }
            } else {
                for (out, value) in out.iter_mut().zip(given) {
                    *out += value;
                }
            }
            Ok(out)
        };
        let (left, right) = (hand(0, pose.left_hand)?, hand(1, pose.right_hand)?);
        let full = match self.family {
            Family::Smplx => {
                [pose.root, pose.body, pose.jaw, pose.left_eye, pose.right_eye, &left, &right].concat()
            }
            _ => [pose.root, pose.body, &left, &right].concat(),
        };
        if full.len() != 3 * self.num_joints() {
            return Err(BodyError::Shape(format!(
                "a pose of {} numbers, the body has {} joints",
                full.len(),
                self.num_joints()
            )));
        }
        Ok(full)
    }

    /// The points on the face that SMPL-X marks (51 in published files); none for other families.
    pub fn face_landmarks(&self, vertices: &[Vec3]) -> Vec<Vec3> {
        self.landmarks
            .iter()
            .map(|landmark| {
                let corners = self.faces[landmark.face].map(|at| vertices[at as usize]);
                corners.iter().zip(landmark.barycentric).map(|(corner, weight)| *corner * weight).sum()
            })
            .collect()
    }
}
