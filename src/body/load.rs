//! Reading bodies: the built-in Mannequin (sparse arrays) and files in SMPL's layout (dense arrays).
//!
//! A file is refused with what is wrong in it: a key that is missing, then sizes that do not fit, then values.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use glam::Vec3;

use super::arrays::{
    BodyArrays, finite, optional_rows, parents, read_correctives, read_rows, read_weights, shape_directions,
    shaped, triangles,
};
use super::error::BodyError;
use super::extras::MannequinExtras;
use super::hands::{Hands, read_landmarks};
use super::joint_sets::{COCO_FROM_SMPL24, H36M_FROM_SMPL24, PICKED_SMPL, PICKED_SMPLX};
use super::model::{BodyModel, Family};
use super::sparse::SparseRows;
use crate::formats::{FormatError, model_files};

/// How many shape directions of a file are used.
#[derive(Clone, Copy, Debug)]
pub struct LoadOptions {
    pub betas: usize,
    /// Directions of SMPL-X's expressions, appended to those of the shape.
    pub expression: usize,
}

impl Default for LoadOptions {
    fn default() -> Self {
        Self { betas: 10, expression: 0 }
    }
}

/// The built-in body's file, relative to the folder of model files.
pub const DEFAULT_BODY: &str = "body/mannequin.npz";

static DEFAULT: Mutex<Option<(PathBuf, Arc<BodyModel>)>> = Mutex::new(None);

impl BodyModel {
    /// The built-in body, read once.
    ///
    /// # Errors
    /// Where the file is not found or damaged.
    pub fn default_body() -> Result<Arc<Self>, BodyError> {
        let path = model_files::find(DEFAULT_BODY)?;
        let mut kept = DEFAULT.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if let Some((from, model)) = &*kept
            && *from == path
        {
            return Ok(model.clone());
        }
        let model = Arc::new(Self::load(&path)?);
        *kept = Some((path, model.clone()));
        Ok(model)
    }

    /// # Errors
    /// What is wrong with the arrays.
    pub fn from_arrays(source: &dyn BodyArrays, options: LoadOptions) -> Result<Self, BodyError> {
        for keys in [
            &["v_template"][..],
            &["shapedirs"],
            &["posedirs", "posedirs_index"],
            &["J_regressor", "J_regressor_row"],
            &["weights", "weights_index"],
            &["kintree_table"],
            &["f"],
        ] {
            if !keys.iter().any(|key| source.has(key)) {
                return Err(FormatError::missing(format!(
                    "no array `{}`: this is no body model in SMPL's layout",
                    keys[0]
                ))
                .into());
            }
        }
        for (key, known) in [("bs_style", "lbs"), ("bs_type", "lrotmin")] {
            if let Some(other) = source.text(key).filter(|text| text != known) {
                return Err(FormatError::value(format!(
                    "`{key}` is `{other}`: only `{known}` is skinned as SMPL is"
                ))
                .into());
            }
        }
        let read = |name: &str, shape: &[Option<usize>]| shaped(source, name, shape);

        let template = read("v_template", &[None, Some(3)])?;
        let points = template.shape[0];
        let tree = read("kintree_table", &[Some(2), None])?;
        let joints = tree.shape[1];
        if points == 0 || joints == 0 {
            return Err(FormatError::shape("a body without points or joints").into());
        }
        let directions = read("shapedirs", &[Some(points), Some(3), None])?;
        let faces = read("f", &[None, Some(3)])?;
        let weights = read_weights(source, points, joints)?;
        let joint_regressor = read_rows(source, "J_regressor", Some(joints), points)?;
        let correctives = read_correctives(source, points, joints)?;

        let family = Family::from_joints(joints).ok_or_else(|| {
            FormatError::value(format!(
                "{joints} joints: bodies have 24 (SMPL), 52 (SMPL-H) or 55 (SMPL-X); hands (MANO, 16) and heads (FLAME, 5) alone are not taken"
            ))
        })?;
        let parents = parents(&tree)?;
        let v_template: Vec<Vec3> =
            finite(&template, "v_template")?.chunks_exact(3).map(Vec3::from_slice).collect();
        let shapedirs = shape_directions(&directions, points, family, options)?;
        let faces = triangles(&faces, points, "f")?;

        let (joints_template, joints_shapedirs) = regress_shapes(&joint_regressor, &v_template, &shapedirs);
        let joint_vertex: Vec<u8> = (0..points).map(|point| weights.strongest(point) as u8).collect();
        let joint_face = strongest_of_faces(&faces, &weights, joints);
        let extra66 = optional_rows(source, "extra66", Some(66), points)?;
        let h36m90_right_first = extra66.is_some()
            && source.has("extra66_names")
            && source.array("extra66_names")?.to_text()?.get(50).is_some_and(|name| name == "h_right_hip");
        let face_points = picked_points(family, points);
        let coco17 = match optional_rows(source, "coco17", Some(17), points)? {
            Some(rows) => rows,
            None => rows_from_joints(&joint_regressor, &COCO_FROM_SMPL24, face_points.as_deref()),
        };
        let h36m17 = match optional_rows(source, "h36m17", Some(17), points)? {
            Some(rows) => rows,
            None => rows_from_joints(&joint_regressor, &H36M_FROM_SMPL24, face_points.as_deref()),
        };
        let extras = if source.has("cloth_coords") {
            Some(MannequinExtras::from_arrays(source, points, faces.len(), options.betas)?)
        } else {
            None
        };
        let hands = Hands::from_arrays(source)?;
        let landmarks = read_landmarks(source, faces.len())?;
        Ok(Self {
            family,
            v_template,
            shapedirs,
            faces,
            parents,
            weights,
            joint_regressor,
            correctives,
            joint_vertex,
            joint_face,
            coco17,
            h36m17,
            extra66,
            h36m90_right_first,
            hands,
            landmarks,
            extras,
            joints_template,
            joints_shapedirs,
        })
    }

    /// Gives a body the published networks' last 66 joints: 21 picked points, then the rows of the three
    /// published regressors (9, 19 and 17 joints over this body's points).
    ///
    /// # Errors
    /// `Shape` where counts do not fit, `Value` for a point that the body does not have.
    pub fn set_regressors(
        &mut self,
        picked: &[usize],
        extra: &SparseRows,
        cocoplus: &SparseRows,
        h36m: &SparseRows,
    ) -> Result<(), BodyError> {
        let points = self.num_vertices();
        let found = [picked.len(), extra.rows(), cocoplus.rows(), h36m.rows()];
        if found != [21, 9, 19, 17] || [extra, cocoplus, h36m].iter().any(|rows| rows.cols() != points) {
            return Err(BodyError::Shape(format!(
                "regressors of {found:?} joints over {} points, expected [21, 9, 19, 17] over {points}",
                extra.cols()
            )));
        }
        if let Some(point) = picked.iter().find(|point| **point >= points) {
            return Err(BodyError::Value(format!("point {point} of {points} is picked")));
        }
        self.extra66 =
            Some(SparseRows::picking(points, picked).stacked(extra).stacked(cocoplus).stacked(h36m));
        self.h36m90_right_first = false;
        Ok(())
    }
}

fn regress_shapes(
    regressor: &SparseRows,
    template: &[Vec3],
    shapedirs: &[Vec<f32>],
) -> (Vec<Vec3>, Vec<Vec<Vec3>>) {
    let regress = |point: &dyn Fn(usize) -> Vec3| -> Vec<Vec3> {
        (0..regressor.rows())
            .map(|row| {
                let sum: glam::DVec3 = regressor
                    .entries(row)
                    .map(|(col, weight)| point(col).as_dvec3() * f64::from(weight))
                    .sum();
                sum.as_vec3()
            })
            .collect()
    };
    let of_template = regress(&|at| template[at]);
    let of_shapes = shapedirs
        .iter()
        .map(|direction| regress(&|at| Vec3::from_slice(&direction[3 * at..3 * at + 3])))
        .collect();
    (of_template, of_shapes)
}

fn strongest_of_faces(faces: &[[u32; 3]], weights: &SparseRows, joints: usize) -> Vec<u8> {
    let mut sums = vec![0.0f32; joints];
    faces
        .iter()
        .map(|face| {
            sums.fill(0.0);
            for point in face {
                for (joint, weight) in weights.entries(*point as usize) {
                    sums[joint] += weight;
                }
            }
            let mut best = 0;
            for (joint, sum) in sums.iter().enumerate() {
                if *sum > sums[best] {
                    best = joint;
                }
            }
            best as u8
        })
        .collect()
}

/// The 21 picked points of published meshes; `None` for a mesh that is neither.
fn picked_points(family: Family, points: usize) -> Option<Vec<usize>> {
    match (family, points) {
        (Family::Smpl | Family::Smplh, 6890) => Some(PICKED_SMPL.to_vec()),
        (Family::Smplx, 10475) => Some(PICKED_SMPLX.to_vec()),
        _ => None,
    }
}

/// Rows of a joint set for a body that brings none: regressed joints (exact at rest), and face points where the
/// mesh is a published one; the head joint stands in where it is not.
fn rows_from_joints(regressor: &SparseRows, places: &[usize; 17], face: Option<&[usize]>) -> SparseRows {
    let head = 15;
    let entries = places.iter().enumerate().flat_map(|(row, place)| {
        // Places from 24 on are picked points, as in the published networks' 90 joints.
        let picked = place.checked_sub(24).and_then(|at| face.and_then(|face| face.get(at)));
        let entries: Vec<(usize, usize, f32)> = match picked {
            Some(point) => vec![(row, *point, 1.0)],
            None => {
                let joint = if *place < 24 { *place } else { head };
                regressor.entries(joint).map(|(col, value)| (row, col, value)).collect()
            }
        };
        entries
    });
    SparseRows::from_triplets(17, regressor.cols(), entries)
}

#[cfg(test)]
mod tests;
