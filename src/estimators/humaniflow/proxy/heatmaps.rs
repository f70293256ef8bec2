//! Keypoints to Gaussian bumps, one map each, and back.

use glam::Vec2;

/// What becomes of a keypoint's fractions before its bump is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rounding {
    /// Training and prediction.
    Keep,
    /// To the nearest whole number, halves to even: the original's evaluation on 3DPW.
    Nearest,
    /// Towards zero: the original's evaluation on SSP-3D.
    Truncate,
}

impl Rounding {
    pub fn apply(self, v: f64) -> f64 {
        match self {
            Self::Keep => v,
            Self::Nearest => v.round_ties_even(),
            Self::Truncate => v.trunc(),
        }
    }
}

/// Writes a bump of height 1 at `keypoint` (pixel centres at whole numbers) into `out`, `[size, size]`.
pub fn heatmap(keypoint: Vec2, std: f32, size: usize, out: &mut [f32]) {
    let bump = |centre: f32| -> Vec<f32> {
        (0..size).map(|i| (-0.5 * ((i as f32 - centre) / std).powi(2)).exp()).collect()
    };
    let (along_x, along_y) = (bump(keypoint.x), bump(keypoint.y));
    for (line, y) in out.chunks_exact_mut(size.max(1)).zip(along_y) {
        line.iter_mut().zip(&along_x).for_each(|(o, x)| *o = x * y);
    }
}

/// Peaks of heatmaps, in pixels, and whether each counts as seen.
#[derive(Clone, Debug, PartialEq)]
pub struct Peaks {
    /// (-1000, -1000) where not seen.
    pub keypoints: Vec<Vec2>,
    pub seen: Vec<bool>,
}

/// The first maximum of every `[height, width]` map of `maps`. Seen are those above `eps`; where the maps are
/// full bumps (`full_bumps`), also within 0.01 of the highest of all.
pub fn peaks(maps: &[f32], height: usize, width: usize, eps: f32, full_bumps: bool) -> Peaks {
    let best: Vec<(usize, f32)> = maps
        .chunks_exact((height * width).max(1))
        .map(|map| {
            let first = (0, f32::NEG_INFINITY);
            map.iter().enumerate().fold(first, |best, (i, &v)| if v > best.1 { (i, v) } else { best })
        })
        .collect();
    let highest = best.iter().map(|b| b.1).fold(f32::NEG_INFINITY, f32::max);
    let seen: Vec<bool> = best.iter().map(|&(_, v)| v > eps && (!full_bumps || v > highest - 0.01)).collect();
    let keypoints = best
        .iter()
        .zip(&seen)
        .map(
            |(&(i, _), &seen)| {
                if seen { Vec2::new((i % width) as f32, (i / width) as f32) } else { Vec2::splat(-1000.0) }
            },
        )
        .collect();
    Peaks { keypoints, seen }
}
