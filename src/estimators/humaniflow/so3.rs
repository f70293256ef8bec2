//! What the network's densities need of rotation vectors beyond `geometry::rotations` (f64), and the two
//! float32 maps that its heads use. Rotations as nine numbers are row-major.

use std::f64::consts::{PI, TAU};

use glam::{DMat3, DVec3};

use super::dense::Real;
use crate::geometry::rotations::log_so3_64;

/// Row-major numbers to a matrix.
pub fn from_rows<R: Real>(r: &[R; 9]) -> DMat3 {
    DMat3::from_cols_array(&r.map(Real::wide)).transpose()
}

/// A matrix to row-major numbers.
pub fn to_rows<R: Real>(m: DMat3) -> [R; 9] {
    m.transpose().to_cols_array().map(R::of)
}

/// Log-determinant of the exponential map at `v`: log(4 sin²(t/2) / t²), 0 at v = 0.
pub fn exp_log_det(v: DVec3) -> f64 {
    let half = 0.5 * v.length();
    if half < 1e-8 { 0.0 } else { 2.0 * (half.sin().abs() / half).ln() }
}

/// [`exp_log_det`] as published: a series there gives log(11/12) for vectors shorter than 1e-10.
pub fn exp_log_det_published(v: DVec3) -> f64 {
    if v.length() <= 1e-10 { (11.0f64 / 12.0).ln() } else { exp_log_det(v) }
}

/// Which of v − 2π v/|v| and v + 2π v/|v| lie within `radius`; none for v = 0, which has no direction.
pub fn other_preimages(v: DVec3, radius: f64) -> [Option<DVec3>; 2] {
    let t = v.length();
    if t == 0.0 {
        return [None, None];
    }
    [-TAU, TAU].map(|turn| ((t + turn).abs() < radius).then(|| v * (1.0 + turn / t)))
}

/// Rotation vectors of `r` within the ball of `radius` (more than π, less than 2π): the principal one first.
pub fn preimages(r: DMat3, radius: f64) -> (DVec3, Option<DVec3>) {
    debug_assert!(radius > PI && radius < TAU);
    let v = log_so3_64(&r);
    (v, other_preimages(v, radius)[0])
}

/// The body model's float32 formula: 1e-8 is added to each component before the angle is taken.
pub fn rodrigues(v: [f32; 3]) -> [f32; 9] {
    let [a, b, c] = v.map(|x| x + 1e-8);
    let angle = (a * a + b * b + c * c).sqrt();
    let [x, y, z] = v.map(|x| x / angle);
    let (s, u) = (angle.sin(), 1.0 - angle.cos());
    [
        1.0 - u * (y * y + z * z),
        u * x * y - s * z,
        u * x * z + s * y,
        u * x * y + s * z,
        1.0 - u * (x * x + z * z),
        u * y * z - s * x,
        u * x * z - s * y,
        u * y * z + s * x,
        1.0 - u * (x * x + y * y),
    ]
}

/// Six numbers, a row-major 3×2 matrix, to the rotation that Gram-Schmidt makes of its two columns.
pub fn rotation_from_six<R: Real>(g: &[R; 6]) -> [R; 9] {
    let dot = |a: [R; 3], b: [R; 3]| a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
    let unit = |a: [R; 3]| {
        let length = dot(a, a).sqrt().max(R::of(1e-12));
        a.map(|x| x / length)
    };
    let a = unit([g[0], g[2], g[4]]);
    let second = [g[1], g[3], g[5]];
    let along = dot(a, second);
    let b = unit([second[0] - along * a[0], second[1] - along * a[1], second[2] - along * a[2]]);
    let c = [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]];
    [a[0], b[0], c[0], a[1], b[1], c[1], a[2], b[2], c[2]]
}

/// The first two columns of a rotation as a row-major 3×2 matrix.
pub fn six_from_rotation<R: Real>(r: &[R; 9]) -> [R; 6] {
    [r[0], r[1], r[3], r[4], r[6], r[7]]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::rotations::exp_so3_64 as exp;

    #[test]
    fn the_log_determinant_is_that_of_the_numerical_jacobian() {
        let v = DVec3::new(0.7, -1.1, 2.3);
        let h = 1e-5;
        let column = |axis: DVec3| {
            let turn = exp(v).transpose() * (exp(v + axis * h) - exp(v - axis * h)) * (0.5 / h);
            DVec3::new(turn.y_axis.z, turn.z_axis.x, turn.x_axis.y)
        };
        let jacobian = DMat3::from_cols(column(DVec3::X), column(DVec3::Y), column(DVec3::Z));
        assert!((jacobian.determinant().abs().ln() - exp_log_det(v)).abs() < 1e-6);
    }

    #[test]
    fn preimages_are_the_same_rotation() {
        let r = exp(DVec3::new(0.5, 2.0, -1.0));
        let (v, second) = preimages(r, 1.5 * PI);
        let second = second.expect("an angle above π/2 has a second one");
        assert!(exp(second).abs_diff_eq(exp(v), 1e-12) && second.length() < 1.5 * PI);
        assert_eq!(preimages(DMat3::IDENTITY, 1.5 * PI), (DVec3::ZERO, None));
    }
}
