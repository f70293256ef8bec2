//! Our convolution against burn's, in the output and all gradients.

use burn::tensor::{Device, Distribution, Tensor, activation, module, ops};

use super::*;

struct Case {
    x: [usize; 4],
    /// Output channels and kernel.
    weight: [usize; 3],
    stride: [usize; 2],
    padding: [usize; 2],
}

fn case(x: [usize; 4], weight: [usize; 3], stride: [usize; 2], padding: [usize; 2]) -> Case {
    Case { x, weight, stride, padding }
}

/// Odd sizes, strides 1 to 3, uneven kernels, 1x1, 7x7/2, one and several images, maps small enough
/// for the split over output channels, many of them side by side, and large enough for several tiles.
fn cases() -> Vec<Case> {
    vec![
        case([1, 3, 9, 11], [5, 3, 3], [1, 1], [1, 1]),
        case([3, 4, 10, 7], [6, 3, 3], [2, 2], [1, 1]),
        case([2, 3, 23, 31], [8, 7, 7], [2, 2], [3, 3]),
        case([2, 5, 8, 9], [7, 1, 1], [1, 1], [0, 0]),
        case([2, 5, 8, 9], [7, 1, 1], [2, 2], [0, 0]),
        case([2, 2, 13, 12], [3, 5, 3], [3, 2], [2, 0]),
        case([1, 2, 13, 12], [3, 2, 4], [1, 2], [0, 1]),
        case([5, 1, 17, 15], [4, 5, 5], [2, 2], [2, 2]),
        case([1, 2, 5, 5], [3, 3, 3], [1, 1], [3, 3]),
        case([1, 256, 4, 5], [40, 3, 3], [1, 1], [1, 1]),
        case([2, 160, 5, 5], [32, 1, 1], [1, 1], [0, 0]),
        case([1, 48, 40, 40], [32, 3, 3], [1, 1], [1, 1]),
        case([2, 40, 33, 35], [24, 3, 3], [2, 2], [1, 1]),
        case([1, 64, 3, 3], [64, 3, 3], [1, 1], [0, 0]),
        case([37, 24, 4, 4], [32, 3, 3], [2, 2], [1, 1]),
        case([70, 16, 3, 5], [24, 3, 3], [1, 1], [1, 1]),
        case([33, 20, 6, 6], [16, 1, 1], [1, 1], [0, 0]),
        case([9, 1, 8, 8], [8, 5, 5], [2, 2], [2, 2]),
    ]
}

fn random<const D: usize>(shape: [usize; D], device: &Device) -> Tensor<D> {
    Tensor::random(shape, Distribution::Uniform(-1.0, 1.0), device)
}

fn assert_close<const D: usize>(found: Tensor<D>, expected: Tensor<D>, what: &str, x: [usize; 4]) {
    assert_eq!(found.dims(), expected.dims(), "{what} of {x:?}");
    let scale: f32 = expected.clone().abs().max().into_scalar();
    let error: f32 = (found - expected).abs().max().into_scalar();
    assert!(error <= 1e-5 * scale, "{what} of {x:?}: {error} of {scale}");
}

#[test]
fn output_and_gradients_are_burns() {
    let device = Device::flex().autodiff();
    for with_bias in [false, true] {
        for Case { x: shape, weight: [outputs, rows, columns], stride, padding } in cases() {
            let x = random(shape, &device).require_grad();
            let weight = random([outputs, shape[1], rows, columns], &device).require_grad();
            let bias = with_bias.then(|| random([outputs], &device).require_grad());
            let options = ops::ConvOptions::new(stride, padding, [1, 1], 1);
            let expected = module::conv2d(x.clone(), weight.clone(), bias.clone(), options);
            let found = conv2d(x.clone(), weight.clone(), bias.clone(), Geometry { stride, padding });
            assert_close(found.clone().inner(), expected.clone().inner(), "output", shape);

            let direction = random(expected.dims(), &device);
            let expected = (expected * direction.clone()).sum().backward();
            let found = (found * direction).sum().backward();
            assert_close(x.grad(&found).unwrap(), x.grad(&expected).unwrap(), "dx", shape);
            assert_close(weight.grad(&found).unwrap(), weight.grad(&expected).unwrap(), "dw", shape);
            if let Some(bias) = bias {
                assert_close(bias.grad(&found).unwrap(), bias.grad(&expected).unwrap(), "db", shape);
            }
        }
    }
}

#[test]
fn gradients_flow_where_only_one_side_is_trained() {
    let device = Device::flex().autodiff();
    let (x, weight) = (random([1, 2, 6, 6], &device), random([3, 2, 3, 3], &device));
    let geometry = Geometry::new(1, 1);
    let trained = weight.clone().require_grad();
    let gradients = conv2d(x.clone(), trained.clone(), None, geometry).sum().backward();
    assert!(trained.grad(&gradients).is_some());
    let input = x.require_grad();
    let gradients = conv2d(input.clone(), weight, None, geometry).sum().backward();
    assert!(input.grad(&gradients).is_some());
}

#[test]
fn views_that_are_not_contiguous_are_read_right() {
    let device = Device::flex();
    let (x, weight) = (random([2, 6, 9, 5], &device), random([4, 3, 3, 3], &device));
    let view = x.swap_dims(2, 3).slice([0..2, 1..4, 0..5, 2..9]);
    let copy = Tensor::from_data(view.to_data(), &device);
    let geometry = Geometry::new(1, 1);
    let expected = conv2d(copy, weight.clone(), None, geometry);
    assert_close(conv2d(view, weight, None, geometry), expected, "output", [2, 3, 5, 7]);
}

#[test]
fn the_fused_form_is_its_parts() {
    let device = Device::flex();
    let geometry = Geometry::new(1, 1);
    for size in [4, 40] {
        let (x, weight) = (random([2, 40, size, size], &device), random([40, 40, 3, 3], &device));
        let (bias, residual) = (random([40], &device), random([2, 40, size, size], &device));
        let plain = conv2d(x.clone(), weight.clone(), Some(bias.clone()), geometry);
        for with_residual in [false, true] {
            for relu in [false, true] {
                let mut expected = plain.clone();
                if with_residual {
                    expected = expected + residual.clone();
                }
                if relu {
                    expected = activation::relu(expected);
                }
                let residual = with_residual.then(|| residual.clone());
                let found = conv2d_fused(x.clone(), weight.clone(), bias.clone(), residual, relu, geometry);
                assert_close(found, expected, "fused output", [2, 40, size, size]);
            }
        }
    }
}

#[test]
fn max_pool_is_burns() {
    let device = Device::flex();
    for [height, width] in [[8, 8], [7, 9], [1, 2], [2, 1]] {
        let x = random([2, 3, height, width], &device);
        let expected = module::max_pool2d(
            x.clone(),
            ops::MaxPoolOptions::new([3, 3]).with_stride([2, 2]).with_padding([1, 1]),
        );
        assert_close(max_pool_3x3_stride_2(x), expected, "pooled", [2, 3, height, width]);
    }
}
