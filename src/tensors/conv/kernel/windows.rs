//! Which part of a batch one matrix product covers, and the windows of that part.

use super::work::grown;
use super::{Geometry, Sizes};

/// Windows a thread prepares at once, in floats.
const TILE: usize = 1 << 18;
/// Maps with fewer output pixels are handled several images at once.
const SMALL_MAP: usize = 128;

/// Copies the input rows that the output rows `row..row + rows` see, zero-padded, each row split into its
/// `stride` phases so that every window column is a run of neighbours: `[channel][row][phase][column]`.
pub(super) fn fill_band(
    band: &mut [f32],
    image: &[f32],
    sizes: &Sizes,
    channels: [usize; 2],
    row: usize,
    rows: usize,
) {
    let Geometry { stride, padding } = sizes.geometry;
    let (in_rows, columns) = (sizes.band_rows(rows), sizes.band_columns());
    let (width, step) = (sizes.width, stride[1]);
    let mut lines = band.chunks_exact_mut(columns * step);
    for c in channels[0]..channels[1] {
        let plane = &image[c * sizes.height * width..(c + 1) * sizes.height * width];
        for (r, line) in lines.by_ref().take(in_rows).enumerate() {
            let y = (row * stride[0] + r).wrapping_sub(padding[0]);
            if y >= sizes.height {
                line.fill(0.0);
                continue;
            }
            let source = &plane[y * width..(y + 1) * width];
            for (phase, out) in line.chunks_exact_mut(columns).enumerate() {
                // Column j of the phase is input column j * step + phase - padding.
                let first = padding[1].saturating_sub(phase).div_ceil(step).min(columns);
                let last = (width + padding[1]).saturating_sub(phase).div_ceil(step).clamp(first, columns);
                out[..first].fill(0.0);
                out[last..].fill(0.0);
                if first == last {
                    continue;
                }
                let source = &source[first * step + phase - padding[1]..];
                match step {
                    1 => out[first..last].copy_from_slice(&source[..last - first]),
                    2 => {
                        let pairs = source.chunks(2);
                        out[first..last].iter_mut().zip(pairs).for_each(|(o, pair)| *o = pair[0]);
                    }
                    _ => {
                        let picked = source.iter().step_by(step);
                        out[first..last].iter_mut().zip(picked).for_each(|(o, v)| *o = *v);
                    }
                }
            }
        }
    }
}

/// From a band, the matrix of windows: one row a (channel, kernel row, kernel column), one column a pixel.
/// Rows are `row_len` long; this image's pixels start at `offset` of each.
pub(super) fn fill_columns(
    columns: &mut [f32],
    band: &[f32],
    sizes: &Sizes,
    channels: usize,
    rows: usize,
    row_len: usize,
    offset: usize,
) {
    let [kernel_rows, kernel_columns] = sizes.kernel;
    let stride = sizes.geometry.stride;
    let (in_rows, phase_len, out_width) = (sizes.band_rows(rows), sizes.band_columns(), sizes.out[1]);
    let line = phase_len * stride[1];
    let mut matrix_rows = columns.chunks_exact_mut(row_len);
    for c in 0..channels {
        for ky in 0..kernel_rows {
            for kx in 0..kernel_columns {
                let start = (c * in_rows + ky) * line + (kx % stride[1]) * phase_len + kx / stride[1];
                let Some(matrix_row) = matrix_rows.next() else { return };
                let pixels = &mut matrix_row[offset..offset + rows * out_width];
                for (r, out) in pixels.chunks_exact_mut(out_width).enumerate() {
                    let from = start + r * stride[0] * line;
                    out.copy_from_slice(&band[from..from + out_width]);
                }
            }
        }
    }
}

/// What one matrix product covers: some output rows of an image, or several small images whole.
#[derive(Clone, Copy)]
pub(super) struct Tile {
    pub(super) image: usize,
    pub(super) images: usize,
    pub(super) row: usize,
    pub(super) rows: usize,
}

impl Tile {
    pub(super) fn pixels(&self, sizes: &Sizes) -> usize {
        self.images * self.rows * sizes.out[1]
    }
}

/// A batch cut into tiles of at most [`TILE`] floats of windows `depth` long.
pub(super) struct Tiling {
    images: usize,
    rows: usize,
    batch: usize,
    height: usize,
}

impl Tiling {
    pub(super) fn new(sizes: &Sizes, depth: usize, threads: usize) -> Self {
        let (batch, pixels, height) = (sizes.batch, sizes.pixels(), sizes.out[0]);
        if pixels < SMALL_MAP && batch > 1 {
            let fit = (TILE / (depth * pixels)).max(1);
            let images = (2 * SMALL_MAP).div_ceil(pixels).min(fit).min(batch.div_ceil(threads));
            return Self { images, rows: height, batch, height };
        }
        let mut tiles = (depth * pixels).div_ceil(TILE);
        if batch * tiles < 4 * threads {
            tiles = (batch * tiles).next_multiple_of(threads).div_ceil(batch);
        }
        Self { images: 1, rows: height.div_ceil(tiles.min(height)), batch, height }
    }

    pub(super) fn row_tiles(&self) -> usize {
        self.height.div_ceil(self.rows)
    }

    pub(super) fn groups(&self) -> usize {
        self.batch.div_ceil(self.images)
    }

    pub(super) fn tile(&self, group: usize, row_tile: usize) -> Tile {
        let (image, row) = (group * self.images, row_tile * self.rows);
        let (images, rows) = (self.images.min(self.batch - image), self.rows.min(self.height - row));
        Tile { image, images, row, rows }
    }
}

/// The windows of `channels` of a tile.
pub(super) fn gather<'a>(
    band: &mut Vec<f32>,
    columns: &'a mut Vec<f32>,
    x: &[f32],
    sizes: &Sizes,
    channels: [usize; 2],
    tile: Tile,
) -> &'a mut [f32] {
    let count = channels[1] - channels[0];
    let band_len = count * sizes.band_rows(tile.rows) * sizes.band_columns() * sizes.geometry.stride[1];
    let band = grown(band, band_len);
    let row_len = tile.pixels(sizes);
    let columns = grown(columns, count * sizes.taps() * row_len);
    for i in 0..tile.images {
        fill_band(band, sizes.image(x, tile.image + i), sizes, channels, tile.row, tile.rows);
        fill_columns(columns, band, sizes, count, tile.rows, row_len, i * row_len / tile.images);
    }
    columns
}

/// Whole images of the output's gradient side by side, `[o, image, pixel]`.
pub(super) fn gather_grad<'a>(
    buffer: &'a mut Vec<f32>,
    grad: &[f32],
    sizes: &Sizes,
    tile: Tile,
) -> &'a [f32] {
    let pixels = sizes.pixels();
    let row_len = tile.images * pixels;
    let out = grown(buffer, sizes.outputs * row_len);
    let images = grad[tile.image * sizes.outputs * pixels..].chunks_exact(sizes.outputs * pixels);
    for (i, image) in images.take(tile.images).enumerate() {
        for (o, plane) in image.chunks_exact(pixels).enumerate() {
            out[o * row_len + i * pixels..][..pixels].copy_from_slice(plane);
        }
    }
    out
}
