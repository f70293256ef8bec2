//! The pooling that follows the first convolution of a ResNet.

use rayon::prelude::*;

use super::at_least;

/// Maximum over 3x3 windows at stride 2, padding 1, of planes of `height` x `width`.
pub(in super::super) fn max_pool_3x3_stride_2(x: &[f32], height: usize, width: usize) -> Vec<f32> {
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
