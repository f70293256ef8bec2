//! Kinds of `default_body` and `body_model`, and HuManiFlow's body wrapper.

mod cameras;
mod joint_sets;
mod mannequin;
mod measurements;
mod rotations;
pub mod smpl;

use glam::{DMat3, DVec3, Mat3, Vec3};
use humanifold::body::{BodyError, Family};

use crate::case::{Case, Failure, Kinds};

pub fn kinds() -> Kinds {
    vec![
        ("default_body_forward", mannequin::forward),
        ("default_body_measure", mannequin::measure),
        ("smpl", smpl::smpl),
        ("synthetic_smpl", smpl::synthetic_smpl),
        ("rotations", rotations::rotations),
        ("cameras", cameras::cameras),
        ("joint_sets", joint_sets::joint_sets),
        ("measurements", measurements::measurements),
    ]
}

impl From<BodyError> for Failure {
    fn from(error: BodyError) -> Self {
        Self::refused(error.word(), &error)
    }
}

fn vec3s(values: &[f32]) -> Vec<Vec3> {
    values.chunks_exact(3).map(Vec3::from_slice).collect()
}

fn dvec3s(values: &[f64]) -> Vec<DVec3> {
    values.chunks_exact(3).map(DVec3::from_slice).collect()
}

fn flat(points: &[Vec3]) -> Vec<f32> {
    points.iter().flat_map(|point| point.to_array()).collect()
}

fn flat64(points: impl IntoIterator<Item = DVec3>) -> Vec<f64> {
    points.into_iter().flat_map(|point| point.to_array()).collect()
}

/// Matrices of row-major numbers.
fn mat3s(values: &[f32]) -> Vec<Mat3> {
    values.chunks_exact(9).map(|rows| Mat3::from_cols_slice(rows).transpose()).collect()
}

fn dmat3s(values: &[f64]) -> Vec<DMat3> {
    values.chunks_exact(9).map(|rows| DMat3::from_cols_slice(rows).transpose()).collect()
}

fn rows64(matrix: &DMat3) -> [f64; 9] {
    matrix.transpose().to_cols_array()
}

fn family(case: &Case, param: &str) -> Result<Family, Failure> {
    let name = case.text(param)?;
    Family::from_name(name).ok_or_else(|| Failure::broken(format!("no family `{name}`")))
}

/// An input whose last axes must be these.
fn ends_with(case: &Case, name: &str, last: &[usize]) -> Result<Vec<f64>, Failure> {
    let shape = case.shape(name)?;
    if !shape.ends_with(last) {
        return Err(Failure::refused("shape", format!("{name} has shape {shape:?}")));
    }
    case.f64(name)
}
