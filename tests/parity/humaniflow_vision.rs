//! Kinds of `humaniflow`: encoder, edges, heatmaps, crops.

use std::path::Path;

use burn::tensor::{Device, Tensor, TensorData};
use glam::Vec2;
use humanifold::estimators::humaniflow::encoder::{EncoderConfig, Layers};
use humanifold::estimators::humaniflow::proxy::Planes;
use humanifold::estimators::humaniflow::proxy::crops::{self, BoxRegion};
use humanifold::estimators::humaniflow::proxy::edges::{EdgeOptions, detect};
use humanifold::estimators::humaniflow::proxy::heatmaps::{Rounding, heatmap, peaks};
use humanifold::estimators::humaniflow::weights::StateDict;
use humanifold::tensors::weights::collect;

use crate::case::{Case, CaseResult, Failure, Kinds, Outputs};
use crate::hash1::{self, Rule};

pub fn kinds() -> Kinds {
    vec![("encoder", encoder), ("canny", canny), ("heatmaps", heatmaps), ("crops", crops)]
}

fn encoder(case: &Case) -> CaseResult {
    let layers = match case.count("layers")? {
        18 => Layers::Eighteen,
        50 => Layers::Fifty,
        other => return Err(Failure::broken(format!("{other} layers"))),
    };
    let device = if case.flag("train") { Device::flex().autodiff() } else { Device::flex() };
    let config = EncoderConfig::new()
        .with_layers(layers)
        .with_base_width(case.count("base_width")?)
        .with_channels_in(case.count("in_channels")?);
    let rule = case.has_param("weights").then(|| Rule::of(case)).transpose()?;
    let mut state = StateDict::default();
    let empty = collect(&config.init(&device), Path::new("")).map_err(Failure::broken)?;
    for tensor in empty {
        let values = match &rule {
            Some(rule) => rule.tensor(&tensor.name, &tensor.shape),
            None => case.f32(&format!("w:{}", tensor.name))?,
        };
        state.insert(&tensor.name, &tensor.shape, values);
    }
    let encoder = config.load(&state, "", Path::new(""), &device).map_err(Failure::broken)?;

    let (shape, values) = hash1::input(case)?;
    let x = Tensor::<4>::from_data(TensorData::new(values, shape), &device);
    let features = if case.flag("train") { encoder.forward(x).inner() } else { encoder.folded().forward(x) };
    let shape = features.dims();
    let values = features.into_data().try_to_vec::<f32>().map_err(|e| Failure::broken(format!("{e:?}")))?;
    let mut outputs = Outputs::new().f32("features", &shape, values);
    for key in case.tolerance.keys() {
        let Some((norm, statistic)) = key.rsplit_once(".running_") else { continue };
        let (mean, variance) =
            encoder.running_statistics(norm).ok_or_else(|| Failure::broken(format!("no `{norm}`")))?;
        let values = if statistic == "mean" { mean } else { variance };
        outputs = outputs.f32(key, &[values.len()], values);
    }
    Ok(outputs)
}

fn planes(shape: &[usize], values: &[f32]) -> Result<Vec<Planes>, Failure> {
    let &[_, count, height, width] = shape else {
        return Err(Failure::broken(format!("pictures of shape {shape:?}")));
    };
    let picture = |values: &[f32]| Planes { count, height, width, values: values.to_vec() };
    Ok(values.chunks_exact(count * height * width).map(picture).collect())
}

fn pictures(case: &Case, name: &str) -> Result<Vec<Planes>, Failure> {
    planes(&case.shape(name)?, &case.f32(name)?)
}

fn stacked(outputs: Outputs, name: &str, pictures: &[Planes]) -> Outputs {
    let Some(first) = pictures.first() else { return outputs };
    let shape = [pictures.len(), first.count, first.height, first.width];
    outputs.f32(name, &shape, pictures.iter().flat_map(|p| p.values.clone()).collect())
}

fn canny(case: &Case) -> CaseResult {
    let options = EdgeOptions {
        gaussian_size: case.count("gaussian_size")?,
        gaussian_std: case.number("gaussian_std")? as f32,
        threshold: case.number("threshold")? as f32,
        thin: case.flag("non_max_suppression"),
    };
    let pictures = pictures(case, "img")?;
    let found: Vec<_> = pictures.iter().map(|picture| detect(picture, &options)).collect();
    let blurred: Vec<Planes> = found.iter().map(|maps| maps.blurred.clone()).collect();
    let shape = [found.len(), 1, pictures[0].height, pictures[0].width];
    let mut outputs = stacked(Outputs::new(), "blurred_img", &blurred);
    let mut add = |name: &str, map: &dyn Fn(usize) -> Option<Vec<f32>>| {
        let maps: Option<Vec<Vec<f32>>> = (0..found.len()).map(map).collect();
        if let Some(maps) = maps {
            outputs = std::mem::take(&mut outputs).f32(name, &shape, maps.concat());
        }
    };
    add("grad_magnitude", &|i| Some(found[i].magnitude.clone()));
    add("grad_orientation", &|i| Some(found[i].orientation.clone()));
    add("thresholded_grad_magnitude", &|i| Some(found[i].thresholded.clone()));
    add("thin_edges", &|i| found[i].thin.clone());
    add("thresholded_thin_edges", &|i| found[i].thresholded_thin.clone());
    Ok(outputs)
}

fn points(case: &Case, name: &str) -> Result<Vec<[f64; 2]>, Failure> {
    Ok(case.f64(name)?.chunks_exact(2).map(|p| [p[0], p[1]]).collect())
}

fn heatmaps(case: &Case) -> CaseResult {
    match case.text("op")? {
        "make" => {
            let size = case.count("img_wh")?;
            let std = case.number("std")? as f32;
            let rounding = match case.text("rounding")? {
                "round" => Rounding::Nearest,
                "truncate" => Rounding::Truncate,
                _ => Rounding::Keep,
            };
            let keypoints = points(case, "joints2D")?;
            let maps: Vec<Vec<f32>> = keypoints
                .iter()
                .map(|p| {
                    let mut map = vec![0.0; size * size];
                    let [x, y] = p.map(|v| rounding.apply(v) as f32);
                    heatmap(Vec2::new(x, y), std, size, &mut map);
                    map
                })
                .collect();
            if case.has_param("layout") && case.text("layout")? == "HWC" {
                let values = (0..size * size).flat_map(|i| maps.iter().map(move |map| map[i])).collect();
                return Ok(Outputs::new().f32("heatmaps", &[size, size, maps.len()], values));
            }
            let mut shape = case.shape("joints2D")?;
            shape.pop();
            shape.extend([size, size]);
            Ok(Outputs::new().f32("heatmaps", &shape, maps.concat()))
        }
        "argmax" => {
            let shape = case.shape("heatmaps")?;
            let &[batch, count, height, width] = shape.as_slice() else {
                return Err(Failure::broken("heatmaps have four dimensions"));
            };
            let eps = case.number("eps")? as f32;
            let found = peaks(&case.f32("heatmaps")?, height, width, eps, case.flag("gaussian_heatmaps"));
            let values = found.keypoints.iter().flat_map(|p| [p.x, p.y]).collect();
            Ok(Outputs::new().f32("joints2D", &[batch, count, 2], values).bools(
                "visible",
                &[batch, count],
                found.seen,
            ))
        }
        other => Err(Failure::broken(format!("unknown op `{other}`"))),
    }
}

fn size(case: &Case, name: &str) -> Result<[usize; 2], Failure> {
    match case.numbers(name)?[..] {
        [width, height] => Ok([width as usize, height as usize]),
        _ => Err(Failure::broken(format!("`{name}` is no width and height"))),
    }
}

/// The boxes as given or from part maps, brought to the output's aspect, enlarged and shifted.
fn regions(case: &Case, [width, height]: [usize; 2]) -> Result<Vec<BoxRegion>, Failure> {
    let mut regions: Vec<BoxRegion> = if case.has("bbox_determiner") {
        let shape = case.shape("bbox_determiner")?;
        let (rows, columns) = (shape[1], shape[2]);
        let maps = case.f32("bbox_determiner")?;
        maps.chunks_exact(rows * columns).map(|map| BoxRegion::of_parts(map, rows, columns)).collect()
    } else {
        let (heights, widths) = if case.has("bbox_whs") {
            (case.f32("bbox_whs")?, case.f32("bbox_whs")?)
        } else {
            (case.f32("bbox_heights")?, case.f32("bbox_widths")?)
        };
        let centres = case.f32("bbox_centres")?;
        let sides = heights.into_iter().zip(widths);
        let region = |(centre, (height, width)): (&[f32], _)| BoxRegion {
            centre: [centre[0], centre[1]],
            height,
            width,
        };
        centres.chunks_exact(2).zip(sides).map(region).collect()
    };
    let draws = |name: &str, range: &str, count: usize| -> Result<Vec<f32>, Failure> {
        if !case.has(name) {
            return Ok(vec![0.0; count]);
        }
        let range = case.numbers(range)?;
        let (low, high) = (range[0] as f32, range[1] as f32);
        Ok(case.f32(name)?.into_iter().map(|u| low + u * (high - low)).collect())
    };
    let scale = if case.has_param("scale") { case.number("scale")? as f32 } else { 1.0 };
    let scales = draws("u_scale", "delta_scale_range", regions.len())?;
    let shifts = draws("u_centre", "delta_centre_range", 2 * regions.len())?;
    for (i, region) in regions.iter_mut().enumerate() {
        *region = region
            .with_aspect(height as f32 / width as f32)
            .scaled(scale + scales[i])
            .shifted(shifts[2 * i], shifts[2 * i + 1]);
    }
    Ok(regions)
}

fn crops(case: &Case) -> CaseResult {
    let op = case.text("op")?;
    if op == "background" {
        let (rgb, background) = (pictures(case, "rgb")?, pictures(case, "background")?);
        let parts = case.f32("seg")?;
        let parts = parts.chunks_exact(rgb[0].height * rgb[0].width);
        let out: Vec<Planes> = rgb
            .iter()
            .zip(&background)
            .zip(parts)
            .map(|((rgb, background), parts)| crops::over_background(rgb, parts, background))
            .collect();
        return Ok(stacked(Outputs::new(), "rgb", &out));
    }
    let out_size = size(case, "output_wh")?;
    let regions = regions(case, out_size)?;
    let each = |name: &str, crop: &dyn Fn(&Planes, &BoxRegion) -> Planes| -> Result<Vec<Planes>, Failure> {
        Ok(pictures(case, name)?.iter().zip(&regions).map(|(p, r)| crop(p, r)).collect())
    };
    let mut outputs = Outputs::new();
    match op {
        "affine_grid" => {
            let rgb = each("rgb", &|p, r| crops::crop_bilinear(p, r, out_size))?;
            outputs = stacked(outputs, "rgb", &rgb);
            if case.has("iuv") {
                let outside = case.number("out_of_frame_pad_val")? as f32;
                let iuv = each("iuv", &|p, r| crops::crop_nearest(p, r, out_size, outside))?;
                outputs = stacked(outputs, "iuv", &iuv);
            }
        }
        "opencv_affine" => {
            let rgb = each("rgb", &|p, r| crops::warp_bilinear(p, r, out_size))?;
            outputs = stacked(outputs, "rgb", &rgb);
        }
        "opencv_affine_seg" => {
            let shape = case.shape("seg")?;
            let maps = planes(&[shape[0], 1, shape[1], shape[2]], &case.f32("seg")?)?;
            let areas: Vec<f64> = maps
                .iter()
                .zip(&regions)
                .map(|(map, region)| {
                    let cropped = crops::warp_nearest(map, region, out_size);
                    cropped.values.iter().filter(|v| **v != 0.0).count() as f64
                })
                .collect();
            return Ok(outputs.f64("area", &[areas.len()], areas));
        }
        "opencv_uncrop" => {
            let whole = size(case, "uncrop_wh")?;
            let rgb = each("rgb", &|p, r| crops::uncrop(p, r, whole))?;
            return Ok(stacked(outputs, "rgb", &rgb));
        }
        other => return Err(Failure::broken(format!("unknown op `{other}`"))),
    }
    if case.has("joints2D") {
        let shape = case.shape("joints2D")?;
        let moved: Vec<f32> = points(case, "joints2D")?
            .chunks_exact(shape[1])
            .zip(&regions)
            .flat_map(|(points, region)| {
                points.iter().flat_map(|p| {
                    crops::move_point(Vec2::new(p[0] as f32, p[1] as f32), region, out_size).to_array()
                })
            })
            .collect();
        outputs = outputs.f32("joints2D", &shape, moved);
    }
    Ok(outputs)
}
