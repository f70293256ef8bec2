//! Cutting a box out of a picture, the two ways HuManiFlow does it, and putting it back; HRNet's crops are the same.
//!
//! The grid route (training, prediction) takes pixel p as the area [p, p + 1); the OpenCV route (evaluation on
//! SSP-3D) puts pixel centres at whole numbers. The half pixel between them is the original's.

use glam::Vec2;

use super::planes::Planes;

/// An upright box; the centre is (row, column) as everywhere in the original.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BoxRegion {
    pub centre: [f32; 2],
    pub height: f32,
    pub width: f32,
}

impl BoxRegion {
    pub fn whole(height: usize, width: usize) -> Self {
        let (height, width) = (height as f32, width as f32);
        Self { centre: [height / 2.0, width / 2.0], height, width }
    }

    /// From the first to the last set row and column of a part map (no pixel added); the whole picture where
    /// nothing is set.
    pub fn of_parts(map: &[f32], height: usize, width: usize) -> Self {
        let mut bounds: Option<[usize; 4]> = None;
        for (i, _) in map.iter().enumerate().filter(|(_, part)| **part != 0.0) {
            let (y, x) = (i / width, i % width);
            let [y0, x0, y1, x1] = bounds.unwrap_or([y, x, y, x]);
            bounds = Some([y0.min(y), x0.min(x), y1.max(y), x1.max(x)]);
        }
        let Some(bounds) = bounds else { return Self::whole(height, width) };
        let [y0, x0, y1, x1] = bounds.map(|v| v as f32);
        Self { centre: [(y0 + y1) / 2.0, (x0 + x1) / 2.0], height: y1 - y0, width: x1 - x0 }
    }

    /// The smallest box about the same centre of that height over width.
    pub fn with_aspect(self, aspect: f32) -> Self {
        if self.height > self.width * aspect {
            Self { width: self.height / aspect, ..self }
        } else {
            Self { height: self.width * aspect, ..self }
        }
    }

    pub fn scaled(self, factor: f32) -> Self {
        Self { height: self.height * factor, width: self.width * factor, ..self }
    }

    pub fn shifted(self, rows: f32, columns: f32) -> Self {
        Self { centre: [self.centre[0] + rows, self.centre[1] + columns], ..self }
    }
}

/// Points (x, y) of the picture in pixels of the crop of `size` (width, height).
pub fn move_points<const N: usize>(points: &[Vec2; N], region: &BoxRegion, size: [usize; 2]) -> [Vec2; N] {
    points.map(|point| move_point(point, region, size))
}

/// One point, as [`move_points`].
pub fn move_point(point: Vec2, region: &BoxRegion, [width, height]: [usize; 2]) -> Vec2 {
    let (width, height) = (width as f32, height as f32);
    let [row, column] = region.centre;
    Vec2::new(
        (point.x - column) * (width / region.width) + width / 2.0,
        (point.y - row) * (height / region.height) + height / 2.0,
    )
}

/// Index coordinates of the input that output pixel `i` of `size` reads along one axis, by the grid route.
fn grid_index(i: usize, size: usize, centre: f32, extent: f32) -> f32 {
    centre + ((i as f32 + 0.5) - size as f32 / 2.0) * (extent / size as f32) - 0.5
}

/// One axis of a bilinear reading: two neighbours (`None` outside) and the second's share.
struct Between {
    first: Option<usize>,
    second: Option<usize>,
    share: f32,
}

impl Between {
    fn new(index: f32, len: usize) -> Self {
        let floor = index.floor();
        let inside = |v: f32| (v >= 0.0 && v < len as f32).then_some(v as usize);
        Self { first: inside(floor), second: inside(floor + 1.0), share: index - floor }
    }
}

/// Reads each output pixel between its four neighbours, each 0 outside.
fn read_bilinear(picture: &Planes, xs: &[f32], ys: &[f32]) -> Planes {
    let columns: Vec<Between> = xs.iter().map(|&x| Between::new(x, picture.width)).collect();
    let rows: Vec<Between> = ys.iter().map(|&y| Between::new(y, picture.height)).collect();
    let mut out = Planes::zeros(picture.count, ys.len(), xs.len());
    let size = (ys.len() * xs.len()).max(1);
    for (plane, target) in picture.planes().zip(out.values.chunks_exact_mut(size)) {
        for (row, line) in rows.iter().zip(target.chunks_exact_mut(xs.len().max(1))) {
            for (y, weight) in [(row.first, 1.0 - row.share), (row.second, row.share)] {
                let Some(y) = y else { continue };
                let source = &plane[y * picture.width..(y + 1) * picture.width];
                for (column, value) in columns.iter().zip(&mut *line) {
                    let first = column.first.map_or(0.0, |x| source[x]);
                    let second = column.second.map_or(0.0, |x| source[x]);
                    *value += weight * (first * (1.0 - column.share) + second * column.share);
                }
            }
        }
    }
    out
}

/// Reads the nearest pixel, halves to even, `outside` beyond the picture.
fn read_nearest(picture: &Planes, xs: &[f32], ys: &[f32], outside: f32) -> Planes {
    let nearest = |index: f32, len: usize| {
        let whole = index.round_ties_even();
        (whole >= 0.0 && whole < len as f32).then_some(whole as usize)
    };
    let columns: Vec<_> = xs.iter().map(|&x| nearest(x, picture.width)).collect();
    let mut out = Planes::zeros(picture.count, ys.len(), xs.len());
    let size = (ys.len() * xs.len()).max(1);
    for (plane, target) in picture.planes().zip(out.values.chunks_exact_mut(size)) {
        for (&y, line) in ys.iter().zip(target.chunks_exact_mut(xs.len().max(1))) {
            let row = nearest(y, picture.height);
            for (column, value) in columns.iter().zip(line) {
                *value = match (row, column) {
                    (Some(y), Some(x)) => plane[y * picture.width + x],
                    _ => outside,
                };
            }
        }
    }
    out
}

fn grid_axes(region: &BoxRegion, [width, height]: [usize; 2]) -> (Vec<f32>, Vec<f32>) {
    let [row, column] = region.centre;
    let xs = (0..width).map(|i| grid_index(i, width, column, region.width)).collect();
    let ys = (0..height).map(|j| grid_index(j, height, row, region.height)).collect();
    (xs, ys)
}

/// The grid route for colours: `region` to `size` (width, height), black outside. No smoothing.
pub fn crop_bilinear(picture: &Planes, region: &BoxRegion, size: [usize; 2]) -> Planes {
    let (xs, ys) = grid_axes(region, size);
    read_bilinear(picture, &xs, &ys)
}

/// The grid route for part maps.
pub fn crop_nearest(picture: &Planes, region: &BoxRegion, size: [usize; 2], outside: f32) -> Planes {
    let (xs, ys) = grid_axes(region, size);
    read_nearest(picture, &xs, &ys, outside)
}

/// Index coordinates along one axis under OpenCV's `i -> (i - shift) / scale`.
fn warp_axis(count: usize, scale: f64, shift: f64) -> Vec<f32> {
    (0..count).map(|i| ((i as f64 - shift) / scale) as f32).collect()
}

fn warp_axes(region: &BoxRegion, [width, height]: [usize; 2]) -> (Vec<f32>, Vec<f32>) {
    let axis = |size: usize, centre: f32, extent: f32| {
        let scale = size as f64 / f64::from(extent);
        warp_axis(size, scale, size as f64 / 2.0 - f64::from(centre) * scale)
    };
    (axis(width, region.centre[1], region.width), axis(height, region.centre[0], region.height))
}

/// The OpenCV route for colours.
pub fn warp_bilinear(picture: &Planes, region: &BoxRegion, size: [usize; 2]) -> Planes {
    let (xs, ys) = warp_axes(region, size);
    read_bilinear(picture, &xs, &ys)
}

/// The OpenCV route for silhouettes and part maps, 0 outside.
pub fn warp_nearest(picture: &Planes, region: &BoxRegion, size: [usize; 2]) -> Planes {
    let (xs, ys) = warp_axes(region, size);
    read_nearest(picture, &xs, &ys, 0.0)
}

/// Puts a crop of `region` back into a black picture of `size` (width, height), by the OpenCV route.
pub fn uncrop(crop: &Planes, region: &BoxRegion, [width, height]: [usize; 2]) -> Planes {
    let axis = |count: usize, size: usize, centre: f32, extent: f32| {
        warp_axis(count, f64::from(extent) / size as f64, f64::from(centre) - f64::from(extent) / 2.0)
    };
    let xs = axis(width, crop.width, region.centre[1], region.width);
    let ys = axis(height, crop.height, region.centre[0], region.height);
    read_bilinear(crop, &xs, &ys)
}

/// `background` where the part map is exactly 0, the rendered picture elsewhere.
///
/// # Panics
/// Where the sizes differ.
pub fn over_background(rendered: &Planes, parts: &[f32], background: &Planes) -> Planes {
    assert_eq!(rendered.values.len(), background.values.len(), "picture and background");
    let mut out = rendered.clone();
    let size = parts.len().max(1);
    for (target, behind) in out.values.chunks_exact_mut(size).zip(background.values.chunks_exact(size)) {
        for ((v, b), part) in target.iter_mut().zip(behind).zip(parts) {
            if *part == 0.0 {
                *v = *b;
            }
        }
    }
    out
}
