//! The edge detector in front of the network: Gaussian, Sobel, thinning, a threshold; no hysteresis.

use super::Planes;

/// Settings of the detector; the defaults are the original's.
#[derive(Clone, Debug, PartialEq)]
pub struct EdgeOptions {
    /// Taps of the Gaussian.
    pub gaussian_size: usize,
    /// Its standard deviation, pixels.
    pub gaussian_std: f32,
    /// Weaker edges become 0.
    pub threshold: f32,
    /// Whether only local maxima across the edge stay.
    pub thin: bool,
}

impl Default for EdgeOptions {
    fn default() -> Self {
        Self { gaussian_size: 5, gaussian_std: 1.0, threshold: 0.0, thin: true }
    }
}

/// Every stage of the detector; maps are `[height, width]`.
#[derive(Clone, Debug)]
pub struct EdgeMaps {
    pub blurred: Planes,
    /// Length of the gradient averaged over the channels.
    pub magnitude: Vec<f32>,
    /// Its direction in degrees plus 180, a multiple of 45 in 0..=360.
    pub orientation: Vec<f32>,
    pub thresholded: Vec<f32>,
    /// With [`EdgeOptions::thin`]: the magnitude where it is a local maximum.
    pub thin: Option<Vec<f32>>,
    pub thresholded_thin: Option<Vec<f32>>,
}

/// The map the network gets, `[height, width]`.
pub fn edge_map(picture: &Planes, options: &EdgeOptions) -> Vec<f32> {
    let maps = detect(picture, options);
    maps.thresholded_thin.unwrap_or(maps.thresholded)
}

/// Runs the detector on a picture of any number of channels; outside the picture everything is 0.
pub fn detect(picture: &Planes, options: &EdgeOptions) -> EdgeMaps {
    let (height, width) = (picture.height, picture.width);
    let blurred = blur(picture, &gaussian(options.gaussian_size, options.gaussian_std));
    let (gx, gy) = gradients(&blurred);
    let magnitude: Vec<f32> = gx.iter().zip(&gy).map(|(x, y)| (x * x + y * y).sqrt()).collect();
    let orientation: Vec<f32> = gx
        .iter()
        .zip(&gy)
        .map(|(x, y)| {
            let degrees = y.atan2(*x) * (180.0 / std::f32::consts::PI) + 180.0;
            (degrees / 45.0).round_ties_even() * 45.0
        })
        .collect();
    let keep = |map: &[f32]| -> Vec<f32> {
        map.iter().map(|&v| if v >= options.threshold { v } else { 0.0 }).collect()
    };
    let thresholded = keep(&magnitude);
    let thin = options.thin.then(|| thin(&magnitude, &orientation, height, width));
    let thresholded_thin = thin.as_deref().map(keep);
    EdgeMaps { blurred, magnitude, orientation, thresholded, thin, thresholded_thin }
}

fn gaussian(size: usize, std: f32) -> Vec<f32> {
    let middle = (size as f64 - 1.0) / 2.0;
    let taps: Vec<f64> =
        (0..size).map(|n| (-0.5 * ((n as f64 - middle) / f64::from(std)).powi(2)).exp()).collect();
    let sum: f64 = taps.iter().sum();
    taps.into_iter().map(|t| (t / sum) as f32).collect()
}

/// Correlation with `taps` along the rows, then along the columns.
fn blur(picture: &Planes, taps: &[f32]) -> Planes {
    let (height, width) = (picture.height, picture.width);
    let reach = taps.len() / 2;
    let mut out = Planes::zeros(picture.count, height, width);
    let mut padded = vec![0.0f32; width + taps.len()];
    let mut along_x = vec![0.0f32; height * width];
    let size = (height * width).max(1);
    for (source, target) in picture.planes().zip(out.values.chunks_exact_mut(size)) {
        for (row, line) in source.chunks_exact(width).zip(along_x.chunks_exact_mut(width)) {
            padded[reach..reach + width].copy_from_slice(row);
            line.fill(0.0);
            for (n, tap) in taps.iter().enumerate() {
                line.iter_mut().zip(&padded[n..]).for_each(|(o, v)| *o += tap * v);
            }
        }
        for (y, line) in target.chunks_exact_mut(width).enumerate() {
            for (n, tap) in taps.iter().enumerate() {
                if let Some(from) = (y + n).checked_sub(reach).filter(|from| *from < height) {
                    let row = &along_x[from * width..(from + 1) * width];
                    line.iter_mut().zip(row).for_each(|(o, v)| *o += tap * v);
                }
            }
        }
    }
    out
}

/// Sobel responses (left minus right, top minus bottom) averaged over the channels.
fn gradients(picture: &Planes) -> (Vec<f32>, Vec<f32>) {
    let (height, width) = (picture.height, picture.width);
    let line = width + 2;
    let mut padded = vec![0.0f32; (height + 2) * line];
    let (mut gx, mut gy) = (vec![0.0f32; height * width], vec![0.0f32; height * width]);
    for plane in picture.planes() {
        for (y, row) in plane.chunks_exact(width).enumerate() {
            padded[(y + 1) * line + 1..][..width].copy_from_slice(row);
        }
        for y in 0..height {
            let [above, here, below] = [y, y + 1, y + 2].map(|r| &padded[r * line..(r + 1) * line]);
            for x in 0..width {
                let left = above[x] + 2.0 * here[x] + below[x];
                let right = above[x + 2] + 2.0 * here[x + 2] + below[x + 2];
                let top = above[x] + 2.0 * above[x + 1] + above[x + 2];
                let bottom = below[x] + 2.0 * below[x + 1] + below[x + 2];
                gx[y * width + x] += left - right;
                gy[y * width + x] += top - bottom;
            }
        }
    }
    let share = 1.0 / picture.count.max(1) as f32;
    gx.iter_mut().chain(&mut gy).for_each(|v| *v *= share);
    (gx, gy)
}

/// Neighbours (column, row) in the eight directions, 45° apart.
const NEIGHBOURS: [(isize, isize); 8] =
    [(1, 0), (1, 1), (0, 1), (-1, 1), (-1, 0), (-1, -1), (0, -1), (1, -1)];

fn thin(magnitude: &[f32], orientation: &[f32], height: usize, width: usize) -> Vec<f32> {
    let at = |x: isize, y: isize| {
        let inside = x >= 0 && y >= 0 && (x as usize) < width && (y as usize) < height;
        if inside { magnitude[y as usize * width + x as usize] } else { 0.0 }
    };
    let mut out = vec![0.0; magnitude.len()];
    for (i, &m) in magnitude.iter().enumerate() {
        let (x, y) = ((i % width) as isize, (i / width) as isize);
        let direction = (orientation[i] / 45.0) as usize % 8;
        let (dx, dy) = NEIGHBOURS[direction];
        if m > at(x + dx, y + dy) && m > at(x - dx, y - dy) {
            out[i] = m;
        }
    }
    out
}
