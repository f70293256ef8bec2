//! Cameras for pictures of bodies: scaled for supersampling, cut to a window, from the side, fitting a body.

use glam::{Mat3, Vec2, Vec3};

use crate::geometry::camera::{Camera, Projection};

/// The camera of the same picture, `factor` times as large, whose pixel (0, 0) is the first of a window that
/// begins at `offset` pixels of the original picture.
pub fn window(camera: &Camera, offset: Vec2, factor: f32, size: [f32; 2]) -> Camera {
    let shift = |p: [f32; 2]| ((Vec2::from(p) - offset) * factor).to_array();
    let projection = match camera.projection {
        Projection::Perspective { focal_px, principal_px } => {
            Projection::Perspective { focal_px: focal_px * factor, principal_px: shift(principal_px) }
        }
        Projection::WeakPerspective { scale_px, origin_px } => {
            Projection::WeakPerspective { scale_px: scale_px * factor, origin_px: shift(origin_px) }
        }
    };
    Camera { projection, size }
}

/// Middle of the points' extent along the axes.
pub fn middle(points: &[Vec3]) -> Vec3 {
    let (low, high) = extent(points);
    (low + high) / 2.0
}

/// Least and greatest coordinates of the points; zeros for none.
pub fn extent(points: &[Vec3]) -> (Vec3, Vec3) {
    let mut finite = points.iter().copied().filter(|p| p.is_finite());
    let Some(first) = finite.next() else {
        return (Vec3::ZERO, Vec3::ZERO);
    };
    finite.fold((first, first), |(low, high), p| (low.min(p), high.max(p)))
}

/// The points seen after walking `yaw` radians round them: turned about the vertical through `centre`, then moved
/// so that `centre` lies at the origin. With yaw π/2 the viewer stands at what was the picture's right.
pub fn turned(points: &[Vec3], centre: Vec3, yaw: f32) -> Vec<Vec3> {
    let rotation = Mat3::from_rotation_y(-yaw);
    points.iter().map(|&p| rotation * (p - centre)).collect()
}

/// A weak-perspective camera that shows the points about the origin, `margin` (share of the picture) free all round.
pub fn fitting(points: &[Vec3], width: usize, height: usize, margin: f32) -> Camera {
    let (low, high) = extent(points);
    let size = (high - low).max(Vec3::splat(1e-3));
    let (w, h) = (width as f32, height as f32);
    let free = (1.0 - 2.0 * margin).max(0.1);
    let scale_px = (w * free / size.x).min(h * free / size.y);
    let centre = (low + high) / 2.0;
    Camera {
        projection: Projection::WeakPerspective {
            scale_px,
            origin_px: [w / 2.0 - scale_px * centre.x, h / 2.0 + scale_px * centre.y],
        },
        size: [w, h],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_agree_with_the_whole() {
        let whole = Camera {
            projection: Projection::Perspective { focal_px: 500.0, principal_px: [320.0, 240.0] },
            size: [640.0, 480.0],
        };
        let part = window(&whole, Vec2::new(100.0, 50.0), 2.0, [64.0, 64.0]);
        let point = Vec3::new(-0.3, 0.2, -2.0);
        let (a, b) = (whole.project(point).unwrap(), part.project(point).unwrap());
        assert!(((a - Vec2::new(100.0, 50.0)) * 2.0 - b).length() < 1e-3);
    }

    #[test]
    fn a_fitted_body_fills_the_picture() {
        let points = [Vec3::new(-0.4, -1.2, 0.0), Vec3::new(0.4, 0.6, 0.3)];
        let camera = fitting(&points, 200, 400, 0.05);
        let (a, b) = (camera.project(points[0]).unwrap(), camera.project(points[1]).unwrap());
        assert!((a.y - 380.0).abs() < 0.01 && (b.y - 20.0).abs() < 0.01);
        assert!(((a.x + b.x) / 2.0 - 100.0).abs() < 0.01);
    }

    #[test]
    fn from_the_side_the_right_comes_to_the_front() {
        let seen = turned(&[Vec3::new(1.0, 0.0, 0.0)], Vec3::ZERO, std::f32::consts::FRAC_PI_2);
        assert!((seen[0] - Vec3::Z).length() < 1e-6);
    }
}
