//! Layers on flat arrays, forwards and backwards: what `plain` puts together.

use std::ops::Range;

use super::gelu::gelu;

/// As burn's layer normalisation.
const EPSILON: f32 = 1e-5;

/// Where a dense layer's numbers lie: weights `[inputs, outputs]`, then biases.
#[derive(Clone, Debug)]
pub(super) struct Dense {
    pub(super) weight: Range<usize>,
    pub(super) bias: Range<usize>,
    pub(super) inputs: usize,
    pub(super) outputs: usize,
}

/// Where a normalisation's numbers lie.
#[derive(Clone, Debug)]
pub(super) struct Norm {
    pub(super) gamma: Range<usize>,
    pub(super) beta: Range<usize>,
}

/// One normalisation's numbers, kept for the way back.
#[derive(Clone, Debug)]
pub(super) struct Normed {
    /// Without mean, of unit variance.
    hat: Vec<f32>,
    /// One over the standard deviation, a row each.
    rate: Vec<f32>,
    /// Scaled and shifted.
    pub(super) out: Vec<f32>,
}

impl Normed {
    pub(super) fn new(rows: usize, width: usize) -> Self {
        Self { hat: vec![0.0; rows * width], rate: vec![0.0; rows], out: vec![0.0; rows * width] }
    }

    pub(super) fn forward(&mut self, x: &[f32], weights: &[f32], norm: &Norm) {
        let (gamma, beta) = (&weights[norm.gamma.clone()], &weights[norm.beta.clone()]);
        let width = gamma.len();
        let rows = x.chunks_exact(width).zip(self.hat.chunks_exact_mut(width));
        for ((x, hat), (out, rate)) in rows.zip(self.out.chunks_exact_mut(width).zip(&mut self.rate)) {
            let mean = x.iter().sum::<f32>() / width as f32;
            let variance = x.iter().map(|x| (x - mean) * (x - mean)).sum::<f32>() / width as f32;
            *rate = 1.0 / (variance + EPSILON).sqrt();
            for i in 0..width {
                hat[i] = (x[i] - mean) * *rate;
                out[i] = hat[i] * gamma[i] + beta[i];
            }
        }
    }

    /// Adds the gradient by the input to `by_x`; `by_out` is overwritten.
    pub(super) fn backward(
        &self,
        by_out: &mut [f32],
        weights: &[f32],
        norm: &Norm,
        gradient: &mut [f32],
        by_x: &mut [f32],
    ) {
        let gamma = &weights[norm.gamma.clone()];
        let width = gamma.len();
        let (by_gamma, by_beta) = gradient[norm.gamma.start..norm.beta.end].split_at_mut(width);
        by_gamma.fill(0.0);
        by_beta.fill(0.0);
        let rows = by_out.chunks_exact_mut(width).zip(self.hat.chunks_exact(width));
        for ((by_out, hat), (by_x, rate)) in rows.zip(by_x.chunks_exact_mut(width).zip(&self.rate)) {
            let (mut sum, mut along) = (0.0, 0.0);
            for i in 0..width {
                by_gamma[i] += by_out[i] * hat[i];
                by_beta[i] += by_out[i];
                by_out[i] *= gamma[i];
                sum += by_out[i];
                along += by_out[i] * hat[i];
            }
            let (mean, along) = (sum / width as f32, along / width as f32);
            for i in 0..width {
                by_x[i] += rate * (by_out[i] - mean - hat[i] * along);
            }
        }
    }
}

/// A dense layer's output before the activation, what comes after it, and the activation's slope.
#[derive(Clone, Debug)]
pub(super) struct Active {
    pub(super) after: Vec<f32>,
    slope: Vec<f32>,
}

impl Active {
    pub(super) fn new(size: usize) -> Self {
        Self { after: vec![0.0; size], slope: vec![0.0; size] }
    }

    pub(super) fn forward(&mut self, input: &[f32], weights: &[f32], dense: &Dense) {
        dense.forward(input, weights, &mut self.after);
        for (value, slope) in self.after.iter_mut().zip(&mut self.slope) {
            (*value, *slope) = gelu(*value);
        }
    }

    pub(super) fn backward(&self, by_after: &mut [f32]) {
        for (by, slope) in by_after.iter_mut().zip(&self.slope) {
            *by *= slope;
        }
    }
}

impl Dense {
    pub(super) fn forward(&self, input: &[f32], weights: &[f32], out: &mut [f32]) {
        let rows = input.len() / self.inputs;
        let bias = &weights[self.bias.clone()];
        out.chunks_exact_mut(self.outputs).for_each(|row| row.copy_from_slice(bias));
        let sizes = [rows, self.inputs, self.outputs];
        product(out, (input, false), (&weights[self.weight.clone()], false), sizes, true);
    }

    /// Gradients by weights and biases, from the layer's input.
    pub(super) fn backward_weights(&self, input: &[f32], by_out: &[f32], gradient: &mut [f32]) {
        let rows = input.len() / self.inputs;
        let sizes = [self.inputs, rows, self.outputs];
        product(&mut gradient[self.weight.clone()], (input, true), (by_out, false), sizes, false);
        let by_bias = &mut gradient[self.bias.clone()];
        by_bias.fill(0.0);
        for row in by_out.chunks_exact(self.outputs) {
            by_bias.iter_mut().zip(row).for_each(|(sum, by)| *sum += by);
        }
    }

    /// Gradient by the layer's input.
    pub(super) fn backward_input(&self, by_out: &[f32], weights: &[f32], by_input: &mut [f32]) {
        let rows = by_out.len() / self.outputs;
        let sizes = [rows, self.outputs, self.inputs];
        product(by_input, (by_out, false), (&weights[self.weight.clone()], true), sizes, false);
    }
}

/// `out [m, n] = a [m, k] · b [k, n]` or `+=`, row by row in memory; an operand marked `true` is stored transposed.
fn product(
    out: &mut [f32],
    (a, a_turned): (&[f32], bool),
    (b, b_turned): (&[f32], bool),
    [m, k, n]: [usize; 3],
    add: bool,
) {
    assert!(out.len() == m * n && a.len() == m * k && b.len() == k * n, "matrices of the sizes said");
    let steps = |turned: bool, rows: usize, columns: usize| -> (isize, isize) {
        if turned { (1, rows as isize) } else { (columns as isize, 1) }
    };
    let (a_down, a_across) = steps(a_turned, m, k);
    let (b_down, b_across) = steps(b_turned, k, n);
    // SAFETY: the lengths were checked, the steps stay inside them, and `out` is borrowed mutably.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            out.as_mut_ptr(),
            1,
            n as isize,
            add,
            a.as_ptr(),
            a_across,
            a_down,
            b.as_ptr(),
            b_across,
            b_down,
            1.0,
            1.0,
            false,
            false,
            false,
            gemm::Parallelism::None,
        );
    }
}
