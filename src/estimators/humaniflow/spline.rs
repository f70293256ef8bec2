//! The monotone rational linear spline of the flow's couplings (Dolatabadi et al., 2020), for single numbers.
//!
//! In each bin two linear rational pieces meet at a point of their own. A piece that runs from
//! (t0, y0) with weight w0 to (t1, y1) with weight w1 is
//! `y = (w0 y0 (t1 − t) + w1 y1 (t − t0)) / (w0 (t1 − t) + w1 (t − t0))`.

use std::cmp::Ordering;

use super::dense::{Real, sigmoid, softplus};

/// The most segments a spline may have.
pub const MAX_SEGMENTS: usize = 64;

/// The box of a spline and what keeps it strictly monotone.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SplineLimits {
    /// Half the box's side; outside the spline is the identity.
    pub bound: f64,
    /// Least share of a segment in the box, along both axes.
    pub min_width: f64,
    pub min_height: f64,
    pub min_derivative: f64,
    /// Least distance of the meeting point from a segment's ends, as a share of the segment.
    pub min_lambda: f64,
    /// Added to the knots in the search for a number's segment.
    pub search_margin: f64,
}

impl SplineLimits {
    pub const fn in_box(bound: f64) -> Self {
        Self {
            bound,
            min_width: 1e-3,
            min_height: 1e-3,
            min_derivative: 1e-3,
            min_lambda: 0.025,
            search_margin: 1e-6,
        }
    }
}

/// One spline's numbers as a network puts them out: before softmax, softmax, softplus, sigmoid.
#[derive(Clone, Copy, Debug)]
pub struct RawSpline<'a, R> {
    /// As many as segments.
    pub widths: &'a [R],
    /// As many as segments.
    pub heights: &'a [R],
    /// One fewer than segments: the inner knots'.
    pub derivatives: &'a [R],
    /// As many as segments.
    pub lambdas: &'a [R],
}

/// One half of a segment.
struct Piece<R> {
    t0: R,
    t1: R,
    y0: R,
    y1: R,
    w0: R,
    w1: R,
}

/// A segment: where it lies and its two pieces' meeting point.
struct Segment<R> {
    x: R,
    width: R,
    lambda: R,
    y: R,
    y_end: R,
    y_middle: R,
    w_middle: R,
    w_end: R,
}

impl<R: Real> Segment<R> {
    fn piece(&self, upper: bool) -> Piece<R> {
        if upper {
            Piece {
                t0: self.lambda,
                t1: R::ONE,
                y0: self.y_middle,
                y1: self.y_end,
                w0: self.w_middle,
                w1: self.w_end,
            }
        } else {
            Piece {
                t0: R::ZERO,
                t1: self.lambda,
                y0: self.y,
                y1: self.y_middle,
                w0: R::ONE,
                w1: self.w_middle,
            }
        }
    }
}

impl<R: Real> Piece<R> {
    /// Numerator of the slope dy/dt; its denominator is the weight's square.
    fn slope(&self) -> R {
        self.w0 * self.w1 * (self.t1 - self.t0) * (self.y1 - self.y0)
    }
}

/// Knots −bound ..= bound whose gaps are a softmax of `raw`, each at least `least`.
fn knots<R: Real>(raw: &[R], least: f64, bound: R, out: &mut [R; MAX_SEGMENTS + 1]) {
    let largest = raw.iter().fold(raw[0], |best, &value| best.max(value));
    let mut total = R::ZERO;
    for (slot, &value) in out[1..].iter_mut().zip(raw) {
        *slot = (value - largest).exp();
        total += *slot;
    }
    let count = raw.len();
    let (least, free) = (R::of(least), R::of(1.0 - least * count as f64));
    out[0] = -bound;
    let mut sum = R::ZERO;
    for slot in &mut out[1..count] {
        sum += least + free * (*slot / total);
        *slot = (bound + bound) * sum - bound;
    }
    out[count] = bound;
}

impl<R: Real> RawSpline<'_, R> {
    /// The segment that holds `value` along x, or along y where `by_height`.
    fn segment(&self, limits: &SplineLimits, value: R, by_height: bool) -> Segment<R> {
        let count = self.widths.len();
        let bound = R::of(limits.bound);
        let mut xs = [R::ZERO; MAX_SEGMENTS + 1];
        let mut ys = [R::ZERO; MAX_SEGMENTS + 1];
        knots(self.widths, limits.min_width, bound, &mut xs);
        knots(self.heights, limits.min_height, bound, &mut ys);
        let searched = if by_height { &ys } else { &xs };
        let margin = R::of(limits.search_margin);
        let reached = searched[..=count].iter().filter(|&&knot| value >= knot + margin).count();
        let k = reached.max(1).min(count) - 1;

        let derivative = |knot: usize| {
            if knot == 0 || knot == count {
                R::of(1.0 - limits.min_derivative)
            } else {
                R::of(limits.min_derivative) + softplus(self.derivatives[knot - 1])
            }
        };
        let (d0, d1) = (derivative(k), derivative(k + 1));
        let lambda =
            R::of(limits.min_lambda) + R::of(1.0 - 2.0 * limits.min_lambda) * sigmoid(self.lambdas[k]);
        let width = xs[k + 1] - xs[k];
        let delta = (ys[k + 1] - ys[k]) / width;
        let w_end = (d0 / d1).sqrt();
        let w_middle = (lambda * d0 + (R::ONE - lambda) * w_end * d1) / delta;
        let y_middle =
            ((R::ONE - lambda) * ys[k] + lambda * w_end * ys[k + 1]) / ((R::ONE - lambda) + lambda * w_end);
        Segment { x: xs[k], width, lambda, y: ys[k], y_end: ys[k + 1], y_middle, w_middle, w_end }
    }

    /// The spline's value and log dy/dx at `x`.
    pub fn forward(&self, limits: &SplineLimits, x: R) -> (R, R) {
        if !matches!(x.abs().partial_cmp(&R::of(limits.bound)), Some(Ordering::Less | Ordering::Equal)) {
            return (x, R::ZERO);
        }
        let segment = self.segment(limits, x, false);
        let t = (x - segment.x) / segment.width;
        let p = segment.piece(t > segment.lambda);
        let (from_end, from_start) = (p.w0 * (p.t1 - t), p.w1 * (t - p.t0));
        let weight = from_end + from_start;
        let y = (from_end * p.y0 + from_start * p.y1) / weight;
        (y, p.slope().ln() - R::of(2.0) * weight.abs().ln() - segment.width.ln())
    }

    /// The x whose value is `y`, and log dy/dx there.
    pub fn inverse(&self, limits: &SplineLimits, y: R) -> (R, R) {
        if !matches!(y.abs().partial_cmp(&R::of(limits.bound)), Some(Ordering::Less | Ordering::Equal)) {
            return (y, R::ZERO);
        }
        let segment = self.segment(limits, y, true);
        let p = segment.piece(y > segment.y_middle);
        let (from_start, from_end) = (p.w0 * (p.y0 - y), p.w1 * (y - p.y1));
        let weight = from_start + from_end;
        let t = (from_start * p.t1 + from_end * p.t0) / weight;
        let log_dx_dy = (p.slope() * segment.width).ln() - R::of(2.0) * weight.abs().ln();
        (t * segment.width + segment.x, -log_dx_dy)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{Rng, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    #[test]
    fn the_inverse_undoes_the_spline_and_the_slope_is_its_derivative() {
        let limits = SplineLimits::in_box(3.0);
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        for _ in 0..200 {
            let mut draw =
                |count: usize| -> Vec<f64> { (0..count).map(|_| rng.random_range(-2.0..2.0)).collect() };
            let (widths, heights, derivatives, lambdas) = (draw(5), draw(5), draw(4), draw(5));
            let spline = RawSpline {
                widths: &widths,
                heights: &heights,
                derivatives: &derivatives,
                lambdas: &lambdas,
            };
            let x = rng.random_range(-3.5..3.5);
            let (y, slope) = spline.forward(&limits, x);
            let (back, slope_there) = spline.inverse(&limits, y);
            assert!((back - x).abs() < 1e-9 && (slope - slope_there).abs() < 1e-7);
            let h = 1e-6;
            let difference =
                (spline.forward(&limits, x + h).0 - spline.forward(&limits, x - h).0) / (2.0 * h);
            assert!((difference.ln() - slope).abs() < 1e-3, "{x}: {difference} {slope}");
        }
    }
}
