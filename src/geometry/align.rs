//! Rigid and similarity alignment of corresponding points (Procrustes), for metrics and for fitting.

use glam::{DMat3, DVec3, Mat3, Vec3};

use super::rotations::nearest_rotation;

/// `scale * rotation * point + translation`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Similarity {
    pub rotation: Mat3,
    pub scale: f32,
    pub translation: Vec3,
}

impl Similarity {
    pub const IDENTITY: Self = Self { rotation: Mat3::IDENTITY, scale: 1.0, translation: Vec3::ZERO };

    pub fn apply(&self, point: Vec3) -> Vec3 {
        self.scale * (self.rotation * point) + self.translation
    }

    pub fn apply_all(&self, points: &[Vec3]) -> Vec<Vec3> {
        points.iter().map(|point| self.apply(*point)).collect()
    }
}

/// The similarity (with `scale` false the rigid motion) that brings `from` closest to `to` in least squares.
///
/// Points beyond the shorter list are left out; without any point, or with points that all coincide, nothing
/// but the shift is determined and the rest is the identity.
pub fn procrustes(from: &[Vec3], to: &[Vec3], scale: bool) -> Similarity {
    let Some((from_mean, to_mean)) = means(from, to) else { return Similarity::IDENTITY };
    let mut covariance = DMat3::ZERO;
    let mut spread = 0.0;
    for (a, b) in from.iter().zip(to) {
        let (a, b) = (a.as_dvec3() - from_mean, b.as_dvec3() - to_mean);
        covariance += DMat3::from_cols(b * a.x, b * a.y, b * a.z);
        spread += a.length_squared();
    }
    let rotation = if spread > 0.0 { nearest_rotation(&covariance) } else { DMat3::IDENTITY };
    // The best scale is the trace of Rᵀ times the covariance over the spread.
    let trace = rotation.x_axis.dot(covariance.x_axis)
        + rotation.y_axis.dot(covariance.y_axis)
        + rotation.z_axis.dot(covariance.z_axis);
    let factor = if scale && spread > 0.0 { trace / spread } else { 1.0 };
    placed(rotation, factor, from_mean, to_mean)
}

/// Scale and shift only, the metrics' "SC": `from` is scaled and moved onto `to`, never turned.
pub fn scale_align(from: &[Vec3], to: &[Vec3]) -> Similarity {
    let Some((from_mean, to_mean)) = means(from, to) else { return Similarity::IDENTITY };
    let (mut product, mut spread) = (0.0, 0.0);
    for (a, b) in from.iter().zip(to) {
        let a = a.as_dvec3() - from_mean;
        product += a.dot(b.as_dvec3() - to_mean);
        spread += a.length_squared();
    }
    let factor = if spread > 0.0 { product / spread } else { 1.0 };
    placed(DMat3::IDENTITY, factor, from_mean, to_mean)
}

fn means(from: &[Vec3], to: &[Vec3]) -> Option<(DVec3, DVec3)> {
    let count = from.len().min(to.len());
    (count > 0).then(|| {
        let mean =
            |points: &[Vec3]| points[..count].iter().map(|p| p.as_dvec3()).sum::<DVec3>() / count as f64;
        (mean(from), mean(to))
    })
}

fn placed(rotation: DMat3, scale: f64, from_mean: DVec3, to_mean: DVec3) -> Similarity {
    Similarity {
        rotation: rotation.as_mat3(),
        scale: scale as f32,
        translation: (to_mean - scale * (rotation * from_mean)).as_vec3(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::rotations::exp_so3;

    fn cloud() -> Vec<Vec3> {
        (0..20)
            .map(|i| Vec3::new((i as f32).sin(), (1.7 * i as f32).cos(), (0.3 * i as f32).sin() * 2.0))
            .collect()
    }

    #[test]
    fn a_similarity_is_found_again() {
        let truth = Similarity {
            rotation: exp_so3(Vec3::new(0.4, -2.0, 1.0)),
            scale: 1.7,
            translation: Vec3::new(3.0, -1.0, 0.5),
        };
        let from = cloud();
        let found = procrustes(&from, &truth.apply_all(&from), true);
        assert!(found.rotation.abs_diff_eq(truth.rotation, 1e-5));
        assert!((found.scale - truth.scale).abs() < 1e-5);
        assert!(found.translation.abs_diff_eq(truth.translation, 1e-5));
    }

    #[test]
    fn a_mirror_image_is_not_mirrored_back() {
        let from = cloud();
        let to: Vec<Vec3> = from.iter().map(|p| Vec3::new(-p.x, p.y, p.z)).collect();
        assert!((procrustes(&from, &to, true).rotation.determinant() - 1.0).abs() < 1e-5);
    }

    #[test]
    fn scale_alignment_does_not_turn() {
        let from = cloud();
        let to: Vec<Vec3> = from.iter().map(|p| *p * 0.8 + Vec3::X).collect();
        let found = scale_align(&from, &to);
        assert_eq!(found.rotation, Mat3::IDENTITY);
        assert!((found.scale - 0.8).abs() < 1e-6 && found.translation.abs_diff_eq(Vec3::X, 1e-6));
    }

    #[test]
    fn no_points_give_the_identity() {
        assert_eq!(procrustes(&[], &[], true), Similarity::IDENTITY);
        assert_eq!(procrustes(&[Vec3::X], &[Vec3::Y], true).apply(Vec3::X), Vec3::Y);
    }
}
