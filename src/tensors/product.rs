//! Matrix products on plain slices, for what computes without tensors.

use gemm::Parallelism;

/// `lhs` `[m, k]` times `rhs` `[k, n]`, row-major, on all cores; the same for any number of them.
///
/// # Panics
/// Where a slice has another length.
pub fn multiply(lhs: &[f32], rhs: &[f32], [m, n, k]: [usize; 3]) -> Vec<f32> {
    assert!(lhs.len() == m * k && rhs.len() == k * n, "matrices of {m} x {k} and {k} x {n}");
    let mut out = vec![0.0f32; m * n];
    if out.is_empty() || k == 0 {
        return out;
    }
    let (rows, depth) = (n as isize, k as isize);
    // SAFETY: the three matrices lie whole in their slices, and `out` overlaps neither of the others.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            out.as_mut_ptr(),
            1,
            rows,
            false,
            lhs.as_ptr(),
            1,
            depth,
            rhs.as_ptr(),
            1,
            rows,
            0.0,
            1.0,
            false,
            false,
            false,
            Parallelism::Rayon(0),
        );
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_are_sums_over_the_inner_side() {
        let out = multiply(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], &[1.0, 0.0, -1.0, 2.0, 0.5, 1.0], [2, 2, 3]);
        assert_eq!(out, [0.5, 7.0, 2.0, 16.0]);
        assert_eq!(multiply(&[], &[], [2, 1, 0]), [0.0, 0.0]);
    }
}
