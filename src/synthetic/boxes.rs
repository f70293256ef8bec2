//! Boxes in a scene: what stands before people, what they sit on, tables.

use glam::{Mat3, Vec2, Vec3};

use super::backdrop::Texture;

/// Triangles of a box.
const FACES: usize = 12;

/// A mesh of boxes with a texture each, wound outwards.
#[derive(Clone, Debug, Default)]
pub struct Boxes {
    pub vertices: Vec<Vec3>,
    pub faces: Vec<[u32; 3]>,
    /// Centre, axes as columns, half-extents along them, texture.
    own: Vec<(Vec3, Mat3, Vec3, Texture)>,
}

impl Boxes {
    /// Adds a box of half-extents `half` along (side, `up`, depth), turned by `turn`.
    pub fn add(&mut self, center: Vec3, turn: Mat3, up: Vec3, half: Vec3, texture: Texture) {
        let side = up.cross(Vec3::Z).try_normalize().unwrap_or(Vec3::X);
        let upright = Mat3::from_cols(side, up, side.cross(up));
        let first = self.vertices.len() as u32;
        for i in 0..8u32 {
            let sign = |bit: u32| if i >> bit & 1 == 1 { 1.0 } else { -1.0 };
            let corner = half * Vec3::new(sign(0), sign(1), sign(2));
            self.vertices.push(center + turn * (upright * corner));
        }
        for [a, b, c, d] in
            [[0, 4, 6, 2], [1, 3, 7, 5], [0, 1, 5, 4], [2, 6, 7, 3], [0, 2, 3, 1], [4, 5, 7, 6]]
        {
            self.faces.push([first + a, first + b, first + c]);
            self.faces.push([first + a, first + c, first + d]);
        }
        self.own.push((center, turn * upright, half, texture));
    }

    /// Whether a box lies between the camera at the origin and a point.
    pub fn hide(&self, point: Vec3) -> bool {
        self.own.iter().any(|(center, axes, half, _)| {
            // In the box's own axes, where the line of sight enters and leaves each pair of sides.
            let (from, way) = (axes.transpose() * -*center, axes.transpose() * point);
            let (a, b) = ((-*half - from) / way, (*half - from) / way);
            let (enters, leaves) = (a.min(b).max_element(), a.max(b).min_element());
            enters < leaves && enters < 1.0 && leaves > 0.0
        })
    }

    /// Point, unit normal towards the camera at the origin, and linear colour at a point of a face.
    pub fn surface(&self, face: usize, w: [f32; 3]) -> (Vec3, Vec3, Vec3) {
        let corners = self.faces[face].map(|v| self.vertices[v as usize]);
        let point = corners[0] * w[0] + corners[1] * w[1] + corners[2] * w[2];
        let mut normal = (corners[1] - corners[0]).cross(corners[2] - corners[0]).normalize_or_zero();
        if normal.dot(point) > 0.0 {
            normal = -normal;
        }
        let (center, axes, _, texture) = &self.own[face / FACES];
        let local = axes.transpose() * (point - *center);
        let facing = (axes.transpose() * normal).abs();
        // Boards and tiles run along the longer side of each face.
        let place = if facing.y > 0.7 {
            Vec2::new(local.z, local.x)
        } else if facing.x > 0.7 {
            Vec2::new(local.z, local.y)
        } else {
            Vec2::new(local.x, local.y)
        };
        (point, normal, texture.colour(place))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::synthetic::stream;

    #[test]
    fn boxes_are_closed_and_wound_outwards() {
        let mut all = Boxes::default();
        let up = Vec3::new(0.1, 1.0, 0.2).normalize();
        let center = Vec3::new(1.0, 2.0, -5.0);
        all.add(
            center,
            Mat3::from_rotation_x(0.3),
            up,
            Vec3::new(0.1, 0.2, 0.3),
            Texture::any(&mut stream(1, 0)),
        );
        let mut volume = 0.0;
        for face in &all.faces {
            let [a, b, c] = face.map(|v| all.vertices[v as usize] - center);
            assert!((b - a).cross(c - a).dot(a) > 0.0);
            volume += a.dot(b.cross(c)) / 6.0;
        }
        assert!((volume - 8.0 * 0.006).abs() < 1e-4);
        assert!(all.hide(center * 1.1) && all.hide(center));
        assert!(!all.hide(center * 0.9) && !all.hide(center * 1.1 + Vec3::X));
    }
}
