//! Cameras: points in metres (y up, camera at the origin looking along −z) to pixels (y down), and finding
//! the camera or the place of a body from pixels. Used wherever a body meets a photo.

use glam::{DMat3, DVec3, Vec2, Vec3};
use serde::{Deserialize, Serialize};

/// How points of the camera's space fall onto a picture of `size` (width, height) pixels.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Camera {
    pub projection: Projection,
    pub size: [f32; 2],
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Projection {
    /// `principal + focal * (x, -y) / -z`, both in pixels.
    Perspective { focal_px: f32, principal_px: [f32; 2] },
    /// `origin + scale * (x, -y)`: `scale_px` pixels a metre, `origin_px` the pixel of x = y = 0.
    WeakPerspective { scale_px: f32, origin_px: [f32; 2] },
}

/// Points nearer to the camera's plane than this (metres) are not projected.
pub const NEAREST_DEPTH: f32 = 1e-6;

impl Camera {
    /// A perspective camera whose axis meets the picture's middle.
    pub fn perspective(width: f32, height: f32, focal_px: f32) -> Self {
        Self {
            projection: Projection::Perspective { focal_px, principal_px: [0.5 * width, 0.5 * height] },
            size: [width, height],
        }
    }

    /// A weak-perspective camera that shows x = y = 0 at the picture's middle.
    pub fn weak_perspective(width: f32, height: f32, scale_px: f32) -> Self {
        Self {
            projection: Projection::WeakPerspective { scale_px, origin_px: [0.5 * width, 0.5 * height] },
            size: [width, height],
        }
    }

    /// Pixel position of a point; `None` for a point that a perspective camera has behind it.
    pub fn project(&self, point: Vec3) -> Option<Vec2> {
        match self.projection {
            Projection::Perspective { focal_px, principal_px } => {
                let depth = -point.z;
                (depth > NEAREST_DEPTH)
                    .then(|| Vec2::from(principal_px) + focal_px * Vec2::new(point.x, -point.y) / depth)
            }
            Projection::WeakPerspective { scale_px, origin_px } => {
                Some(Vec2::from(origin_px) + scale_px * Vec2::new(point.x, -point.y))
            }
        }
    }

    /// The point seen at a pixel, `depth` metres in front of the camera (z = −depth).
    pub fn unproject(&self, pixel: Vec2, depth: f32) -> Vec3 {
        let at = match self.projection {
            Projection::Perspective { focal_px, principal_px } => {
                (pixel - Vec2::from(principal_px)) * (depth / focal_px)
            }
            Projection::WeakPerspective { scale_px, origin_px } => (pixel - Vec2::from(origin_px)) / scale_px,
        };
        Vec3::new(at.x, -at.y, -depth)
    }

    /// Pixels a metre at `depth` metres in front of the camera.
    pub fn pixels_a_metre(&self, depth: f32) -> f32 {
        match self.projection {
            Projection::Perspective { focal_px, .. } => focal_px / depth.max(NEAREST_DEPTH),
            Projection::WeakPerspective { scale_px, .. } => scale_px,
        }
    }

    /// The camera of a cut-out: `pixel_new = scale * (pixel − origin)`, of `size` pixels.
    pub fn cut_out(&self, origin: Vec2, scale: f32, size: [f32; 2]) -> Self {
        let moved = |p: [f32; 2]| (scale * (Vec2::from(p) - origin)).to_array();
        let projection = match self.projection {
            Projection::Perspective { focal_px, principal_px } => {
                Projection::Perspective { focal_px: scale * focal_px, principal_px: moved(principal_px) }
            }
            Projection::WeakPerspective { scale_px, origin_px } => {
                Projection::WeakPerspective { scale_px: scale * scale_px, origin_px: moved(origin_px) }
            }
        };
        Self { projection, size }
    }

    /// The shift that makes points fall best onto their pixels, in weighted least squares: the place of a
    /// body of known pose before a perspective camera (linear, so exact where the pixels are), or its x and y
    /// before a weak-perspective one (z stays 0).
    ///
    /// `None` where the weights of fewer than two points (perspective; one for weak perspective) are positive,
    /// or where the solution would lie behind the camera.
    pub fn translation_to_match(&self, points: &[Vec3], pixels: &[Vec2], weights: &[f32]) -> Option<Vec3> {
        let seen = || points.iter().zip(pixels).zip(weights).filter(|(_, weight)| **weight > 0.0);
        match self.projection {
            Projection::Perspective { focal_px, principal_px } => {
                let rows = seen().map(|((point, pixel), weight)| {
                    let offset = *pixel - Vec2::from(principal_px);
                    // In the pinhole's own frame (y down, z away) the two equations are linear in the shift.
                    (
                        DVec3::new(point.x.into(), (-point.y).into(), (-point.z).into()),
                        offset,
                        f64::from(*weight),
                    )
                });
                let found = pinhole_translation(
                    rows.map(|(point, offset, weight)| (point, [offset.x.into(), offset.y.into()], weight)),
                    focal_px.into(),
                )?;
                Some(Vec3::new(found.x as f32, -found.y as f32, -found.z as f32))
            }
            Projection::WeakPerspective { scale_px, origin_px } => {
                let (mut sum, mut total) = (Vec2::ZERO, 0.0);
                for ((point, pixel), weight) in seen() {
                    let at = (*pixel - Vec2::from(origin_px)) / scale_px;
                    sum += *weight * (Vec2::new(at.x, -at.y) - point.truncate());
                    total += weight;
                }
                (total > 0.0).then(|| (sum / total).extend(0.0))
            }
        }
    }

    /// The weak-perspective camera under which points fall best onto their pixels, in weighted least squares.
    ///
    /// `None` where fewer than two points with positive weight differ, or the best scale is not positive.
    pub fn fit_weak_perspective(
        points: &[Vec3],
        pixels: &[Vec2],
        weights: &[f32],
        size: [f32; 2],
    ) -> Option<Self> {
        let rows = || {
            points.iter().zip(pixels).zip(weights).filter(|(_, weight)| **weight > 0.0).map(
                |((point, pixel), weight)| {
                    (Vec2::new(point.x, -point.y).as_dvec2(), pixel.as_dvec2(), f64::from(*weight))
                },
            )
        };
        let total: f64 = rows().map(|(_, _, weight)| weight).sum();
        if total <= 0.0 {
            return None;
        }
        let point_mean = rows().map(|(point, _, weight)| point * weight).sum::<glam::DVec2>() / total;
        let pixel_mean = rows().map(|(_, pixel, weight)| pixel * weight).sum::<glam::DVec2>() / total;
        let (mut product, mut spread) = (0.0, 0.0);
        for (point, pixel, weight) in rows() {
            product += weight * (point - point_mean).dot(pixel - pixel_mean);
            spread += weight * (point - point_mean).length_squared();
        }
        let scale = product / spread;
        (scale.is_finite() && scale > 0.0).then(|| {
            let origin = (pixel_mean - scale * point_mean).as_vec2();
            Self {
                projection: Projection::WeakPerspective {
                    scale_px: scale as f32,
                    origin_px: origin.to_array(),
                },
                size,
            }
        })
    }

    /// The centred perspective camera of a focal length, and the shift of the body before it, that show a body
    /// around the origin about as this weak-perspective camera does. A perspective camera is given back as it is.
    pub fn to_perspective(&self, focal_px: f32) -> (Self, Vec3) {
        match self.projection {
            Projection::Perspective { .. } => (*self, Vec3::ZERO),
            Projection::WeakPerspective { scale_px, origin_px } => {
                let camera = Self::perspective(self.size[0], self.size[1], focal_px);
                (camera, camera.unproject(Vec2::from(origin_px), focal_px / scale_px))
            }
        }
    }
}

/// Shift that brings points (y down, z away from the camera) onto pixel offsets from the principal point.
///
/// `None` for fewer than two points with positive weight, or where the equations do not determine it.
pub(super) fn pinhole_translation(
    rows: impl Iterator<Item = (DVec3, [f64; 2], f64)>,
    focal: f64,
) -> Option<DVec3> {
    let (mut normal, mut right, mut seen) = (DMat3::ZERO, DVec3::ZERO, 0);
    for (point, [u, v], weight) in rows.filter(|row| row.2 > 0.0) {
        seen += 1;
        for (row, value) in [
            (DVec3::new(focal, 0.0, -u), u * point.z - focal * point.x),
            (DVec3::new(0.0, focal, -v), v * point.z - focal * point.y),
        ] {
            normal += DMat3::from_cols(row * row.x, row * row.y, row * row.z) * weight;
            right += row * (value * weight);
        }
    }
    if seen < 2 {
        return None;
    }
    let found = normal.inverse() * right;
    found.is_finite().then_some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn points() -> Vec<Vec3> {
        (0..9)
            .map(|i| {
                Vec3::new((i as f32).sin() * 0.6, (2.0 * i as f32).cos() * 0.8, (0.7 * i as f32).sin() * 0.3)
            })
            .collect()
    }

    #[test]
    fn a_body_is_put_back_where_it_was() {
        let camera = Camera::perspective(640.0, 480.0, 700.0);
        let place = Vec3::new(0.4, -0.1, -3.5);
        let pixels: Vec<Vec2> = points().iter().map(|p| camera.project(*p + place).unwrap()).collect();
        let mut weights = vec![1.0; 9];
        weights[3] = 0.0;
        let found = camera.translation_to_match(&points(), &pixels, &weights).unwrap();
        assert!(found.abs_diff_eq(place, 1e-4), "{found}");
        assert!(camera.translation_to_match(&points(), &pixels, &[0.0; 9]).is_none());
    }

    #[test]
    fn a_weak_camera_is_found_again() {
        let mut camera = Camera::weak_perspective(256.0, 256.0, 110.0);
        camera = camera.cut_out(Vec2::new(12.0, -7.0), 1.5, [300.0, 200.0]);
        let pixels: Vec<Vec2> = points().iter().map(|p| camera.project(*p).unwrap()).collect();
        let found = Camera::fit_weak_perspective(&points(), &pixels, &[1.0; 9], camera.size).unwrap();
        for p in points() {
            assert!(found.project(p).unwrap().abs_diff_eq(camera.project(p).unwrap(), 1e-3));
        }
        assert!(Camera::fit_weak_perspective(&points(), &pixels, &[0.0; 9], camera.size).is_none());
    }

    #[test]
    fn pixels_and_points_are_inverse() {
        for camera in [Camera::perspective(640.0, 480.0, 700.0), Camera::weak_perspective(64.0, 32.0, 20.0)] {
            let pixel = Vec2::new(31.0, 7.0);
            let point = camera.unproject(pixel, 2.5);
            assert!(camera.project(point).unwrap().abs_diff_eq(pixel, 1e-4));
        }
    }

    #[test]
    fn perspective_agrees_with_weak_perspective_at_the_body() {
        let weak =
            Camera::weak_perspective(256.0, 256.0, 100.0).cut_out(Vec2::new(5.0, 9.0), 1.0, [256.0, 256.0]);
        let (camera, place) = weak.to_perspective(5000.0);
        let point = Vec3::new(0.5, -0.8, 0.0);
        assert!(camera.project(point + place).unwrap().abs_diff_eq(weak.project(point).unwrap(), 1e-2));
    }

    #[test]
    fn nothing_is_seen_behind_the_camera() {
        assert_eq!(Camera::perspective(10.0, 10.0, 10.0).project(Vec3::new(0.0, 0.0, 1.0)), None);
    }
}
