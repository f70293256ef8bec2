//! The output: over tiles of pixels, or over output channels where there are few pixels.

use rayon::prelude::*;

use super::windows::{Tiling, fill_band, fill_columns, gather};
use super::work::{Scratch, Shared, grown, multiply, run_tasks, with_scratch};
use super::{Epilogue, SMALL, Sizes};

/// Below this many output pixels a thread, output channels are shared out instead of pixels.
const FEW_PIXELS: usize = 64;

/// Output `[n, o, h', w']`.
pub(in super::super) fn forward(x: &[f32], weight: &[f32], sizes: &Sizes, epilogue: &Epilogue) -> Vec<f32> {
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
