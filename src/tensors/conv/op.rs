//! The convolution as an operation of burn: forward and backward step on flex, called by the room's head.

use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::autodiff::{Autodiff, NodeId};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, Flex, backend_extension};
use burn_backend::TensorMetadata;
use burn_flex::{FlexTensor, Layout};
use burn_std::{Bytes, DType, Shape};

use super::Geometry;
use super::kernel::{self, Epilogue, Sizes};

/// Convolution that autodiff follows.
#[backend_extension(Flex, Autodiff)]
pub trait ConvBackend: Backend {
    fn conv_plain(x: FloatTensor<Self>, weight: FloatTensor<Self>, geometry: Geometry) -> FloatTensor<Self>;

    fn conv_biased(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        geometry: Geometry,
    ) -> FloatTensor<Self>;
}

/// Fused operations for inference, without gradients.
#[backend_extension(Flex)]
pub trait InferenceBackend: Backend {
    fn conv_fused(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        relu: bool,
        geometry: Geometry,
    ) -> FloatTensor<Self>;

    fn conv_fused_residual(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        residual: FloatTensor<Self>,
        relu: bool,
        geometry: Geometry,
    ) -> FloatTensor<Self>;

    fn max_pool_3x3_stride_2(x: FloatTensor<Self>) -> FloatTensor<Self>;

    fn add_upsampled(
        sum: FloatTensor<Self>,
        small: FloatTensor<Self>,
        factor: usize,
        relu: bool,
    ) -> FloatTensor<Self>;
}

/// The gradients that the backward step asks for.
pub trait ConvGradients: Backend {
    fn input_grad(
        grad: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        input_size: [usize; 2],
        geometry: Geometry,
    ) -> FloatTensor<Self>;

    fn weight_grad(
        x: FloatTensor<Self>,
        grad: FloatTensor<Self>,
        kernel: [usize; 2],
        geometry: Geometry,
    ) -> FloatTensor<Self>;

    fn bias_grad(grad: FloatTensor<Self>) -> FloatTensor<Self>;
}

fn dims(tensor: &FlexTensor) -> [usize; 4] {
    tensor.layout().shape().dims()
}

/// The values in C order, copied only where the tensor is a strided view.
fn contiguous(tensor: FlexTensor) -> FlexTensor {
    if tensor.as_slice::<f32>().is_some() { tensor } else { tensor.to_contiguous() }
}

fn values(tensor: &FlexTensor) -> &[f32] {
    tensor.as_slice().expect("made contiguous before")
}

fn tensor(values: Vec<f32>, shape: impl Into<Shape>) -> FlexTensor {
    FlexTensor::new(Bytes::from_elems(values), Layout::contiguous(shape.into()), DType::F32)
}

fn run(x: FlexTensor, weight: FlexTensor, geometry: Geometry, epilogue: Epilogue) -> FlexTensor {
    let sizes = Sizes::new(dims(&x), dims(&weight), geometry);
    let (x, weight) = (contiguous(x), contiguous(weight));
    let out = kernel::forward(values(&x), values(&weight), &sizes, &epilogue);
    tensor(out, sizes.output_shape())
}

impl ConvBackend for Flex {
    fn conv_plain(x: FlexTensor, weight: FlexTensor, geometry: Geometry) -> FlexTensor {
        run(x, weight, geometry, Epilogue::default())
    }

    fn conv_biased(x: FlexTensor, weight: FlexTensor, bias: FlexTensor, geometry: Geometry) -> FlexTensor {
        let bias = contiguous(bias);
        run(x, weight, geometry, Epilogue { bias: Some(values(&bias)), ..Epilogue::default() })
    }
}

impl InferenceBackend for Flex {
    fn conv_fused(
        x: FlexTensor,
        weight: FlexTensor,
        bias: FlexTensor,
        relu: bool,
        geometry: Geometry,
    ) -> FlexTensor {
        let bias = contiguous(bias);
        run(x, weight, geometry, Epilogue { bias: Some(values(&bias)), residual: None, relu })
    }

    fn conv_fused_residual(
        x: FlexTensor,
        weight: FlexTensor,
        bias: FlexTensor,
        residual: FlexTensor,
        relu: bool,
        geometry: Geometry,
    ) -> FlexTensor {
        let (bias, residual) = (contiguous(bias), contiguous(residual));
        let residual = Some(values(&residual));
        run(x, weight, geometry, Epilogue { bias: Some(values(&bias)), residual, relu })
    }

    fn max_pool_3x3_stride_2(x: FlexTensor) -> FlexTensor {
        let [batch, channels, height, width] = dims(&x);
        let x = contiguous(x);
        let out = kernel::max_pool_3x3_stride_2(values(&x), height, width);
        tensor(out, [batch, channels, height.div_ceil(2), width.div_ceil(2)])
    }

    fn add_upsampled(sum: FlexTensor, small: FlexTensor, factor: usize, relu: bool) -> FlexTensor {
        let shape = dims(&sum);
        let (sum, small) = (contiguous(sum), contiguous(small));
        let [_, _, height, width] = dims(&small);
        tensor(kernel::add_upsampled(values(&sum), values(&small), [height, width], factor, relu), shape)
    }
}

impl ConvGradients for Flex {
    fn input_grad(
        grad: FlexTensor,
        weight: FlexTensor,
        input_size: [usize; 2],
        geometry: Geometry,
    ) -> FlexTensor {
        let [batch, ..] = dims(&grad);
        let [_, channels, ..] = dims(&weight);
        let shape = [batch, channels, input_size[0], input_size[1]];
        let sizes = Sizes::new(shape, dims(&weight), geometry);
        let (grad, weight) = (contiguous(grad), contiguous(weight));
        tensor(kernel::input_grad(values(&grad), values(&weight), &sizes), shape)
    }

    fn weight_grad(x: FlexTensor, grad: FlexTensor, kernel: [usize; 2], geometry: Geometry) -> FlexTensor {
        let [_, channels, ..] = dims(&x);
        let [_, outputs, ..] = dims(&grad);
        let shape = [outputs, channels, kernel[0], kernel[1]];
        let sizes = Sizes::new(dims(&x), shape, geometry);
        let (x, grad) = (contiguous(x), contiguous(grad));
        tensor(kernel::weight_grad(values(&x), values(&grad), &sizes), shape)
    }

    fn bias_grad(grad: FlexTensor) -> FlexTensor {
        let [_, outputs, height, width] = dims(&grad);
        let grad = contiguous(grad);
        tensor(kernel::bias_grad(values(&grad), outputs, height * width), [outputs])
    }
}

/// What the backward step keeps: x where the weight is trained, the weight where x needs a gradient.
#[derive(Clone, Debug)]
struct Saved {
    x: Option<NodeId>,
    weight: Option<NodeId>,
    input_size: [usize; 2],
    kernel: [usize; 2],
    geometry: Geometry,
}

#[derive(Debug)]
struct ConvStep;

macro_rules! backward_of_inputs {
    ($B:ident, $saved:ident, $grad:ident, $grads:ident, $checkpointer:ident, $node_x:ident, $node_weight:ident) => {
        if let (Some(node), Some(weight)) = ($node_x, $saved.weight) {
            let weight = $checkpointer.retrieve_node_output::<$B::FloatTensorPrimitive>(weight);
            let grad = $B::input_grad($grad.clone(), weight, $saved.input_size, $saved.geometry);
            $grads.register::<$B>(node.id, grad);
        }
        if let (Some(node), Some(x)) = ($node_weight, $saved.x) {
            let x = $checkpointer.retrieve_node_output::<$B::FloatTensorPrimitive>(x);
            let grad = $B::weight_grad(x, $grad.clone(), $saved.kernel, $saved.geometry);
            $grads.register::<$B>(node.id, grad);
        }
    };
}

impl<B: ConvGradients> Backward<B, 2> for ConvStep {
    type State = Saved;

    fn backward(self, ops: Ops<Saved, 2>, grads: &mut Gradients, checkpointer: &mut Checkpointer) {
        let [node_x, node_weight] = ops.parents;
        let grad = grads.consume::<B>(&ops.node);
        let saved = ops.state;
        backward_of_inputs!(B, saved, grad, grads, checkpointer, node_x, node_weight);
    }
}

impl<B: ConvGradients> Backward<B, 3> for ConvStep {
    type State = Saved;

    fn backward(self, ops: Ops<Saved, 3>, grads: &mut Gradients, checkpointer: &mut Checkpointer) {
        let [node_x, node_weight, node_bias] = ops.parents;
        let grad = grads.consume::<B>(&ops.node);
        let saved = ops.state;
        backward_of_inputs!(B, saved, grad, grads, checkpointer, node_x, node_weight);
        if let Some(node) = node_bias {
            grads.register::<B>(node.id, B::bias_grad(grad));
        }
    }
}

impl Saved {
    fn new<B: Backend>(
        x: &FloatTensor<Autodiff<B>>,
        weight: &FloatTensor<Autodiff<B>>,
        geometry: Geometry,
        mut checkpoint: impl FnMut(&FloatTensor<Autodiff<B>>) -> NodeId,
    ) -> Self {
        let [_, _, height, width] = x.primitive().shape().dims();
        let [_, _, rows, columns] = weight.primitive().shape().dims();
        Self {
            x: weight.is_tracked().then(|| checkpoint(x)),
            weight: x.is_tracked().then(|| checkpoint(weight)),
            input_size: [height, width],
            kernel: [rows, columns],
            geometry,
        }
    }
}

impl<B: ConvBackend + ConvGradients, C: CheckpointStrategy> ConvBackend for Autodiff<B, C> {
    fn conv_plain(x: FloatTensor<Self>, weight: FloatTensor<Self>, geometry: Geometry) -> FloatTensor<Self> {
        let nodes = [x.node(), weight.node()];
        match ConvStep.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(mut prep) => {
                let saved = Saved::new::<B>(&x, &weight, geometry, |tensor| prep.checkpoint(tensor));
                let out = B::conv_plain(x.into_primitive(), weight.into_primitive(), geometry);
                prep.finish(saved, out)
            }
            OpsKind::UnTracked(prep) => {
                prep.finish(B::conv_plain(x.into_primitive(), weight.into_primitive(), geometry))
            }
        }
    }

    fn conv_biased(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        geometry: Geometry,
    ) -> FloatTensor<Self> {
        let nodes = [x.node(), weight.node(), bias.node()];
        let bias = bias.into_primitive();
        match ConvStep.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(mut prep) => {
                let saved = Saved::new::<B>(&x, &weight, geometry, |tensor| prep.checkpoint(tensor));
                let out = B::conv_biased(x.into_primitive(), weight.into_primitive(), bias, geometry);
                prep.finish(saved, out)
            }
            OpsKind::UnTracked(prep) => {
                prep.finish(B::conv_biased(x.into_primitive(), weight.into_primitive(), bias, geometry))
            }
        }
    }
}
