//! The z-buffer: triangles to the nearest face and its barycentric weights at every pixel centre.
//!
//! Coordinates are snapped to 1/256 pixel, so that the top-left fill rule is exact: two triangles that share
//! an edge never both own a pixel of it and never leave a gap. Faces in front win; of equal depths, the first drawn.
//! One file because clipping, snapping and filling hold one fill rule between them.

use glam::Vec3;

use crate::geometry::camera::{Camera, Projection};

/// Parts of a triangle nearer to a perspective camera than this (metres) are cut off.
pub const NEAR: f32 = 0.02;

const SUBPIXEL: f32 = 256.0;
const HALF: i64 = 128;
const EMPTY: u32 = u32::MAX;
/// Beyond this many pixels from the origin the integer edge functions could overflow.
const GUARD: f32 = 2.0e6;

/// Whether faces that turn away from the camera are drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Culling {
    /// Skip them: the same picture for a closed surface wound outwards, in half the time.
    Back,
    None,
}

/// A vertex on the picture.
#[derive(Clone, Copy, Debug, Default)]
struct Corner {
    x: f32,
    y: f32,
    /// Linear on the picture and larger for nearer points: 1/depth (perspective) or −depth.
    key: f32,
}

/// Reusable buffers of one size; [`Raster::render`] fills them.
#[derive(Clone, Debug)]
pub struct Raster {
    width: usize,
    height: usize,
    perspective: bool,
    face: Vec<u32>,
    weights: Vec<[f32; 2]>,
    key: Vec<f32>,
    corners: Vec<Corner>,
}

impl Raster {
    pub fn new(width: usize, height: usize) -> Self {
        let mut raster = Self {
            width: 0,
            height: 0,
            perspective: true,
            face: Vec::new(),
            weights: Vec::new(),
            key: Vec::new(),
            corners: Vec::new(),
        };
        raster.begin(width, height);
        raster
    }

    pub fn width(&self) -> usize {
        self.width
    }

    pub fn height(&self) -> usize {
        self.height
    }

    /// Pixels, `width * height`; the index of pixel (x, y) is `y * width + x`.
    pub fn pixels(&self) -> usize {
        self.width * self.height
    }

    /// Empties the buffers and gives them this size.
    pub fn begin(&mut self, width: usize, height: usize) {
        let pixels = width * height;
        self.width = width;
        self.height = height;
        self.face.clear();
        self.face.resize(pixels, EMPTY);
        self.key.clear();
        self.key.resize(pixels, f32::NEG_INFINITY);
        self.weights.resize(pixels, [0.0; 2]);
    }

    /// Empties the buffers and draws one mesh, back faces skipped.
    pub fn render(&mut self, vertices: &[Vec3], faces: &[[u32; 3]], camera: &Camera) {
        self.begin(self.width, self.height);
        self.draw(vertices, faces, camera, 0, Culling::Back);
    }

    /// Draws one more mesh over what is there (all meshes of one picture need the same kind of camera).
    /// Its faces are numbered from `first_face`. Faces with a vertex number out of range are skipped.
    pub fn draw(
        &mut self,
        vertices: &[Vec3],
        faces: &[[u32; 3]],
        camera: &Camera,
        first_face: u32,
        culling: Culling,
    ) {
        let mut corners = std::mem::take(&mut self.corners);
        corners.clear();
        self.perspective = matches!(camera.projection, Projection::Perspective { .. });
        corners.extend(vertices.iter().map(|&v| project(v, &camera.projection)));
        for (number, face) in faces.iter().enumerate() {
            let (Some(&a), Some(&b), Some(&c)) =
                (corners.get(face[0] as usize), corners.get(face[1] as usize), corners.get(face[2] as usize))
            else {
                continue;
            };
            let id = first_face + number as u32;
            // A key of NaN marks a point nearer than NEAR.
            let cut = a.key.is_nan() as u8 + b.key.is_nan() as u8 + c.key.is_nan() as u8;
            match cut {
                0 => self.triangle([a, b, c], id, culling, None),
                3 => {}
                _ => {
                    let points = face.map(|v| vertices[v as usize]);
                    self.clipped(points, &camera.projection, id, culling);
                }
            }
        }
        self.corners = corners;
    }

    /// The face at a pixel, if any.
    pub fn face(&self, pixel: usize) -> Option<usize> {
        match self.face[pixel] {
            EMPTY => None,
            face => Some(face as usize),
        }
    }

    /// Face numbers of all pixels, `u32::MAX` where empty.
    pub fn faces(&self) -> &[u32] {
        &self.face
    }

    /// Barycentric weights (perspective-correct) of the face's three vertices at a covered pixel.
    pub fn weights(&self, pixel: usize) -> [f32; 3] {
        let [b, c] = self.weights[pixel];
        [1.0 - b - c, b, c]
    }

    /// Distance along the viewing direction in metres; infinite where empty.
    pub fn depth(&self, pixel: usize) -> f32 {
        let key = self.key[pixel];
        if key == f32::NEG_INFINITY {
            f32::INFINITY
        } else if self.perspective {
            1.0 / key
        } else {
            -key
        }
    }

    /// Cuts a triangle at the near plane and draws the one or two that remain.
    fn clipped(&mut self, points: [Vec3; 3], projection: &Projection, id: u32, culling: Culling) {
        let unit = [Vec3::X, Vec3::Y, Vec3::Z];
        let mut polygon: [(Vec3, Vec3); 4] = [(Vec3::ZERO, Vec3::ZERO); 4];
        let mut count = 0;
        for i in 0..3 {
            let j = (i + 1) % 3;
            let (here, next) = (-points[i].z - NEAR, -points[j].z - NEAR);
            if here > 0.0 {
                polygon[count] = (points[i], unit[i]);
                count += 1;
            }
            if (here > 0.0) != (next > 0.0) {
                let t = here / (here - next);
                let mut point = points[i].lerp(points[j], t);
                // Exactly on the plane, a shade behind it, so that projecting accepts it.
                point.z = -NEAR * 1.0001;
                polygon[count] = (point, unit[i].lerp(unit[j], t));
                count += 1;
            }
        }
        for k in 2..count {
            let parts = [polygon[0], polygon[k - 1], polygon[k]];
            let corners = parts.map(|(p, _)| project(p, projection));
            if corners.iter().all(|c| !c.key.is_nan()) {
                self.triangle(corners, id, culling, Some(parts.map(|(_, w)| w)));
            }
        }
    }

    /// Draws one projected triangle. `original`: the weights of its corners in the face it was cut from.
    fn triangle(&mut self, corners: [Corner; 3], id: u32, culling: Culling, original: Option<[Vec3; 3]>) {
        let [a, b, c] = corners;
        let low_x = a.x.min(b.x).min(c.x);
        let high_x = a.x.max(b.x).max(c.x);
        let low_y = a.y.min(b.y).min(c.y);
        let high_y = a.y.max(b.y).max(c.y);
        // Also refuses NaN.
        if !(high_x > 0.0
            && high_y > 0.0
            && low_x < self.width as f32
            && low_y < self.height as f32
            && low_x > -GUARD
            && low_y > -GUARD
            && high_x < GUARD
            && high_y < GUARD)
        {
            return;
        }
        let snap = |v: f32| (v * SUBPIXEL).round_ties_even() as i64;
        let (ax, ay) = (snap(a.x), snap(a.y));
        let (mut bx, mut by) = (snap(b.x), snap(b.y));
        let (mut cx, mut cy) = (snap(c.x), snap(c.y));
        let mut area = (bx - ax) * (cy - ay) - (cx - ax) * (by - ay);
        // Wound counter-clockwise in space is clockwise-negative here, because rows count downwards.
        let front = area < 0;
        if area == 0 || (!front && culling == Culling::Back) {
            return;
        }
        if front {
            std::mem::swap(&mut bx, &mut cx);
            std::mem::swap(&mut by, &mut cy);
            area = -area;
        }
        let first = |low: i64| (low - HALF + 255).div_euclid(256).max(0);
        let x0 = first(ax.min(bx).min(cx));
        let y0 = first(ay.min(by).min(cy));
        let x1 = (ax.max(bx).max(cx) - HALF).div_euclid(256).min(self.width as i64 - 1);
        let y1 = (ay.max(by).max(cy) - HALF).div_euclid(256).min(self.height as i64 - 1);
        if x0 > x1 || y0 > y1 {
            return;
        }
        // Edge k runs opposite corner k; inside is where all three are >= 0 after the rule's bias.
        let edge = |px: i64, py: i64, qx: i64, qy: i64| {
            let (dx, dy) = (qx - px, qy - py);
            let owns = dy < 0 || (dy == 0 && dx > 0);
            let at = dx * (y0 * 256 + HALF - py) - dy * (x0 * 256 + HALF - px);
            (at - i64::from(!owns), -dy * 256, dx * 256)
        };
        let (mut ea, ea_x, ea_y) = edge(bx, by, cx, cy);
        let (mut eb, eb_x, eb_y) = edge(cx, cy, ax, ay);
        let (mut ec, ec_x, ec_y) = edge(ax, ay, bx, by);
        let scale = 1.0 / area as f32;
        let (key_b, key_c) = if front { (c.key, b.key) } else { (b.key, c.key) };
        let (slope_b, slope_c) = (key_b - a.key, key_c - a.key);
        for y in y0..=y1 {
            let (mut wa, mut wb, mut wc) = (ea, eb, ec);
            let row = y as usize * self.width;
            for x in x0..=x1 {
                if (wa | wb | wc) >= 0 {
                    let (sb, sc) = (wb as f32 * scale, wc as f32 * scale);
                    let key = a.key + sb * slope_b + sc * slope_c;
                    let pixel = row + x as usize;
                    if key > self.key[pixel] {
                        let (mut fb, mut fc) = (sb, sc);
                        if self.perspective {
                            fb *= key_b / key;
                            fc *= key_c / key;
                        }
                        if front {
                            std::mem::swap(&mut fb, &mut fc);
                        }
                        if let Some([pa, pb, pc]) = original {
                            let w = pa * (1.0 - fb - fc) + pb * fb + pc * fc;
                            (fb, fc) = (w.y, w.z);
                        }
                        self.key[pixel] = key;
                        self.face[pixel] = id;
                        self.weights[pixel] = [fb, fc];
                    }
                }
                wa += ea_x;
                wb += eb_x;
                wc += ec_x;
            }
            ea += ea_y;
            eb += eb_y;
            ec += ec_y;
        }
    }
}

fn project(point: Vec3, projection: &Projection) -> Corner {
    match *projection {
        Projection::Perspective { focal_px, principal_px } => {
            let depth = -point.z;
            if depth > NEAR {
                let key = 1.0 / depth;
                Corner {
                    x: principal_px[0] + focal_px * point.x * key,
                    y: principal_px[1] - focal_px * point.y * key,
                    key,
                }
            } else {
                Corner { x: 0.0, y: 0.0, key: f32::NAN }
            }
        }
        Projection::WeakPerspective { scale_px, origin_px } => Corner {
            x: origin_px[0] + scale_px * point.x,
            y: origin_px[1] - scale_px * point.y,
            key: point.z,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn perspective(size: f32, focal_px: f32) -> Camera {
        Camera {
            projection: Projection::Perspective { focal_px, principal_px: [size / 2.0; 2] },
            size: [size; 2],
        }
    }

    /// A sphere of latitude and longitude triangles, wound outwards.
    fn sphere(center: Vec3, radius: f32, rings: u32) -> (Vec<Vec3>, Vec<[u32; 3]>) {
        let columns = 2 * rings;
        let mut vertices = Vec::new();
        for i in 0..=rings {
            let polar = std::f32::consts::PI * i as f32 / rings as f32;
            for j in 0..columns {
                let around = std::f32::consts::TAU * j as f32 / columns as f32;
                let direction =
                    Vec3::new(polar.sin() * around.cos(), polar.cos(), -polar.sin() * around.sin());
                vertices.push(center + radius * direction);
            }
        }
        let mut faces = Vec::new();
        for i in 0..rings {
            for j in 0..columns {
                let k = (j + 1) % columns;
                let (a, b) = (i * columns + j, i * columns + k);
                let (c, d) = (a + columns, b + columns);
                faces.push([a, c, b]);
                faces.push([b, c, d]);
            }
        }
        (vertices, faces)
    }

    #[test]
    fn depth_of_a_sphere_follows_the_formula() {
        let (center, radius) = (Vec3::new(0.1, -0.05, -4.0), 1.0);
        let (vertices, faces) = sphere(center, radius, 128);
        let camera = perspective(128.0, 160.0);
        let mut raster = Raster::new(128, 128);
        raster.render(&vertices, &faces, &camera);
        let mut both = 0;
        for pixel in 0..raster.pixels() {
            let (x, y) = ((pixel % 128) as f32 + 0.5, (pixel / 128) as f32 + 0.5);
            let ray = Vec3::new((x - 64.0) / 160.0, -(y - 64.0) / 160.0, -1.0);
            let (a, b) = (ray.length_squared(), ray.dot(center));
            let inside = b * b - a * (center.length_squared() - radius * radius);
            let covered = raster.face(pixel).is_some();
            if inside > 0.05 {
                assert!(covered, "pixel {x} {y}");
                let depth = (b - inside.sqrt()) / a;
                assert!((raster.depth(pixel) - depth).abs() < 4e-3, "{} {depth}", raster.depth(pixel));
                both += 1;
            } else if inside < -0.05 {
                assert!(!covered, "pixel {x} {y}");
            }
        }
        assert!(both > 3000);
    }

    #[test]
    fn weights_on_a_slanted_plane_are_perspective_correct() {
        let vertices = [Vec3::new(-1.0, -1.0, -2.0), Vec3::new(1.5, -1.0, -6.0), Vec3::new(-0.5, 1.2, -3.0)];
        let mut raster = Raster::new(96, 96);
        raster.render(&vertices, &[[0, 1, 2]], &perspective(96.0, 90.0));
        let mut seen = 0;
        for pixel in 0..raster.pixels() {
            if raster.face(pixel).is_some() {
                let w = raster.weights(pixel);
                let point = vertices[0] * w[0] + vertices[1] * w[1] + vertices[2] * w[2];
                let (x, y) = ((pixel % 96) as f32 + 0.5, (pixel / 96) as f32 + 0.5);
                let back = [48.0 + 90.0 * point.x / -point.z, 48.0 - 90.0 * point.y / -point.z];
                assert!((back[0] - x).abs() < 0.02 && (back[1] - y).abs() < 0.02);
                assert!((raster.depth(pixel) + point.z).abs() < 1e-3);
                seen += 1;
            }
        }
        assert!(seen > 500);
    }

    #[test]
    fn shared_edges_leave_no_gap_and_no_overlap() {
        // A fan of thin triangles tiles a square: with faces drawn one at a time, every pixel has one owner.
        let mut vertices = vec![Vec3::new(0.013, 0.027, -1.0)];
        let rim = 64;
        for i in 0..rim {
            let t = 4.0 * i as f32 / rim as f32;
            let (side, along) = (t as usize % 4, t.fract() * 2.0 - 1.0);
            let (x, y) = [(along, -1.0), (1.0, along), (-along, 1.0), (-1.0, -along)][side];
            vertices.push(Vec3::new(x, y, -1.0));
        }
        let faces: Vec<[u32; 3]> = (0..rim).map(|i| [0, 1 + i, 1 + (i + 1) % rim]).collect();
        let camera = perspective(64.0, 32.0);
        let mut owners = vec![0; 64 * 64];
        let mut raster = Raster::new(64, 64);
        for face in &faces {
            raster.render(&vertices, std::slice::from_ref(face), &camera);
            for (pixel, count) in owners.iter_mut().enumerate() {
                *count += usize::from(raster.face(pixel).is_some());
            }
        }
        assert!(owners.iter().all(|&count| count == 1));
    }

    #[test]
    fn a_triangle_through_the_camera_is_cut_not_mirrored() {
        // The floor below the camera, from behind it to far ahead: only the lower half of the picture.
        let vertices =
            [Vec3::new(-50.0, -1.0, 20.0), Vec3::new(50.0, -1.0, 20.0), Vec3::new(0.0, -1.0, -200.0)];
        let mut raster = Raster::new(64, 64);
        raster.begin(64, 64);
        raster.draw(&vertices, &[[0, 1, 2]], &perspective(64.0, 50.0), 0, Culling::Back);
        for pixel in 0..raster.pixels() {
            let row = pixel / 64;
            let covered = raster.face(pixel).is_some();
            if row < 31 {
                assert!(!covered);
            }
            if row > 40 && (16..48).contains(&(pixel % 64)) {
                assert!(covered);
                let expected = 50.0 / (row as f32 + 0.5 - 32.0);
                assert!((raster.depth(pixel) - expected).abs() < 0.02 * expected);
            }
        }
    }

    #[test]
    fn nonsense_is_skipped() {
        let vertices = [Vec3::NAN, Vec3::new(1.0, 0.0, -1.0), Vec3::new(f32::INFINITY, 1.0, -1.0)];
        let mut raster = Raster::new(16, 16);
        raster.begin(16, 16);
        raster.draw(
            &vertices,
            &[[0, 1, 2], [0, 1, 9], [1, 1, 1]],
            &perspective(16.0, 16.0),
            0,
            Culling::None,
        );
        assert!((0..256).all(|pixel| raster.face(pixel).is_none()));
        raster.render(&[], &[], &perspective(16.0, 16.0));
        assert_eq!(raster.depth(0), f32::INFINITY);
    }
}
