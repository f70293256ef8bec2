//! A convolution with ReLU on flat arrays, forwards and backwards, for trainers that keep their own arrays.

use super::Geometry;
use super::kernel::{self, Epilogue, Sizes};

/// Sizes of one convolution; input `[n, c, h, w]`, weight `[o, c, kh, kw]`.
#[derive(Clone, Debug)]
pub struct PlainConv(Sizes);

impl PlainConv {
    /// # Panics
    /// Where channels differ or the kernel is larger than the padded input.
    pub fn new(input: [usize; 4], weight: [usize; 4], geometry: Geometry) -> Self {
        Self(Sizes::new(input, weight, geometry))
    }

    /// `[n, o, h', w']`
    pub fn output_shape(&self) -> [usize; 4] {
        self.0.output_shape()
    }

    pub fn forward_relu(&self, x: &[f32], weight: &[f32], bias: &[f32]) -> Vec<f32> {
        kernel::forward(x, weight, &self.0, &Epilogue { bias: Some(bias), residual: None, relu: true })
    }

    /// Gradient by the input, from that by the output before the ReLU.
    pub fn input_grad(&self, by_out: &[f32], weight: &[f32]) -> Vec<f32> {
        kernel::input_grad(by_out, weight, &self.0)
    }

    /// Gradient by the weight.
    pub fn weight_grad(&self, x: &[f32], by_out: &[f32]) -> Vec<f32> {
        kernel::weight_grad(x, by_out, &self.0)
    }

    /// Gradient by the bias.
    pub fn bias_grad(&self, by_out: &[f32]) -> Vec<f32> {
        let [_, outputs, rows, columns] = self.output_shape();
        kernel::bias_grad(by_out, outputs, rows * columns)
    }
}
