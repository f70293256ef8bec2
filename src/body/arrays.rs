//! Pieces of body files: arrays of known shape, checked numbers, sparse and dense forms of the same matrices.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::correctives::Correctives;
use super::load::LoadOptions;
use super::model::Family;
use super::sparse::SparseRows;
use crate::formats::{Array, FormatError, Npz};

/// Where the arrays of a body come from.
pub trait BodyArrays {
    fn has(&self, name: &str) -> bool;
    /// # Errors
    /// `Missing`, or what is wrong with the array.
    fn array(&self, name: &str) -> Result<Cow<'_, Array>, FormatError>;
    /// A text of the file; `None` where it is absent or no text.
    fn text(&self, name: &str) -> Option<String> {
        if !self.has(name) {
            return None;
        }
        self.array(name).ok()?.to_text().ok()?.first().cloned()
    }
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

pub(super) fn parents(tree: &Array) -> Result<Vec<i32>, FormatError> {
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

pub(super) fn shape_directions(
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

pub(super) fn read_rows(
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

pub(super) fn optional_rows(
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

pub(super) fn read_weights(
    source: &dyn BodyArrays,
    points: usize,
    joints: usize,
) -> Result<SparseRows, FormatError> {
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

pub(super) fn read_correctives(
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
