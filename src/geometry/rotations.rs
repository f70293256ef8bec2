//! Rotations: so(3) exponential and logarithm, quaternions, six-number forms, angles between rotations.
//!
//! Every formula is computed in f64; the f32 functions round at the end, so they keep all their digits near 0 and π.
//! Quaternions are `[w, x, y, z]`. Used by bodies, networks' heads, pose readers and metrics.

use glam::{DMat3, DVec3, Mat3, Vec3};

/// `[w, x, y, z]`.
pub type Quaternion = [f64; 4];

#[derive(Debug, thiserror::Error, PartialEq)]
pub enum RotationError {
    #[error("the {what} holds a number that is not finite")]
    NotFinite { what: &'static str },
    #[error("the matrix is no rotation: {why}")]
    NotARotation { why: &'static str },
    #[error("the quaternion has length zero and stands for no rotation")]
    ZeroQuaternion,
    #[error("the six numbers give two directions that are parallel or zero and stand for no rotation")]
    Parallel,
}

/// Matrix `K` with `K w = v × w`.
pub fn hat(v: Vec3) -> Mat3 {
    Mat3::from_cols_array(&[0.0, v.z, -v.y, -v.z, 0.0, v.x, v.y, -v.x, 0.0])
}

/// As [`hat`], in f64.
pub fn hat64(v: DVec3) -> DMat3 {
    DMat3::from_cols_array(&[0.0, v.z, -v.y, -v.z, 0.0, v.x, v.y, -v.x, 0.0])
}

/// Rotation by `|v|` radians about `v`; any length.
pub fn exp_so3(v: Vec3) -> Mat3 {
    exp_so3_64(v.as_dvec3()).as_mat3()
}

/// As [`exp_so3`], in f64.
pub fn exp_so3_64(v: DVec3) -> DMat3 {
    let squared = v.length_squared();
    let (a, b) = rodrigues(squared);
    let k = hat64(v);
    DMat3::IDENTITY + k * a + k * k * b
}

/// `sin t / t` and `(1 − cos t) / t²`, from `t²`.
fn rodrigues(squared: f64) -> (f64, f64) {
    if squared < 1e-8 {
        (1.0 - squared / 6.0 + squared * squared / 120.0, 0.5 - squared / 24.0 + squared * squared / 720.0)
    } else {
        let t = squared.sqrt();
        (t.sin() / t, (1.0 - t.cos()) / squared)
    }
}

/// The gradient with respect to a rotation vector, given the gradient with respect to the entries of its matrix.
///
/// Exact everywhere, at zero and at π too.
pub fn exp_so3_backward(v: DVec3, grad: &DMat3) -> DVec3 {
    let squared = v.length_squared();
    let (a, b) = rodrigues(squared);
    let (da, db) = if squared < 1e-4 {
        (
            -1.0 / 3.0 + squared / 30.0 - squared * squared / 840.0,
            -1.0 / 12.0 + squared / 180.0 - squared * squared / 6720.0,
        )
    } else {
        ((squared.sqrt().cos() - a) / squared, (a - 2.0 * b) / squared)
    };
    let k = hat64(v);
    let along = k * da + k * k * db;
    let mut out = DVec3::ZERO;
    for axis in 0..3 {
        let mut unit = DVec3::ZERO;
        unit[axis] = 1.0;
        let dk = hat64(unit);
        out[axis] = inner(grad, &(dk * a + (dk * k + k * dk) * b + along * v[axis]));
    }
    out
}

fn inner(a: &DMat3, b: &DMat3) -> f64 {
    a.x_axis.dot(b.x_axis) + a.y_axis.dot(b.y_axis) + a.z_axis.dot(b.z_axis)
}

/// Rotation vector of a rotation, of length 0 to π. Trusts that `r` is a rotation; see [`log_so3_checked`].
///
/// At exactly π the axis whose first component of notable size is positive is taken.
pub fn log_so3(r: Mat3) -> Vec3 {
    log_so3_64(&r.as_dmat3()).as_vec3()
}

/// As [`log_so3`], in f64.
pub fn log_so3_64(r: &DMat3) -> DVec3 {
    let mut q = matrix_to_quaternion(r);
    // Half a turn within a float32 matrix's own rounding: both signs are right, one is chosen.
    if q[0].abs() < 1e-7 {
        if q[1..].iter().find(|value| value.abs() > 1e-6).is_some_and(|first| *first < 0.0) {
            q = q.map(|value| -value);
        }
        q[0] = 0.0;
    }
    quaternion_to_vector(q)
}

/// As [`log_so3_64`] for matrices from outside.
///
/// # Errors
/// Not finite, not orthonormal to 1e-2, or mirrored.
pub fn log_so3_checked(r: &DMat3) -> Result<DVec3, RotationError> {
    check_rotation(r)?;
    Ok(log_so3_64(r))
}

/// Whether a matrix from outside is a rotation: finite, orthonormal to 1e-2, not mirrored.
///
/// # Errors
/// What is wrong with it.
pub fn check_rotation(r: &DMat3) -> Result<(), RotationError> {
    if !r.is_finite() {
        return Err(RotationError::NotFinite { what: "matrix" });
    }
    let off = r.transpose() * *r - DMat3::IDENTITY;
    if off.to_cols_array().iter().any(|value| value.abs() > 1e-2) {
        return Err(RotationError::NotARotation { why: "its columns are not orthonormal" });
    }
    if r.determinant() < 0.0 {
        return Err(RotationError::NotARotation { why: "it mirrors" });
    }
    Ok(())
}

/// Angle between two rotations, 0 to π radians; full precision near 0, where the arc cosine of the trace has none.
pub fn geodesic(a: Mat3, b: Mat3) -> f32 {
    geodesic64(&a.as_dmat3(), &b.as_dmat3()) as f32
}

/// As [`geodesic`], in f64.
pub fn geodesic64(a: &DMat3, b: &DMat3) -> f64 {
    let m = a.transpose() * *b;
    let twice_sine = DVec3::new(m.y_axis.z - m.z_axis.y, m.z_axis.x - m.x_axis.z, m.x_axis.y - m.y_axis.x);
    let trace = m.x_axis.x + m.y_axis.y + m.z_axis.z;
    twice_sine.length().atan2(trace - 1.0)
}

/// Unit quaternion of a rotation vector; `w` is negative for angles above π.
pub fn vector_to_quaternion(v: DVec3) -> Quaternion {
    let t = v.length();
    let s = if t < 1e-6 { 0.5 - t * t / 48.0 } else { (0.5 * t).sin() / t };
    [(0.5 * t).cos(), v.x * s, v.y * s, v.z * s]
}

/// Rotation vector of a quaternion of any length, with an angle from 0 to 2π (to π where `w` is not negative).
pub fn quaternion_to_vector(q: Quaternion) -> DVec3 {
    let xyz = DVec3::new(q[1], q[2], q[3]);
    let n = xyz.length();
    let factor = if n < 1e-12 { 2.0 } else { 2.0 * n.atan2(q[0]) / n };
    xyz * factor
}

/// The same rotation with `w` not negative.
pub fn standardize(q: Quaternion) -> Quaternion {
    if q[0] < 0.0 { q.map(|value| -value) } else { q }
}

/// Hamilton product, with `w` made not negative.
pub fn quaternion_multiply(a: Quaternion, b: Quaternion) -> Quaternion {
    let [aw, ax, ay, az] = a;
    let [bw, bx, by, bz] = b;
    standardize([
        aw * bw - ax * bx - ay * by - az * bz,
        aw * bx + ax * bw + ay * bz - az * by,
        aw * by - ax * bz + ay * bw + az * bx,
        aw * bz + ax * by - ay * bx + az * bw,
    ])
}

/// Rotation of a quaternion of any length but zero.
///
/// # Errors
/// Length zero, or a number that is not finite.
pub fn quaternion_to_matrix(q: Quaternion) -> Result<DMat3, RotationError> {
    if q.iter().any(|value| !value.is_finite()) {
        return Err(RotationError::NotFinite { what: "quaternion" });
    }
    let squared: f64 = q.iter().map(|value| value * value).sum();
    if squared == 0.0 {
        return Err(RotationError::ZeroQuaternion);
    }
    let [w, x, y, z] = q;
    let s = 2.0 / squared;
    Ok(DMat3::from_cols(
        DVec3::new(1.0 - s * (y * y + z * z), s * (x * y + z * w), s * (x * z - y * w)),
        DVec3::new(s * (x * y - z * w), 1.0 - s * (x * x + z * z), s * (y * z + x * w)),
        DVec3::new(s * (x * z + y * w), s * (y * z - x * w), 1.0 - s * (x * x + y * y)),
    ))
}

/// Unit quaternion of a rotation, `w` not negative.
pub fn matrix_to_quaternion(r: &DMat3) -> Quaternion {
    let m = |row: usize, col: usize| r.col(col)[row];
    // Four times the square of each component; the largest is divided by, so nothing is lost near half turns.
    let squares = [
        1.0 + m(0, 0) + m(1, 1) + m(2, 2),
        1.0 + m(0, 0) - m(1, 1) - m(2, 2),
        1.0 - m(0, 0) + m(1, 1) - m(2, 2),
        1.0 - m(0, 0) - m(1, 1) + m(2, 2),
    ];
    let mut largest = 0;
    for (i, square) in squares.iter().enumerate() {
        if *square > squares[largest] {
            largest = i;
        }
    }
    let (wx, wy, wz) = (m(2, 1) - m(1, 2), m(0, 2) - m(2, 0), m(1, 0) - m(0, 1));
    let (xy, xz, yz) = (m(0, 1) + m(1, 0), m(0, 2) + m(2, 0), m(1, 2) + m(2, 1));
    let square = squares[largest];
    let q = match largest {
        0 => [square, wx, wy, wz],
        1 => [wx, square, xy, xz],
        2 => [wy, xy, square, yz],
        _ => [wz, xz, yz, square],
    };
    let length = q.iter().map(|value| value * value).sum::<f64>().sqrt();
    standardize(q.map(|value| value / length))
}

/// Which six of a rotation's nine numbers a network gives, and in which order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SixLayout {
    /// R11 R12 R21 R22 R31 R32: the first two columns, row by row (SPIN, STRAPS, DaNet, HuManiFlow).
    InterleavedColumns,
    /// The first row, then the second (pytorch3d).
    Rows,
    /// The first column, then the second.
    StackedColumns,
}

/// Rotation of six numbers by Gram-Schmidt. Trusts that the two directions are independent.
pub fn six_to_matrix(x: [f64; 6], layout: SixLayout) -> DMat3 {
    let (a1, a2) = directions(x, layout);
    let b1 = a1 / a1.length().max(1e-12);
    let rest = a2 - b1 * b1.dot(a2);
    let b2 = rest / rest.length().max(1e-12);
    let columns = DMat3::from_cols(b1, b2, b1.cross(b2));
    if layout == SixLayout::Rows { columns.transpose() } else { columns }
}

/// As [`six_to_matrix`] for numbers from outside.
///
/// # Errors
/// Not finite, or the directions are shorter than 1e-8 or parallel to that.
pub fn six_to_matrix_checked(x: [f64; 6], layout: SixLayout) -> Result<DMat3, RotationError> {
    if x.iter().any(|value| !value.is_finite()) {
        return Err(RotationError::NotFinite { what: "six-number rotation" });
    }
    let (a1, a2) = directions(x, layout);
    if a1.length() < 1e-8 {
        return Err(RotationError::Parallel);
    }
    let b1 = a1.normalize();
    if (a2 - b1 * b1.dot(a2)).length() < 1e-8 {
        return Err(RotationError::Parallel);
    }
    Ok(six_to_matrix(x, layout))
}

/// The six numbers of a rotation.
pub fn matrix_to_six(r: &DMat3, layout: SixLayout) -> [f64; 6] {
    let (c1, c2) = (r.x_axis, r.y_axis);
    match layout {
        SixLayout::InterleavedColumns => [c1.x, c2.x, c1.y, c2.y, c1.z, c2.z],
        SixLayout::StackedColumns => [c1.x, c1.y, c1.z, c2.x, c2.y, c2.z],
        SixLayout::Rows => {
            let (r1, r2) = (r.row(0), r.row(1));
            [r1.x, r1.y, r1.z, r2.x, r2.y, r2.z]
        }
    }
}

fn directions(x: [f64; 6], layout: SixLayout) -> (DVec3, DVec3) {
    match layout {
        SixLayout::InterleavedColumns => (DVec3::new(x[0], x[2], x[4]), DVec3::new(x[1], x[3], x[5])),
        SixLayout::Rows | SixLayout::StackedColumns => {
            (DVec3::new(x[0], x[1], x[2]), DVec3::new(x[3], x[4], x[5]))
        }
    }
}

/// The rotation closest to a matrix (least squares).
pub fn nearest_rotation(m: &DMat3) -> DMat3 {
    let svd = nalgebra::Matrix3::from_column_slice(&m.to_cols_array()).svd(true, true);
    let (Some(u), Some(vt)) = (svd.u, svd.v_t) else { return DMat3::IDENTITY };
    let sign = (u * vt).determinant().signum();
    let r = u * nalgebra::Matrix3::from_diagonal(&nalgebra::Vector3::new(1.0, 1.0, sign)) * vt;
    DMat3::from_cols_slice(r.as_slice())
}

/// As [`nearest_rotation`], in f32: takes drift out of a product of many rotations.
pub fn renormalize(m: Mat3) -> Mat3 {
    nearest_rotation(&m.as_dmat3()).as_mat3()
}

/// The rotation that the mirror image (x → −x) of a body makes.
pub fn mirror(r: Mat3) -> Mat3 {
    let flip = Mat3::from_diagonal(Vec3::new(-1.0, 1.0, 1.0));
    flip * r * flip
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vectors() -> Vec<DVec3> {
        let axes = [DVec3::X, DVec3::NEG_Y, DVec3::new(1.0, 2.0, -2.0) / 3.0, DVec3::new(-0.6, 0.0, 0.8)];
        let angles = [0.0, 1e-9, 1e-5, 1e-4, 3e-3, 0.3, 1.5, 3.0, 3.13, std::f64::consts::PI - 1e-6];
        axes.iter().flat_map(|axis| angles.iter().map(move |angle| *axis * *angle)).collect()
    }

    #[test]
    fn logarithm_undoes_exponential() {
        for v in vectors() {
            let r = exp_so3_64(v);
            assert!((r.determinant() - 1.0).abs() < 1e-12);
            assert!((log_so3_64(&r) - v).length() < 1e-9, "{v}");
            assert!((geodesic64(&DMat3::IDENTITY, &r) - v.length()).abs() < 1e-9, "{v}");
        }
    }

    #[test]
    fn f32_keeps_its_digits_near_pi() {
        for v in vectors() {
            let v = v.as_vec3();
            let back = exp_so3(log_so3(exp_so3(v)));
            assert!(exp_so3(v).abs_diff_eq(back, 5e-7), "{v}");
        }
    }

    #[test]
    fn quaternions_and_six_numbers_agree_with_matrices() {
        for v in vectors() {
            let r = exp_so3_64(v);
            let q = vector_to_quaternion(v);
            assert!(quaternion_to_matrix(q).unwrap().abs_diff_eq(r, 1e-12));
            assert!(quaternion_to_matrix(matrix_to_quaternion(&r)).unwrap().abs_diff_eq(r, 1e-12));
            for layout in [SixLayout::InterleavedColumns, SixLayout::Rows, SixLayout::StackedColumns] {
                let back = six_to_matrix_checked(matrix_to_six(&r, layout), layout).unwrap();
                assert!(back.abs_diff_eq(r, 1e-12));
            }
            assert!(nearest_rotation(&(r * 1.3)).abs_diff_eq(r, 1e-12));
        }
    }

    #[test]
    fn gradient_of_exponential_is_its_difference_quotient() {
        let grad = DMat3::from_cols_array(&[0.3, -1.0, 0.7, 0.2, 0.9, -0.4, 1.1, 0.05, -0.6]);
        for v in vectors() {
            let got = exp_so3_backward(v, &grad);
            for axis in 0..3 {
                let mut step = DVec3::ZERO;
                step[axis] = 1e-6;
                let difference =
                    (inner(&grad, &exp_so3_64(v + step)) - inner(&grad, &exp_so3_64(v - step))) / 2e-6;
                assert!((got[axis] - difference).abs() < 1e-7, "{v}: {} against {difference}", got[axis]);
            }
        }
    }

    #[test]
    fn what_is_no_rotation_is_refused() {
        assert!(log_so3_checked(&(DMat3::IDENTITY * 1.1)).is_err());
        assert!(log_so3_checked(&DMat3::from_diagonal(DVec3::new(-1.0, 1.0, 1.0))).is_err());
        assert!(log_so3_checked(&(DMat3::IDENTITY * f64::NAN)).is_err());
        assert!(quaternion_to_matrix([0.0; 4]).is_err());
        assert!(six_to_matrix_checked([1.0, 2.0, 3.0, 2.0, 4.0, 6.0], SixLayout::Rows).is_err());
    }
}
