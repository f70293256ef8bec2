//! The figure of one estimate: what was seen, what follows from it, and how sure it is.
//! One file because the panels share one layout and one colour scale.

use glam::{Vec2, Vec3};
use rayon::prelude::*;

use super::canvas::{Area, Canvas};
use super::color_bar::ColorScale;
use super::skeleton::draw_person;
use super::text::{self, Align};
use crate::body::{BodyModel, Posed};
use crate::estimators::Estimate;
use crate::formats::Picture;
use crate::geometry::camera::Camera;
use crate::keypoints::Person;
use crate::raster::{Colormap, Light, Mesh, MeshStyle, draw_mesh, view};

const WIDTH: usize = 1800;
const MARGIN: usize = 36;
const GAP: usize = 20;
const HEADER: usize = 84;
/// Height of a panel's title above it.
const TITLE: usize = 34;
const FOOTER: usize = 30;
const ROW_PHOTO: usize = 470;
const ROW_SAMPLES: usize = 290;
const ROW_SPREAD: usize = 430;
const SHOWN_SAMPLES: usize = 8;
const BAR_PANEL: usize = 236;

const PAPER: [u8; 3] = [255, 255, 255];
const PANEL: [u8; 3] = [243, 244, 247];
const INK: [u8; 3] = [28, 31, 36];
const SOFT: [u8; 3] = [92, 98, 107];
const WARNING: [u8; 3] = [176, 62, 20];
const BODY: [u8; 3] = [168, 182, 204];

/// Standard deviation over the samples, metres, one value a vertex, in the camera's axes.
#[derive(Clone, Copy, Debug)]
pub struct VertexSpread<'a> {
    pub x: &'a [f32],
    pub y: &'a [f32],
    pub z: &'a [f32],
    pub total: &'a [f32],
}

/// All that the figure shows.
#[derive(Clone, Copy)]
pub struct EstimateFigure<'a> {
    pub title: &'a str,
    pub subtitle: &'a str,
    /// Set in a warning colour below the title.
    pub warning: Option<&'a str>,
    pub picture: &'a Picture,
    pub person: &'a Person,
    pub estimate: &'a Estimate,
    pub model: &'a BodyModel,
    /// The estimate's mode and samples, posed in the camera's space.
    pub mode: &'a Posed,
    pub samples: &'a [Posed],
    /// Absent where there are fewer than two samples.
    pub spread: Option<VertexSpread<'a>>,
}

/// A cell of the figure: drawn on its own, then put in place.
struct Cell<'a> {
    area: Area,
    draw: Box<dyn Fn(usize, usize) -> Picture + Send + Sync + 'a>,
}

/// Draws the figure, its cells in parallel.
pub fn estimate_figure(figure: &EstimateFigure) -> Picture {
    let mut y = MARGIN + HEADER;
    let row = |y: &mut usize, height: usize| {
        let area = Area::new(MARGIN, *y + TITLE, WIDTH - 2 * MARGIN, height);
        *y += TITLE + height + GAP;
        area
    };
    let photo_row = row(&mut y, ROW_PHOTO).grid(1, 4, GAP);
    let samples_row = row(&mut y, ROW_SAMPLES);
    let spread_row = row(&mut y, ROW_SPREAD);
    let spread_cells = Area { width: spread_row.width - BAR_PANEL - GAP, ..spread_row }.grid(1, 4, GAP);
    let bar_area = Area { x: spread_row.x + spread_row.width - BAR_PANEL, width: BAR_PANEL, ..spread_row };
    let mut canvas = Canvas::new(WIDTH, y - GAP + FOOTER + MARGIN / 2, PAPER);
    header(&mut canvas, figure);

    let front = view::turned(&figure.mode.vertices, root(figure.mode), 0.0);
    let scale = figure.spread.map(|spread| scale_of(spread.total));
    let mut cells: Vec<Cell> = Vec::new();
    panel_title(&mut canvas, photo_row[0], "Photo", "box and 17 keypoints");
    cells.push(Cell { area: photo_row[0], draw: Box::new(|w, h| photo_cell(figure, w, h)) });
    panel_title(&mut canvas, photo_row[1], "What the network saw", "");
    cells.push(Cell { area: photo_row[1], draw: Box::new(|w, h| evidence_cell(figure, w, h)) });
    panel_title(&mut canvas, photo_row[2], "Point estimate", "over the photo");
    cells.push(Cell { area: photo_row[2], draw: Box::new(|w, h| overlay_cell(figure, w, h)) });
    panel_title(&mut canvas, photo_row[3], "Side view", "from the photo's right");
    let side = view::turned(&figure.mode.vertices, root(figure.mode), std::f32::consts::FRAC_PI_2);
    cells.push(Cell {
        area: photo_row[3],
        draw: Box::new(move |w, h| {
            let camera = view::fitting(&side, w, h, 0.06);
            body_cell(figure, &side, &camera, MeshStyle::plain(BODY), w, h)
        }),
    });

    let shown = &figure.samples[..figure.samples.len().min(SHOWN_SAMPLES)];
    if shown.is_empty() {
        panel_title(&mut canvas, samples_row, "Samples", "none: this estimator gives a single body");
        canvas.fill(samples_row, PANEL);
    } else {
        let note = format!("{} of {}, seen from 45° to the right", shown.len(), figure.samples.len());
        panel_title(&mut canvas, samples_row, "Samples", &note);
        // One camera for all, so that they can be compared.
        let turned: Vec<Vec<Vec3>> = shown
            .iter()
            .map(|sample| view::turned(&sample.vertices, root(sample), std::f32::consts::FRAC_PI_4))
            .collect();
        let everything: Vec<Vec3> = turned.concat();
        for (area, vertices) in samples_row.grid(1, SHOWN_SAMPLES, GAP / 2).into_iter().zip(turned) {
            let (low, high) = view::extent(&everything);
            cells.push(Cell {
                area,
                draw: Box::new(move |w, h| {
                    let camera = view::fitting(&[low, high], w, h, 0.05);
                    body_cell(figure, &vertices, &camera, MeshStyle::plain(BODY), w, h)
                }),
            });
        }
    }

    match (&figure.spread, &scale) {
        (Some(spread), Some(scale)) => {
            let axes = [
                ("Spread along x", "across the photo", spread.x),
                ("Spread along y", "up", spread.y),
                ("Spread along z", "depth", spread.z),
                ("Spread in total", "all three axes", spread.total),
            ];
            for (area, (title, note, values)) in spread_cells.into_iter().zip(axes) {
                panel_title(&mut canvas, area, title, note);
                let front = &front;
                cells.push(Cell {
                    area,
                    draw: Box::new(move |w, h| spread_cell(figure, front, values, scale, w, h)),
                });
            }
        }
        _ => {
            panel_title(&mut canvas, spread_row, "Spread", "needs at least two samples");
            canvas.fill(spread_row, PANEL);
        }
    }
    let pictures: Vec<(Area, Picture)> =
        cells.par_iter().map(|cell| (cell.area, (cell.draw)(cell.area.width, cell.area.height))).collect();
    for (area, picture) in &pictures {
        canvas.place(picture, area.x, area.y);
    }
    if let (Some(spread), Some(scale)) = (figure.spread, &scale) {
        bar_panel(&mut canvas, bar_area, scale, spread, figure.samples.len());
    }
    footer(&mut canvas, figure);
    canvas.into_picture()
}

fn root(posed: &Posed) -> Vec3 {
    posed.joints.first().copied().unwrap_or(Vec3::ZERO)
}

fn header(canvas: &mut Canvas, figure: &EstimateFigure) {
    let (left, room) = (MARGIN as f32, (WIDTH - 2 * MARGIN) as f32);
    let title = text::fitted(figure.title, 34.0, room);
    canvas.text(&title, left, MARGIN as f32 - 8.0, 34.0, INK, Align::Left);
    let subtitle_room = if figure.warning.is_some() { room * 0.55 } else { room };
    let subtitle = text::fitted(figure.subtitle, 20.0, subtitle_room);
    canvas.text(&subtitle, left, MARGIN as f32 + 34.0, 20.0, SOFT, Align::Left);
    if let Some(warning) = figure.warning {
        let warning = text::fitted(warning, 20.0, room * 0.43);
        canvas.text(&warning, left + room, MARGIN as f32 + 34.0, 20.0, WARNING, Align::Right);
    }
}

fn footer(canvas: &mut Canvas, figure: &EstimateFigure) {
    let y = (canvas.height() - FOOTER - MARGIN / 2) as f32 + 14.0;
    let source = text::fitted(&figure.estimate.source, 16.0, (WIDTH - 2 * MARGIN) as f32 * 0.7);
    canvas.text(&source, MARGIN as f32, y, 16.0, SOFT, Align::Left);
    canvas.text("humanifold", (WIDTH - MARGIN) as f32, y, 16.0, SOFT, Align::Right);
}

fn panel_title(canvas: &mut Canvas, area: Area, title: &str, note: &str) {
    let y = (area.y - TITLE) as f32 + 5.0;
    let x = area.x as f32;
    let title = text::fitted(title, 22.0, area.width as f32);
    canvas.text(&title, x, y, 22.0, INK, Align::Left);
    let used = text::width(&title, 22.0) + 10.0;
    let note = text::fitted(note, 17.0, (area.width as f32 - used).max(0.0));
    canvas.text(&note, x + used, y + 4.0, 17.0, SOFT, Align::Left);
}

/// A picture scaled into a cell on the panel's colour, and where in the cell it lies.
fn inscribe(picture: &Picture, width: usize, height: usize) -> (Canvas, Area) {
    let area = Area::new(0, 0, width, height).inscribed(picture.width, picture.height);
    let mut canvas = Canvas::new(width, height, PANEL);
    canvas.place(&picture.resized(area.width, area.height), area.x, area.y);
    (canvas, area)
}

fn photo_cell(figure: &EstimateFigure, width: usize, height: usize) -> Picture {
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
    const DIMMED: u32 = 140;
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

fn evidence_cell(figure: &EstimateFigure, width: usize, height: usize) -> Picture {
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

fn overlay_cell(figure: &EstimateFigure, width: usize, height: usize) -> Picture {
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
    let style = MeshStyle { opacity: 0.92, ..MeshStyle::plain(BODY) };
    let mesh = Mesh { vertices: &figure.mode.vertices, faces: &figure.model.faces };
    draw_mesh(&mut shown, mesh, &camera, &style);
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

fn body_cell(
    figure: &EstimateFigure,
    vertices: &[Vec3],
    camera: &Camera,
    style: MeshStyle,
    width: usize,
    height: usize,
) -> Picture {
    let mut picture = Picture::filled(width, height, PANEL);
    draw_mesh(&mut picture, Mesh { vertices, faces: &figure.model.faces }, camera, &style);
    picture
}

fn spread_cell(
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
    body_cell(figure, vertices, &camera, style, width, height)
}

/// One scale in centimetres for all axes: to the 98th percentile of the total.
fn scale_of(total: &[f32]) -> ColorScale {
    ColorScale::up_to(Colormap::Ember, percentile(total, 0.98) * 100.0)
}

fn percentile(values: &[f32], share: f32) -> f32 {
    let mut finite: Vec<f32> = values.iter().copied().filter(|value| value.is_finite()).collect();
    if finite.is_empty() {
        return 0.0;
    }
    let at = ((finite.len() - 1) as f32 * share).round() as usize;
    *finite.select_nth_unstable_by(at, f32::total_cmp).1
}

fn bar_panel(canvas: &mut Canvas, area: Area, scale: &ColorScale, spread: VertexSpread, samples: usize) {
    panel_title(canvas, area, "Standard deviation", "cm");
    let largest = spread.total.iter().copied().fold(0.0, f32::max) * 100.0;
    let bar = Area::new(area.x, area.y + 10, area.width, area.height - 20);
    scale.draw(canvas, bar, 34, 18.0, largest > scale.high);
    let x = area.x as f32 + 122.0;
    let mut y = area.y as f32 + 2.0;
    for (name, values) in [("x", spread.x), ("y", spread.y), ("z", spread.z), ("total", spread.total)] {
        canvas.text(name, x, y, 18.0, INK, Align::Left);
        for (label, share) in [("median", 0.5), ("95 %", 0.95)] {
            y += 22.0;
            canvas.text(label, x, y + 1.0, 15.0, SOFT, Align::Left);
            let value = format!("{:.1} cm", percentile(values, share) * 100.0);
            canvas.text(&value, (area.x + area.width) as f32, y, 16.0, SOFT, Align::Right);
        }
        y += 32.0;
    }
    let note = format!("of pose, shape and turn over {samples} samples; distance left out");
    for line in text::wrapped(&note, 15.0, area.width as f32 - 122.0) {
        canvas.text(&line, x, y, 15.0, SOFT, Align::Left);
        y += 19.0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::body::BodyState;
    use crate::geometry::camera::Projection;
    use crate::keypoints::{COCO_KEYPOINTS, Keypoint, KeypointSource};

    /// Draws the T-pose with made-up samples; with `HUMANIFOLD_FIGURE_OUT` set, writes the picture there.
    #[test]
    fn the_figure_is_complete_and_deterministic() {
        let model = BodyModel::default_body().unwrap();
        let mut mode = BodyState::rest(model.num_betas());
        mode.transl = Vec3::new(0.0, 0.0, -4.0);
        let camera = Camera {
            projection: Projection::Perspective { focal_px: 600.0, principal_px: [200.0, 250.0] },
            size: [400.0, 500.0],
        };
        let states: Vec<BodyState> = (0..10)
            .map(|at| {
                let mut state = mode.clone();
                let turn = |angle: f32| glam::Mat3::from_rotation_y(angle);
                state.body_pose[17] = turn(at as f32 * 0.2 - 1.0);
                state.body_pose[3] = glam::Mat3::from_rotation_x(at as f32 * 0.1);
                state
            })
            .collect();
        let posed = model.pose(&mode, true);
        let samples = model.pose_batch(&states, true);
        let spread: Vec<Vec<f32>> = (0..3)
            .map(|axis| {
                (0..model.num_vertices())
                    .map(|v| {
                        let values: Vec<f32> = samples.iter().map(|s| s.vertices[v][axis]).collect();
                        let mean = values.iter().sum::<f32>() / values.len() as f32;
                        (values.iter().map(|x| (x - mean).powi(2)).sum::<f32>() / values.len() as f32).sqrt()
                    })
                    .collect()
            })
            .collect();
        let total: Vec<f32> = (0..model.num_vertices())
            .map(|v| (0..3).map(|axis| spread[axis][v].powi(2)).sum::<f32>().sqrt())
            .collect();
        let coco = model.coco17(&posed.vertices);
        let person = Person {
            bbox: [70.0, 110.0, 330.0, 440.0],
            keypoints: std::array::from_fn(|at| {
                let pixel = camera.project(coco[at]).unwrap();
                Keypoint { x: pixel.x, y: pixel.y, score: if at == 9 { 0.1 } else { 0.9 } }
            }),
            score: 0.9,
            source: KeypointSource::Truth,
            mask: None,
        };
        assert_eq!(person.keypoints.len(), COCO_KEYPOINTS);
        let estimate = Estimate {
            mode,
            camera,
            samples: states,
            log_prob: vec![0.0; 10],
            evidence: vec![
                ("keypoint heatmaps".to_owned(), Picture::filled(64, 64, [20, 40, 90])),
                ("edges".to_owned(), Picture::filled(64, 64, [0; 3])),
            ],
            seed: 0,
            source: "test weights".to_owned(),
            refinement: None,
            prior: None,
        };
        let picture = Picture::filled(400, 500, [205, 196, 180]);
        let figure = EstimateFigure {
            title: "a photo with a rather long name.jpg, person 1 of 2",
            subtitle: "10 samples, seed 0, temperature 1",
            warning: Some("The detector is unsure of this person (0.21): check the keypoints"),
            picture: &picture,
            person: &person,
            estimate: &estimate,
            model: &model,
            mode: &posed,
            samples: &samples,
            spread: Some(VertexSpread { x: &spread[0], y: &spread[1], z: &spread[2], total: &total }),
        };
        let began = std::time::Instant::now();
        let first = estimate_figure(&figure);
        let took = began.elapsed();
        assert_eq!(first.rgb, estimate_figure(&figure).rgb);
        let corner = first.pixel(first.width - 1, first.height - 1);
        assert_eq!((first.width, corner), (WIDTH, PAPER));
        if let Some(path) = std::env::var_os("HUMANIFOLD_FIGURE_OUT") {
            println!("figure in {took:?}");
            first.write_png(std::path::Path::new(&path)).unwrap();
        }
        // Without samples the panels say so.
        let alone = EstimateFigure { samples: &[], spread: None, ..figure };
        assert_eq!(estimate_figure(&alone).width, WIDTH);
    }
}
