//! The cells of an estimate's figure, each drawn on its own.

use glam::{Vec2, Vec3};

use super::EstimateFigure;
use super::canvas::{Area, Canvas};
use super::color_bar::ColorScale;
use super::estimate::{PANEL, SOFT};
use super::skeleton::draw_person;
use super::text::{self, Align};
use crate::body::{BodyModel, BodyState, Posed};
use crate::formats::Picture;
use crate::geometry::camera::Camera;
use crate::raster::outfit::Outfit;
use crate::raster::{Light, MeshStyle, Paint, draw_body, view};

/// The default clothes, and bodies posed in them.
pub(super) struct Wardrobe<'a> {
    model: &'a BodyModel,
    outfit: Outfit,
    offsets: Vec<Vec3>,
}

impl<'a> Wardrobe<'a> {
    pub fn new(model: &'a BodyModel) -> Self {
        let outfit = Outfit::default();
        let offsets = outfit.offsets(model);
        Self { model, outfit, offsets }
    }

    /// Points of a body with its clothes.
    pub fn dress(&self, state: &BodyState) -> Vec<Vec3> {
        let mut posed = Posed::default();
        self.model.pose_offset_into(state, true, &self.offsets, &mut posed);
        posed.vertices
    }

    pub fn style(&self) -> MeshStyle {
        MeshStyle { paint: Paint::Dressed(Box::new(self.outfit.clone())), ..MeshStyle::default() }
    }
}

/// A picture scaled into a cell on the panel's colour, and where in the cell it lies.
fn inscribe(picture: &Picture, width: usize, height: usize) -> (Canvas, Area) {
    let area = Area::new(0, 0, width, height).inscribed(picture.width, picture.height);
    let mut canvas = Canvas::new(width, height, PANEL);
    canvas.place(&picture.resized(area.width, area.height), area.x, area.y);
    (canvas, area)
}

pub(super) fn photo_cell(figure: &EstimateFigure, width: usize, height: usize) -> Picture {
    let (mut canvas, area) = inscribe(&around_dimmed(figure), width, height);
    let factor = Vec2::new(
        area.width as f32 / figure.picture.width as f32,
        area.height as f32 / figure.picture.height as f32,
    );
    let origin = Vec2::new(area.x as f32, area.y as f32);
    // Small people get thin lines, or they would vanish below them.
    let [x0, y0, x1, y1] = figure.person.bbox;
    let size = ((x1 - x0) * factor.x).max((y1 - y0) * factor.y);
    draw_person(&mut canvas, figure.person, |p| origin + p * factor, (size / 380.0).clamp(0.35, 1.0));
    canvas.into_picture()
}

/// The photo, darker where the mask says that it is not this person.
fn around_dimmed(figure: &EstimateFigure) -> Picture {
    const DIMMED: u32 = 165;
    let mut picture = figure.picture.clone();
    let Some(mask) = &figure.person.mask else { return picture };
    if (mask.width, mask.height, mask.values.len())
        != (picture.width, picture.height, picture.width * picture.height)
    {
        return picture;
    }
    let (pixels, _) = picture.rgb_mut().as_chunks_mut::<3>();
    for (pixel, &inside) in pixels.iter_mut().zip(&mask.values) {
        let share = DIMMED + (255 - DIMMED) * u32::from(inside) / 255;
        *pixel = pixel.map(|channel| (u32::from(channel) * share / 255) as u8);
    }
    picture
}

pub(super) fn evidence_cell(figure: &EstimateFigure, width: usize, height: usize) -> Picture {
    const CAPTION: usize = 26;
    let mut canvas = Canvas::new(width, height, PANEL);
    let evidence = &figure.estimate.evidence;
    if evidence.is_empty() {
        canvas.text(
            "keypoints only",
            width as f32 / 2.0,
            height as f32 / 2.0 - 10.0,
            18.0,
            SOFT,
            Align::Center,
        );
        return canvas.into_picture();
    }
    let count = evidence.len().min(6);
    let gap = 10;
    // The arrangement that shows the pictures largest.
    let area = Area::new(gap, gap, width - 2 * gap, height - 2 * gap);
    let size = |columns: usize| {
        let cell = area.grid(count.div_ceil(columns), columns, gap)[0];
        cell.width.min(cell.height.saturating_sub(CAPTION))
    };
    let columns = (1..=count).max_by_key(|&columns| size(columns)).unwrap_or(1);
    let cells = area.grid(count.div_ceil(columns), columns, gap);
    for (cell, (caption, picture)) in cells.into_iter().zip(evidence) {
        let room = Area { height: cell.height.saturating_sub(CAPTION), ..cell };
        let inner = room.inscribed(picture.width, picture.height);
        let inner = Area { y: room.y + (room.height - inner.height) / 2, ..inner };
        canvas.place(&picture.resized(inner.width, inner.height), inner.x, inner.y);
        let caption = text::fitted(caption, 16.0, cell.width as f32);
        let below = (inner.y + inner.height + 4) as f32;
        canvas.text(&caption, cell.x as f32 + cell.width as f32 / 2.0, below, 16.0, SOFT, Align::Center);
    }
    canvas.into_picture()
}

pub(super) fn overlay_cell(
    figure: &EstimateFigure,
    wardrobe: &Wardrobe,
    width: usize,
    height: usize,
) -> Picture {
    let picture = figure.picture;
    let [x0, y0, x1, y1] = figure.person.bbox;
    let (mut low, mut high) = (Vec2::new(x0, y0), Vec2::new(x1, y1));
    for point in figure.mode.vertices.iter().filter_map(|&vertex| figure.estimate.camera.project(vertex)) {
        low = low.min(point);
        high = high.max(point);
    }
    let margin = 0.08 * (high - low).max_element();
    let bounds = Vec2::new(picture.width as f32, picture.height as f32);
    let (low, high) = ((low - margin).clamp(Vec2::ZERO, bounds), (high + margin).clamp(Vec2::ZERO, bounds));
    let (low, high) = widened(low, high, bounds, width as f32 / height as f32);
    let (x, y) = (low.x.floor() as usize, low.y.floor() as usize);
    let cut =
        cut_out(picture, x, y, (high.x.ceil() as usize).max(x + 1), (high.y.ceil() as usize).max(y + 1));
    let area = Area::new(0, 0, width, height).inscribed(cut.width, cut.height);
    let mut shown = cut.resized(area.width, area.height);
    let factor = area.width as f32 / cut.width as f32;
    let camera = view::window(
        &figure.estimate.camera,
        Vec2::new(x as f32, y as f32),
        factor,
        [area.width as f32, area.height as f32],
    );
    let style = wardrobe.style();
    draw_body(&mut shown, figure.model, &wardrobe.dress(&figure.estimate.mode), &camera, &style);
    let mut canvas = Canvas::new(width, height, PANEL);
    canvas.place(&shown, area.x, area.y);
    canvas.into_picture()
}

/// The region grown towards the shape of its cell (width over height) as far as the photo allows.
fn widened(low: Vec2, high: Vec2, bounds: Vec2, shape: f32) -> (Vec2, Vec2) {
    let size = (high - low).max(Vec2::ONE);
    let wanted = if size.x / size.y < shape {
        Vec2::new(size.y * shape, size.y)
    } else {
        Vec2::new(size.x, size.x / shape)
    };
    let wanted = wanted.min(bounds);
    let low = ((low + high) / 2.0 - wanted / 2.0).clamp(Vec2::ZERO, (bounds - wanted).max(Vec2::ZERO));
    (low, low + wanted)
}

/// Columns x0..x1 and rows y0..y1 of a picture, cut off at its edges.
fn cut_out(picture: &Picture, x0: usize, y0: usize, x1: usize, y1: usize) -> Picture {
    let (x0, y0) = (x0.min(picture.width - 1), y0.min(picture.height - 1));
    let (x1, y1) = (x1.clamp(x0 + 1, picture.width), y1.clamp(y0 + 1, picture.height));
    let rows =
        (y0..y1).flat_map(|y| &picture.rgb[(y * picture.width + x0) * 3..(y * picture.width + x1) * 3]);
    Picture::new(x1 - x0, y1 - y0, rows.copied().collect())
}

pub(super) fn body_cell(
    figure: &EstimateFigure,
    vertices: &[Vec3],
    camera: &Camera,
    style: &MeshStyle,
    width: usize,
    height: usize,
) -> Picture {
    let mut picture = Picture::filled(width, height, PANEL);
    draw_body(&mut picture, figure.model, vertices, camera, style);
    picture
}

pub(super) fn spread_cell(
    figure: &EstimateFigure,
    vertices: &[Vec3],
    values: &[f32],
    scale: &ColorScale,
    width: usize,
    height: usize,
) -> Picture {
    let camera = view::fitting(vertices, width, height, 0.06);
    let centimetres: Vec<f32> = values.iter().map(|value| value * 100.0).collect();
    // Little shading: the colours are to be read.
    let light = Light {
        key: Vec3::splat(0.16),
        fill: Vec3::splat(0.04),
        sky: Vec3::splat(0.86),
        ground: Vec3::splat(0.74),
        ..Light::default()
    };
    let style =
        MeshStyle { light, occlusion_directions: 0, ..MeshStyle::per_vertex(scale.colors(&centimetres)) };
    body_cell(figure, vertices, &camera, &style, width, height)
}
