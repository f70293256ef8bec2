//! What stands between convolutions: the pooling of a ResNet, the sum of maps of two sizes.

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

/// `sum` + planes of `height` x `width` with every value repeated `factor` times in both directions, then ReLU
/// where `relu`.
pub(in super::super) fn add_upsampled(
    sum: &[f32],
    small: &[f32],
    [height, width]: [usize; 2],
    factor: usize,
    relu: bool,
) -> Vec<f32> {
    let area = (height * width).max(1);
    assert_eq!(
        sum.len(),
        small.len() * factor * factor,
        "maps that are added, and the smaller ones repeated"
    );
    let floor = if relu { 0.0 } else { f32::NEG_INFINITY };
    let mut out = sum.to_vec();
    let planes = out.par_chunks_exact_mut(area * factor * factor).zip(small.par_chunks_exact(area));
    planes.with_min_len(4).for_each(|(plane, small)| {
        for (rows, line) in
            plane.chunks_exact_mut(width * factor * factor).zip(small.chunks_exact(width.max(1)))
        {
            for row in rows.chunks_exact_mut(width * factor) {
                for (cells, v) in row.chunks_exact_mut(factor).zip(line) {
                    cells.iter_mut().for_each(|out| *out = at_least(*out + v, floor));
                }
            }
        }
    });
    out
}
