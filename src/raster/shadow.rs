//! What stands in the light: shadow maps of the key light, and how much of sky and ground each point sees.
//! Both are depth pictures from the light's side, made with the same z-buffer.

use glam::{Mat3, Vec3};
use rayon::prelude::*;

use super::light::Light;
use super::{Culling, Raster, view};
use crate::geometry::camera::{Camera, Projection};

/// Directions worked on together.
const BUNCH: usize = 16;

/// Depth of the nearest surface towards one distant light.
#[derive(Clone, Debug)]
pub struct ShadowMap {
    /// Turns space so that the light shines along −z.
    rotation: Mat3,
    scale: f32,
    origin: [f32; 2],
    size: usize,
    /// Greatest z (in the turned space) at each pixel; −∞ where the light passes.
    height: Vec<f32>,
}

impl ShadowMap {
    /// Looks from `direction` (unit vector towards the light) at the mesh with `size`² pixels.
    pub fn new(vertices: &[Vec3], faces: &[[u32; 3]], direction: Vec3, size: usize) -> Self {
        let mut raster = Raster::new(size, size);
        let mut turned = Vec::new();
        Self::with_buffers(vertices, faces, direction, &mut raster, &mut turned, Culling::None)
    }

    fn with_buffers(
        vertices: &[Vec3],
        faces: &[[u32; 3]],
        direction: Vec3,
        raster: &mut Raster,
        turned: &mut Vec<Vec3>,
        culling: Culling,
    ) -> Self {
        let size = raster.width();
        let side = direction.any_orthonormal_vector();
        let rotation = Mat3::from_cols(side, direction.cross(side), direction).transpose();
        turned.clear();
        turned.extend(vertices.iter().map(|&v| rotation * v));
        let camera = view::fitting(turned, size, size, 2.0 / size as f32);
        raster.begin(size, size);
        raster.draw(turned, faces, &camera, 0, culling);
        let Camera { projection: Projection::WeakPerspective { scale_px, origin_px }, .. } = camera else {
            unreachable!("fitting cameras are weak-perspective")
        };
        let height = (0..raster.pixels()).map(|pixel| -raster.depth(pixel)).collect();
        Self { rotation, scale: scale_px, origin: origin_px, size, height }
    }

    /// Share of the light that reaches `point`: 0 or 1, smoothed over two pixels. `bias` in metres.
    pub fn visible(&self, point: Vec3, bias: f32) -> f32 {
        let p = self.rotation * point;
        let x = self.origin[0] + self.scale * p.x - 0.5;
        let y = self.origin[1] - self.scale * p.y - 0.5;
        let (left, top) = (x.floor(), y.floor());
        let (fx, fy) = (x - left, y - top);
        let lit = |dx: i64, dy: i64| {
            let (i, j) = (left as i64 + dx, top as i64 + dy);
            let inside = i >= 0 && j >= 0 && (i as usize) < self.size && (j as usize) < self.size;
            let blocked = inside && self.height[j as usize * self.size + i as usize] > p.z + bias;
            if blocked { 0.0 } else { 1.0 }
        };
        let upper = lit(0, 0) * (1.0 - fx) + lit(1, 0) * fx;
        let lower = lit(0, 1) * (1.0 - fx) + lit(1, 1) * fx;
        upper * (1.0 - fy) + lower * fy
    }
}

/// The shadow of a light with an area: several shadow maps from within a cone.
#[derive(Clone, Debug)]
pub struct SoftShadow {
    maps: Vec<ShadowMap>,
}

impl SoftShadow {
    /// `count` directions within `half_angle` (radians) about `direction`.
    pub fn new(
        vertices: &[Vec3],
        faces: &[[u32; 3]],
        direction: Vec3,
        half_angle: f32,
        count: usize,
        size: usize,
    ) -> Self {
        let side = direction.any_orthonormal_vector();
        let other = direction.cross(side);
        let mut raster = Raster::new(size, size);
        let mut turned = Vec::new();
        let maps = (0..count)
            .map(|i| {
                // A sunflower on the disc.
                let radius = ((i as f32 + 0.5) / count as f32).sqrt() * half_angle.tan();
                let (sin, cos) = (i as f32 * 2.399_963_2).sin_cos();
                let jittered = (direction + (side * cos + other * sin) * radius).normalize();
                ShadowMap::with_buffers(vertices, faces, jittered, &mut raster, &mut turned, Culling::None)
            })
            .collect();
        Self { maps }
    }

    /// Share of the light that reaches `point`, 0..1.
    pub fn visible(&self, point: Vec3, bias: f32) -> f32 {
        if self.maps.is_empty() {
            return 1.0;
        }
        self.maps.iter().map(|map| map.visible(point, bias)).sum::<f32>() / self.maps.len() as f32
    }
}

/// Light from sky and ground at points, with what the mesh hides of it.
pub struct SkyVisibility;

impl SkyVisibility {
    /// Linear light at each receiver (point and unit normal) from `directions` directions all round, the triangles of
    /// the closed, outward-wound mesh blocking them. 24 directions are enough for a body, 100 for a floor.
    pub fn light(
        receivers: &[(Vec3, Vec3)],
        vertices: &[Vec3],
        faces: &[[u32; 3]],
        light: &Light,
        directions: usize,
        size: usize,
    ) -> Vec<Vec3> {
        let mut sums = vec![(Vec3::ZERO, 0.0f32); receivers.len()];
        // Sums are taken in the order of the directions, whatever the threads.
        for first in (0..directions).step_by(BUNCH) {
            let bunch: Vec<(Vec3, ShadowMap)> = (first..directions.min(first + BUNCH))
                .into_par_iter()
                .map_init(
                    || (Raster::new(size, size), Vec::new()),
                    |(raster, turned), i| {
                        // A Fibonacci sphere.
                        let z = 1.0 - (2 * i + 1) as f32 / directions as f32;
                        let (sin, cos) = (i as f32 * 2.399_963_2).sin_cos();
                        let ring = (1.0 - z * z).sqrt();
                        let direction = Vec3::new(ring * cos, z, ring * sin);
                        let map = ShadowMap::with_buffers(
                            vertices,
                            faces,
                            direction,
                            raster,
                            turned,
                            Culling::Back,
                        );
                        (direction, map)
                    },
                )
                .collect();
            sums.par_iter_mut().zip(receivers).for_each(|((sum, weight), (point, normal))| {
                for (direction, map) in &bunch {
                    let cosine = normal.dot(*direction);
                    if cosine > 0.0 {
                        *weight += cosine;
                        let visible = map.visible(*point + *normal * 0.008, 0.006);
                        *sum += light.ambient(*direction) * (cosine * visible);
                    }
                }
            });
        }
        receivers
            .iter()
            .zip(sums)
            .map(
                |((_, normal), (sum, weight))| {
                    if weight > 0.0 { sum / weight } else { light.ambient(*normal) }
                },
            )
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A square roof of half-width 1 at height 1.
    fn roof() -> (Vec<Vec3>, Vec<[u32; 3]>) {
        let v = |x: f32, z: f32| Vec3::new(x, 1.0, z);
        let faces = vec![[0, 1, 2], [0, 2, 3], [2, 1, 0], [3, 2, 0]];
        (vec![v(-1.0, -1.0), v(1.0, -1.0), v(1.0, 1.0), v(-1.0, 1.0)], faces)
    }

    #[test]
    fn below_a_roof_is_shadow() {
        let (vertices, faces) = roof();
        let map = ShadowMap::new(&vertices, &faces, Vec3::Y, 64);
        assert_eq!(map.visible(Vec3::ZERO, 0.01), 0.0);
        assert_eq!(map.visible(Vec3::new(1.5, 0.0, 0.0), 0.01), 1.0);
        assert_eq!(map.visible(Vec3::new(0.0, 2.0, 0.0), 0.01), 1.0);
        let soft = SoftShadow::new(&vertices, &faces, Vec3::Y, 0.2, 32, 128);
        let edge = soft.visible(Vec3::new(1.0, 0.0, 0.0), 0.01);
        assert!(edge > 0.3 && edge < 0.7, "{edge}");
    }

    #[test]
    fn a_roof_hides_the_sky() {
        let (vertices, faces) = roof();
        let light = Light::default();
        let receivers = [(Vec3::ZERO, Vec3::Y), (Vec3::new(6.0, 0.0, 0.0), Vec3::Y)];
        let seen = SkyVisibility::light(&receivers, &vertices, &faces, &light, 200, 64);
        // A square of half-width 1 at height 1 hides 55 % of the cosine-weighted sky.
        assert!(seen[0].y < 0.55 * seen[1].y, "{seen:?}");
        assert!((seen[1].y / light.ambient(Vec3::Y).y) > 0.75);
    }
}
