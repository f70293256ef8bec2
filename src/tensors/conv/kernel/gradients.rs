//! Gradients with respect to input, weight and bias.

use rayon::prelude::*;

use super::windows::{Tile, Tiling, gather, gather_grad};
use super::work::{Scratch, Shared, grown, multiply, run_tasks, with_scratch};
use super::{Epilogue, Geometry, SMALL, Sizes, forward};

/// Gradient with respect to the input, `[n, c, h, w]`, from the output's.
pub(in super::super) fn input_grad(grad: &[f32], weight: &[f32], sizes: &Sizes) -> Vec<f32> {
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
pub(in super::super) fn weight_grad(x: &[f32], grad: &[f32], sizes: &Sizes) -> Vec<f32> {
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
pub(in super::super) fn bias_grad(grad: &[f32], outputs: usize, pixels: usize) -> Vec<f32> {
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
