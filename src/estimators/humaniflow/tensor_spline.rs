//! The flow's spline on tensors, for training: the same formulas as [`super::spline`], with gradients.

use burn::tensor::activation::{sigmoid, softmax, softplus};
use burn::tensor::{Bool, Tensor};

use super::spline::SplineLimits;

/// Segments' numbers that a network put out for a batch of splines: \[parts, rows, coordinates, numbers\].
pub struct RawSplines {
    pub widths: Tensor<4>,
    pub heights: Tensor<4>,
    pub derivatives: Tensor<4>,
    pub lambdas: Tensor<4>,
}

/// One end of the piece that holds a value: place, value and weight.
struct Ends {
    t: [Tensor<3>; 2],
    y: [Tensor<3>; 2],
    w: [Tensor<3>; 2],
}

fn knots(raw: Tensor<4>, least: f64, bound: f64) -> Tensor<4> {
    let [a, b, c, count] = raw.dims();
    let share = softmax(raw, 3) * (1.0 - least * count as f64) + least;
    let inner = share.narrow(3, 0, count - 1).cumsum(3) * (2.0 * bound) - bound;
    let end = Tensor::full([a, b, c, 1], bound, &inner.device());
    Tensor::cat(vec![end.clone().neg(), inner, end], 3)
}

fn choose(upper: &Tensor<3, Bool>, lower_value: Tensor<3>, upper_value: Tensor<3>) -> Tensor<3> {
    lower_value.mask_where(upper.clone(), upper_value)
}

/// Values through their splines (or back, where `inverse`) and log dy/dx there, each \[parts, rows,
/// coordinates\]. Outside the box the identity, without gradients for the numbers.
pub fn run(
    raw: RawSplines,
    limits: &SplineLimits,
    value: Tensor<3>,
    inverse: bool,
) -> (Tensor<3>, Tensor<3>) {
    let [a, b, c, count] = raw.widths.dims();
    let device = value.device();
    let bound = limits.bound;
    let xs = knots(raw.widths, limits.min_width, bound);
    let ys = knots(raw.heights, limits.min_height, bound);
    let outside = value.clone().abs().greater_elem(bound);
    let inside = value.clone().clamp(-bound, bound);

    let searched = if inverse { &ys } else { &xs };
    let reached = inside
        .clone()
        .unsqueeze_dim::<4>(3)
        .expand([a, b, c, count + 1])
        .greater_equal(searched.clone().detach() + limits.search_margin);
    let k = (reached.int().sum_dim(3) - 1).clamp(0, count as i64 - 1);
    let at = |all: &Tensor<4>, next: i64| -> Tensor<3> {
        all.clone().gather(3, k.clone() + next).squeeze_dim::<3>(3)
    };
    // A number whose softplus is what the slope of 1 − least at both ends leaves.
    let end = Tensor::full([a, b, c, 1], (1.0 - 2.0 * limits.min_derivative).exp_m1().ln(), &device);
    let derivatives = Tensor::cat(vec![end.clone(), raw.derivatives, end], 3);
    let slope = |next| softplus(at(&derivatives, next), 1.0) + limits.min_derivative;
    let (d0, d1) = (slope(0), slope(1));
    let lambda = sigmoid(at(&raw.lambdas, 0)) * (1.0 - 2.0 * limits.min_lambda) + limits.min_lambda;
    let (x0, x1, y0, y1) = (at(&xs, 0), at(&xs, 1), at(&ys, 0), at(&ys, 1));
    let width = x1 - x0.clone();
    let delta = (y1.clone() - y0.clone()) / width.clone();
    let rest = lambda.clone().neg() + 1.0;
    let w_end = (d0.clone() / d1.clone()).sqrt();
    let w_middle = (lambda.clone() * d0 + rest.clone() * w_end.clone() * d1) / delta;
    let toward_end = lambda.clone() * w_end.clone();
    let y_middle = (rest.clone() * y0.clone() + toward_end.clone() * y1.clone()) / (rest + toward_end);

    let t = (inside.clone() - x0.clone()) / width.clone();
    let upper =
        if inverse { inside.clone().greater(y_middle.clone()) } else { t.clone().greater(lambda.clone()) };
    // Choosing the piece's ends first leaves one formula without a branch that could divide by zero.
    let ends = Ends {
        t: [
            choose(&upper, lambda.zeros_like(), lambda.clone()),
            choose(&upper, lambda.clone(), lambda.ones_like()),
        ],
        y: [choose(&upper, y0, y_middle.clone()), choose(&upper, y_middle, y1)],
        w: [choose(&upper, w_middle.ones_like(), w_middle.clone()), choose(&upper, w_middle, w_end)],
    };
    let [t0, t1] = ends.t;
    let [y0, y1] = ends.y;
    let [w0, w1] = ends.w;
    let log_slope = (w0.clone() * w1.clone() * (t1.clone() - t0.clone()) * (y1.clone() - y0.clone())).log();
    let (result, log_derivative) = if inverse {
        let (from_start, from_end) = (w0 * (y0 - inside.clone()), w1 * (inside - y1));
        let weight = from_start.clone() + from_end.clone();
        let t = (from_start * t1 + from_end * t0) / weight.clone();
        // log dy/dx = −log dx/dy
        let log_derivative = weight.abs().log() * 2.0 - log_slope - width.clone().log();
        (t * width + x0, log_derivative)
    } else {
        let (from_end, from_start) = (w0 * (t1 - t.clone()), w1 * (t - t0));
        let weight = from_end.clone() + from_start.clone();
        let y = (from_end * y0 + from_start * y1) / weight.clone();
        (y, log_slope - weight.abs().log() * 2.0 - width.log())
    };
    (result.mask_where(outside.clone(), value), log_derivative.mask_fill(outside, 0.0))
}
