//! The few convolutions that are not separable: the networks' first layers and the mask's last.

use rayon::prelude::*;

use super::feature_map::FeatureMap;
use super::kernels::{Padding, Pointwise, finish, product};

/// Ordinary 3x3 convolution for the few layers that are not separable.
#[derive(Clone, Debug)]
pub struct Dense3x3 {
    /// `inputs` is nine times the map's channels: kernel row, kernel column, channel.
    pub taps: Pointwise,
    pub channels: usize,
    pub stride: usize,
    pub padding: Padding,
}

impl Dense3x3 {
    pub fn forward(&self, input: &FeatureMap) -> FeatureMap {
        assert_eq!(input.channels, self.channels, "channels of a 3x3 convolution");
        let (height, width) = (input.height.div_ceil(self.stride), input.width.div_ceil(self.stride));
        let before = self.padding.before(3, self.stride) as isize;
        let outputs = self.taps.outputs;
        let mut out = FeatureMap::zeros(height, width, outputs);
        let row_length = width * outputs;
        let taps = 9 * self.channels;
        let rows = height.div_ceil(4 * rayon::current_num_threads()).max(1);
        out.values.par_chunks_mut(rows * row_length).enumerate().for_each(|(index, band)| {
            let mut patches = vec![0.0; width * taps];
            for (r, out) in band.chunks_exact_mut(row_length).enumerate() {
                let top = ((index * rows + r) * self.stride) as isize - before;
                self.gather(input, top, before, &mut patches);
                product(out, &patches, &self.taps.weight, taps, outputs, gemm::Parallelism::None);
                finish(out, &self.taps.bias, None, self.taps.activation);
            }
        });
        out
    }

    /// The 3x3 neighbourhoods of one output row, one after the other.
    fn gather(&self, input: &FeatureMap, top: isize, before: isize, patches: &mut [f32]) {
        let c = self.channels;
        for (x, patch) in patches.chunks_exact_mut(9 * c).enumerate() {
            let left = (x * self.stride) as isize - before;
            for (tap, cell) in patch.chunks_exact_mut(c).enumerate() {
                let (row, column) = (top + (tap / 3) as isize, left + (tap % 3) as isize);
                let inside =
                    (0..input.height as isize).contains(&row) && (0..input.width as isize).contains(&column);
                if inside {
                    let at = (row as usize * input.width + column as usize) * c;
                    cell.copy_from_slice(&input.values[at..at + c]);
                } else {
                    cell.fill(0.0);
                }
            }
        }
    }
}
