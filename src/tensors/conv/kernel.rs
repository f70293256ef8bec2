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
fn fill_columns(columns: &mut [f32], band: &[f32], sizes: &Sizes, channels: usize, rows: usize) {
    let [kernel_rows, kernel_columns] = sizes.kernel;
    let stride = sizes.geometry.stride;
    let (in_rows, phase_len, out_width) = (sizes.band_rows(rows), sizes.band_columns(), sizes.out[1]);
    let line = phase_len * stride[1];
    let mut matrix_rows = columns.chunks_exact_mut(rows * out_width);
    for c in 0..channels {
        for ky in 0..kernel_rows {
            for kx in 0..kernel_columns {
                let start = (c * in_rows + ky) * line + (kx % stride[1]) * phase_len + kx / stride[1];
                let Some(matrix_row) = matrix_rows.next() else { return };
                for (r, out) in matrix_row.chunks_exact_mut(out_width).enumerate() {
                    let from = start + r * stride[0] * line;
                    out.copy_from_slice(&band[from..from + out_width]);
                }
            }
        }
    }
}

/// Band and windows of `channels` of one image for some output rows.
fn gather<'a>(
    scratch: &'a mut Scratch,
    image: &[f32],
    sizes: &Sizes,
    channels: [usize; 2],
    row: usize,
    rows: usize,
) -> &'a mut [f32] {
    let count = channels[1] - channels[0];
    let band_len = count * sizes.band_rows(rows) * sizes.band_columns() * sizes.geometry.stride[1];
    let band = grown(&mut scratch.band, band_len);
    fill_band(band, image, sizes, channels, row, rows);
    let columns = grown(&mut scratch.columns, count * sizes.taps() * rows * sizes.out[1]);
    fill_columns(columns, band, sizes, count, rows);
    columns
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

/// One task a tile of output rows of an image.
fn forward_by_rows(
    x: &[f32],
    weight: &[f32],
    sizes: &Sizes,
    epilogue: &Epilogue,
    target: Shared,
    threads: usize,
) {
    let (depth, pixels, outputs) = (sizes.depth(), sizes.pixels(), sizes.outputs);
    let [out_height, out_width] = sizes.out;
    let mut tiles = (depth * pixels).div_ceil(TILE);
    if sizes.batch * tiles < 4 * threads {
        tiles = (sizes.batch * tiles).next_multiple_of(threads).div_ceil(sizes.batch);
    }
    let rows = out_height.div_ceil(tiles.min(out_height));
    let tiles = out_height.div_ceil(rows);
    run_tasks(sizes.batch * tiles, threads > 1, |task| {
        let (n, row) = (task / tiles, task % tiles * rows);
        let rows = rows.min(out_height - row);
        let tile = rows * out_width;
        let image = sizes.image(x, n);
        let start = n * outputs * pixels + row * out_width;
        with_scratch(|scratch| {
            let (rhs, step) = if sizes.pointwise() {
                (image[row * out_width..].as_ptr(), pixels)
            } else {
                (gather(scratch, image, sizes, [0, sizes.channels], row, rows).as_ptr(), tile)
            };
            // SAFETY: the tile's rows of every output channel belong to this task alone.
            unsafe {
                let dst = (target.at(start), pixels, 1);
                multiply([outputs, tile, depth], dst, (weight.as_ptr(), depth, 1), (rhs, step, 1), false);
                for o in 0..outputs {
                    let offset = start + o * pixels;
                    epilogue.apply(target.slice(offset, tile), o, offset);
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
                    fill_columns(columns, band, sizes, count, rows);
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

/// Any stride: windows' gradients by a matrix product, added into the picture. One task a channel block.
fn scattered_input_grad(grad: &[f32], weight: &[f32], sizes: &Sizes) -> Vec<f32> {
    let (depth, pixels, taps, outputs) = (sizes.depth(), sizes.pixels(), sizes.taps(), sizes.outputs);
    let [out_height, out_width] = sizes.out;
    let plane = sizes.height * sizes.width;
    let mut out = vec![0.0f32; sizes.batch * sizes.channels * plane];
    let target = Shared(out.as_mut_ptr());
    let threads = rayon::current_num_threads();
    let wanted = (2 * threads).div_ceil(sizes.batch.max(1));
    let block = (sizes.channels / wanted).clamp(1, (256 / taps).max(1));
    let blocks = sizes.channels.div_ceil(block);
    let rows = (TILE / (block * taps * out_width)).clamp(1, out_height);
    run_tasks(sizes.batch * blocks, sizes.work() > SMALL, |task| {
        let (n, first) = (task / blocks, task % blocks * block);
        let count = block.min(sizes.channels - first);
        // SAFETY: the planes of this channel block belong to this task alone.
        let planes = unsafe { target.slice((n * sizes.channels + first) * plane, count * plane) };
        with_scratch(|scratch| {
            for row in (0..out_height).step_by(rows) {
                let rows = rows.min(out_height - row);
                let tile = rows * out_width;
                let columns = grown(&mut scratch.columns, count * taps * tile);
                // SAFETY: `columns` is this thread's; the operands are whole matrices.
                unsafe {
                    let lhs = (weight[first * taps..].as_ptr(), 1, depth);
                    let rhs = (grad[n * outputs * pixels + row * out_width..].as_ptr(), pixels, 1);
                    let dst = (columns.as_mut_ptr(), tile, 1);
                    multiply([count * taps, tile, outputs], dst, lhs, rhs, false);
                }
                scatter(planes, columns, sizes, row, rows);
            }
        });
    });
    out
}

/// Adds the matrix of windows' gradients of some output rows into picture planes.
fn scatter(planes: &mut [f32], columns: &[f32], sizes: &Sizes, row: usize, rows: usize) {
    let [kernel_rows, kernel_columns] = sizes.kernel;
    let Geometry { stride, padding } = sizes.geometry;
    let (width, out_width) = (sizes.width, sizes.out[1]);
    let mut matrix_rows = columns.chunks_exact(rows * out_width);
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
                for (r, source) in matrix_row.chunks_exact(out_width).enumerate() {
                    let y = ((row + r) * stride[0] + ky).wrapping_sub(padding[0]);
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
    let [out_height, out_width] = sizes.out;
    let threads = rayon::current_num_threads();
    let blocks = threads.min(sizes.channels);
    let block = sizes.channels.div_ceil(blocks.max(1)).max(1);
    let blocks = sizes.channels.div_ceil(block);
    let groups = if sizes.channels < 4 { sizes.batch.clamp(1, 8) } else { 1 };
    let group = sizes.batch.div_ceil(groups);
    let rows = (TILE / (block * taps * out_width)).clamp(1, out_height);
    let len = outputs * depth;
    let mut parts = vec![0.0f32; groups * len];
    let target = Shared(parts.as_mut_ptr());
    run_tasks(groups * blocks, sizes.work() > SMALL, |task| {
        let (part, first) = (task / blocks, task % blocks * block);
        let channels = [first, (first + block).min(sizes.channels)];
        let window = (channels[1] - first) * taps;
        with_scratch(|scratch| {
            for n in part * group..((part + 1) * group).min(sizes.batch) {
                let image = sizes.image(x, n);
                for row in (0..out_height).step_by(rows) {
                    let rows = rows.min(out_height - row);
                    let tile = rows * out_width;
                    let (columns, step) = if sizes.pointwise() {
                        (image[first * pixels + row * out_width..].as_ptr(), pixels)
                    } else {
                        (gather(scratch, image, sizes, channels, row, rows).as_ptr(), tile)
                    };
                    // SAFETY: this part's weights of these channels belong to this task alone.
                    unsafe {
                        let lhs = (grad[n * outputs * pixels + row * out_width..].as_ptr(), pixels, 1);
                        let dst = (target.at(part * len + first * taps), depth, 1);
                        multiply([outputs, window, tile], dst, lhs, (columns, 1, step), true);
                    }
                }
            }
        });
    });
    let mut total = parts;
    for part in 1..groups {
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
