//! The convolution on plain slices: rows copied into a matrix of windows ("columns"), then matrix products.
//!
//! Arrays are C-order `[n, c, h, w]`; weights `[o, c, kh, kw]`. Work is cut into row tiles of about a
//! megabyte of windows a thread, so that what gemm reads was just written into the cache.
//! [`windows`] makes tiles and their windows, [`forward`] and [`gradients`] multiply them, [`work`] shares them out.

mod forward;
mod gradients;
mod pool;
mod windows;
mod work;

use super::Geometry;

pub(super) use forward::forward;
pub(super) use gradients::{bias_grad, input_grad, weight_grad};
pub(super) use pool::{add_upsampled, max_pool_3x3_stride_2};

/// Below this many multiply-adds a call stays on its thread.
const SMALL: usize = 1 << 20;

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
