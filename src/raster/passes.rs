//! Label and geometry maps read off a filled [`Raster`], row-major, one value a pixel.

use glam::{Vec2, Vec3};

use super::Raster;

impl Raster {
    /// 255 where something was drawn, else 0.
    pub fn silhouette(&self) -> Vec<u8> {
        self.map(0, |_, _| 255)
    }

    /// The label of the face at each pixel (`part24_face`, `joint_face`, …); 0 where empty or unlabelled.
    pub fn labels(&self, of_face: &[u8]) -> Vec<u8> {
        self.map(0, |face, _| of_face.get(face).copied().unwrap_or(0))
    }

    /// Part, U and V at each pixel; U and V in 0..1 by the faces' texture corners; zeros where empty.
    pub fn iuv(&self, part_of_face: &[u8], uv: &[Vec2], uv_faces: &[[u32; 3]]) -> Vec<[f32; 3]> {
        self.map([0.0; 3], |face, w| {
            let (Some(&part), Some(corners)) = (part_of_face.get(face), uv_faces.get(face)) else {
                return [0.0; 3];
            };
            let mut place = Vec2::ZERO;
            for (corner, weight) in corners.iter().zip(w) {
                place += weight * uv.get(*corner as usize).copied().unwrap_or(Vec2::ZERO);
            }
            [f32::from(part), place.x, place.y]
        })
    }

    /// Unit normals, interpolated from the vertices'; zero where empty.
    pub fn normal_map(&self, faces: &[[u32; 3]], normals: &[Vec3]) -> Vec<Vec3> {
        self.map(Vec3::ZERO, |face, w| interpolate(faces, normals, face, w).normalize_or_zero())
    }

    /// Distance along the viewing direction in metres; infinite where empty.
    pub fn depth_map(&self) -> Vec<f32> {
        (0..self.pixels()).map(|pixel| self.depth(pixel)).collect()
    }

    /// `of(face, weights)` at every covered pixel, `empty` elsewhere.
    pub fn map<T: Copy>(&self, empty: T, mut of: impl FnMut(usize, [f32; 3]) -> T) -> Vec<T> {
        (0..self.pixels())
            .map(|pixel| self.face(pixel).map_or(empty, |face| of(face, self.weights(pixel))))
            .collect()
    }
}

/// A vertex value at a point of a face.
pub fn interpolate(faces: &[[u32; 3]], values: &[Vec3], face: usize, weights: [f32; 3]) -> Vec3 {
    let [a, b, c] = faces[face];
    values[a as usize] * weights[0] + values[b as usize] * weights[1] + values[c as usize] * weights[2]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::camera::{Camera, Projection};

    #[test]
    fn maps_of_one_square() {
        let vertices = [
            Vec3::new(-1.0, -1.0, -2.0),
            Vec3::new(1.0, -1.0, -2.0),
            Vec3::new(1.0, 1.0, -2.0),
            Vec3::new(-1.0, 1.0, -2.0),
        ];
        let faces = [[0, 1, 2], [0, 2, 3]];
        let camera = Camera {
            projection: Projection::WeakPerspective { scale_px: 4.0, origin_px: [8.0, 8.0] },
            size: [16.0; 2],
        };
        let mut raster = Raster::new(16, 16);
        raster.render(&vertices, &faces, &camera);
        assert_eq!(raster.silhouette().iter().filter(|&&v| v == 255).count(), 64);
        let labels = raster.labels(&[3, 7]);
        assert_eq!(labels[11 * 16 + 11], 3);
        assert_eq!(labels[4 * 16 + 4], 7);
        assert_eq!(labels[0], 0);
        let uv = [Vec2::new(0.0, 0.0), Vec2::new(1.0, 0.0), Vec2::new(1.0, 1.0), Vec2::new(0.0, 1.0)];
        let iuv = raster.iuv(&[3, 7], &uv, &faces);
        let [part, u, v] = iuv[9 * 16 + 10];
        assert_eq!(part, 3.0);
        assert!((u - 6.5 / 8.0).abs() < 1e-5 && (v - 2.5 / 8.0).abs() < 1e-5);
        assert_eq!(raster.depth_map()[8 * 16 + 8], 2.0);
        let normals = [Vec3::Z; 4];
        assert!((raster.normal_map(&faces, &normals)[8 * 16 + 8] - Vec3::Z).length() < 1e-6);
    }

    #[test]
    fn a_body_fills_its_silhouette_with_its_parts() {
        let model = crate::body::BodyModel::default_body().unwrap();
        let extras = model.extras.as_ref().unwrap();
        let mut state = model.rest_state();
        state.transl = Vec3::new(0.0, 0.3, -3.0);
        let posed = model.pose(&state, true);
        let camera = Camera {
            projection: Projection::Perspective { focal_px: 370.0, principal_px: [128.0; 2] },
            size: [256.0; 2],
        };
        let mut raster = Raster::new(256, 256);
        raster.render(&posed.vertices, &model.faces, &camera);
        let silhouette = raster.silhouette();
        let outside = posed.vertices.iter().filter(|vertex| {
            let place = camera.project(**vertex).unwrap();
            // The outline runs through pixels: one of the four around must be covered.
            let near = [(-0.5, -0.5), (0.5, -0.5), (-0.5, 0.5), (0.5, 0.5)]
                .map(|(dx, dy)| (place.y + dy) as usize * 256 + (place.x + dx) as usize);
            near.iter().all(|&pixel| silhouette[pixel] == 0)
        });
        // Fingers are thinner than a pixel here.
        assert!(outside.count() * 100 < posed.vertices.len());
        let labels = raster.labels(&extras.part24_face);
        assert!(silhouette.iter().zip(&labels).all(|(s, l)| (*s == 255) == (1..=24).contains(l)));
        // Seen from the front; the body's left is the picture's right.
        let coco = model.coco17(&posed.vertices);
        let part_at = |k: usize| {
            let place = camera.project(coco[k]).unwrap();
            labels[place.y as usize * 256 + place.x as usize]
        };
        assert!([4, 19, 21].contains(&part_at(9)) && [3, 20, 22].contains(&part_at(10)));
        assert!([10, 14].contains(&part_at(13)) && [9, 13].contains(&part_at(14)));
        let middle = camera.project(posed.joints[9]).unwrap();
        assert_eq!(labels[middle.y as usize * 256 + middle.x as usize], 2);
        let back_faces = crate::raster::Culling::None;
        let mut both = Raster::new(256, 256);
        both.draw(&posed.vertices, &model.faces, &camera, 0, back_faces);
        assert_eq!(both.silhouette(), silhouette);
    }
}
