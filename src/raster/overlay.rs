//! Meshes drawn over pictures: antialiased by supersampling, softly lit. Used by figures and by results' pictures.

use std::sync::Arc;

use glam::{Vec2, Vec3};
use rayon::prelude::*;

use super::light::{Light, Material, encode};
use super::outfit::{Dressed, Outfit, Surface};
use super::passes::interpolate;
use super::{Culling, Raster, SkyVisibility, vertex_normals, view};
use crate::body::BodyModel;
use crate::formats::picture::Picture;
use crate::geometry::camera::{Camera, Projection};

/// Raster pixels held at once; a larger drawing is made in bands.
const BAND_PIXELS: usize = 2_000_000;
const SUPERSAMPLING: usize = 2;
/// Sub-pixels whose depths differ by less than this (metres) show one surface.
const ONE_SURFACE: f32 = 0.015;

/// A triangle mesh in the space of the camera that draws it.
#[derive(Clone, Copy, Debug)]
pub struct Mesh<'a> {
    pub vertices: &'a [Vec3],
    pub faces: &'a [[u32; 3]],
}

/// The colour of a mesh.
#[derive(Clone, Debug)]
pub enum Paint {
    /// One sRGB colour.
    Plain([u8; 3]),
    /// An sRGB colour a vertex.
    PerVertex(Vec<[u8; 3]>),
    /// A linear material a vertex.
    Materials(Vec<Material>),
    /// Clothes, skin and hair; for bodies that have masks. Others are drawn in the upper garment's colour.
    Dressed(Box<Outfit>),
}

#[derive(Clone, Debug)]
pub struct MeshStyle {
    pub paint: Paint,
    /// 0..1; the picture below shows through what is less than 1.
    pub opacity: f32,
    pub light: Light,
    /// Directions for the darkening of hollows; 0 switches it off (faster).
    pub occlusion_directions: usize,
}

impl Default for MeshStyle {
    fn default() -> Self {
        Self {
            paint: Paint::Plain([166, 178, 196]),
            opacity: 1.0,
            light: Light::default(),
            occlusion_directions: 16,
        }
    }
}

impl MeshStyle {
    pub fn plain(rgb: [u8; 3]) -> Self {
        Self { paint: Paint::Plain(rgb), ..Self::default() }
    }

    pub fn per_vertex(colours: Vec<[u8; 3]>) -> Self {
        Self { paint: Paint::PerVertex(colours), ..Self::default() }
    }

    /// Dressed as the program draws bodies by default.
    pub fn dressed() -> Self {
        Self { paint: Paint::Dressed(Box::default()), ..Self::default() }
    }
}

/// Draws a posed body over a picture. `camera` is the picture's; where `camera.size` differs from the picture's, the
/// camera is scaled to it.
pub fn draw_body(
    picture: &mut Picture,
    model: &BodyModel,
    vertices: &[Vec3],
    camera: &Camera,
    style: &MeshStyle,
) {
    let mesh = Mesh { vertices, faces: &model.faces };
    match &style.paint {
        Paint::Dressed(outfit) => draw(picture, mesh, camera, style, outfit.on(model)),
        _ => draw(picture, mesh, camera, style, None),
    }
}

/// As [`draw_body`] for any mesh.
pub fn draw_mesh(picture: &mut Picture, mesh: Mesh, camera: &Camera, style: &MeshStyle) {
    draw(picture, mesh, camera, style, None);
}

fn draw(picture: &mut Picture, mesh: Mesh, camera: &Camera, style: &MeshStyle, dressed: Option<Dressed>) {
    let normals = vertex_normals(mesh.vertices, mesh.faces);
    let ambient: Vec<Vec3> = if style.occlusion_directions == 0 {
        normals.iter().map(|&n| style.light.ambient(n)).collect()
    } else {
        let receivers: Vec<_> = mesh.vertices.iter().copied().zip(normals.iter().copied()).collect();
        SkyVisibility::light(
            &receivers,
            mesh.vertices,
            mesh.faces,
            &style.light,
            style.occlusion_directions,
            96,
        )
    };
    let plain = match &style.paint {
        Paint::Plain(rgb) => vec![Material::matt(*rgb); mesh.vertices.len()],
        Paint::PerVertex(colours) => {
            let colour = |i: usize| colours.get(i).copied().unwrap_or([128; 3]);
            (0..mesh.vertices.len()).map(|i| Material::matt(colour(i))).collect()
        }
        Paint::Materials(materials) => {
            let missing = Material::matt([128; 3]);
            (0..mesh.vertices.len()).map(|i| materials.get(i).copied().unwrap_or(missing)).collect()
        }
        Paint::Dressed(_) if dressed.is_some() => Vec::new(),
        Paint::Dressed(outfit) => vec![Material::matt(outfit.upper.colour); mesh.vertices.len()],
    };
    let perspective = matches!(camera.projection, Projection::Perspective { .. });
    composite(picture, mesh, camera, style.opacity, |face, w| {
        let normal = interpolate(mesh.faces, &normals, face, w).normalize_or_zero();
        let point = interpolate(mesh.faces, mesh.vertices, face, w);
        let view = if perspective { (-point).normalize_or_zero() } else { Vec3::Z };
        let light = interpolate(mesh.faces, &ambient, face, w);
        let surface = match &dressed {
            Some(dressed) => dressed.surface(face, w),
            None => Surface { material: blend(&plain, mesh.faces[face], w), bump: Vec3::ZERO },
        };
        // Folds would flicker at the size of an overlay: half of their strength is enough.
        let normal = (normal + surface.bump * 0.4).normalize_or_zero();
        style.light.shade(&surface.material, normal, view, light, 1.0)
    });
}

/// The mean of three vertices' materials.
fn blend(materials: &[Material], face: [u32; 3], w: [f32; 3]) -> Material {
    let [a, b, c] = face.map(|v| &materials[v as usize]);
    Material {
        albedo: a.albedo * w[0] + b.albedo * w[1] + c.albedo * w[2],
        gloss: a.gloss * w[0] + b.gloss * w[1] + c.gloss * w[2],
        shininess: a.shininess * w[0] + b.shininess * w[1] + c.shininess * w[2],
        wrap: a.wrap * w[0] + b.wrap * w[1] + c.wrap * w[2],
    }
}

/// Draws a mesh over a picture, antialiased, the linear colour of a point of a face being `shade(face, weights)`.
pub fn composite(
    picture: &mut Picture,
    mesh: Mesh,
    camera: &Camera,
    opacity: f32,
    shade: impl Fn(usize, [f32; 3]) -> Vec3 + Sync,
) {
    let (width, height) = (picture.width, picture.height);
    if width == 0 || height == 0 || picture.rgb.len() != width * height * 3 {
        return;
    }
    let whole = scaled_to(camera, width, height);
    let Some([x0, y0, x1, y1]) = bounds(mesh.vertices, &whole, width, height) else {
        return;
    };
    let rgb = Arc::make_mut(&mut picture.rgb);
    let columns = (x1 - x0) * SUPERSAMPLING;
    let rows = (BAND_PIXELS / (columns * SUPERSAMPLING)).max(1);
    let mut raster = Raster::new(0, 0);
    let mut top = y0;
    while top < y1 {
        let bottom = (top + rows).min(y1);
        let lines = (bottom - top) * SUPERSAMPLING;
        let band = view::window(
            &whole,
            Vec2::new(x0 as f32, top as f32),
            SUPERSAMPLING as f32,
            [columns as f32, lines as f32],
        );
        raster.begin(columns, lines);
        raster.draw(mesh.vertices, mesh.faces, &band, 0, Culling::Back);
        let raster = &raster;
        rgb[top * width * 3..bottom * width * 3].par_chunks_mut(width * 3).enumerate().for_each(
            |(line, row)| {
                for (x, pixel) in row[x0 * 3..x1 * 3].chunks_exact_mut(3).enumerate() {
                    if let Some((colour, covered)) = resolved(raster, columns, x, line, &shade) {
                        let share = (covered * opacity).clamp(0.0, 1.0);
                        for (channel, value) in pixel.iter_mut().zip(colour.to_array()) {
                            *channel = (f32::from(*channel) * (1.0 - share) + value * share + 0.5) as u8;
                        }
                    }
                }
            },
        );
        top = bottom;
    }
}

/// sRGB colour and covered share of one pixel of a supersampled raster; `None` where it is empty. The surface is
/// shaded once where its depth says that it is one, else at every sub-pixel.
fn resolved(
    raster: &Raster,
    columns: usize,
    x: usize,
    y: usize,
    shade: &impl Fn(usize, [f32; 3]) -> Vec3,
) -> Option<(Vec3, f32)> {
    const SAMPLES: usize = SUPERSAMPLING * SUPERSAMPLING;
    let (mut near, mut far) = (f32::INFINITY, f32::NEG_INFINITY);
    let mut pixels = [0; SAMPLES];
    let mut count = 0;
    for sub in 0..SAMPLES {
        let i = x * SUPERSAMPLING + sub % SUPERSAMPLING;
        let j = y * SUPERSAMPLING + sub / SUPERSAMPLING;
        let pixel = j * columns + i;
        if raster.face(pixel).is_some() {
            let depth = raster.depth(pixel);
            (near, far) = (near.min(depth), far.max(depth));
            pixels[count] = pixel;
            count += 1;
        }
    }
    if count == 0 {
        return None;
    }
    let shaded = if far - near < ONE_SURFACE { 1 } else { count };
    let mut sum = Vec3::ZERO;
    for &pixel in &pixels[..shaded] {
        if let Some(face) = raster.face(pixel) {
            sum += Vec3::from(encode(shade(face, raster.weights(pixel))).map(f32::from));
        }
    }
    Some((sum / shaded as f32, count as f32 / SAMPLES as f32))
}

/// The camera for a picture of this size.
fn scaled_to(camera: &Camera, width: usize, height: usize) -> Camera {
    let size = [width as f32, height as f32];
    if camera.size == size || camera.size[0] <= 0.0 {
        return *camera;
    }
    view::window(camera, Vec2::ZERO, size[0] / camera.size[0], size)
}

/// Pixels (x0, y0, x1, y1; ends not included) that the mesh can touch; `None` if it lies outside.
fn bounds(vertices: &[Vec3], camera: &Camera, width: usize, height: usize) -> Option<[usize; 4]> {
    let (mut low, mut high) = (Vec2::INFINITY, Vec2::NEG_INFINITY);
    for &vertex in vertices {
        match camera.project(vertex).filter(|p| p.is_finite()) {
            Some(place) => {
                low = low.min(place);
                high = high.max(place);
            }
            // Something reaches behind the camera: it may show up anywhere.
            None => return Some([0, 0, width, height]),
        }
    }
    let clamp = |v: f32, end: usize| v.clamp(0.0, end as f32) as usize;
    let (x0, y0) = (clamp(low.x.floor() - 1.0, width), clamp(low.y.floor() - 1.0, height));
    let (x1, y1) = (clamp(high.x.ceil() + 1.0, width), clamp(high.y.ceil() + 1.0, height));
    (x0 < x1 && y0 < y1).then_some([x0, y0, x1, y1])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn white(width: usize, height: usize) -> Picture {
        Picture { width, height, rgb: Arc::new(vec![255; width * height * 3]), path: None }
    }

    fn square(z: f32, half: f32) -> ([Vec3; 4], [[u32; 3]; 2]) {
        let v = |x: f32, y: f32| Vec3::new(x * half, y * half, z);
        ([v(-1.0, -1.0), v(1.0, -1.0), v(1.0, 1.0), v(-1.0, 1.0)], [[0, 1, 2], [0, 2, 3]])
    }

    #[test]
    fn half_covered_pixels_are_half_blended() {
        let (vertices, faces) = square(-1.0, 0.25);
        let camera = Camera {
            projection: Projection::Perspective { focal_px: 10.0, principal_px: [5.0, 5.0] },
            size: [10.0, 10.0],
        };
        let mut picture = white(10, 10);
        composite(&mut picture, Mesh { vertices: &vertices, faces: &faces }, &camera, 1.0, |_, _| Vec3::ZERO);
        let at = |x: usize, y: usize| picture.rgb[(y * 10 + x) * 3];
        assert_eq!(at(5, 5), 0);
        assert_eq!(at(2, 5), 128);
        assert_eq!(at(2, 2), 191);
        assert_eq!(at(1, 5), 255);
    }

    #[test]
    fn a_camera_of_another_size_is_scaled() {
        let (vertices, faces) = square(-1.0, 0.25);
        let camera = Camera {
            projection: Projection::Perspective { focal_px: 10.0, principal_px: [5.0, 5.0] },
            size: [10.0, 10.0],
        };
        let mut picture = white(40, 40);
        draw_mesh(
            &mut picture,
            Mesh { vertices: &vertices, faces: &faces },
            &camera,
            &MeshStyle::plain([10, 10, 10]),
        );
        assert_ne!(picture.rgb[(20 * 40 + 20) * 3], 255);
        assert_ne!(picture.rgb[(12 * 40 + 12) * 3], 255);
        assert_eq!(picture.rgb[(5 * 40 + 5) * 3], 255);
    }

    #[test]
    fn outside_nothing_changes() {
        let (mut vertices, faces) = square(-1.0, 0.5);
        for vertex in &mut vertices {
            vertex.x += 100.0;
        }
        let camera = Camera {
            projection: Projection::WeakPerspective { scale_px: 3.0, origin_px: [5.0, 5.0] },
            size: [10.0, 10.0],
        };
        let mut picture = white(10, 10);
        draw_mesh(&mut picture, Mesh { vertices: &vertices, faces: &faces }, &camera, &MeshStyle::default());
        assert!(picture.rgb.iter().all(|&v| v == 255));
    }
}
