//! A photograph of a made-up person, drawn with care: soft shadows, light from all round with what the body hides of
//! it, a lens that blurs the distance. Slower than [`super::SceneMaker`]; made for example pictures.

use glam::{Mat3, Vec2, Vec3};
use rayon::prelude::*;

use super::augment::blur_values;
use super::backdrop::Backdrop;
use super::boxes::Boxes;
use super::stream;
use crate::body::{BodyModel, BodyState};
use crate::formats::picture::Picture;
use crate::geometry::camera::Camera;
use crate::raster::light::{Material, encode};
use crate::raster::passes::interpolate;
use crate::raster::{Culling, Light, Outfit, Raster, SkyVisibility, SoftShadow, vertex_normals, view};
use rand::Rng;
use rand_distr::StandardNormal;

/// Shadow maps of the key light, and its half-angle (radians).
const SHADOWS: usize = 40;
const LAMP: f32 = 0.09;
/// Directions of the light from all round.
const DIRECTIONS: usize = 144;
/// The floor's light is found on a grid of this many points a side and this half-width (metres).
const GRID: usize = 96;
const GRID_HALF: f32 = 2.4;

/// Everything in a photograph, in the camera's space.
#[derive(Clone, Debug)]
pub struct PhotoPlan {
    pub state: BodyState,
    pub outfit: Outfit,
    pub camera: Camera,
    pub light: Light,
    pub backdrop: Backdrop,
    /// The floor's height along `light.up`.
    pub floor: f32,
    pub boxes: Boxes,
    /// Blur of what lies far behind the person, in pixels.
    pub depth_blur: f32,
    pub seed: u64,
}

/// Draws it.
pub fn photograph(model: &BodyModel, plan: &PhotoPlan) -> Picture {
    let mut posed = Default::default();
    model.pose_offset_into(&plan.state, true, &plan.outfit.offsets(model), &mut posed);
    let body_points = posed.vertices.len();
    let body_faces = model.faces.len();
    let normals = vertex_normals(&posed.vertices, &model.faces);

    // One mesh of all that casts shadows.
    let mut vertices = posed.vertices;
    vertices.extend(&plan.boxes.vertices);
    let mut faces = model.faces.clone();
    faces.extend(plan.boxes.faces.iter().map(|f| f.map(|v| v + body_points as u32)));

    let light = &plan.light;
    let shadow = SoftShadow::new(&vertices, &faces, light.key_direction, LAMP, SHADOWS, 640);
    let mut receivers: Vec<(Vec3, Vec3)> =
        vertices[..body_points].iter().copied().zip(normals.iter().copied()).collect();
    let floor = FloorGrid::new(light.up, plan.floor, view::middle(&vertices[..body_points]));
    receivers.extend(floor.points().map(|p| (p, light.up)));
    let ambient = SkyVisibility::light(&receivers, &vertices, &faces, light, DIRECTIONS, 256);
    let (body_ambient, floor_ambient) = ambient.split_at(body_points);

    let (width, height) = (plan.camera.size[0] as usize, plan.camera.size[1] as usize);
    let surroundings = surroundings(plan, &shadow, &floor, floor_ambient);
    let double = view::window(&plan.camera, Vec2::ZERO, 2.0, [2.0 * width as f32, 2.0 * height as f32]);
    let mut raster = Raster::new(2 * width, 2 * height);
    raster.begin(2 * width, 2 * height);
    raster.draw(&vertices, &faces, &double, 0, Culling::Back);

    let dressed = plan.outfit.on(model);
    let shade = |face: usize, w: [f32; 3]| {
        if face >= body_faces {
            let (point, normal, albedo) = plan.boxes.surface(face - body_faces, w);
            let material = Material { albedo, gloss: 0.05, ..Material::matt([0; 3]) };
            let lit = shadow.visible(point + normal * 0.006, 0.012);
            let around = light.ambient(normal) * floor.darkening(point, floor_ambient, light);
            return light.shade(&material, normal, -point.normalize_or_zero(), around, lit);
        }
        let smooth = interpolate(&model.faces, &normals, face, w).normalize_or_zero();
        let point = interpolate(&model.faces, &vertices, face, w);
        let around = interpolate(&model.faces, body_ambient, face, w);
        let (material, bump) = match &dressed {
            Some(dressed) => {
                let surface = dressed.surface(face, w);
                (surface.material, surface.bump)
            }
            None => (Material::skin(plan.outfit.upper.colour), Vec3::ZERO),
        };
        let normal = (smooth + bump).normalize_or_zero();
        let lit = shadow.visible(point + smooth * 0.012, 0.012);
        light.shade(&material, normal, -point.normalize_or_zero(), around, lit)
    };
    let rows: Vec<Vec<u8>> = (0..height)
        .into_par_iter()
        .map(|y| {
            let mut rng = stream(plan.seed, y as u64);
            let mut row = Vec::with_capacity(width * 3);
            for x in 0..width {
                let (mut sum, mut covered) = (Vec3::ZERO, 0.0);
                for sub in 0..4 {
                    let pixel = (2 * y + sub / 2) * 2 * width + 2 * x + sub % 2;
                    if let Some(face) = raster.face(pixel) {
                        // Averaged as the eye sees it, so that bright edges do not grow.
                        sum += Vec3::from(encode(shade(face, raster.weights(pixel))).map(f32::from));
                        covered += 1.0;
                    }
                }
                let behind = Vec3::from(encode(surroundings[y * width + x]).map(f32::from));
                let colour = (sum + behind * (4.0 - covered)) / 4.0;
                let off = Vec2::new(x as f32 / width as f32 - 0.5, y as f32 / height as f32 - 0.5);
                let vignette = 1.0 - 0.22 * off.length_squared();
                let grain: f32 = rng.sample(StandardNormal);
                let value = |v: f32| (v * vignette + 1.1 * grain + 0.5).clamp(0.0, 255.0) as u8;
                row.extend(colour.to_array().map(value));
            }
            row
        })
        .collect();
    Picture::new(width, height, rows.concat())
}

/// Linear colours behind the person, blurred by their distance from it.
fn surroundings(
    plan: &PhotoPlan,
    shadow: &SoftShadow,
    floor: &FloorGrid,
    floor_ambient: &[Vec3],
) -> Vec<Vec3> {
    let (width, height) = (plan.camera.size[0] as usize, plan.camera.size[1] as usize);
    let light = &plan.light;
    let person = -plan.state.transl.z;
    // Four rays a pixel; the second number says how far out of focus.
    let hits: Vec<(Vec3, f32)> = (0..width * height)
        .into_par_iter()
        .map(|pixel| {
            let (x, y) = ((pixel % width) as f32, (pixel / width) as f32);
            let (mut sum, mut far) = (Vec3::ZERO, 0.0);
            for sub in 0..4 {
                let hit = plan.backdrop.hit(
                    &plan.camera,
                    x + 0.25 + 0.5 * (sub % 2) as f32,
                    y + 0.25 + 0.5 * (sub / 2) as f32,
                );
                sum += match hit.surface {
                    Some((point, normal)) => {
                        far += ((1.0 - person / -point.z.min(-0.1)) * 2.2).abs().min(1.0) / 4.0;
                        let material = Material { albedo: hit.colour, ..Material::matt([0; 3]) };
                        let lit = shadow.visible(point + normal * 0.004, 0.006);
                        let around = if normal.dot(light.up) > 0.9 {
                            floor.light(point, floor_ambient, light)
                        } else {
                            light.ambient(normal)
                        };
                        light.shade(&material, normal, -point.normalize_or_zero(), around, lit)
                    }
                    None => {
                        far += 0.25;
                        hit.colour
                    }
                };
            }
            (sum / 4.0, far)
        })
        .collect();
    let mut sharp: Vec<Vec3> = hits.iter().map(|h| h.0).collect();
    if plan.depth_blur > 0.0 {
        // Two strengths of blur, blended by distance.
        let mut soft = sharp.clone();
        blur_values(&mut soft, width, height, 0.5 * plan.depth_blur);
        let mut softest = sharp.clone();
        blur_values(&mut softest, width, height, plan.depth_blur);
        for (i, colour) in sharp.iter_mut().enumerate() {
            let far = hits[i].1;
            *colour = if far < 0.5 {
                colour.lerp(soft[i], 2.0 * far)
            } else {
                soft[i].lerp(softest[i], 2.0 * far - 1.0)
            };
        }
    }
    sharp
}

/// Light from all round on the floor about the person.
struct FloorGrid {
    up: Vec3,
    right: Vec3,
    ahead: Vec3,
    center: Vec3,
}

impl FloorGrid {
    fn new(up: Vec3, height: f32, person: Vec3) -> Self {
        let right = up.cross(Vec3::Z).try_normalize().unwrap_or(Vec3::X);
        Self { up, right, ahead: right.cross(up), center: person + up * (height - person.dot(up)) }
    }

    fn points(&self) -> impl Iterator<Item = Vec3> + '_ {
        let at = |i: usize| (2.0 * i as f32 / (GRID - 1) as f32 - 1.0) * GRID_HALF;
        (0..GRID * GRID).map(move |k| self.center + self.right * at(k % GRID) + self.ahead * at(k / GRID))
    }

    /// The light at a point of the floor.
    fn light(&self, point: Vec3, values: &[Vec3], light: &Light) -> Vec3 {
        let offset = point - self.center;
        let scale = (GRID - 1) as f32 / (2.0 * GRID_HALF);
        let x = (offset.dot(self.right) + GRID_HALF) * scale;
        let y = (offset.dot(self.ahead) + GRID_HALF) * scale;
        let last = (GRID - 1) as f32;
        if !(x >= 0.0 && y >= 0.0 && x < last && y < last) {
            return light.ambient(self.up);
        }
        let (i, j) = (x as usize, y as usize);
        let (fx, fy) = (x - i as f32, y - j as f32);
        let at = |i: usize, j: usize| values[j * GRID + i];
        at(i, j).lerp(at(i + 1, j), fx).lerp(at(i, j + 1).lerp(at(i + 1, j + 1), fx), fy)
    }

    /// How much of the free floor's light arrives under a point: things near the person lie in its shade too.
    fn darkening(&self, point: Vec3, values: &[Vec3], light: &Light) -> f32 {
        let below = self.light(point, values, light).y / light.ambient(self.up).y.max(1e-6);
        0.5 + 0.5 * below.min(1.0)
    }
}

/// A camera `distance` metres from the world's origin at `height` above the floor, looking at `target` there; returns
/// the rotation into its axes and the world's origin in its space.
pub fn stand(height: f32, distance: f32, target: f32) -> (Mat3, Vec3) {
    let pitch = (height - target).atan2(distance);
    let rotation = Mat3::from_rotation_x(pitch);
    (rotation, rotation * Vec3::new(0.0, -height, -distance))
}
