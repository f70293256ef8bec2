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

/// The map the network gets, `[height, width]`: what [`detect`] gives in the end, in a fraction of its time.
pub fn edge_map(picture: &Planes, options: &EdgeOptions) -> Vec<f32> {
    // Blurring and differences are linear, so the channels can be averaged first.
    let blurred = blur(&mean(picture), &gaussian(options.gaussian_size, options.gaussian_std));
    let (gx, gy) = gradients(&blurred);
    let magnitude = lengths(&gx, &gy);
    let mut map =
        if options.thin { thin(&magnitude, &gx, &gy, picture.height, picture.width) } else { magnitude };
    if options.threshold > 0.0 {
        map.iter_mut().for_each(|v| *v = if *v >= options.threshold { *v } else { 0.0 });
    }
    map
}

/// Runs the detector on a picture of any number of channels; outside the picture everything is 0.
pub fn detect(picture: &Planes, options: &EdgeOptions) -> EdgeMaps {
    let (height, width) = (picture.height, picture.width);
    let blurred = blur(picture, &gaussian(options.gaussian_size, options.gaussian_std));
    let (gx, gy) = gradients(&mean(&blurred));
    let magnitude = lengths(&gx, &gy);
    let orientation: Vec<f32> = gx
        .iter()
        .zip(&gy)
        .map(|(x, y)| {
            let degrees = y.atan2(*x) * (180.0 / std::f32::consts::PI) + 180.0;
            (degrees / 45.0).round_ties_even() * 45.0
        })
        .collect();
    let keep =
        |map: &[f32]| map.iter().map(|&v| if v >= options.threshold { v } else { 0.0 }).collect::<Vec<f32>>();
    let thresholded = keep(&magnitude);
    let thin = options.thin.then(|| thin(&magnitude, &gx, &gy, height, width));
    let thresholded_thin = thin.as_deref().map(keep);
    EdgeMaps { blurred, magnitude, orientation, thresholded, thin, thresholded_thin }
}

/// The channels' mean as one plane.
fn mean(picture: &Planes) -> Planes {
    let mut out = Planes::zeros(1, picture.height, picture.width);
    for plane in picture.planes() {
        out.values.iter_mut().zip(plane).for_each(|(o, v)| *o += v);
    }
    let share = 1.0 / picture.count.max(1) as f32;
    out.values.iter_mut().for_each(|v| *v *= share);
    out
}

fn lengths(gx: &[f32], gy: &[f32]) -> Vec<f32> {
    gx.iter().zip(gy).map(|(x, y)| (x * x + y * y).sqrt()).collect()
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

/// Sobel responses of the first plane: left minus right, top minus bottom.
fn gradients(picture: &Planes) -> (Vec<f32>, Vec<f32>) {
    let (height, width) = (picture.height, picture.width);
    let line = width + 2;
    let mut padded = vec![0.0f32; (height + 2) * line];
    for (row, out) in picture.plane(0).chunks_exact(width).zip(padded[line..].chunks_exact_mut(line)) {
        out[1..=width].copy_from_slice(row);
    }
    let (mut gx, mut gy) = (vec![0.0f32; height * width], vec![0.0f32; height * width]);
    let (mut smooth, mut difference) = (vec![0.0f32; line], vec![0.0f32; line]);
    for (y, (gx, gy)) in gx.chunks_exact_mut(width).zip(gy.chunks_exact_mut(width)).enumerate() {
        let [above, here, below] = [y, y + 1, y + 2].map(|r| &padded[r * line..(r + 1) * line]);
        let rows = above.iter().zip(here).zip(below);
        for ((s, d), ((a, h), b)) in smooth.iter_mut().zip(&mut difference).zip(rows) {
            *s = a + 2.0 * h + b;
            *d = a - b;
        }
        gx.iter_mut().zip(smooth.iter().zip(&smooth[2..])).for_each(|(o, (left, right))| *o = left - right);
        let three = difference.iter().zip(&difference[1..]).zip(&difference[2..]);
        gy.iter_mut().zip(three).for_each(|(o, ((a, h), b))| *o = a + 2.0 * h + b);
    }
    (gx, gy)
}

/// tan 22.5°: nearer than this to an axis, a gradient's direction rounds to that axis.
const NEAR_AXIS: f32 = 0.414_213_56;

/// The magnitude where it is larger than at both neighbours along the gradient, 0 elsewhere and outside.
fn thin(magnitude: &[f32], gx: &[f32], gy: &[f32], height: usize, width: usize) -> Vec<f32> {
    let line = width + 2;
    let mut padded = vec![0.0f32; (height + 2) * line];
    for (row, out) in magnitude.chunks_exact(width).zip(padded[line..].chunks_exact_mut(line)) {
        out[1..=width].copy_from_slice(row);
    }
    let mut thinned = vec![0.0; magnitude.len()];
    for (i, out) in thinned.iter_mut().enumerate() {
        let (x, y) = (gx[i], gy[i]);
        let step = if y.abs() <= NEAR_AXIS * x.abs() {
            1
        } else if x.abs() <= NEAR_AXIS * y.abs() {
            line
        } else if (x > 0.0) == (y > 0.0) {
            line + 1
        } else {
            line - 1
        };
        let at = (i / width + 1) * line + i % width + 1;
        let m = padded[at];
        if m > padded[at - step] && m > padded[at + step] {
            *out = m;
        }
    }
    thinned
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_short_way_gives_the_same_edges() {
        let (height, width) = (37, 52);
        let mut picture = Planes::zeros(3, height, width);
        for (i, v) in picture.values.iter_mut().enumerate() {
            let (x, y) = ((i % width) as f32, (i / width % height) as f32);
            let c = (i / (width * height)) as f32;
            *v = 0.5
                + 0.3 * (0.31 * x + 0.2 * c).sin() * (0.23 * y - 0.1 * c).cos()
                + 0.1 * (0.7 * (x + y)).sin();
        }
        for thin in [true, false] {
            for threshold in [0.0, 0.3] {
                let options = EdgeOptions { thin, threshold, ..EdgeOptions::default() };
                let maps = detect(&picture, &options);
                let expected = maps.thresholded_thin.unwrap_or(maps.thresholded);
                let found = edge_map(&picture, &options);
                let kept = |map: &[f32]| map.iter().filter(|v| **v > 0.0).count();
                assert!(kept(&expected) > 100);
                let worst = found.iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
                assert!(worst < 1e-5 || kept(&found).abs_diff(kept(&expected)) <= 2, "{worst}");
            }
        }
    }

    #[test]
    fn an_upright_step_is_one_thin_line() {
        let (height, width) = (20, 30);
        let mut picture = Planes::zeros(1, height, width);
        for (i, v) in picture.values.iter_mut().enumerate() {
            *v = [0.4, 0.65, 0.9][(i % width).saturating_sub(11).min(2)];
        }
        let map = edge_map(&picture, &EdgeOptions { threshold: 0.2, ..EdgeOptions::default() });
        for y in 5..15 {
            let set: Vec<usize> = (3..27).filter(|x| map[y * width + x] > 0.0).collect();
            assert_eq!(set, [12], "row {y}");
        }
    }
}
