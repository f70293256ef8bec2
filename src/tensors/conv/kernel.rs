//! The convolution on plain slices: rows copied into a matrix of windows ("columns"), then matrix products.
//!
//! Arrays are C-order `[n, c, h, w]`; weights `[o, c, kh, kw]`. Work is cut into row tiles of about a
//! megabyte of windows a thread, so that what gemm reads was just written into the cache.
//! One file because forward, input gradient and weight gradient share the tiles and their buffers.

use std::cell::RefCell;

use gemm::Parallelism;
use rayon::prelude::*;

use super::Geometry;

/// Windows a thread prepares at once, in floats.
const TILE: usize = 1 << 18;
/// Below this many multiply-adds a call stays on its thread.
const SMALL: usize = 1 << 20;
/// Maps with fewer output pixels are handled several images at once.
const SMALL_MAP: usize = 128;
/// Below this many output pixels a thread, output channels are shared out instead of pixels.
const FEW_PIXELS: usize = 64;

/// All sizes of one convolution.
#[derive(Clone, Debug)]
pub(super) struct Sizes {
    batch: usize,
    channels: usize,
    height: usize,
    width: usize,
    outputs: usize,
    kernel: [usize; 2],
    out: [usize; 2],
    geometry: Geometry,
}

impl Sizes {
    pub fn new(x: [usize; 4], weight: [usize; 4], geometry: Geometry) -> Self {
        let [batch, channels, height, width] = x;
        let [outputs, weight_channels, rows, columns] = weight;
        assert_eq!(channels, weight_channels, "input channels and the weight's");
        let kernel = [rows, columns];
        let out = geometry.output_size([height, width], kernel);
        Self { batch, channels, height, width, outputs, kernel, out, geometry }
    }

    pub fn output_shape(&self) -> [usize; 4] {
        [self.batch, self.outputs, self.out[0], self.out[1]]
    }

    fn pixels(&self) -> usize {
        self.out[0] * self.out[1]
    }

    fn taps(&self) -> usize {
        self.kernel[0] * self.kernel[1]
    }

    /// Length of one window.
    fn depth(&self) -> usize {
        self.channels * self.taps()
    }

    fn work(&self) -> usize {
        self.batch * self.outputs * self.pixels() * self.depth()
    }

    /// The picture itself is the matrix of windows.
    fn pointwise(&self) -> bool {
        self.kernel == [1, 1] && self.geometry == Geometry::new(1, 0)
    }

    fn image<'a>(&self, x: &'a [f32], n: usize) -> &'a [f32] {
        let size = self.channels * self.height * self.width;
        &x[n * size..(n + 1) * size]
    }

    /// Input rows that `rows` output rows look at.
    fn band_rows(&self, rows: usize) -> usize {
        (rows - 1) * self.geometry.stride[0] + self.kernel[0]
    }

    /// Columns of one phase of a padded row, see [`fill_band`].
    fn band_columns(&self) -> usize {
        self.out[1] + (self.kernel[1] - 1) / self.geometry.stride[1]
    }
}

/// What is done to the output while it is in the cache: `+ bias[o]`, `+ residual`, ReLU.
#[derive(Clone, Copy, Default)]
pub(super) struct Epilogue<'a> {
    pub bias: Option<&'a [f32]>,
    pub residual: Option<&'a [f32]>,
    pub relu: bool,
}

impl Epilogue<'_> {
    /// For the output channel `o`, whose values `out` lie at `offset` of the whole output.
    fn apply(&self, out: &mut [f32], o: usize, offset: usize) {
        let bias = self.bias.map_or(0.0, |bias| bias[o]);
        match (self.residual, self.relu) {
            (None, false) if self.bias.is_none() => {}
            (None, false) => out.iter_mut().for_each(|v| *v += bias),
            (None, true) => out.iter_mut().for_each(|v| *v = at_least(*v + bias, 0.0)),
            (Some(residual), relu) => {
                let floor = if relu { 0.0 } else { f32::NEG_INFINITY };
                let residual = &residual[offset..offset + out.len()];
                out.iter_mut().zip(residual).for_each(|(v, r)| *v = at_least(*v + bias + r, floor));
            }
        }
    }
}

/// One instruction, and NaN stays NaN (`f32::max` would hide it).
#[inline(always)]
fn at_least(v: f32, floor: f32) -> f32 {
    if v < floor { floor } else { v }
}

/// A pointer that tasks share; each writes a part of its own.
#[derive(Clone, Copy)]
struct Shared(*mut f32);
// SAFETY: every use below hands disjoint ranges to different tasks.
unsafe impl Send for Shared {}
// SAFETY: as above.
unsafe impl Sync for Shared {}

impl Shared {
    /// # Safety
    /// The range lies inside the allocation and no other task touches it meanwhile.
    unsafe fn slice<'a>(self, start: usize, len: usize) -> &'a mut [f32] {
        unsafe { std::slice::from_raw_parts_mut(self.0.add(start), len) }
    }

    unsafe fn at(self, start: usize) -> *mut f32 {
        unsafe { self.0.add(start) }
    }
}

#[derive(Default)]
struct Scratch {
    band: Vec<f32>,
    columns: Vec<f32>,
    /// Output or its gradient of several images side by side, `[o, image, pixel]`.
    side_by_side: Vec<f32>,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

/// Buffers that live as long as the thread. Taken out while in use, so a nested call gets fresh ones.
fn with_scratch<R>(work: impl FnOnce(&mut Scratch) -> R) -> R {
    let mut scratch = SCRATCH.take();
    let result = work(&mut scratch);
    SCRATCH.set(scratch);
    result
}

fn grown(buffer: &mut Vec<f32>, len: usize) -> &mut [f32] {
    if buffer.len() < len {
        buffer.resize(len, 0.0);
    }
    &mut buffer[..len]
}

/// Runs `task(0..count)`, in parallel unless the whole work is small.
fn run_tasks(count: usize, parallel: bool, task: impl Fn(usize) + Sync + Send) {
    if parallel && count > 1 {
        (0..count).into_par_iter().with_max_len(1).for_each(task);
    } else {
        (0..count).for_each(task);
    }
}

/// `dst = lhs · rhs` (or `+=`), each matrix as (pointer, row step, column step), on this thread.
///
/// # Safety
/// All elements addressed lie inside their allocations; `dst` overlaps neither operand.
#[allow(clippy::too_many_arguments)]
unsafe fn multiply(
    [m, n, k]: [usize; 3],
    dst: (*mut f32, usize, usize),
    lhs: (*const f32, usize, usize),
    rhs: (*const f32, usize, usize),
    add: bool,
) {
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            dst.0,
            dst.2 as isize,
            dst.1 as isize,
            add,
            lhs.0,
            lhs.2 as isize,
            lhs.1 as isize,
            rhs.0,
            rhs.2 as isize,
            rhs.1 as isize,
            1.0,
            1.0,
            false,
            false,
            false,
            Parallelism::None,
        );
    }
}

/// Copies the input rows that the output rows `row..row + rows` see, zero-padded, each row split into its
/// `stride` phases so that every window column is a run of neighbours: `[channel][row][phase][column]`.
fn fill_band(band: &mut [f32], image: &[f32], sizes: &Sizes, channels: [usize; 2], row: usize, rows: usize) {
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
fn fill_columns(
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
struct Tile {
    image: usize,
    images: usize,
    row: usize,
    rows: usize,
}

impl Tile {
    fn pixels(&self, sizes: &Sizes) -> usize {
        self.images * self.rows * sizes.out[1]
    }
}

/// A batch cut into tiles of at most [`TILE`] floats of windows `depth` long.
struct Tiling {
    images: usize,
    rows: usize,
    batch: usize,
    height: usize,
}

impl Tiling {
    fn new(sizes: &Sizes, depth: usize, threads: usize) -> Self {
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

    fn row_tiles(&self) -> usize {
        self.height.div_ceil(self.rows)
    }

    fn groups(&self) -> usize {
        self.batch.div_ceil(self.images)
    }

    fn tile(&self, group: usize, row_tile: usize) -> Tile {
        let (image, row) = (group * self.images, row_tile * self.rows);
        let (images, rows) = (self.images.min(self.batch - image), self.rows.min(self.height - row));
        Tile { image, images, row, rows }
    }
}

/// The windows of `channels` of a tile.
fn gather<'a>(
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
fn gather_grad<'a>(buffer: &'a mut Vec<f32>, grad: &[f32], sizes: &Sizes, tile: Tile) -> &'a [f32] {
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

/// Output `[n, o, h', w']`.
pub(super) fn forward(x: &[f32], weight: &[f32], sizes: &Sizes, epilogue: &Epilogue) -> Vec<f32> {
    let len = sizes.batch * sizes.outputs * sizes.pixels();
    let mut out: Vec<f32> = Vec::with_capacity(len);
    let target = Shared(out.as_mut_ptr());
    let threads = rayon::current_num_threads();
    if len == 0 || sizes.depth() == 0 {
        return vec![0.0; len];
    }
    let parallel = sizes.work() > SMALL && threads > 1;
    if parallel && sizes.batch * sizes.pixels() < FEW_PIXELS * threads {
        forward_by_outputs(x, weight, sizes, epilogue, target, threads);
    } else {
        forward_by_rows(x, weight, sizes, epilogue, target, if parallel { threads } else { 1 });
    }
    // SAFETY: the tasks above wrote every element.
    unsafe { out.set_len(len) };
    out
}

/// One task a tile.
fn forward_by_rows(
    x: &[f32],
    weight: &[f32],
    sizes: &Sizes,
    epilogue: &Epilogue,
    target: Shared,
    threads: usize,
) {
    let (depth, pixels, outputs) = (sizes.depth(), sizes.pixels(), sizes.outputs);
    let out_width = sizes.out[1];
    let tiling = Tiling::new(sizes, depth, threads);
    let row_tiles = tiling.row_tiles();
    run_tasks(tiling.groups() * row_tiles, threads > 1, |task| {
        let tile = tiling.tile(task / row_tiles, task % row_tiles);
        let (row, len) = (tile.row * out_width, tile.pixels(sizes));
        let start = tile.image * outputs * pixels + row;
        with_scratch(|Scratch { band, columns, side_by_side }| {
            let (rhs, step) = if sizes.pointwise() && tile.images == 1 {
                (sizes.image(x, tile.image)[row..].as_ptr(), pixels)
            } else {
                (gather(band, columns, x, sizes, [0, sizes.channels], tile).as_ptr(), len)
            };
            let lhs = (weight.as_ptr(), depth, 1);
            if tile.images == 1 {
                // SAFETY: the tile's rows of every output channel belong to this task alone.
                unsafe {
                    let dst = (target.at(start), pixels, 1);
                    multiply([outputs, len, depth], dst, lhs, (rhs, step, 1), false);
                    for o in 0..outputs {
                        let offset = start + o * pixels;
                        epilogue.apply(target.slice(offset, len), o, offset);
                    }
                }
                return;
            }
            let product = grown(side_by_side, outputs * len);
            // SAFETY: whole matrices, `product` is this thread's; the images belong to this task alone.
            unsafe {
                let dst = (product.as_mut_ptr(), len, 1);
                multiply([outputs, len, depth], dst, lhs, (rhs, step, 1), false);
                for (o, row) in product.chunks_exact(len).enumerate() {
                    for (i, plane) in row.chunks_exact(pixels).enumerate() {
                        let offset = start + (i * outputs + o) * pixels;
                        let out = target.slice(offset, pixels);
                        out.copy_from_slice(plane);
                        epilogue.apply(out, o, offset);
                    }
                }
            }
        });
    });
}

/// For small maps: windows gathered together, then one task a range of output channels.
fn forward_by_outputs(
    x: &[f32],
    weight: &[f32],
    sizes: &Sizes,
    epilogue: &Epilogue,
    target: Shared,
    threads: usize,
) {
    let (depth, pixels, outputs) = (sizes.depth(), sizes.pixels(), sizes.outputs);
    let share = sizes.channels.div_ceil(threads);
    let range = outputs.div_ceil(threads).next_multiple_of(16).min(outputs);
    let mut windows = with_scratch(|scratch| std::mem::take(&mut scratch.columns));
    for n in 0..sizes.batch {
        let image = sizes.image(x, n);
        let rhs = if sizes.pointwise() {
            image
        } else {
            let columns = grown(&mut windows, depth * pixels);
            let part = share * sizes.taps() * pixels;
            columns.par_chunks_mut(part).enumerate().for_each(|(i, columns)| {
                let channels = [i * share, ((i + 1) * share).min(sizes.channels)];
                let count = channels[1] - channels[0];
                let rows = sizes.out[0];
                with_scratch(|scratch| {
                    let len = count * sizes.band_rows(rows) * sizes.band_columns() * sizes.geometry.stride[1];
                    let band = grown(&mut scratch.band, len);
                    fill_band(band, image, sizes, channels, 0, rows);
                    fill_columns(columns, band, sizes, count, rows, pixels, 0);
                });
            });
            &*columns
        };
        run_tasks(outputs.div_ceil(range), true, |task| {
            let first = task * range;
            let count = range.min(outputs - first);
            let start = (n * outputs + first) * pixels;
            // SAFETY: these output channels belong to this task alone.
            unsafe {
                let lhs = (weight[first * depth..].as_ptr(), depth, 1);
                let dst = (target.at(start), pixels, 1);
                multiply([count, pixels, depth], dst, lhs, (rhs.as_ptr(), pixels, 1), false);
                for o in first..first + count {
                    let offset = (n * outputs + o) * pixels;
                    epilogue.apply(target.slice(offset, pixels), o, offset);
                }
            }
        });
    }
    with_scratch(|scratch| scratch.columns = windows);
}

/// Gradient with respect to the input, `[n, c, h, w]`, from the output's.
pub(super) fn input_grad(grad: &[f32], weight: &[f32], sizes: &Sizes) -> Vec<f32> {
    let [rows, columns] = sizes.kernel;
    let Geometry { stride, padding } = sizes.geometry;
    if stride == [1, 1] && padding[0] < rows && padding[1] < columns {
        // The same convolution with the kernel turned by 180° and in and out exchanged.
        let (taps, channels, outputs) = (sizes.taps(), sizes.channels, sizes.outputs);
        let mut turned = vec![0.0; weight.len()];
        for o in 0..outputs {
            for c in 0..channels {
                let from = &weight[(o * channels + c) * taps..][..taps];
                let to = &mut turned[(c * outputs + o) * taps..][..taps];
                to.iter_mut().zip(from.iter().rev()).for_each(|(t, f)| *t = *f);
            }
        }
        let geometry = Geometry { stride, padding: [rows - 1 - padding[0], columns - 1 - padding[1]] };
        let swapped = Sizes::new(sizes.output_shape(), [channels, outputs, rows, columns], geometry);
        return forward(grad, &turned, &swapped, &Epilogue::default());
    }
    scattered_input_grad(grad, weight, sizes)
}

/// Any stride: windows' gradients by a matrix product, added into the picture. One task a channel block of
/// an image or of several small ones.
fn scattered_input_grad(grad: &[f32], weight: &[f32], sizes: &Sizes) -> Vec<f32> {
    let (depth, pixels, taps, outputs) = (sizes.depth(), sizes.pixels(), sizes.taps(), sizes.outputs);
    let out_width = sizes.out[1];
    let plane = sizes.height * sizes.width;
    let mut out = vec![0.0f32; sizes.batch * sizes.channels * plane];
    let target = Shared(out.as_mut_ptr());
    let threads = rayon::current_num_threads();
    let most = (256 / taps).max(1);
    let tiling = Tiling::new(sizes, most.min(sizes.channels).max(1) * taps, threads);
    let wanted = (2 * threads).div_ceil(tiling.groups().max(1));
    let block = (sizes.channels / wanted).clamp(1, most);
    let blocks = sizes.channels.div_ceil(block);
    run_tasks(tiling.groups() * blocks, sizes.work() > SMALL, |task| {
        let (group, first) = (task / blocks, task % blocks * block);
        let count = block.min(sizes.channels - first);
        with_scratch(|Scratch { columns, side_by_side, .. }| {
            for row_tile in 0..tiling.row_tiles() {
                let tile = tiling.tile(group, row_tile);
                let len = tile.pixels(sizes);
                let (rhs, step) = if tile.images == 1 {
                    (grad[tile.image * outputs * pixels + tile.row * out_width..].as_ptr(), pixels)
                } else {
                    (gather_grad(side_by_side, grad, sizes, tile).as_ptr(), len)
                };
                let columns = grown(columns, count * taps * len);
                // SAFETY: `columns` is this thread's; the operands are whole matrices.
                unsafe {
                    let lhs = (weight[first * taps..].as_ptr(), 1, depth);
                    let dst = (columns.as_mut_ptr(), len, 1);
                    multiply([count * taps, len, outputs], dst, lhs, (rhs, step, 1), false);
                }
                for i in 0..tile.images {
                    let start = ((tile.image + i) * sizes.channels + first) * plane;
                    // SAFETY: the planes of this channel block belong to this task alone.
                    let planes = unsafe { target.slice(start, count * plane) };
                    scatter(planes, columns, sizes, tile, i);
                }
            }
        });
    });
    out
}

/// Adds the matrix of windows' gradients of a tile's image `i` into that image's planes.
fn scatter(planes: &mut [f32], columns: &[f32], sizes: &Sizes, tile: Tile, i: usize) {
    let [kernel_rows, kernel_columns] = sizes.kernel;
    let Geometry { stride, padding } = sizes.geometry;
    let (width, out_width) = (sizes.width, sizes.out[1]);
    let row_len = tile.pixels(sizes);
    let own = i * row_len / tile.images..(i + 1) * row_len / tile.images;
    let mut matrix_rows = columns.chunks_exact(row_len);
    for plane in planes.chunks_exact_mut(sizes.height * width) {
        for ky in 0..kernel_rows {
            for kx in 0..kernel_columns {
                let Some(matrix_row) = matrix_rows.next() else { return };
                let first = padding[1].saturating_sub(kx).div_ceil(stride[1]).min(out_width);
                let last =
                    (width + padding[1]).saturating_sub(kx).div_ceil(stride[1]).clamp(first, out_width);
                if first == last {
                    continue;
                }
                let x = first * stride[1] + kx - padding[1];
                for (r, source) in matrix_row[own.clone()].chunks_exact(out_width).enumerate() {
                    let y = ((tile.row + r) * stride[0] + ky).wrapping_sub(padding[0]);
                    if y < sizes.height {
                        let line = plane[y * width + x..(y + 1) * width].iter_mut().step_by(stride[1]);
                        line.zip(&source[first..last]).for_each(|(p, g)| *p += g);
                    }
                }
            }
        }
    }
}

/// Gradient with respect to the weight, `[o, c, kh, kw]`. One task a block of input channels; where those
/// are few, the batch is shared out too and the parts are added in a fixed order.
pub(super) fn weight_grad(x: &[f32], grad: &[f32], sizes: &Sizes) -> Vec<f32> {
    let (depth, pixels, taps, outputs) = (sizes.depth(), sizes.pixels(), sizes.taps(), sizes.outputs);
    let out_width = sizes.out[1];
    let threads = rayon::current_num_threads();
    let block = sizes.channels.div_ceil(threads).max(1);
    let blocks = sizes.channels.div_ceil(block);
    let tiling = Tiling::new(sizes, block * taps, 1);
    let parts = if sizes.channels < 4 { tiling.groups().clamp(1, 8) } else { 1 };
    let share = tiling.groups().div_ceil(parts);
    let len = outputs * depth;
    let mut total = vec![0.0f32; parts * len];
    let target = Shared(total.as_mut_ptr());
    run_tasks(parts * blocks, sizes.work() > SMALL, |task| {
        let (part, first) = (task / blocks, task % blocks * block);
        let channels = [first, (first + block).min(sizes.channels)];
        let window = (channels[1] - first) * taps;
        with_scratch(|Scratch { band, columns, side_by_side }| {
            for group in part * share..((part + 1) * share).min(tiling.groups()) {
                for row_tile in 0..tiling.row_tiles() {
                    let tile = tiling.tile(group, row_tile);
                    let (row, len_tile) = (tile.row * out_width, tile.pixels(sizes));
                    let (rhs, rhs_step) = if sizes.pointwise() && tile.images == 1 {
                        (sizes.image(x, tile.image)[first * pixels + row..].as_ptr(), pixels)
                    } else {
                        (gather(band, columns, x, sizes, channels, tile).as_ptr(), len_tile)
                    };
                    let (lhs, lhs_step) = if tile.images == 1 {
                        (grad[tile.image * outputs * pixels + row..].as_ptr(), pixels)
                    } else {
                        (gather_grad(side_by_side, grad, sizes, tile).as_ptr(), len_tile)
                    };
                    // SAFETY: this part's weights of these channels belong to this task alone.
                    unsafe {
                        let dst = (target.at(part * len + first * taps), depth, 1);
                        let (lhs, rhs) = ((lhs, lhs_step, 1), (rhs, 1, rhs_step));
                        multiply([outputs, window, len_tile], dst, lhs, rhs, true);
                    }
                }
            }
        });
    });
    for part in 1..parts {
        let (sum, rest) = total.split_at_mut(part * len);
        sum[..len].iter_mut().zip(&rest[..len]).for_each(|(s, p)| *s += p);
    }
    total.truncate(len);
    total
}

/// Gradient with respect to the bias, `[o]`: the sum over images and pixels.
pub(super) fn bias_grad(grad: &[f32], outputs: usize, pixels: usize) -> Vec<f32> {
    if outputs == 0 || pixels == 0 {
        return vec![0.0; outputs];
    }
    let sum = |o: usize| {
        let planes = grad.chunks_exact(pixels).skip(o).step_by(outputs);
        planes.map(|plane| plane.iter().map(|&v| f64::from(v)).sum::<f64>()).sum::<f64>() as f32
    };
    if grad.len() > SMALL {
        (0..outputs).into_par_iter().map(sum).collect()
    } else {
        (0..outputs).map(sum).collect()
    }
}

/// Maximum over 3x3 windows at stride 2, padding 1, of planes of `height` x `width`.
pub(super) fn max_pool_3x3_stride_2(x: &[f32], height: usize, width: usize) -> Vec<f32> {
    let (out_height, out_width) = (height.div_ceil(2), width.div_ceil(2));
    let planes = x.len() / (height * width).max(1);
    let mut out = vec![0.0; planes * out_height * out_width];
    let pool = |(plane, out): (&[f32], &mut [f32])| {
        let mut tallest = vec![0.0f32; width];
        for (oy, line) in out.chunks_exact_mut(out_width).enumerate() {
            let y = 2 * oy;
            tallest.copy_from_slice(&plane[y * width..(y + 1) * width]);
            for near in [y.wrapping_sub(1), y + 1] {
                if near < height {
                    let row = &plane[near * width..(near + 1) * width];
                    tallest.iter_mut().zip(row).for_each(|(t, v)| *t = at_least(*t, *v));
                }
            }
            for (ox, v) in line.iter_mut().enumerate() {
                let (left, right) = ((2 * ox).saturating_sub(1), (2 * ox + 2).min(width));
                *v = tallest[left..right].iter().fold(f32::NEG_INFINITY, |a, &b| at_least(b, a));
            }
        }
    };
    let pairs = x
        .par_chunks_exact((height * width).max(1))
        .zip(out.par_chunks_exact_mut((out_height * out_width).max(1)));
    pairs.with_min_len(4).for_each(pool);
    out
}
