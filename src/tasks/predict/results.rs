//! The files of one person: `figure.png`, `params.npz`, `mesh.glb`, `summary.json`.

use std::path::{Path, PathBuf};

use glam::{Mat3, Vec3};
use rayon::prelude::*;
use serde::Serialize;
use serde_json::json;

use crate::body::joint_sets::{COCO_NAMES, SMPL_NAMES};
use crate::body::{BodyModel, BodyState, Posed};
use crate::estimators::Estimate;
use crate::estimators::uncertainty::Uncertainty;
use crate::figures::{ColorScale, EstimateFigure, VertexSpread, estimate_figure};
use crate::formats::atomic::{NewFolder, write_atomic};
use crate::formats::glb::{GlbMesh, Paint, write_glb};
use crate::formats::npz::write_npz;
use crate::formats::{Array, FormatError, Picture};
use crate::geometry::camera::{Camera, Projection};
use crate::geometry::simplify::simplify;
use crate::keypoints::Person;
use crate::raster::Colormap;
use crate::raster::light::linear;

/// What is written, and where.
pub struct Request<'a> {
    pub folder: &'a Path,
    pub picture: &'a Picture,
    pub person: &'a Person,
    pub estimate: &'a Estimate,
    pub body: &'a BodyModel,
    pub title: &'a str,
    /// Doubts about the keypoints.
    pub warning: Option<&'a str>,
    pub temperature: f32,
    pub refined: bool,
    /// Where the estimator's network ran.
    pub device: &'a str,
}

/// What was written for one person.
#[derive(Clone, Debug, Serialize)]
pub struct PersonResult {
    pub folder: PathBuf,
    /// The content of `summary.json`.
    pub summary: serde_json::Value,
}

/// "photo.jpg", or "photo.jpg, person 1 of 2".
pub fn title(photo: &Path, number: usize, count: usize) -> String {
    let name = photo.file_name().unwrap_or(photo.as_os_str()).to_string_lossy().into_owned();
    if count > 1 { format!("{name}, person {number} of {count}") } else { name }
}

/// Writes one file of a person's folder.
type Writer<'a> = dyn Fn(&Path) -> Result<(), FormatError> + Sync + 'a;

/// Bodies of an estimate with their points.
struct Bodies {
    mode: Posed,
    samples: Vec<Posed>,
    spread: Option<Uncertainty>,
}

/// Writes all files into a new folder and puts it in place when it is complete.
///
/// # Errors
/// Where the folder or a file cannot be written.
pub fn write_person(request: &Request) -> anyhow::Result<PersonResult> {
    let estimate = request.estimate;
    let (samples, spread) = rayon::join(
        || request.body.pose_batch(&estimate.samples, true),
        || (estimate.samples.len() > 1).then(|| Uncertainty::from_estimate(request.body, estimate)),
    );
    let bodies = Bodies { mode: request.body.pose(&estimate.mode, true), samples, spread };
    let summary = summary(request, &bodies);
    let folder = NewFolder::begin(request.folder)?;
    let files: [&Writer; 4] = [
        &|to| figure(request, &bodies).write_png(&to.join("figure.png")),
        &|to| params(request, &bodies, &to.join("params.npz")),
        &|to| mesh(request, &bodies, &to.join("mesh.glb")),
        &|to| {
            let text = format!("{summary:#}\n");
            write_atomic(&to.join("summary.json"), text.as_bytes())
        },
    ];
    files.par_iter().try_for_each(|write| write(folder.path())).map_err(|error| folder.named(error))?;
    folder.finish()?;
    Ok(PersonResult { folder: request.folder.to_owned(), summary })
}

fn figure(request: &Request, bodies: &Bodies) -> Picture {
    let estimate = request.estimate;
    let refined = if request.refined { "refined" } else { "not refined" };
    let subtitle = format!(
        "{} samples, seed {}, temperature {}, {refined}",
        estimate.samples.len(),
        estimate.seed,
        request.temperature
    );
    let short = request.warning.map(|warning| warning.split(": ").next().unwrap_or(warning).to_owned());
    estimate_figure(&EstimateFigure {
        title: request.title,
        subtitle: &subtitle,
        warning: short.as_deref(),
        picture: request.picture,
        person: request.person,
        estimate,
        model: request.body,
        mode: &bodies.mode,
        samples: &bodies.samples,
        spread: bodies.spread.as_ref().map(|spread| VertexSpread {
            x: &spread.std_x,
            y: &spread.std_y,
            z: &spread.std_z,
            total: &spread.total,
        }),
    })
}

fn params(request: &Request, bodies: &Bodies, path: &Path) -> Result<(), FormatError> {
    let estimate = request.estimate;
    let mut arrays: Vec<(String, Array)> = Vec::new();
    let mut put = |name: &str, array: Array| arrays.push((name.to_owned(), array));
    let of = |states: &[&BodyState], posed: &[&Posed], prefix: &str, put: &mut dyn FnMut(&str, Array)| {
        // One body has no leading axis.
        let lead: Vec<usize> = if prefix.is_empty() { Vec::new() } else { vec![states.len()] };
        let shape = |rest: &[usize]| [lead.as_slice(), rest].concat();
        let betas = estimate.mode.betas.len();
        let all = |of: &dyn Fn(&BodyState) -> Vec<f32>| states.iter().flat_map(|state| of(state)).collect();
        let points = |of: &dyn Fn(&Posed) -> Vec<f32>| posed.iter().flat_map(|posed| of(posed)).collect();
        put(&format!("{prefix}betas"), Array::f32(&shape(&[betas]), all(&|state| state.betas.clone())));
        put(
            &format!("{prefix}global_orient"),
            Array::f32(&shape(&[3, 3]), all(&|state| row_major(&state.global_orient).to_vec())),
        );
        put(
            &format!("{prefix}body_pose"),
            Array::f32(
                &shape(&[23, 3, 3]),
                all(&|state| state.body_pose.iter().flat_map(row_major).collect()),
            ),
        );
        put(
            &format!("{prefix}transl"),
            Array::f32(&shape(&[3]), all(&|state| state.transl.to_array().to_vec())),
        );
        let joints = |posed: &Posed| {
            posed.joints.iter().take(24).flat_map(|joint| joint.to_array()).collect::<Vec<f32>>()
        };
        put(&format!("{prefix}joints_3d"), Array::f32(&shape(&[24, 3]), points(&joints)));
        let pixels = |posed: &Posed| coco_pixels(request, posed).into_iter().flatten().collect::<Vec<f32>>();
        put(&format!("{prefix}coco17_2d"), Array::f32(&shape(&[17, 2]), points(&pixels)));
    };
    of(&[&estimate.mode], &[&bodies.mode], "", &mut put);
    let states: Vec<&BodyState> = estimate.samples.iter().collect();
    let posed: Vec<&Posed> = bodies.samples.iter().collect();
    of(&states, &posed, "samples_", &mut put);
    put("log_prob", Array::f32(&[estimate.log_prob.len()], estimate.log_prob.clone()));
    let spread = match &bodies.spread {
        Some(spread) => {
            let axes = spread.std_x.iter().zip(&spread.std_y).zip(&spread.std_z);
            axes.flat_map(|((x, y), z)| [*x, *y, *z]).collect()
        }
        None => vec![0.0; request.body.num_vertices() * 3],
    };
    put("vertex_std", Array::f32(&[request.body.num_vertices(), 3], spread));
    put("seed", Array::u64(&[], vec![estimate.seed]));
    camera_arrays(&estimate.camera, &mut put);
    let arrays: Vec<(&str, &Array)> = arrays.iter().map(|(name, array)| (name.as_str(), array)).collect();
    write_npz(path, &arrays)
}

/// COCO's keypoints of a body on the photo; NaN where a point lies behind the camera.
fn coco_pixels(request: &Request, posed: &Posed) -> [[f32; 2]; 17] {
    request
        .body
        .coco17(&posed.vertices)
        .map(|point| request.estimate.camera.project(point).map_or([f32::NAN; 2], |pixel| pixel.to_array()))
}

fn camera_arrays(camera: &Camera, put: &mut dyn FnMut(&str, Array)) {
    put("camera_size", Array::f32(&[2], camera.size.to_vec()));
    match camera.projection {
        Projection::Perspective { focal_px, principal_px } => {
            put("camera_kind", Array::scalar_text("perspective"));
            put("camera_focal_px", Array::f32(&[], vec![focal_px]));
            put("camera_principal_px", Array::f32(&[2], principal_px.to_vec()));
        }
        Projection::WeakPerspective { scale_px, origin_px } => {
            put("camera_kind", Array::scalar_text("weak_perspective"));
            put("camera_scale_px", Array::f32(&[], vec![scale_px]));
            put("camera_origin_px", Array::f32(&[2], origin_px.to_vec()));
        }
    }
}

fn row_major(matrix: &Mat3) -> [f32; 9] {
    matrix.transpose().to_cols_array()
}

/// Bytes that the samples' points and normals may take together in `mesh.glb`.
const SAMPLE_BYTES: usize = 4_000_000;
/// However many samples there are, each keeps this many points.
const LEAST_POINTS: usize = 1000;

/// The mode in the colours of its spread, the samples as a faint cloud around it. Many samples share a coarser
/// surface over some of the body's points, or the file would have hundreds of megabytes.
fn mesh(request: &Request, bodies: &Bodies, path: &Path) -> Result<(), FormatError> {
    let body = request.body;
    let colors = bodies.spread.as_ref().map(|spread| {
        let largest = spread.total.iter().copied().fold(0.0, f32::max);
        let scale = ColorScale::up_to(Colormap::Ember, largest);
        scale.colors(&spread.total).into_iter().map(|color| linear(color).to_array()).collect()
    });
    // Centred on the pelvis of the mode: viewers open a file at its origin.
    let origin = bodies.mode.joints.first().copied().unwrap_or(Vec3::ZERO);
    let plain = if colors.is_some() { [1.0; 4] } else { [0.5, 0.55, 0.63, 1.0] };
    let mut meshes = vec![GlbMesh {
        name: "mode".to_owned(),
        surface: 0,
        positions: bodies.mode.vertices.iter().map(|vertex| *vertex - origin).collect(),
        normals: body.normals(&bodies.mode.vertices),
        colors,
        paint: Paint { base_color: plain },
    }];
    let points = SAMPLE_BYTES / (24 * bodies.samples.len().max(1));
    let coarse = simplify(&body.v_template, &body.faces, points.max(LEAST_POINTS));
    let kept = |all: &[Vec3]| -> Vec<Vec3> {
        coarse.points.iter().filter_map(|&point| all.get(point as usize).copied()).collect()
    };
    meshes.par_extend(bodies.samples.par_iter().enumerate().map(|(at, posed)| GlbMesh {
        name: format!("sample_{at:03}"),
        surface: 1,
        positions: kept(&posed.vertices).into_iter().map(|vertex| vertex - origin).collect(),
        normals: kept(&body.normals(&posed.vertices)),
        colors: None,
        paint: Paint { base_color: [0.35, 0.5, 0.8, 0.06] },
    }));
    let surfaces: &[&[[u32; 3]]] =
        if bodies.samples.is_empty() { &[&body.faces] } else { &[&body.faces, &coarse.faces] };
    write_glb(path, surfaces, &meshes)
}

fn summary(request: &Request, bodies: &Bodies) -> serde_json::Value {
    let (estimate, person) = (request.estimate, request.person);
    let keypoints: Vec<serde_json::Value> = COCO_NAMES
        .iter()
        .zip(&person.keypoints)
        .map(|(name, point)| json!({"name": name, "x": point.x, "y": point.y, "score": point.score}))
        .collect();
    let reliability = person.reliability();
    let projected = coco_pixels(request, &bodies.mode);
    let spread = bodies.spread.as_ref().map(|spread| {
        let joints: serde_json::Map<String, serde_json::Value> = SMPL_NAMES
            .iter()
            .zip(&spread.joint_covariance)
            .map(|(name, covariance)| {
                let deviation =
                    (covariance.x_axis.x + covariance.y_axis.y + covariance.z_axis.z).max(0.0).sqrt();
                ((*name).to_owned(), json!(centimetres(deviation)))
            })
            .collect();
        json!({
            "vertices_median_cm": centimetres(median(&spread.total)),
            "vertices_median_along_cm": {
                "x": centimetres(median(&spread.std_x)),
                "y": centimetres(median(&spread.std_y)),
                "z": centimetres(median(&spread.std_z)),
            },
            "joints_cm": joints,
        })
    });
    json!({
        "photo": request.picture.path,
        "photo_size": [request.picture.width, request.picture.height],
        "title": request.title,
        "person": {
            "box": person.bbox,
            "score": person.score,
            "source": person.source,
            "keypoints": keypoints,
            "visible_keypoints": reliability.visible,
            "mean_confidence": reliability.mean_score,
            "low_confidence": reliability.is_low(),
        },
        "warning": request.warning,
        "estimator": estimate.source,
        "device": request.device,
        "refined": request.refined,
        "seed": estimate.seed,
        "samples": estimate.samples.len(),
        "temperature": request.temperature,
        "camera": estimate.camera,
        "betas": estimate.mode.betas,
        "transl": estimate.mode.transl.to_array(),
        "reprojection_error_px": reprojection_error(person, &projected),
        "spread": spread,
        "files": ["figure.png", "params.npz", "mesh.glb"],
        "version": env!("CARGO_PKG_VERSION"),
    })
}

/// Median distance of the mode's keypoints from those seen in the photo.
fn reprojection_error(person: &Person, projected: &[[f32; 2]; 17]) -> Option<f32> {
    let distances: Vec<f32> = (0..17)
        .filter(|&at| person.visible(at))
        .map(|at| person.keypoints[at].position().distance(projected[at].into()))
        .filter(|distance| distance.is_finite())
        .collect();
    (!distances.is_empty()).then(|| median(&distances))
}

fn median(values: &[f32]) -> f32 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f32::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(0.0)
}

/// Metres to centimetres, rounded to a hundredth.
fn centimetres(metres: f32) -> f64 {
    (f64::from(metres) * 1e4).round() / 100.0
}
