//! The lifter's look at the picture: edges in the keypoints' square and heatmaps of the keypoints, to numbers
//! that are added to the trunk. The trainer runs the same network on flat arrays (`training::lifter`).

use burn::module::Module;
use burn::nn::{Gelu, Initializer, Linear, LinearConfig};
use burn::tensor::{Device, Tensor};

use super::config::LifterConfig;
use crate::formats::picture::Picture;
use crate::keypoints::{COCO_KEYPOINTS, Crop};
use crate::tensors::conv::{Conv2d, Conv2dConfig, Geometry, conv2d_fused};

/// Side of the edges' maps.
pub const SIDE: usize = 64;
/// Brightness' slope to the right and down.
pub const EDGE_CHANNELS: usize = 2;
/// Numbers of one person's edges.
pub const EDGES: usize = EDGE_CHANNELS * SIDE * SIDE;
/// Side of the heatmaps, which join behind the first convolution.
pub const HEAT_SIDE: usize = SIDE / 2;
/// Numbers of one person's heatmaps.
pub const HEATS: usize = COCO_KEYPOINTS * HEAT_SIDE * HEAT_SIDE;

/// Standard deviation of a heatmap's spot, in its pixels.
const SPOT: f32 = 1.3;
const SPOT_REACH: f32 = 4.0;
/// Most readings a cell and axis; larger squares are read with gaps.
const READINGS: usize = 6;
/// Half the window over which edges are compared with those around them.
const AROUND: usize = 8;
/// Slope that counts as noise, grey levels a cell.
const NOISE: f32 = 2.0;

/// Sizes of the convolutions' weights `[o, c, kh, kw]`; each halves the side.
pub fn kernels(config: &LifterConfig) -> [[usize; 4]; 4] {
    let [a, b, c, d] = config.picture_widths;
    [[a, EDGE_CHANNELS, 5, 5], [b, a + COCO_KEYPOINTS, 3, 3], [c, b, 3, 3], [d, c, 3, 3]]
}

/// How such a kernel walks.
pub fn geometry([_, _, rows, _]: [usize; 4]) -> Geometry {
    Geometry::new(2, rows / 2)
}

/// Numbers left of a picture behind the convolutions.
pub fn flat(config: &LifterConfig) -> usize {
    let left = SIDE >> config.picture_widths.len();
    config.picture_widths[3] * left * left
}

/// Strided convolutions with ReLU, the heatmaps joining behind the first; then two linear layers.
#[derive(Module, Debug)]
pub struct PictureNetwork {
    convs: Vec<Conv2d>,
    hidden: Linear,
    out: Linear,
}

impl PictureNetwork {
    /// Fresh weights; the last layer says nothing yet.
    pub fn new(config: &LifterConfig, device: &Device) -> Self {
        let convs = kernels(config).map(|kernel| {
            let [outputs, channels, side, _] = kernel;
            Conv2dConfig::square([channels, outputs], side, 2, side / 2)
                .with_initializer(Initializer::KaimingUniform {
                    gain: std::f64::consts::SQRT_2,
                    fan_out_only: false,
                })
                .init(device)
        });
        let out = LinearConfig::new(config.picture_hidden, config.width);
        Self {
            convs: convs.into(),
            hidden: LinearConfig::new(flat(config), config.picture_hidden).init(device),
            out: out.with_initializer(Initializer::Zeros).init(device),
        }
    }

    /// Edges `[n, 2, 64, 64]` and heatmaps `[n, 17, 32, 32]` to `[n, width]`.
    pub fn forward(&self, edges: Tensor<4>, heats: Tensor<4>) -> Tensor<2> {
        let mut x = edges;
        let mut heats = Some(heats);
        for conv in &self.convs {
            x = match &conv.bias {
                Some(bias) => conv2d_fused(x, conv.weight.val(), bias.val(), None, true, conv.geometry()),
                None => conv.forward(x),
            };
            if let Some(heats) = heats.take() {
                x = Tensor::cat(vec![x, heats], 1);
            }
        }
        self.out.forward(Gelu::new().forward(self.hidden.forward(x.flatten(1, 3))))
    }
}

/// Edges of a photo in a square.
pub fn edges_of(picture: &Picture, crop: &Crop) -> Vec<f32> {
    let grey = |x: usize, y: usize| grey(picture.pixel(x, y));
    edges([picture.width, picture.height], grey, crop)
}

/// Brightness of a pixel, 0..255.
pub fn grey([red, green, blue]: [u8; 3]) -> f32 {
    0.299 * f32::from(red) + 0.587 * f32::from(green) + 0.114 * f32::from(blue)
}

/// One axis of the square: neighbouring pixels of each reading and the second's share.
fn readings(center: f32, side: f32, count: usize, len: usize) -> Vec<(usize, usize, f32)> {
    let last = (len - 1) as f32;
    (0..count)
        .map(|i| {
            let at = center + ((i as f32 + 0.5) / count as f32 - 0.5) * side - 0.5;
            let at = at.clamp(0.0, last);
            let first = at as usize;
            (first, (first + 1).min(len - 1), at - first as f32)
        })
        .collect()
}

/// Slopes of the brightness in the square's cells, measured by those around them, −1..1; zeros outside the picture.
/// `at`: brightness of pixel (x, y), 0..255.
pub fn edges([width, height]: [usize; 2], at: impl Fn(usize, usize) -> f32, crop: &Crop) -> Vec<f32> {
    let mut out = vec![0.0; EDGES];
    if width == 0 || height == 0 || !(crop.side > 0.0 && crop.side.is_finite() && crop.center.is_finite()) {
        return out;
    }
    let reads = ((crop.side / SIDE as f32).ceil() as usize).clamp(1, READINGS);
    let columns = readings(crop.center.x, crop.side, SIDE * reads, width);
    let rows = readings(crop.center.y, crop.side, SIDE * reads, height);
    let mut cells = vec![0.0f32; SIDE * SIDE];
    let share = 1.0 / (reads * reads) as f32;
    for (row, &(above, below, down)) in rows.iter().enumerate() {
        let line = &mut cells[row / reads * SIDE..][..SIDE];
        for (cell, columns) in line.iter_mut().zip(columns.chunks_exact(reads)) {
            for &(left, right, across) in columns {
                let first = at(left, above) * (1.0 - across) + at(right, above) * across;
                let second = at(left, below) * (1.0 - across) + at(right, below) * across;
                *cell += share * (first * (1.0 - down) + second * down);
            }
        }
    }

    let (right, down) = out.split_at_mut(SIDE * SIDE);
    let mut strength = vec![0.0f32; SIDE * SIDE];
    for y in 0..SIDE {
        let lines = [y.saturating_sub(1), y, (y + 1).min(SIDE - 1)].map(|y| &cells[y * SIDE..][..SIDE]);
        for x in 0..SIDE {
            let (before, after) = (x.saturating_sub(1), (x + 1).min(SIDE - 1));
            let change = |line: &[f32]| line[after] - line[before];
            let sum = |line: &[f32]| line[before] + 2.0 * line[x] + line[after];
            let i = y * SIDE + x;
            right[i] = (change(lines[0]) + 2.0 * change(lines[1]) + change(lines[2])) / 8.0;
            down[i] = (sum(lines[2]) - sum(lines[0])) / 8.0;
            strength[i] = right[i].hypot(down[i]);
        }
    }
    let whole = strength.iter().sum::<f32>() / strength.len() as f32;
    let around = box_means(&strength);
    let inside = |place: f32, len: usize| place >= 0.0 && place < len as f32;
    let cell = crop.side / SIDE as f32;
    for y in 0..SIDE {
        for x in 0..SIDE {
            let i = y * SIDE + x;
            let [px, py] = [(crop.center.x, x), (crop.center.y, y)]
                .map(|(center, i)| center + (i as f32 + 0.5) * cell - 0.5 * crop.side);
            let seen = inside(px, width) && inside(py, height);
            let scale = if seen { 1.0 / (strength[i] + 0.5 * (whole + around[i]) + NOISE) } else { 0.0 };
            right[i] *= scale;
            down[i] *= scale;
        }
    }
    out
}

/// Means over windows cut at the borders.
fn box_means(values: &[f32]) -> Vec<f32> {
    let across = |values: &[f32], step: usize, other: usize| {
        let mut out = vec![0.0f32; SIDE * SIDE];
        for line in 0..SIDE {
            for i in 0..SIDE {
                let (from, to) = (i.saturating_sub(AROUND), (i + AROUND + 1).min(SIDE));
                let sum: f32 = (from..to).map(|i| values[line * other + i * step]).sum();
                out[line * other + i * step] = sum / (to - from) as f32;
            }
        }
        out
    };
    across(&across(values, 1, SIDE), SIDE, 1)
}

/// The edges of the picture in a mirror.
pub fn mirror_edges(edges: &[f32]) -> Vec<f32> {
    let mut out = edges.to_vec();
    out.chunks_exact_mut(SIDE).for_each(<[f32]>::reverse);
    out[..SIDE * SIDE].iter_mut().for_each(|slope| *slope = -*slope);
    out
}

/// Pixels of a heatmap's axis that a spot at `place` reaches.
fn near(place: f32) -> std::ops::Range<usize> {
    let end = |at: f32| at.clamp(0.0, HEAT_SIDE as f32) as usize;
    end(place.round() - SPOT_REACH)..end(place.round() + SPOT_REACH + 1.0)
}

/// Spots as bright as the scores at the keypoints of an encoded input (see `input::encode`).
pub fn heatmaps(input: &[f32], out: &mut [f32]) {
    out.fill(0.0);
    let maps = out.chunks_exact_mut(HEAT_SIDE * HEAT_SIDE);
    for (keypoint, map) in input.chunks_exact(3).zip(maps) {
        if keypoint[2] <= 0.0 {
            continue;
        }
        let [x, y] = [keypoint[0], keypoint[1]].map(|v| (0.5 * v + 0.5) * HEAT_SIDE as f32 - 0.5);
        for row in near(y) {
            for column in near(x) {
                let away = (column as f32 - x).powi(2) + (row as f32 - y).powi(2);
                map[row * HEAT_SIDE + column] = keypoint[2] * (-away / (2.0 * SPOT * SPOT)).exp();
            }
        }
    }
}

/// Edges as a picture to look at: grey, brighter where stronger.
pub fn edge_picture(edges: &[f32]) -> Picture {
    let (right, down) = edges.split_at(SIDE * SIDE);
    let rgb = right.iter().zip(down).flat_map(|(x, y)| [(255.0 * x.hypot(*y).min(1.0)) as u8; 3]);
    Picture::new(SIDE, SIDE, rgb.collect())
}

#[cfg(test)]
mod tests {
    use glam::Vec2;

    use super::*;
    use crate::estimators::lifter::input::{self, INPUTS};

    #[test]
    fn edges_follow_the_square_whatever_the_resolution_and_contrast() {
        // A dark bar over the middle third of a bright picture.
        let map = |side: usize, dark: f32| {
            let crop = Crop { center: Vec2::splat(side as f32 / 2.0), side: side as f32, angle: 0.0 };
            edges([side; 2], |x, _| if (side / 3..2 * side / 3).contains(&x) { dark } else { 220.0 }, &crop)
        };
        let (small, large) = (map(96, 20.0), map(960, 140.0));
        let middle = &small[32 * SIDE..33 * SIDE];
        let darkest = (0..SIDE).min_by(|a, b| middle[*a].total_cmp(&middle[*b])).expect("64");
        let brightest = (0..SIDE).max_by(|a, b| middle[*a].total_cmp(&middle[*b])).expect("64");
        assert!(darkest.abs_diff(21) <= 1 && brightest.abs_diff(42) <= 1, "{darkest} {brightest}");
        assert!(small.iter().zip(&large).all(|(a, b)| (a - b).abs() < 0.12));
        assert!(small[SIDE * SIDE..].iter().all(|down| down.abs() < 1e-3));
    }

    #[test]
    fn nothing_is_seen_outside_a_picture_or_in_none() {
        let crop = Crop { center: Vec2::new(0.0, 20.0), side: 40.0, angle: 0.0 };
        let seen = edges([40; 2], |x, y| ((x * 37 + y * 91) % 255) as f32, &crop);
        assert!(seen.chunks_exact(SIDE).all(|line| line[..SIDE / 2].iter().all(|v| *v == 0.0)));
        assert!(seen.iter().any(|v| v.abs() > 0.1));
        assert!(edges([0, 3], |_, _| 0.0, &crop).iter().all(|v| *v == 0.0));
        assert!(edges([8; 2], |_, _| 77.0, &crop).iter().all(|v| *v == 0.0));
    }

    #[test]
    fn mirrored_inputs_are_those_of_the_mirrored_picture() {
        let (width, height) = (70, 50);
        let at = |x: usize, y: usize| ((x * x * 3 + y * 17) % 251) as f32;
        let crop = Crop { center: Vec2::new(30.0, 24.0), side: 45.0, angle: 0.0 };
        let other = Crop { center: Vec2::new(width as f32 - 30.0, 24.0), ..crop };
        let flipped = edges([width, height], |x, y| at(width - 1 - x, y), &other);
        let mirrored = mirror_edges(&edges([width, height], at, &crop));
        assert!(mirrored.iter().zip(&flipped).all(|(a, b)| (a - b).abs() < 1e-3));

        let mut keypoints = vec![0.0; INPUTS];
        keypoints[3 * 9..3 * 10].copy_from_slice(&[-0.4, 0.2, 0.8]);
        let (mut one, mut two) = (vec![0.0; HEATS], vec![0.0; HEATS]);
        heatmaps(&keypoints, &mut one);
        heatmaps(&input::mirror(&keypoints), &mut two);
        let size = HEAT_SIDE * HEAT_SIDE;
        for (a, b) in
            one[9 * size..10 * size].chunks_exact(HEAT_SIDE).zip(two[10 * size..].chunks_exact(HEAT_SIDE))
        {
            assert!(a.iter().zip(b.iter().rev()).all(|(a, b)| (a - b).abs() < 1e-4));
        }
        assert!(one.iter().copied().fold(0.0, f32::max) > 0.6);
    }
}
