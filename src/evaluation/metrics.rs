//! Measures of estimates against known bodies. Distances of joints are in metres, mean-centred.

use glam::{Mat3, Quat, Vec2, Vec3};

use crate::geometry::align::{procrustes, scale_align};
use crate::geometry::camera::Camera;

/// Joint errors of one body under the two usual alignments.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct JointError {
    /// After the best scale, both centred on their means (MPJPE-SC).
    pub scaled: f32,
    /// After the best similarity (PA-MPJPE).
    pub aligned: f32,
}

/// Mean distance of joints to the true ones.
pub fn joint_error(joints: &[Vec3], truth: &[Vec3]) -> JointError {
    let mean = |fit: crate::geometry::align::Similarity| {
        joints.iter().zip(truth).map(|(own, wanted)| fit.apply(*own).distance(*wanted)).sum::<f32>()
            / joints.len().max(1) as f32
    };
    JointError { scaled: mean(scale_align(joints, truth)), aligned: mean(procrustes(joints, truth, true)) }
}

/// The rotation that turns what a camera sees at a pixel onto the axis of a camera that looks straight at it.
pub fn straight_at(camera: &Camera, pixel: Vec2) -> Mat3 {
    let ray = camera.unproject(pixel, 1.0).normalize_or(Vec3::NEG_Z);
    Mat3::from_quat(Quat::from_rotation_arc(ray, Vec3::NEG_Z))
}

/// Root of the mean squared distance of points from their mean.
pub fn spread(points: impl Iterator<Item = Vec3> + Clone) -> f32 {
    let count = points.clone().count().max(1) as f32;
    let mean = points.clone().sum::<Vec3>() / count;
    (points.map(|p| p.distance_squared(mean)).sum::<f32>() / count).sqrt()
}

/// A mean that is filled bit by bit.
#[derive(Clone, Copy, Debug, Default)]
pub struct Mean {
    sum: f64,
    count: u64,
}

impl Mean {
    pub fn add(&mut self, value: f32) {
        if value.is_finite() {
            self.sum += f64::from(value);
            self.count += 1;
        }
    }

    /// `None` where nothing was added.
    pub fn get(&self) -> Option<f64> {
        (self.count > 0).then(|| self.sum / self.count as f64)
    }
}

/// The value below which `share` of the values lie; `None` for none.
pub fn quantile(values: &mut [f32], share: f64) -> Option<f64> {
    values.sort_by(f32::total_cmp);
    let at = (share * (values.len().checked_sub(1)? as f64)).round() as usize;
    values.get(at).map(|v| f64::from(*v))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::rotations::exp_so3;

    #[test]
    fn alignments_remove_what_they_should() {
        let truth: Vec<Vec3> = (0..8)
            .map(|i| Vec3::new((i as f32 * 1.7).sin(), (i as f32 * 0.9).cos(), (i as f32 * 2.3).sin()))
            .collect();
        let scaled: Vec<Vec3> = truth.iter().map(|p| *p * 1.7 + Vec3::X).collect();
        assert!(joint_error(&scaled, &truth).scaled < 1e-4);
        let turned: Vec<Vec3> = scaled.iter().map(|p| exp_so3(Vec3::new(0.4, 0.2, -0.9)) * *p).collect();
        let error = joint_error(&turned, &truth);
        assert!(error.aligned < 1e-4 && error.scaled > 0.1);
    }

    #[test]
    fn quantiles_of_few_values() {
        assert_eq!(quantile(&mut [3.0, 1.0, 2.0], 0.5), Some(2.0));
        assert_eq!(quantile(&mut [], 0.5), None);
    }
}
