//! A photo into a network's input: fitted with black borders, or a square cut out and turned.
//!
//! Straight samplings are two passes of a few weighted rows, then columns; only turned squares are sampled
//! pixel by pixel. Results hold 0..255, not rounded. The detector, the estimators and the window's crops use it.

use glam::Vec2;
use rayon::prelude::*;

use super::feature_map::FeatureMap;
use super::kernels::widest;
use super::{Crop, KeypointError};
use crate::formats::picture::Picture;

/// Where the photo lies in a fitted picture, in its pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    pub rows: usize,
    pub columns: usize,
    pub top: usize,
    pub left: usize,
}

/// Source pixels that one output row (or column) is a weighted sum of.
struct Taps {
    first: usize,
    weights: Vec<f32>,
}

fn check(picture: &Picture, height: usize, width: usize) -> Result<(), KeypointError> {
    let pixels = picture.width.checked_mul(picture.height).and_then(|n| n.checked_mul(3));
    if picture.width == 0 || picture.height == 0 || pixels != Some(picture.rgb.len()) {
        return Err(KeypointError::Shape(format!(
            "a picture of {} x {} pixels with {} bytes cannot be sampled",
            picture.width,
            picture.height,
            picture.rgb.len()
        )));
    }
    if height == 0 || width == 0 || height > MAX_SIDE || width > MAX_SIDE {
        return Err(KeypointError::Shape(format!(
            "cannot sample to {width} x {height} pixels; sides of 1 to {MAX_SIDE} are possible"
        )));
    }
    Ok(())
}

/// Largest side of a result.
const MAX_SIDE: usize = 8192;

/// Weighted sums over rows, then over columns. The result has `rows.len() x columns.len()` pixels.
fn resample(picture: &Picture, rows: &[Taps], columns: &[Taps]) -> FeatureMap {
    // Only source columns that are needed are summed.
    let from = columns.iter().filter(|t| !t.weights.is_empty()).map(|t| t.first).min().unwrap_or(0);
    let to = columns.iter().map(|t| t.first + t.weights.len()).max().unwrap_or(0).max(from);
    let mut out = FeatureMap::zeros(rows.len(), columns.len(), 3);
    if out.values.is_empty() {
        return out;
    }
    out.values.par_chunks_mut(columns.len() * 3).zip(rows).for_each(|(line, taps)| {
        let mut sum = vec![0.0_f32; (to - from) * 3];
        for (offset, weight) in taps.weights.iter().enumerate() {
            let start = (taps.first + offset) * picture.width * 3;
            let source = &picture.rgb[start + from * 3..start + to * 3];
            let (sum, weight) = (&mut sum[..], *weight);
            widest!(add_scaled(sum: &mut [f32], source: &[u8], weight: f32));
        }
        for (pixel, taps) in line.chunks_exact_mut(3).zip(columns) {
            let mut rgb = [0.0_f32; 3];
            let first = taps.first.saturating_sub(from) * 3;
            for (source, weight) in sum.get(first..).unwrap_or(&[]).chunks_exact(3).zip(&taps.weights) {
                for channel in 0..3 {
                    rgb[channel] += source[channel] * weight;
                }
            }
            pixel.copy_from_slice(&rgb);
        }
    });
    out
}

#[inline(always)]
fn add_scaled(sum: &mut [f32], source: &[u8], weight: f32) {
    for (s, v) in sum.iter_mut().zip(source) {
        *s += f32::from(*v) * weight;
    }
}

/// Taps of TensorFlow's bilinear resize of `n` pixels to `m`.
fn resize_taps(n: usize, m: usize, antialias: bool) -> Vec<Taps> {
    let scale = n as f32 / m as f32;
    let last = n - 1;
    (0..m)
        .map(|i| {
            let centre = (i as f32 + 0.5) * scale;
            if !antialias {
                let position = centre - 0.5;
                // The weight is taken before the clamping.
                let weight = position - position.floor();
                let low = (position.floor().max(0.0) as usize).min(last);
                let high = (position.ceil().max(0.0) as usize).min(last);
                let weights = if low == high { vec![1.0] } else { vec![1.0 - weight, weight] };
                return Taps { first: low, weights };
            }
            let radius = scale.max(1.0);
            let first = (centre - radius - 0.5).floor().max(0.0) as usize;
            let end = ((centre + radius + 0.5).ceil() as usize).min(n);
            let mut weights: Vec<f32> =
                (first..end).map(|j| (1.0 - (j as f32 + 0.5 - centre).abs() / radius).max(0.0)).collect();
            let sum: f32 = weights.iter().sum();
            weights.iter_mut().for_each(|w| *w /= sum);
            Taps { first, weights }
        })
        .collect()
}

/// The whole picture resized to `rows x columns`, every pixel bilinear.
///
/// # Errors
/// Empty or oversized pictures.
pub fn resize(
    picture: &Picture,
    rows: usize,
    columns: usize,
    antialias: bool,
) -> Result<FeatureMap, KeypointError> {
    check(picture, rows, columns)?;
    Ok(resample(
        picture,
        &resize_taps(picture.height, rows, antialias),
        &resize_taps(picture.width, columns, antialias),
    ))
}

/// The picture on black, its shape kept, as `tf.image.resize_with_pad` does it. Use `antialias` when it
/// shrinks more than twofold.
///
/// # Errors
/// Empty or oversized pictures.
pub fn resize_pad(
    picture: &Picture,
    height: usize,
    width: usize,
    antialias: bool,
) -> Result<(FeatureMap, Layout), KeypointError> {
    check(picture, height, width)?;
    let (h, w) = (picture.height as f32, picture.width as f32);
    let ratio = (w / width as f32).max(h / height as f32);
    let (fitted_h, fitted_w) = (h / ratio, w / ratio);
    let (rows, columns) = ((fitted_h.floor() as usize).min(height), (fitted_w.floor() as usize).min(width));
    let border = |side: usize, fitted: f32| ((side as f32 - fitted) / 2.0).floor().max(0.0) as usize;
    let layout = Layout { rows, columns, top: border(height, fitted_h), left: border(width, fitted_w) };
    if rows == 0 || columns == 0 {
        return Ok((FeatureMap::zeros(height, width, 3), layout));
    }
    Ok((pasted(&resize(picture, rows, columns, antialias)?, height, width, layout.top, layout.left), layout))
}

/// A picture on a black one of another size; what sticks out is cut off.
pub fn pasted(picture: &FeatureMap, height: usize, width: usize, top: usize, left: usize) -> FeatureMap {
    let c = picture.channels;
    let mut out = FeatureMap::zeros(height, width, c);
    let columns = picture.width.min(width.saturating_sub(left));
    if columns == 0 {
        return out;
    }
    let lines = out.values.chunks_exact_mut(width * c).skip(top);
    for (to, from) in lines.zip(picture.values.chunks_exact(picture.width * c)) {
        to[left * c..(left + columns) * c].copy_from_slice(&from[..columns * c]);
    }
    out
}

/// Taps of an unturned crop along one axis: means of `k` bilinear samples, black outside.
fn crop_taps(center: f64, side: f64, size: usize, k: usize, n: usize) -> Vec<Taps> {
    let steps = (size * k) as f64;
    (0..size)
        .map(|i| {
            let mut all: Vec<(i64, f64)> = Vec::with_capacity(2 * k);
            for t in i * k..(i + 1) * k {
                let position = center + side * ((t as f64 + 0.5) / steps - 0.5) - 0.5;
                let floor = position.floor();
                all.push((floor as i64, (floor + 1.0 - position) / k as f64));
                all.push((floor as i64 + 1, (position - floor) / k as f64));
            }
            let inside = || all.iter().filter(|(j, _)| (0..n as i64).contains(j));
            let first = inside().map(|(j, _)| *j).min().unwrap_or(0);
            let last = inside().map(|(j, _)| *j).max().unwrap_or(-1);
            let mut weights = vec![0.0; (last + 1 - first) as usize];
            for (j, weight) in inside() {
                weights[(j - first) as usize] += *weight as f32;
            }
            Taps { first: first as usize, weights }
        })
        .collect()
}

/// A square of the photo as `size x size` pixels; black outside the photo.
///
/// # Errors
/// Empty pictures, a size of 0, a square without a finite positive side.
pub fn crop_square(picture: &Picture, crop: &Crop, size: usize) -> Result<FeatureMap, KeypointError> {
    check(picture, size, size)?;
    let limit = 64.0 * (picture.width.max(picture.height)) as f32;
    let sound = crop.center.is_finite() && crop.angle.is_finite() && crop.side > 0.0 && crop.side <= limit;
    if !sound {
        return Err(KeypointError::Shape(format!(
            "cannot cut out a square of side {} at {} turned by {}: finite numbers and a side of at most {limit} are needed",
            crop.side, crop.center, crop.angle
        )));
    }
    let k = ((crop.side / size as f32).ceil() as usize).max(1);
    if crop.angle == 0.0 {
        let side = f64::from(crop.side);
        let rows = crop_taps(f64::from(crop.center.y), side, size, k, picture.height);
        let columns = crop_taps(f64::from(crop.center.x), side, size, k, picture.width);
        return Ok(resample(picture, &rows, &columns));
    }
    let turn = Vec2::from_angle(crop.angle);
    let mut out = FeatureMap::zeros(size, size, 3);
    let step = 1.0 / (size * k) as f32;
    out.values.par_chunks_mut(size * 3).enumerate().for_each(|(y, line)| {
        for (x, pixel) in line.chunks_exact_mut(3).enumerate() {
            let mut sum = [0.0_f32; 3];
            for ty in y * k..(y + 1) * k {
                for tx in x * k..(x + 1) * k {
                    let unit = (Vec2::new(tx as f32, ty as f32) + 0.5) * step - 0.5;
                    let at = crop.center + turn.rotate(unit * crop.side) - 0.5;
                    add_bilinear(picture, at, &mut sum);
                }
            }
            for (value, s) in pixel.iter_mut().zip(sum) {
                *value = s / (k * k) as f32;
            }
        }
    });
    Ok(out)
}

fn add_bilinear(picture: &Picture, at: Vec2, sum: &mut [f32; 3]) {
    let floor = at.floor();
    let part = at - floor;
    let (x0, y0) = (floor.x as i64, floor.y as i64);
    for (dy, wy) in [(0, 1.0 - part.y), (1, part.y)] {
        for (dx, wx) in [(0, 1.0 - part.x), (1, part.x)] {
            let (x, y) = (x0 + dx, y0 + dy);
            if (0..picture.width as i64).contains(&x) && (0..picture.height as i64).contains(&y) {
                let start = (y as usize * picture.width + x as usize) * 3;
                for (s, v) in sum.iter_mut().zip(&picture.rgb[start..start + 3]) {
                    *s += f32::from(*v) * (wx * wy);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    /// Smooth, without symmetry.
    fn drawn(width: usize, height: usize) -> Picture {
        let mut rgb = Vec::with_capacity(width * height * 3);
        for y in 0..height {
            for x in 0..width {
                let (u, v) = (x as f32 * 0.21, y as f32 * 0.13);
                rgb.extend(
                    [u.sin() * 80.0 + 120.0, v.cos() * 90.0 + 110.0, (u + v).sin() * 60.0 + 100.0]
                        .map(|v| v as u8),
                );
            }
        }
        Picture { width, height, rgb: Arc::new(rgb), path: None }
    }

    #[test]
    fn a_crop_is_the_same_whether_sampled_by_axis_or_by_pixel() {
        let picture = drawn(70, 50);
        for side in [20.0, 64.0, 150.0] {
            let straight = Crop { center: Vec2::new(30.3, 21.7), side, angle: 0.0 };
            let turned = Crop { angle: std::f32::consts::TAU, ..straight };
            let a = crop_square(&picture, &straight, 32).expect("sound crop");
            let b = crop_square(&picture, &turned, 32).expect("sound crop");
            for (a, b) in a.values.iter().zip(&b.values) {
                assert!((a - b).abs() < 0.02, "{a} {b}");
            }
        }
    }

    #[test]
    fn a_quarter_turn_permutes_the_pixels() {
        let picture = drawn(32, 32);
        let crop = Crop { center: Vec2::splat(16.0), side: 32.0, angle: std::f32::consts::FRAC_PI_2 };
        let turned = crop_square(&picture, &crop, 32).expect("sound crop");
        for (x, y) in [(3, 5), (20, 9), (31, 0)] {
            // The output's x axis runs along the photo's y axis, its y axis against the photo's x axis.
            let at = (x * 32 + (31 - y)) * 3;
            assert!((turned.at(y, x, 0) - f32::from(picture.rgb[at])).abs() < 0.01);
        }
    }

    #[test]
    fn same_size_changes_nothing_and_borders_are_black() {
        let picture = drawn(40, 20);
        let (fitted, layout) = resize_pad(&picture, 40, 40, true).expect("sound picture");
        assert_eq!(layout, Layout { rows: 20, columns: 40, top: 10, left: 0 });
        assert_eq!(fitted.at(3, 7, 1), 0.0);
        assert_eq!(fitted.at(13, 7, 1), f32::from(picture.rgb[(3 * 40 + 7) * 3 + 1]));
    }

    #[test]
    fn what_cannot_be_sampled_is_refused() {
        let picture = drawn(8, 8);
        let crop = |side| Crop { center: Vec2::splat(4.0), side, angle: 0.0 };
        for side in [0.0, -1.0, f32::NAN, f32::INFINITY, 1e9] {
            assert!(matches!(crop_square(&picture, &crop(side), 8), Err(KeypointError::Shape(_))));
        }
        assert!(matches!(crop_square(&picture, &crop(4.0), 0), Err(KeypointError::Shape(_))));
        let empty = Picture { width: 0, height: 4, rgb: Arc::new(Vec::new()), path: None };
        assert!(matches!(resize_pad(&empty, 8, 8, false), Err(KeypointError::Shape(_))));
    }
}
