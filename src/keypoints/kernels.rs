//! Layers of small convolutional networks on the CPU: 1x1 convolutions as matrix products with bias,
//! sum and activation fused in, direct depthwise convolutions.
//!
//! Maps are stored row by row with the channels of a cell side by side, so that a 1x1 convolution is one
//! matrix product over cells and a depthwise one runs over channels without gathering.
//! Called by `movenet` and `blazepose` only.

use rayon::prelude::*;

use super::feature_map::FeatureMap;

/// What follows a convolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    None,
    Relu,
    /// Clamp to 0..6.
    Relu6,
}

impl Activation {
    fn limits(self) -> (f32, f32) {
        match self {
            Self::None => (f32::NEG_INFINITY, f32::INFINITY),
            Self::Relu => (0.0, f32::INFINITY),
            Self::Relu6 => (0.0, 6.0),
        }
    }
}

/// Compiles `$body` (an `#[inline(always)]` function) a second time for AVX2 and calls that where the CPU has it.
macro_rules! widest {
    ($body:ident($($arg:ident: $kind:ty),* $(,)?)) => {{
        #[cfg(target_arch = "x86_64")]
        {
            #[target_feature(enable = "avx2,fma")]
            fn wide($($arg: $kind),*) {
                $body($($arg),*);
            }
            if std::arch::is_x86_feature_detected!("avx2") && std::arch::is_x86_feature_detected!("fma") {
                // SAFETY: both features were detected on this CPU.
                unsafe { wide($($arg),*) };
            } else {
                $body($($arg),*);
            }
        }
        #[cfg(not(target_arch = "x86_64"))]
        $body($($arg),*);
    }};
}
pub(super) use widest;

/// Adds bias and (if given) a second map to rows of `outputs` values, then clamps.
#[inline(always)]
fn finish_body(rows: &mut [f32], bias: &[f32], residual: Option<&[f32]>, low: f32, high: f32) {
    let n = bias.len();
    match residual {
        None => {
            for row in rows.chunks_exact_mut(n) {
                for (value, b) in row.iter_mut().zip(bias) {
                    *value = (*value + b).max(low).min(high);
                }
            }
        }
        Some(residual) => {
            for (row, extra) in rows.chunks_exact_mut(n).zip(residual.chunks_exact(n)) {
                for ((value, b), r) in row.iter_mut().zip(bias).zip(extra) {
                    *value = (*value + b + r).max(low).min(high);
                }
            }
        }
    }
}

pub(super) fn finish(rows: &mut [f32], bias: &[f32], residual: Option<&[f32]>, activation: Activation) {
    let (low, high) = activation.limits();
    widest!(finish_body(rows: &mut [f32], bias: &[f32], residual: Option<&[f32]>, low: f32, high: f32));
}

/// `out[cells, outputs] = input[cells, inputs] * weight[inputs, outputs]`, all row-major.
pub(super) fn product(
    out: &mut [f32],
    input: &[f32],
    weight: &[f32],
    inputs: usize,
    outputs: usize,
    threads: gemm::Parallelism,
) {
    let cells = out.len() / outputs;
    assert!(
        input.len() == cells * inputs && weight.len() == inputs * outputs && out.len() == cells * outputs
    );
    // SAFETY: the three slices hold exactly the matrices described by sizes and strides (asserted above),
    // and `out` is borrowed mutably, so it overlaps neither input.
    unsafe {
        gemm::gemm(
            cells,
            outputs,
            inputs,
            out.as_mut_ptr(),
            1,
            outputs as isize,
            false,
            input.as_ptr(),
            1,
            inputs as isize,
            weight.as_ptr(),
            1,
            outputs as isize,
            0.0,
            1.0,
            false,
            false,
            false,
            threads,
        );
    }
}

/// Cells a task works on at once: input and output tile together stay within an L2 cache, and every thread gets work.
fn tile_cells(cells: usize, channels: usize) -> usize {
    let fitting = (96 * 1024 / channels.max(1)).max(32);
    fitting.min(cells.div_ceil(rayon::current_num_threads())).max(1)
}

/// 1x1 convolution.
#[derive(Clone, Debug)]
pub struct Pointwise {
    /// `[inputs, outputs]`.
    pub weight: Vec<f32>,
    pub bias: Vec<f32>,
    pub inputs: usize,
    pub outputs: usize,
    pub activation: Activation,
}

impl Pointwise {
    pub fn forward(&self, input: &FeatureMap) -> FeatureMap {
        self.run(input, None)
    }

    /// Adds `residual` (same size as the result) before the activation.
    pub fn forward_plus(&self, input: &FeatureMap, residual: &FeatureMap) -> FeatureMap {
        assert_eq!(residual.values.len(), input.cells() * self.outputs, "sum of maps of different sizes");
        self.run(input, Some(residual))
    }

    fn run(&self, input: &FeatureMap, residual: Option<&FeatureMap>) -> FeatureMap {
        assert_eq!(input.channels, self.inputs, "channels of a 1x1 convolution");
        let mut out = FeatureMap::zeros(input.height, input.width, self.outputs);
        let few = input.cells() < 64 * rayon::current_num_threads();
        let tile = if few { input.cells() } else { tile_cells(input.cells(), self.inputs + self.outputs) };
        let threads = if few { gemm::Parallelism::Rayon(0) } else { gemm::Parallelism::None };
        let work = |(index, rows): (usize, &mut [f32])| {
            let first = index * tile;
            let cells = rows.len() / self.outputs;
            let from = &input.values[first * self.inputs..(first + cells) * self.inputs];
            product(rows, from, &self.weight, self.inputs, self.outputs, threads);
            let start = first * self.outputs;
            let extra = residual.map(|map| &map.values[start..start + rows.len()]);
            finish(rows, &self.bias, extra, self.activation);
        };
        if few {
            work((0, &mut out.values));
        } else {
            out.values.par_chunks_mut(tile * self.outputs).enumerate().for_each(work);
        }
        out
    }
}

/// Which sides of the picture are padded with zeros.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Padding {
    /// (kernel − 1) / 2 on every side.
    Both,
    /// TensorFlow's "SAME" at stride 2 on even sizes: the odd cell at the bottom and on the right.
    End,
}

impl Padding {
    /// Zeros before the first row and column.
    pub(super) fn before(self, kernel: usize, stride: usize) -> usize {
        match self {
            Self::End if stride == 2 => (kernel - 2) / 2,
            _ => (kernel - 1) / 2,
        }
    }
}

/// Convolution of every channel with its own kernel of side 3 or 5.
#[derive(Clone, Debug)]
pub struct Depthwise {
    /// `[kernel, kernel, channels]`.
    pub weight: Vec<f32>,
    pub bias: Vec<f32>,
    pub channels: usize,
    pub kernel: usize,
    pub stride: usize,
    pub padding: Padding,
    pub activation: Activation,
}

/// Channels that are summed in registers at once.
const LANES: usize = 16;

struct RowTask<'a> {
    layer: &'a Depthwise,
    input: &'a FeatureMap,
    /// First row of the input under the kernel; negative within the padding.
    top: isize,
}

#[inline(always)]
fn depthwise_row_body(out: &mut [f32], task: &RowTask) {
    let RowTask { layer, input, top } = *task;
    let (channels, kernel, width) = (layer.channels, layer.kernel, input.width as isize);
    let before = layer.padding.before(kernel, layer.stride) as isize;
    let (low, high) = layer.activation.limits();
    let first_row = (-top).max(0) as usize;
    let last_row = (input.height as isize - top).clamp(0, kernel as isize) as usize;
    for (x, cell) in out.chunks_exact_mut(channels).enumerate() {
        let left = (x * layer.stride) as isize - before;
        let first = (-left).max(0) as usize;
        let last = (width - left).clamp(0, kernel as isize) as usize;
        let mut start = 0;
        while start < channels {
            if start + LANES <= channels {
                let mut sum = [0.0_f32; LANES];
                sum.copy_from_slice(&layer.bias[start..start + LANES]);
                for ky in first_row..last_row {
                    let row = (top + ky as isize) as usize * input.width;
                    for kx in first..last {
                        let at = (row + (left + kx as isize) as usize) * channels + start;
                        let from = &input.values[at..at + LANES];
                        let tap = (ky * kernel + kx) * channels + start;
                        let weight = &layer.weight[tap..tap + LANES];
                        for lane in 0..LANES {
                            sum[lane] += from[lane] * weight[lane];
                        }
                    }
                }
                for (value, s) in cell[start..start + LANES].iter_mut().zip(sum) {
                    *value = s.max(low).min(high);
                }
                start += LANES;
            } else {
                for (channel, value) in cell.iter_mut().enumerate().skip(start) {
                    let mut sum = layer.bias[channel];
                    for ky in first_row..last_row {
                        let row = (top + ky as isize) as usize * input.width;
                        for kx in first..last {
                            let at = (row + (left + kx as isize) as usize) * channels + channel;
                            sum += input.values[at] * layer.weight[(ky * kernel + kx) * channels + channel];
                        }
                    }
                    *value = sum.max(low).min(high);
                }
                start = channels;
            }
        }
    }
}

impl Depthwise {
    pub fn forward(&self, input: &FeatureMap) -> FeatureMap {
        assert_eq!(input.channels, self.channels, "channels of a depthwise convolution");
        let (height, width) = (input.height.div_ceil(self.stride), input.width.div_ceil(self.stride));
        let before = self.padding.before(self.kernel, self.stride) as isize;
        let mut out = FeatureMap::zeros(height, width, self.channels);
        let rows = height.div_ceil(4 * rayon::current_num_threads()).max(1);
        let row_length = width * self.channels;
        out.values.par_chunks_mut(rows * row_length).enumerate().for_each(|(index, band)| {
            for (r, out) in band.chunks_exact_mut(row_length).enumerate() {
                let top = ((index * rows + r) * self.stride) as isize - before;
                let task = &RowTask { layer: self, input, top };
                widest!(depthwise_row_body(out: &mut [f32], task: &RowTask));
            }
        });
        out
    }
}

#[cfg(test)]
mod tests {
    use super::super::dense3x3::Dense3x3;
    use super::*;

    fn numbers(count: usize, seed: u32) -> Vec<f32> {
        let mut state = seed;
        (0..count)
            .map(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (state >> 8) as f32 / (1 << 24) as f32 - 0.5
            })
            .collect()
    }

    fn map(height: usize, width: usize, channels: usize, seed: u32) -> FeatureMap {
        FeatureMap { height, width, channels, values: numbers(height * width * channels, seed) }
    }

    #[test]
    fn pointwise_is_a_matrix_product_with_bias_sum_and_clamp() {
        for (height, width) in [(3, 5), (40, 33)] {
            let input = map(height, width, 7, 1);
            let extra = map(height, width, 19, 2);
            let layer = Pointwise {
                weight: numbers(7 * 19, 3),
                bias: numbers(19, 4),
                inputs: 7,
                outputs: 19,
                activation: Activation::Relu6,
            };
            let got = layer.forward_plus(&input, &extra);
            for cell in 0..input.cells() {
                for o in 0..19 {
                    let sum: f32 =
                        (0..7).map(|i| input.values[cell * 7 + i] * layer.weight[i * 19 + o]).sum::<f32>();
                    let want = (sum + layer.bias[o] + extra.values[cell * 19 + o]).clamp(0.0, 6.0);
                    assert!((got.values[cell * 19 + o] - want).abs() < 1e-5);
                }
            }
        }
    }

    #[test]
    fn depthwise_equals_a_dense_convolution_with_a_diagonal_kernel() {
        for (stride, padding) in [(1, Padding::End), (2, Padding::End), (2, Padding::Both)] {
            let channels = 21;
            let input = map(8, 10, channels, 5);
            let weight = numbers(9 * channels, 6);
            let bias = numbers(channels, 7);
            let depthwise = Depthwise {
                weight: weight.clone(),
                bias: bias.clone(),
                channels,
                kernel: 3,
                stride,
                padding,
                activation: Activation::None,
            };
            let mut dense = vec![0.0; 9 * channels * channels];
            for tap in 0..9 {
                for c in 0..channels {
                    dense[(tap * channels + c) * channels + c] = weight[tap * channels + c];
                }
            }
            let taps = Pointwise {
                weight: dense,
                bias,
                inputs: 9 * channels,
                outputs: channels,
                activation: Activation::None,
            };
            let dense = Dense3x3 { taps, channels, stride, padding };
            let (a, b) = (depthwise.forward(&input), dense.forward(&input));
            assert_eq!((a.height, a.width), (b.height, b.width));
            for (a, b) in a.values.iter().zip(&b.values) {
                assert!((a - b).abs() < 1e-5);
            }
        }
    }

    #[test]
    fn padding_at_stride_two_starts_at_the_first_cell_or_one_before() {
        assert_eq!(Padding::End.before(3, 2), 0);
        assert_eq!(Padding::End.before(3, 1), 1);
        assert_eq!(Padding::Both.before(3, 2), 1);
        assert_eq!(Padding::Both.before(5, 2), 2);
    }
}
