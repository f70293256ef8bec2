//! Reading bodies: the built-in Mannequin (sparse arrays) and files in SMPL's layout (dense arrays).
//!
//! A file is refused with what is wrong in it: a key that is missing, then sizes that do not fit, then values.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use glam::Vec3;

use super::correctives::Correctives;
use super::error::BodyError;
use super::extras::MannequinExtras;
use super::joint_sets::{COCO_FROM_SMPL24, H36M_FROM_SMPL24, PICKED_SMPL, PICKED_SMPLX};
use super::model::{BodyModel, Family};
use super::sparse::SparseRows;
use crate::formats::{Array, FormatError, Npz, model_files};

/// Where the arrays of a body come from.
pub trait BodyArrays {
    fn has(&self, name: &str) -> bool;
    /// # Errors
    /// `Missing`, or what is wrong with the array.
    fn array(&self, name: &str) -> Result<Cow<'_, Array>, FormatError>;
}

impl BodyArrays for Npz {
    fn has(&self, name: &str) -> bool {
        self.contains(name)
    }

    fn array(&self, name: &str) -> Result<Cow<'_, Array>, FormatError> {
        self.get(name).map(Cow::Borrowed)
    }
}

impl BodyArrays for BTreeMap<String, Array> {
    fn has(&self, name: &str) -> bool {
        self.contains_key(name)
    }

    fn array(&self, name: &str) -> Result<Cow<'_, Array>, FormatError> {
        self.get(name).map(Cow::Borrowed).ok_or_else(|| FormatError::missing(format!("no array `{name}`")))
    }
}

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

    /// Reads a body of any family from an npz file: 10 shape directions, no expressions.
    ///
    /// # Errors
    /// What is wrong with the file.
    pub fn load(path: &Path) -> Result<Self, BodyError> {
        Self::load_with(path, LoadOptions::default())
    }

    /// # Errors
    /// What is wrong with the file.
    pub fn load_with(path: &Path, options: LoadOptions) -> Result<Self, BodyError> {
        Self::from_arrays(&Npz::read(path)?, options).map_err(|error| match error {
            BodyError::File(error) => BodyError::File(error.at(path)),
            other => other,
        })
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
                "{joints} joints: bodies have 24 (SMPL), 52 (SMPL-H) or 55 (SMPL-X), hands and heads alone are not taken"
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

/// An array of known shape.
pub(super) fn shaped<'a>(
    source: &'a dyn BodyArrays,
    name: &str,
    shape: &[Option<usize>],
) -> Result<Cow<'a, Array>, FormatError> {
    let array = source.array(name)?;
    array.expect_shape(shape).map_err(|error| error.within(&format!("array `{name}`")))?;
    Ok(array)
}

/// Numbers as f32, none of them NaN or infinite.
pub(super) fn finite(array: &Array, name: &str) -> Result<Vec<f32>, FormatError> {
    let values = array.to_f32().map_err(|error| error.within(&format!("array `{name}`")))?;
    match values.iter().position(|value| !value.is_finite()) {
        Some(at) => Err(FormatError::value(format!("array `{name}`: number {at} is not finite"))),
        None => Ok(values),
    }
}

/// Indices below `limit`.
pub(super) fn indices(array: &Array, limit: usize, name: &str) -> Result<Vec<usize>, FormatError> {
    let values = array.to_usize().map_err(|error| error.within(&format!("array `{name}`")))?;
    match values.iter().find(|value| **value >= limit) {
        Some(value) => {
            Err(FormatError::value(format!("array `{name}`: index {value} where {limit} things are")))
        }
        None => Ok(values),
    }
}

pub(super) fn triangles(array: &Array, points: usize, name: &str) -> Result<Vec<[u32; 3]>, FormatError> {
    Ok(indices(array, points, name)?
        .chunks_exact(3)
        .map(|f| [f[0] as u32, f[1] as u32, f[2] as u32])
        .collect())
}

fn parents(tree: &Array) -> Result<Vec<i32>, FormatError> {
    let joints = tree.shape[1];
    // The root is −1 in whichever integer type the file has.
    let parents: Vec<i32> = tree.to_f64()?[..joints]
        .iter()
        .map(|value| if *value < 0.0 || *value >= f64::from(u32::MAX) { -1 } else { *value as i32 })
        .collect();
    for (joint, parent) in parents.iter().enumerate() {
        if (joint == 0) != (*parent == -1) {
            return Err(FormatError::value(format!(
                "array `kintree_table`: joint {joint} has parent {parent}; joint 0 is the root and the only one"
            )));
        }
        if *parent >= joint as i32 {
            return Err(FormatError::value(format!(
                "array `kintree_table`: joint {joint} has parent {parent}; parents come before their children"
            )));
        }
    }
    Ok(parents)
}

fn shape_directions(
    array: &Array,
    points: usize,
    family: Family,
    options: LoadOptions,
) -> Result<Vec<Vec<f32>>, FormatError> {
    let count = array.shape[2];
    let values = finite(array, "shapedirs")?;
    // SMPL-X keeps its expressions behind the shape: in short files from 10, in full ones from 300.
    let expressions = match family {
        Family::Smplx if count < 400 => 10..count.min(20),
        Family::Smplx => 300..count,
        _ => count..count,
    };
    let betas = 0..options.betas.min(expressions.start.min(count));
    let used = betas.chain(expressions.take(options.expression));
    Ok(used.map(|at| (0..3 * points).map(|row| values[row * count + at]).collect()).collect())
}

fn read_rows(
    source: &dyn BodyArrays,
    name: &str,
    rows: Option<usize>,
    points: usize,
) -> Result<SparseRows, FormatError> {
    if source.has(name) {
        let array = shaped(source, name, &[rows, Some(points)])?;
        return Ok(SparseRows::from_dense(array.shape[0], points, &finite(&array, name)?));
    }
    let part = |end: &str| format!("{name}_{end}");
    let values = shaped(source, &part("val"), &[None])?;
    let count = Some(values.shape[0]);
    let row = shaped(source, &part("row"), &[count])?;
    let col = shaped(source, &part("col"), &[count])?;
    let row = indices(&row, rows.unwrap_or(usize::MAX), &part("row"))?;
    let col = indices(&col, points, &part("col"))?;
    let values = finite(&values, &part("val"))?;
    let rows = rows.unwrap_or_else(|| row.iter().max().map_or(0, |last| last + 1));
    let entries = row.iter().zip(&col).zip(&values).map(|((row, col), value)| (*row, *col, *value));
    Ok(SparseRows::from_triplets(rows, points, entries))
}

fn optional_rows(
    source: &dyn BodyArrays,
    name: &str,
    rows: Option<usize>,
    points: usize,
) -> Result<Option<SparseRows>, FormatError> {
    if source.has(&format!("{name}_row")) {
        read_rows(source, name, rows, points).map(Some)
    } else {
        Ok(None)
    }
}

fn read_weights(source: &dyn BodyArrays, points: usize, joints: usize) -> Result<SparseRows, FormatError> {
    if source.has("weights") {
        let array = shaped(source, "weights", &[Some(points), Some(joints)])?;
        return Ok(SparseRows::from_dense(points, joints, &finite(&array, "weights")?));
    }
    let index = shaped(source, "weights_index", &[Some(points), None])?;
    let a_point = index.shape[1];
    let value = shaped(source, "weights_value", &[Some(points), Some(a_point)])?;
    let index = indices(&index, joints, "weights_index")?;
    let value = finite(&value, "weights_value")?;
    let entries =
        index.iter().zip(&value).enumerate().map(|(at, (joint, weight))| (at / a_point, *joint, *weight));
    Ok(SparseRows::from_triplets(points, joints, entries))
}

fn read_correctives(
    source: &dyn BodyArrays,
    points: usize,
    joints: usize,
) -> Result<Correctives, FormatError> {
    let features = 9 * (joints - 1);
    if source.has("posedirs") {
        let array = shaped(source, "posedirs", &[Some(points), Some(3), Some(features)])?;
        let values = finite(&array, "posedirs")?;
        let entries = (1..joints).flat_map(|joint| {
            let values = &values;
            (0..points).map(move |point| {
                let row = |axis: usize| {
                    let start = (3 * point + axis) * features + 9 * (joint - 1);
                    std::array::from_fn(|at| values[start + at])
                };
                (joint, point as u32, [row(0), row(1), row(2)])
            })
        });
        return Ok(Correctives::new(joints, entries));
    }
    let index = shaped(source, "posedirs_index", &[None, Some(2)])?;
    let pairs = index.shape[0];
    let value = shaped(source, "posedirs_value", &[Some(pairs), Some(3), Some(9)])?;
    let index = indices(&index, points.max(joints), "posedirs_index")?;
    let value = finite(&value, "posedirs_value")?;
    for pair in index.chunks_exact(2) {
        if pair[0] >= points || pair[1] == 0 || pair[1] >= joints {
            return Err(FormatError::value(format!(
                "array `posedirs_index`: point {} and joint {} of a body with {points} points and {joints} joints",
                pair[0], pair[1]
            )));
        }
    }
    let entries = index.chunks_exact(2).zip(value.chunks_exact(27)).map(|(pair, values)| {
        let row = |axis: usize| std::array::from_fn(|at| values[9 * axis + at]);
        (pair[1], pair[0] as u32, [row(0), row(1), row(2)])
    });
    Ok(Correctives::new(joints, entries))
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
mod tests {
    use super::*;

    /// A file of one triangle a joint in SMPL's layout.
    fn small() -> BTreeMap<String, Array> {
        let (points, joints) = (30, 24);
        let mut tree: Vec<i64> =
            super::super::joint_sets::SMPL_PARENTS.iter().map(|p| i64::from(*p)).collect();
        tree.extend(0..24);
        let dense = |rows: usize, cols: usize| {
            (0..rows * cols).map(|at| f64::from(u8::from(at / cols == at % cols))).collect::<Vec<_>>()
        };
        let mut weights = dense(points, joints);
        for point in joints..points {
            weights[point * joints] = 1.0;
        }
        BTreeMap::from([
            (
                "v_template".to_owned(),
                Array::f64(&[points, 3], (0..3 * points).map(|at| at as f64 / 50.0).collect()),
            ),
            ("shapedirs".to_owned(), Array::f64(&[points, 3, 10], vec![0.01; 30 * points])),
            ("posedirs".to_owned(), Array::f64(&[points, 3, 207], vec![0.001; points * 3 * 207])),
            ("J_regressor".to_owned(), Array::f64(&[joints, points], dense(joints, points))),
            ("weights".to_owned(), Array::f64(&[points, joints], weights)),
            ("kintree_table".to_owned(), Array::i64(&[2, joints], tree)),
            ("f".to_owned(), Array::i64(&[2, 3], vec![0, 1, 2, 2, 1, 29])),
        ])
    }

    fn word(change: impl Fn(&mut BTreeMap<String, Array>)) -> &'static str {
        let mut arrays = small();
        change(&mut arrays);
        BodyModel::from_arrays(&arrays, LoadOptions::default())
            .map_or_else(|error| error.word(), |_| "accepted")
    }

    #[test]
    fn damaged_files_are_refused_with_their_reason() {
        assert_eq!(word(|_| {}), "accepted");
        for key in small().keys() {
            assert_eq!(word(|arrays| drop(arrays.remove(key))), "missing", "{key}");
            assert_eq!(
                word(|arrays| drop(arrays.insert(key.clone(), Array::f64(&[7], vec![0.0; 7])))),
                "shape",
                "{key}"
            );
        }
        let set = |key: &'static str, at: usize, value: f64| {
            move |arrays: &mut BTreeMap<String, Array>| {
                let Some(array) = arrays.get_mut(key) else { return };
                let mut values = array.to_f64().unwrap();
                values[at] = value;
                *array = Array::f64(&array.shape.clone(), values);
            }
        };
        assert_eq!(word(set("f", 2, 30.0)), "value");
        assert_eq!(word(set("kintree_table", 5, 9.0)), "value");
        assert_eq!(word(set("kintree_table", 5, -1.0)), "value");
        for key in ["v_template", "shapedirs", "posedirs", "J_regressor", "weights"] {
            assert_eq!(word(set(key, 3, f64::NAN)), "value", "{key}");
        }
    }

    #[test]
    fn a_licensed_layout_gets_keypoints_from_its_joints() {
        let model = BodyModel::from_arrays(&small(), LoadOptions { betas: 4, expression: 0 }).unwrap();
        assert_eq!((model.num_betas(), model.num_vertices(), model.family), (4, 30, Family::Smpl));
        let posed = model.pose(&model.rest_state(), true);
        assert_eq!(model.coco17(&posed.vertices)[11], posed.joints[1]);
        assert_eq!(model.h36m17(&posed.vertices)[1], posed.joints[2]);
        assert!(model.joints90(&posed, Vec3::ZERO).is_none());
    }

    #[test]
    fn the_built_in_body_has_what_its_readme_says() {
        let model = BodyModel::default_body().unwrap();
        assert_eq!((model.num_vertices(), model.faces.len(), model.num_joints()), (7699, 15394, 24));
        assert!(model.h36m90_right_first);
        let extras = model.extras.as_ref().unwrap();
        for (point, other) in extras.mirror.iter().enumerate() {
            assert_eq!(
                model.v_template[*other as usize],
                model.v_template[point] * Vec3::new(-1.0, 1.0, 1.0)
            );
        }
        assert_eq!(extras.joint_mirror, super::super::joint_sets::SMPL_MIRROR.map(|at| at as u8));
        assert_eq!(model.parents, super::super::joint_sets::SMPL_PARENTS);
        assert!((0..7699).all(|point| (model.weights.row_sum(point) - 1.0).abs() < 1e-6));
        assert!(extras.mask("skin").iter().all(|value| (0.0..=1.0).contains(value)));
        let tall = extras.statistics.typical(super::super::Sex::Man, 1.9, 90.0);
        let predicted = extras.statistics.predict(&tall);
        assert!((predicted[0] - 1.9).abs() < 0.03 && (predicted[1] - 90.0).abs() < 4.0, "{predicted:?}");
        let shape =
            extras.statistics.shape_from_measurements(&[("stature", 1.6), ("weightkg", 60.0)]).unwrap();
        assert!((extras.statistics.predict(&shape)[0] - 1.6).abs() < 0.02);
        assert!(extras.statistics.shape_from_measurements(&[("wit", 1.0)]).is_err());
    }
}
