//! The figure of one estimate: what was seen, what follows from it, and how sure it is.
//! One file because the panels share one layout and one colour scale.

use glam::Vec3;
use rayon::prelude::*;

use super::canvas::{Area, Canvas};
use super::cells::{Wardrobe, body_cell, evidence_cell, overlay_cell, photo_cell, spread_cell};
use super::color_bar::ColorScale;
use super::text::{self, Align};
use crate::body::{BodyModel, Posed};
use crate::estimators::Estimate;
use crate::formats::Picture;
use crate::keypoints::Person;
use crate::raster::{Colormap, MeshStyle, view};

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
pub(super) const PANEL: [u8; 3] = [243, 244, 247];
const INK: [u8; 3] = [28, 31, 36];
pub(super) const SOFT: [u8; 3] = [92, 98, 107];
const WARNING: [u8; 3] = [176, 62, 20];
/// Directions for the darkening of hollows: few on the small bodies.
const SMALL_BODY_DIRECTIONS: usize = 8;

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
    let wardrobe = Wardrobe::new(figure.model);
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
    cells.push(Cell { area: photo_row[2], draw: Box::new(|w, h| overlay_cell(figure, &wardrobe, w, h)) });
    panel_title(&mut canvas, photo_row[3], "Side view", "from the photo's right");
    cells.push(Cell {
        area: photo_row[3],
        draw: Box::new(|w, h| {
            let body = wardrobe.dress(&figure.estimate.mode);
            let side = view::turned(&body, root(figure.mode), std::f32::consts::FRAC_PI_2);
            body_cell(figure, &side, &view::fitting(&side, w, h, 0.06), &wardrobe.style(), w, h)
        }),
    });

    let shown = figure.samples.len().min(figure.estimate.samples.len()).min(SHOWN_SAMPLES);
    let shown = &figure.samples[..shown];
    if shown.is_empty() {
        panel_title(&mut canvas, samples_row, "Samples", "none: this estimator gives a single body");
        canvas.fill(samples_row, PANEL);
    } else {
        let note = format!("{} of {}, seen from 45° to the right", shown.len(), figure.samples.len());
        panel_title(&mut canvas, samples_row, "Samples", &note);
        // One camera for all, so that they can be compared.
        let turned: Vec<Vec<Vec3>> = figure.estimate.samples[..shown.len()]
            .par_iter()
            .zip(shown)
            .map(|(state, posed)| {
                view::turned(&wardrobe.dress(state), root(posed), std::f32::consts::FRAC_PI_4)
            })
            .collect();
        let (low, high) = turned
            .iter()
            .map(|vertices| view::extent(vertices))
            .fold((Vec3::INFINITY, Vec3::NEG_INFINITY), |(low, high), (l, h)| (low.min(l), high.max(h)));
        let style = MeshStyle { occlusion_directions: SMALL_BODY_DIRECTIONS, ..wardrobe.style() };
        for (area, vertices) in samples_row.grid(1, SHOWN_SAMPLES, GAP / 2).into_iter().zip(turned) {
            let style = style.clone();
            cells.push(Cell {
                area,
                draw: Box::new(move |w, h| {
                    let camera = view::fitting(&[low, high], w, h, 0.05);
                    body_cell(figure, &vertices, &camera, &style, w, h)
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
    let mut title_room = room;
    if let Some(warning) = figure.warning {
        let warning = text::fitted(warning, 20.0, room * 0.6);
        canvas.text(&warning, left + room, MARGIN as f32 + 2.0, 20.0, WARNING, Align::Right);
        title_room -= text::width(&warning, 20.0) + GAP as f32;
    }
    let title = text::fitted(figure.title, 34.0, title_room);
    canvas.text(&title, left, MARGIN as f32 - 8.0, 34.0, INK, Align::Left);
    let subtitle = text::fitted(figure.subtitle, 20.0, room);
    canvas.text(&subtitle, left, MARGIN as f32 + 34.0, 20.0, SOFT, Align::Left);
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
    use crate::geometry::camera::Camera;
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
                state.body_pose[17] = glam::Mat3::from_rotation_y(at as f32 * 0.2 - 1.0);
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
