//! Cameras: points in metres (y up, camera at the origin looking along −z) to pixels (y down).

use glam::{Vec2, Vec3};
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

impl Camera {
    /// Pixel position of a point; `None` for a point that a perspective camera has behind it.
    pub fn project(&self, point: Vec3) -> Option<Vec2> {
        match self.projection {
            Projection::Perspective { focal_px, principal_px } => {
                let depth = -point.z;
                (depth > 1e-6)
                    .then(|| Vec2::from(principal_px) + focal_px * Vec2::new(point.x, -point.y) / depth)
            }
            Projection::WeakPerspective { scale_px, origin_px } => {
                Some(Vec2::from(origin_px) + scale_px * Vec2::new(point.x, -point.y))
            }
        }
    }
}
