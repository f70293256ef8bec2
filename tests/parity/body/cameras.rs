//! Kind `cameras`: the cameras of published systems.

use glam::{DMat3, DVec2, DVec3};
use humanifold::geometry::published_cameras::{
    CameraError, Pinhole, SpinCrop, estimate_translation, gl_camera_position, half_turn_x, to_normalised,
    to_pixels, translation_to_weak, weak_clip_matrix, weak_project, weak_to_translation,
};

use super::{dmat3s, dvec3s, ends_with, flat64, rows64};
use crate::case::{Case, CaseResult, Failure, Outputs};

impl From<CameraError> for Failure {
    fn from(error: CameraError) -> Self {
        Self::refused("value", &error)
    }
}

pub fn cameras(case: &Case) -> CaseResult {
    Ok(match case.text("op")? {
        "weak_perspective_project" => {
            let cameras = weak_cameras(case)?;
            let points = by_batch(case, "points", cameras.len())?;
            let out: Vec<DVec2> = points
                .iter()
                .zip(&cameras)
                .flat_map(|(points, camera)| {
                    points.iter().map(|p| weak_project(*p, *camera)).collect::<Vec<_>>()
                })
                .collect();
            give_points(case, "points", &out)?
        }
        "normalised_to_pixels" => map_points(case, to_pixels)?,
        "pixels_to_normalised" => map_points(case, to_normalised)?,
        "perspective_project" => perspective(case)?,
        "weak_to_translation" => {
            let (focal, size) = (case.number("focal")?, case.number("size")?);
            let found: Result<Vec<DVec3>, _> = weak_cameras(case)?
                .into_iter()
                .map(|camera| weak_to_translation(camera, focal, size))
                .collect();
            let found = flat64(found?);
            Outputs::new().f64("translation", &[found.len() / 3, 3], found)
        }
        "translation_to_weak" => {
            let (focal, size) = (case.number("focal")?, case.number("size")?);
            let mut out = Vec::new();
            for translation in dvec3s(&ends_with(case, "translation", &[3])?) {
                out.extend(translation_to_weak(translation, focal, size)?);
            }
            Outputs::new().f64("camera", &[out.len() / 3, 3], out)
        }
        "half_turn_x" => {
            let out = dvec3s(&ends_with(case, "points", &[3])?).into_iter().map(half_turn_x);
            Outputs::new().f64("points", &case.shape("points")?, flat64(out))
        }
        "spin_to_gl" => {
            let translation = DVec3::from_slice(&ends_with(case, "translation", &[3])?);
            let points = dvec3s(&ends_with(case, "points", &[3])?);
            let size = case.number("size")?;
            let pinhole = Pinhole::centred(case.number("focal")?, size, size, translation);
            let pixels: Vec<f64> =
                points.iter().flat_map(|p| pinhole.project(*p).unwrap_or(DVec2::NAN).to_array()).collect();
            Outputs::new()
                .f64("pixels", &[points.len(), 2], pixels)
                .f64("camera_position", &[3], gl_camera_position(translation).to_array().to_vec())
                .f64("points", &[points.len(), 3], flat64(points.into_iter().map(half_turn_x)))
        }
        "weak_gl_matrix" => {
            let c = ends_with(case, "camera", &[4])?;
            let rows = weak_clip_matrix([c[0], c[1], c[2], c[3]]);
            Outputs::new().f64("matrix", &[4, 4], rows.concat())
        }
        "estimate_translation" => {
            let joints = dvec3s(&ends_with(case, "joints", &[3])?);
            let pixels = dvec2s(&ends_with(case, "joints2d", &[2])?);
            let confidence = case.f64("confidence")?;
            if pixels.len() != joints.len() || confidence.len() != joints.len() {
                return Err(Failure::refused("shape", "counts of joints differ"));
            }
            let (focal, size) = (case.number("focal")?, case.number("size")?);
            let found = estimate_translation(&joints, &pixels, &confidence, focal, size)?;
            Outputs::new().f64("translation", &[3], found.to_array().to_vec())
        }
        "spin_crop_points" => {
            let center = DVec2::from_slice(&ends_with(case, "center", &[2])?);
            let scale = case.f64("scale")?.first().copied().unwrap_or(f64::NAN);
            let crop = SpinCrop::new(center, scale, case.number("size")?, case.number("rotation")?);
            let points = dvec2s(&ends_with(case, "points2d", &[2])?);
            let out: Vec<i64> = points.iter().flat_map(|p| crop.point(*p)).collect();
            Outputs::new().i64("points2d", &[points.len(), 2], out).f64(
                "matrix",
                &[3, 3],
                rows64(&crop.matrix).to_vec(),
            )
        }
        other => return Err(Failure::broken(format!("no operation `{other}`"))),
    })
}

fn perspective(case: &Case) -> CaseResult {
    let translations = dvec3s(&ends_with(case, "translation", &[3])?);
    let points = by_batch(case, "points", translations.len())?;
    let rotations = case.has("rotation").then(|| ends_with(case, "rotation", &[3, 3])).transpose()?;
    let intrinsics = case.has("intrinsics").then(|| ends_with(case, "intrinsics", &[3, 3])).transpose()?;
    let (rotations, intrinsics) = (rotations.map(|r| dmat3s(&r)), intrinsics.map(|k| dmat3s(&k)));
    let (mut pixels, mut visible) = (Vec::new(), Vec::new());
    for (at, (points, translation)) in points.iter().zip(translations).enumerate() {
        let mut pinhole = match &intrinsics {
            Some(all) => Pinhole { intrinsics: all[at], rotation: DMat3::IDENTITY, translation },
            None => {
                let (width, height) = (case.number("width")?, case.number("height")?);
                Pinhole::centred(case.number("focal")?, width, height, translation)
            }
        };
        if let Some(all) = &rotations {
            pinhole.rotation = all[at];
        }
        for point in points {
            let pixel = pinhole.project(*point);
            visible.push(pixel.is_some());
            pixels.push(pixel.unwrap_or(DVec2::ZERO));
        }
    }
    let shape = case.shape("points")?;
    let out = give_points(case, "points", &pixels)?;
    Ok(out.bools("visible", &shape[..shape.len() - 1], visible))
}

fn weak_cameras(case: &Case) -> Result<Vec<[f64; 3]>, Failure> {
    Ok(ends_with(case, "camera", &[3])?.chunks_exact(3).map(|c| [c[0], c[1], c[2]]).collect())
}

fn dvec2s(values: &[f64]) -> Vec<DVec2> {
    values.chunks_exact(2).map(DVec2::from_slice).collect()
}

/// Points of each of `count` people.
fn by_batch(case: &Case, name: &str, count: usize) -> Result<Vec<Vec<DVec3>>, Failure> {
    let points = dvec3s(&ends_with(case, name, &[3])?);
    let shape = case.shape(name)?;
    if shape.len() != 3 || shape[0] != count {
        return Err(Failure::refused("shape", format!("{name} has shape {shape:?} for {count} people")));
    }
    Ok(points.chunks(shape[1].max(1)).map(<[DVec3]>::to_vec).collect())
}

fn map_points(case: &Case, map: fn(DVec2, f64) -> DVec2) -> CaseResult {
    let size = case.number("size")?;
    let out: Vec<DVec2> =
        dvec2s(&ends_with(case, "points2d", &[2])?).into_iter().map(|p| map(p, size)).collect();
    give_points(case, "points2d", &out)
}

/// `points2d` with the leading axes of an input.
fn give_points(case: &Case, like: &str, points: &[DVec2]) -> CaseResult {
    let mut shape = case.shape(like)?;
    if let Some(last) = shape.last_mut() {
        *last = 2;
    }
    Ok(Outputs::new().f64("points2d", &shape, points.iter().flat_map(|p| p.to_array()).collect()))
}
