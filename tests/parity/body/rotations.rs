//! Kind `rotations`: conversions between the forms of a rotation.

use glam::{DMat3, DVec3};
use humanifold::body::pose_layouts::flip_pose;
use humanifold::geometry::rotations::{
    Quaternion, RotationError, SixLayout, check_rotation, exp_so3_64, geodesic64, log_so3_64,
    log_so3_checked, matrix_to_quaternion, matrix_to_six, nearest_rotation, quaternion_multiply,
    quaternion_to_matrix, quaternion_to_vector, six_to_matrix_checked, standardize, vector_to_quaternion,
};

use super::{dmat3s, dvec3s, ends_with, family, flat64, rows64};
use crate::case::{Case, CaseResult, Failure, Outputs};

impl From<RotationError> for Failure {
    fn from(error: RotationError) -> Self {
        Self::refused("value", &error)
    }
}

pub fn rotations(case: &Case) -> CaseResult {
    let vectors = |name: &str| ends_with(case, name, &[3]).map(|values| dvec3s(&values));
    let matrices = |name: &str| ends_with(case, name, &[3, 3]).map(|values| dmat3s(&values));
    let quaternions = |name: &str| ends_with(case, name, &[4]).map(|values| quaternions(&values));
    Ok(match case.text("op")? {
        "axis_angle_to_matrix" => give_matrices(vectors("axis_angle")?.into_iter().map(exp_so3_64)),
        "axis_angle_to_quaternion" => {
            give_quaternions(vectors("axis_angle")?.into_iter().map(vector_to_quaternion))
        }
        "matrix_to_axis_angle" => {
            let logs: Result<Vec<DVec3>, _> = matrices("matrix")?.iter().map(log_so3_checked).collect();
            give_vectors(logs?)
        }
        "matrix_to_axis_angle_round_trip" => {
            let logs: Vec<DVec3> = matrices("matrix")?.iter().map(log_so3_64).collect();
            let angles = logs.iter().map(|v| v.length()).collect::<Vec<_>>();
            give_matrices(logs.into_iter().map(exp_so3_64)).f64("angle", &[angles.len()], angles)
        }
        "matrix_to_quaternion" => {
            let matrices = matrices("matrix")?;
            for matrix in &matrices {
                check_rotation(matrix)?;
            }
            give_quaternions(matrices.iter().map(matrix_to_quaternion))
        }
        "quaternion_to_matrix" => {
            let matrices: Result<Vec<DMat3>, _> =
                quaternions("quaternion")?.into_iter().map(quaternion_to_matrix).collect();
            give_matrices(matrices?)
        }
        "quaternion_standardize" => give_quaternions(quaternions("quaternion")?.into_iter().map(standardize)),
        "quaternion_to_axis_angle" => {
            let short = case.text("wrap")? == "short";
            let all = quaternions("quaternion")?.into_iter();
            give_vectors(all.map(|q| quaternion_to_vector(if short { standardize(q) } else { q })))
        }
        "quaternion_multiply" => {
            let pairs = quaternions("a")?.into_iter().zip(quaternions("b")?);
            give_quaternions(pairs.map(|(a, b)| quaternion_multiply(a, b)))
        }
        "geodesic_angle" => {
            let (a, b) = (matrices("a")?, matrices("b")?);
            let angles: Vec<f64> = a.iter().zip(&b).map(|(a, b)| geodesic64(a, b)).collect();
            Outputs::new().f64("angle", &[angles.len()], angles)
        }
        "rot6d_to_matrix" => {
            let layout = layout(case)?;
            let matrices: Result<Vec<DMat3>, _> = ends_with(case, "rot6d", &[6])?
                .chunks_exact(6)
                .map(|x| six_to_matrix_checked([x[0], x[1], x[2], x[3], x[4], x[5]], layout))
                .collect();
            give_matrices(matrices?)
        }
        "matrix_to_rot6d" => {
            let layout = layout(case)?;
            let matrices = matrices("matrix")?;
            let values: Vec<f64> = matrices.iter().flat_map(|matrix| matrix_to_six(matrix, layout)).collect();
            Outputs::new().f64("rot6d", &[matrices.len(), 6], values)
        }
        "nearest_rotation" => give_matrices(matrices("matrix")?.iter().map(nearest_rotation)),
        "flip_pose" => {
            let family = family(case, "family")?;
            let shape = case.shape("pose")?;
            let width = shape.last().copied().unwrap_or(0).max(1);
            let mut out = Vec::new();
            for pose in case.f64("pose")?.chunks(width) {
                out.extend(flip_pose(family, pose)?);
            }
            Outputs::new().f64("pose", &shape, out)
        }
        "rotate_in_plane" => {
            let roots = vectors("axis_angle")?.into_iter().zip(case.f64("degrees")?);
            give_matrices(
                roots.map(|(v, degrees)| DMat3::from_rotation_z(-degrees.to_radians()) * exp_so3_64(v)),
            )
        }
        other => return Err(Failure::broken(format!("no operation `{other}`"))),
    })
}

fn layout(case: &Case) -> Result<SixLayout, Failure> {
    match case.text("layout")? {
        "interleaved_columns" => Ok(SixLayout::InterleavedColumns),
        "rows" => Ok(SixLayout::Rows),
        "stacked_columns" => Ok(SixLayout::StackedColumns),
        other => Err(Failure::broken(format!("no layout `{other}`"))),
    }
}

fn quaternions(values: &[f64]) -> Vec<Quaternion> {
    values.chunks_exact(4).map(|q| [q[0], q[1], q[2], q[3]]).collect()
}

fn give_matrices(matrices: impl IntoIterator<Item = DMat3>) -> Outputs {
    let values: Vec<f64> = matrices.into_iter().flat_map(|matrix| rows64(&matrix)).collect();
    Outputs::new().f64("matrix", &[values.len() / 9, 3, 3], values)
}

fn give_vectors(vectors: impl IntoIterator<Item = DVec3>) -> Outputs {
    let values = flat64(vectors);
    Outputs::new().f64("axis_angle", &[values.len() / 3, 3], values)
}

fn give_quaternions(all: impl IntoIterator<Item = Quaternion>) -> Outputs {
    let values: Vec<f64> = all.into_iter().flatten().collect();
    Outputs::new().f64("quaternion", &[values.len() / 4, 4], values)
}
