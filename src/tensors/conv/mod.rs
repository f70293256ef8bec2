//! The convolution of every picture network here: burn's own on a GPU, ours on the CPU.
//!
//! flex, burn's CPU backend, gathers and scatters element by element and takes gradients through
//! generic convolutions; ours copies rows and multiplies matrices ([`kernel`]), two to five times as fast.

mod kernel;
mod op;
pub mod plain;
#[cfg(test)]
mod tests;

use burn::backend::{Dispatch, DispatchDevice};
use burn::config::Config;
use burn::module::{Module, Param};
use burn::nn::Initializer;
use burn::tensor::{DType, Device, Tensor, activation, module, ops};

use op::{ConvBackend, InferenceBackend};

/// How a kernel walks over a picture: steps and zero padding, (rows, columns), the same on both sides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Geometry {
    pub stride: [usize; 2],
    pub padding: [usize; 2],
}

impl Geometry {
    pub fn new(stride: usize, padding: usize) -> Self {
        Self { stride: [stride; 2], padding: [padding; 2] }
    }

    /// Height and width of the output for an input and a kernel of (rows, columns).
    ///
    /// # Panics
    /// Where the kernel is larger than the padded input.
    pub fn output_size(&self, input: [usize; 2], kernel: [usize; 2]) -> [usize; 2] {
        std::array::from_fn(|axis| {
            let padded = input[axis] + 2 * self.padding[axis];
            assert!(padded >= kernel[axis], "kernel {kernel:?} is larger than the padded input {input:?}");
            (padded - kernel[axis]) / self.stride[axis] + 1
        })
    }
}

/// Whether `device` is burn's CPU backend, with or without gradients.
pub fn runs_on_flex(device: &Device) -> bool {
    matches!(device.clone().without_autodiff().as_dispatch(), DispatchDevice::Flex(_))
}

fn has_kernel(x: &Tensor<4>, weight: &Tensor<4>) -> bool {
    runs_on_flex(&x.device()) && x.dtype() == DType::F32 && weight.dtype() == DType::F32
}

/// Convolution (cross-correlation) of `x` `[n, c, h, w]` with `weight` `[o, c, kh, kw]`, plus `bias` `[o]`.
/// Differentiable in all three.
pub fn conv2d(x: Tensor<4>, weight: Tensor<4>, bias: Option<Tensor<1>>, geometry: Geometry) -> Tensor<4> {
    if !has_kernel(&x, &weight) {
        let options = ops::ConvOptions::new(geometry.stride, geometry.padding, [1, 1], 1);
        return module::conv2d(x, weight, bias, options);
    }
    let (x, weight) = (x.into_dispatch(), weight.into_dispatch());
    Tensor::from_dispatch(match bias {
        None => Dispatch::conv_plain(x, weight, geometry),
        Some(bias) => Dispatch::conv_biased(x, weight, bias.into_dispatch(), geometry),
    })
}

/// [`conv2d`], then `+ residual`, then ReLU where `relu`: one pass over the output on the CPU.
/// Without gradients on the CPU; on a device with gradients the three run one after another.
pub fn conv2d_fused(
    x: Tensor<4>,
    weight: Tensor<4>,
    bias: Tensor<1>,
    residual: Option<Tensor<4>>,
    relu: bool,
    geometry: Geometry,
) -> Tensor<4> {
    if has_kernel(&x, &weight) && !x.device().is_autodiff() {
        let (x, weight, bias) = (x.into_dispatch(), weight.into_dispatch(), bias.into_dispatch());
        return Tensor::from_dispatch(match residual {
            None => Dispatch::conv_fused(x, weight, bias, relu, geometry),
            Some(residual) => {
                Dispatch::conv_fused_residual(x, weight, bias, residual.into_dispatch(), relu, geometry)
            }
        });
    }
    let mut out = conv2d(x, weight, Some(bias), geometry);
    if let Some(residual) = residual {
        out = out + residual;
    }
    if relu { activation::relu(out) } else { out }
}

/// Maximum over 3x3 windows at stride 2, padding 1 (the padding never wins).
pub fn max_pool_3x3_stride_2(x: Tensor<4>) -> Tensor<4> {
    if runs_on_flex(&x.device()) && !x.device().is_autodiff() && x.dtype() == DType::F32 {
        return Tensor::from_dispatch(Dispatch::max_pool_3x3_stride_2(x.into_dispatch()));
    }
    let options = ops::MaxPoolOptions::new([3, 3]).with_stride([2, 2]).with_padding([1, 1]);
    module::max_pool2d(x, options)
}

/// `sum` + `small` with every value repeated `factor` times in both directions, then ReLU where `relu`.
/// Without gradients on the CPU, where it is one pass over `sum`.
pub fn add_upsampled(sum: Tensor<4>, small: Tensor<4>, factor: usize, relu: bool) -> Tensor<4> {
    let fast =
        |x: &Tensor<4>| runs_on_flex(&x.device()) && !x.device().is_autodiff() && x.dtype() == DType::F32;
    if fast(&sum) && fast(&small) {
        return Tensor::from_dispatch(Dispatch::add_upsampled(
            sum.into_dispatch(),
            small.into_dispatch(),
            factor,
            relu,
        ));
    }
    let [n, c, height, width] = small.dims();
    let repeated = small
        .reshape([n, c, height, 1, width, 1])
        .expand([n, c, height, factor, width, factor])
        .reshape([n, c, height * factor, width * factor]);
    let out = sum + repeated;
    if relu { activation::relu(out) } else { out }
}

/// Sizes of a [`Conv2d`].
#[derive(Config, Debug)]
pub struct Conv2dConfig {
    /// Channels in and out.
    pub channels: [usize; 2],
    pub kernel_size: [usize; 2],
    #[config(default = "[1, 1]")]
    pub stride: [usize; 2],
    #[config(default = "[0, 0]")]
    pub padding: [usize; 2],
    #[config(default = true)]
    pub bias: bool,
    /// PyTorch's default for weight and bias: uniform in ±1/√fan_in.
    #[config(default = "Initializer::KaimingUniform { gain: 0.577_350_269_189_625_8, fan_out_only: false }")]
    pub initializer: Initializer,
}

/// A convolution layer whose weights are named as PyTorch names them (`weight`, `bias`).
#[derive(Module, Debug)]
pub struct Conv2d {
    /// `[channels out, channels in, kernel rows, kernel columns]`
    pub weight: Param<Tensor<4>>,
    /// `[channels out]`
    pub bias: Option<Param<Tensor<1>>>,
    pub stride: [usize; 2],
    pub padding: [usize; 2],
}

impl Conv2dConfig {
    /// A square kernel.
    pub fn square(channels: [usize; 2], kernel: usize, stride: usize, padding: usize) -> Self {
        Self::new(channels, [kernel; 2]).with_stride([stride; 2]).with_padding([padding; 2])
    }

    pub fn init(&self, device: &Device) -> Conv2d {
        let [channels_in, channels_out] = self.channels;
        let [rows, columns] = self.kernel_size;
        let (fan_in, fan_out) = (channels_in * rows * columns, channels_out * rows * columns);
        let shape = [channels_out, channels_in, rows, columns];
        let weight = self.initializer.init_with(shape, Some(fan_in), Some(fan_out), device);
        let bias = self
            .bias
            .then(|| self.initializer.init_with([channels_out], Some(fan_in), Some(fan_out), device));
        Conv2d { weight, bias, stride: self.stride, padding: self.padding }
    }
}

impl Conv2d {
    pub fn geometry(&self) -> Geometry {
        Geometry { stride: self.stride, padding: self.padding }
    }

    /// `[n, c, h, w]` to `[n, o, h', w']`.
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        conv2d(x, self.weight.val(), self.bias.as_ref().map(|bias| bias.val()), self.geometry())
    }
}
