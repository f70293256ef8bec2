//! The cameras that published body regressors share (HMR's lineage): x and y in [−1, 1] with y down, a scale
//! and a shift, and the pinhole they stand for. In f64; the cameras of this program are in [`super::camera`].

use glam::{DMat3, DVec2, DVec3};

use super::camera::pinhole_translation;

#[derive(Debug, thiserror::Error, PartialEq)]
pub enum CameraError {
    #[error("the camera's scale is {0}, it must be positive and finite")]
    Scale(f64),
    #[error("only {0} joints have a confidence above 0, two are needed to place the body")]
    TooFewJoints(usize),
    #[error("the joints do not determine where the body is")]
    Undetermined,
}

/// `s * (x + tx, y + ty)`, in [−1, 1].
pub fn weak_project(point: DVec3, [s, tx, ty]: [f64; 3]) -> DVec2 {
    DVec2::new(point.x + tx, point.y + ty) * s
}

/// [−1, 1] to pixels of a square picture.
pub fn to_pixels(normalised: DVec2, size: f64) -> DVec2 {
    (normalised + 1.0) * (0.5 * size)
}

/// Pixels of a square picture to [−1, 1].
pub fn to_normalised(pixel: DVec2, size: f64) -> DVec2 {
    pixel * (2.0 / size) - 1.0
}

/// The pinhole's translation that a weak-perspective camera stands for.
///
/// # Errors
/// A scale that is not positive and finite.
pub fn weak_to_translation([s, tx, ty]: [f64; 3], focal: f64, size: f64) -> Result<DVec3, CameraError> {
    if !(s.is_finite() && s > 0.0) {
        return Err(CameraError::Scale(s));
    }
    Ok(DVec3::new(tx, ty, 2.0 * focal / (size * s + 1e-9)))
}

/// The weak-perspective camera that a pinhole's translation stands for.
///
/// # Errors
/// A depth that gives no positive, finite scale.
pub fn translation_to_weak(translation: DVec3, focal: f64, size: f64) -> Result<[f64; 3], CameraError> {
    let s = 2.0 * focal / (size * translation.z);
    if !(s.is_finite() && s > 0.0) {
        return Err(CameraError::Scale(s));
    }
    Ok([s, translation.x, translation.y])
}

/// A pinhole: `K (R p + t)`, divided by its third component.
#[derive(Clone, Copy, Debug)]
pub struct Pinhole {
    pub intrinsics: DMat3,
    pub rotation: DMat3,
    pub translation: DVec3,
}

impl Pinhole {
    /// Axis through the picture's middle, no rotation.
    pub fn centred(focal: f64, width: f64, height: f64, translation: DVec3) -> Self {
        Self {
            intrinsics: DMat3::from_cols(
                DVec3::new(focal, 0.0, 0.0),
                DVec3::new(0.0, focal, 0.0),
                DVec3::new(0.5 * width, 0.5 * height, 1.0),
            ),
            rotation: DMat3::IDENTITY,
            translation,
        }
    }

    /// Pixel of a point; `None` for a depth of 1e-6 or less.
    pub fn project(&self, point: DVec3) -> Option<DVec2> {
        let p = self.rotation * point + self.translation;
        (p.z > 1e-6).then(|| {
            let q = self.intrinsics * p;
            DVec2::new(q.x, q.y) / q.z
        })
    }
}

/// Half a turn about x: between y up and y down.
pub fn half_turn_x(point: DVec3) -> DVec3 {
    DVec3::new(point.x, -point.y, -point.z)
}

/// Where an OpenGL camera (y up, looking along −z) stands to show the mesh turned by [`half_turn_x`] exactly as
/// a pinhole with `translation` shows the mesh itself.
pub fn gl_camera_position(translation: DVec3) -> DVec3 {
    DVec3::new(-translation.x, translation.y, translation.z)
}

/// Clip matrix (rows) of a weak-perspective camera `sx, sy, tx, ty`, for a mesh turned by [`half_turn_x`].
pub fn weak_clip_matrix([sx, sy, tx, ty]: [f64; 4]) -> [[f64; 4]; 4] {
    [[sx, 0.0, 0.0, tx * sx], [0.0, sy, 0.0, -ty * sy], [0.0, 0.0, -1.0, 0.0], [0.0, 0.0, 0.0, 1.0]]
}

/// Where a body must stand before a centred pinhole for its joints to fall onto 2D joints (pixels of a square
/// picture), weighted by confidence.
///
/// # Errors
/// Fewer than two joints with confidence, or joints that do not determine the place.
pub fn estimate_translation(
    joints: &[DVec3],
    pixels: &[DVec2],
    confidence: &[f64],
    focal: f64,
    size: f64,
) -> Result<DVec3, CameraError> {
    let seen = confidence.iter().filter(|value| **value > 0.0).count();
    if seen < 2 {
        return Err(CameraError::TooFewJoints(seen));
    }
    let rows =
        joints.iter().zip(pixels).zip(confidence).map(|((joint, pixel), weight)| {
            (*joint, (*pixel - DVec2::splat(0.5 * size)).to_array(), *weight)
        });
    pinhole_translation(rows, focal).ok_or(CameraError::Undetermined)
}

/// The square cut-out that SPIN's code makes: of `200 * scale` pixels around a centre, turned, `size` pixels wide.
#[derive(Clone, Copy, Debug)]
pub struct SpinCrop {
    /// Maps (x, y, 1) of the picture to the cut-out.
    pub matrix: DMat3,
}

impl SpinCrop {
    pub fn new(center: DVec2, scale: f64, size: f64, degrees: f64) -> Self {
        let h = 200.0 * scale;
        let plain = DMat3::from_cols(
            DVec3::new(size / h, 0.0, 0.0),
            DVec3::new(0.0, size / h, 0.0),
            DVec3::new(size * (0.5 - center.x / h), size * (0.5 - center.y / h), 1.0),
        );
        let about = DMat3::from_translation(DVec2::splat(0.5 * size));
        let back = DMat3::from_translation(DVec2::splat(-0.5 * size));
        Self { matrix: about * DMat3::from_angle((-degrees).to_radians()) * back * plain }
    }

    /// Whole pixel of the cut-out, counted as the original counts: from one, truncated towards zero.
    pub fn point(&self, pixel: DVec2) -> [i64; 2] {
        let at = self.matrix * (pixel - 1.0).extend(1.0);
        [at.x as i64 + 1, at.y as i64 + 1]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weak_camera_and_translation_are_inverse() {
        let camera = [0.9, 0.1, -0.2];
        let back =
            translation_to_weak(weak_to_translation(camera, 5000.0, 224.0).unwrap(), 5000.0, 224.0).unwrap();
        assert!(camera.iter().zip(back).all(|(a, b)| (a - b).abs() < 1e-9));
        assert!(weak_to_translation([0.0, 0.0, 0.0], 5000.0, 224.0).is_err());
        assert!(translation_to_weak(DVec3::ZERO, 5000.0, 224.0).is_err());
    }

    #[test]
    fn too_few_joints_are_refused() {
        let one = estimate_translation(&[DVec3::ZERO; 2], &[DVec2::ZERO; 2], &[1.0, 0.0], 5000.0, 224.0);
        assert_eq!(one, Err(CameraError::TooFewJoints(1)));
    }
}
