//! Small dense networks over any float width: rows in, rows out.
//! The flow's inference (f32) and its densities (f64) are built on these.

use std::ops::{Add, AddAssign, Div, Mul, Neg, Sub};

/// f32 or f64.
pub trait Real:
    Copy
    + PartialOrd
    + Default
    + Send
    + Sync
    + std::fmt::Debug
    + 'static
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
    + Neg<Output = Self>
    + AddAssign
{
    const ZERO: Self;
    const ONE: Self;
    fn of(value: f64) -> Self;
    fn wide(self) -> f64;
    fn exp(self) -> Self;
    fn ln(self) -> Self;
    fn ln_1p(self) -> Self;
    fn exp_m1(self) -> Self;
    fn sqrt(self) -> Self;
    fn tanh(self) -> Self;
    fn abs(self) -> Self;
    fn max(self, other: Self) -> Self;
    fn min(self, other: Self) -> Self;
}

macro_rules! real {
    ($t:ty) => {
        impl Real for $t {
            const ZERO: Self = 0.0;
            const ONE: Self = 1.0;
            fn of(value: f64) -> Self {
                value as $t
            }
            fn wide(self) -> f64 {
                f64::from(self)
            }
            fn exp(self) -> Self {
                self.exp()
            }
            fn ln(self) -> Self {
                self.ln()
            }
            fn ln_1p(self) -> Self {
                self.ln_1p()
            }
            fn exp_m1(self) -> Self {
                self.exp_m1()
            }
            fn sqrt(self) -> Self {
                self.sqrt()
            }
            fn tanh(self) -> Self {
                self.tanh()
            }
            fn abs(self) -> Self {
                self.abs()
            }
            fn max(self, other: Self) -> Self {
                self.max(other)
            }
            fn min(self, other: Self) -> Self {
                self.min(other)
            }
        }
    };
}
real!(f32);
real!(f64);

pub(crate) fn sigmoid<R: Real>(x: R) -> R {
    R::ONE / (R::ONE + (-x).exp())
}

/// log(1 + e^x), without overflow.
pub(crate) fn softplus<R: Real>(x: R) -> R {
    x.max(R::ZERO) + (-x.abs()).exp().ln_1p()
}

/// x for x > 0, e^x − 1 otherwise.
pub(crate) fn elu<R: Real>(x: R) -> R {
    if x > R::ZERO { x } else { x.exp_m1() }
}

/// y = W x + c for each row of a batch.
#[derive(Clone, Debug)]
pub struct Dense<R> {
    pub inputs: usize,
    pub outputs: usize,
    /// `outputs` rows of `inputs` numbers.
    weight: Vec<R>,
    bias: Vec<R>,
}

impl<R: Real> Dense<R> {
    /// `weight` is (outputs, inputs) row-major; the lengths decide the sizes.
    ///
    /// # Panics
    /// Where the weights are not `bias.len()` rows of `inputs` numbers.
    pub fn new(inputs: usize, weight: Vec<R>, bias: Vec<R>) -> Self {
        assert_eq!(weight.len(), inputs * bias.len(), "weights of a dense layer");
        Self { inputs, outputs: bias.len(), weight, bias }
    }

    /// `rows` × `outputs` numbers into `out` (resized).
    pub fn apply(&self, x: &[R], rows: usize, out: &mut Vec<R>) {
        out.clear();
        for _ in 0..rows {
            out.extend_from_slice(&self.bias);
        }
        self.accumulate(x, rows, out);
    }

    /// Adds W x to `out`, the bias left out.
    pub fn accumulate(&self, x: &[R], rows: usize, out: &mut [R]) {
        assert!(x.len() == rows * self.inputs && out.len() == rows * self.outputs, "rows of a dense layer");
        if rows == 0 || self.inputs == 0 {
            return;
        }
        let (inputs, outputs) = (self.inputs as isize, self.outputs as isize);
        // SAFETY: the assertions above bound every element that these sizes and strides reach.
        unsafe {
            gemm::gemm(
                rows,
                self.outputs,
                self.inputs,
                out.as_mut_ptr(),
                1,
                outputs,
                true,
                x.as_ptr(),
                1,
                inputs,
                self.weight.as_ptr(),
                inputs,
                1,
                R::ONE,
                R::ONE,
                false,
                false,
                false,
                gemm::Parallelism::None,
            );
        }
    }
}

/// Dense layers with ReLU between them and nothing after the last.
#[derive(Clone, Debug)]
pub struct Mlp<R> {
    layers: Vec<Dense<R>>,
}

/// Buffers that one worker reuses from call to call.
#[derive(Default)]
pub struct Scratch<R> {
    pub(crate) input: Vec<R>,
    pub(crate) ping: Vec<R>,
    pub(crate) pong: Vec<R>,
}

impl<R: Real> Mlp<R> {
    /// # Panics
    /// Where there is no layer or one layer's outputs are not the next one's inputs.
    pub fn new(layers: Vec<Dense<R>>) -> Self {
        assert!(!layers.is_empty(), "a network has layers");
        assert!(layers.windows(2).all(|pair| pair[0].outputs == pair[1].inputs), "widths of a network");
        Self { layers }
    }

    pub fn inputs(&self) -> usize {
        self.layers.first().map_or(0, |layer| layer.inputs)
    }

    pub fn outputs(&self) -> usize {
        self.layers.last().map_or(0, |layer| layer.outputs)
    }

    /// Runs the rows in `scratch.input`; the answer lies in `scratch.ping`.
    pub(crate) fn run(&self, rows: usize, scratch: &mut Scratch<R>) {
        for (index, layer) in self.layers.iter().enumerate() {
            if index == 0 {
                layer.apply(&scratch.input, rows, &mut scratch.ping);
            } else {
                for value in &mut scratch.ping {
                    *value = value.max(R::ZERO);
                }
                layer.apply(&scratch.ping, rows, &mut scratch.pong);
                std::mem::swap(&mut scratch.ping, &mut scratch.pong);
            }
        }
    }
}
