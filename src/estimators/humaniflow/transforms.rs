//! The invertible maps a part's flow is made of, both ways with log-determinants, for batches of points.
//! Forward runs from base noise to rotation vectors.

use super::dense::{Mlp, Real, Scratch, softplus};
use super::spline::{RawSpline, SplineLimits};

/// Vectors shorter than this pass through the radial maps unchanged.
const RADIAL_ZERO: f64 = 1e-7;

/// One invertible map of three numbers. Networks see the context first, then coordinates.
#[derive(Clone, Debug)]
pub enum Transform<R> {
    /// y\[k\] = x\[permutation\[k\]\].
    Permute([usize; 3]),
    /// x₀ stays; x₁ and x₂ go through splines that a network makes of context and x₀.
    SplineCoupling(SplineNet<R>),
    /// Each coordinate's spline depends on the context and on the coordinates before it in an order
    /// that the masks of the network (already multiplied into its weights) fix.
    SplineMasked(SplineNet<R>),
    /// y = P L U x; one matrix holds the unit lower and the upper triangle, row-major.
    LinearPlu { permutation: [usize; 3], lu: [R; 9] },
    /// The same with the matrix from a network of the context, its diagonal through a softplus.
    ConditionalLinearPlu { permutation: [usize; 3], net: Mlp<R>, softplus_beta: f64 },
    /// x₀ stays; a network's two numbers are added to x₁ and x₂.
    AdditiveCoupling(Mlp<R>),
    /// x₀ stays; (x₁, x₂) = exp(s) · (x₁, x₂) + m, the network giving m, then s.
    AffineCoupling { net: Mlp<R>, log_scale: (f64, f64) },
    /// y = radius · tanh|x| · x/|x|.
    RadialTanh { radius: f64 },
    /// y = radius · tanh(|x|/radius) · x/|x|: slope 1 at the centre.
    ScaledRadialTanh { radius: f64 },
}

/// A network that puts out splines' numbers.
#[derive(Clone, Debug)]
pub struct SplineNet<R> {
    pub net: Mlp<R>,
    pub segments: usize,
    pub limits: SplineLimits,
}

impl<R: Real> SplineNet<R> {
    /// Spline `coordinate` of `count`, its numbers lying in blocks (kind, coordinate, segment).
    fn blocked<'a>(&self, row: &'a [R], coordinate: usize, count: usize) -> RawSpline<'a, R> {
        let k = self.segments;
        let inner = k - 1;
        let (widths, rest) = row.split_at(count * k);
        let (heights, rest) = rest.split_at(count * k);
        let (derivatives, lambdas) = rest.split_at(count * inner);
        RawSpline {
            widths: &widths[coordinate * k..][..k],
            heights: &heights[coordinate * k..][..k],
            derivatives: &derivatives[coordinate * inner..][..inner],
            lambdas: &lambdas[coordinate * k..][..k],
        }
    }

    /// Spline `coordinate` of three, its numbers lying (kind and segment, coordinate); `own` gets them in a row.
    fn interleaved<'a>(&self, row: &[R], coordinate: usize, own: &'a mut Vec<R>) -> RawSpline<'a, R> {
        let k = self.segments;
        own.clear();
        own.extend(row.iter().skip(coordinate).step_by(3));
        let (widths, rest) = own.split_at(k);
        let (heights, rest) = rest.split_at(k);
        let (derivatives, lambdas) = rest.split_at(k - 1);
        RawSpline { widths, heights, derivatives, lambdas }
    }
}

/// Rows of context followed by the first `taken` coordinates into the scratch buffer.
fn network_input<R: Real>(context: &[R], x: &[[R; 3]], taken: usize, scratch: &mut Scratch<R>) {
    let width = context.len() / x.len().max(1);
    scratch.input.clear();
    for (row, point) in x.iter().enumerate() {
        scratch.input.extend_from_slice(&context[row * width..(row + 1) * width]);
        scratch.input.extend_from_slice(&point[..taken]);
    }
}

fn length<R: Real>(v: &[R; 3]) -> R {
    (v[0] * v[0] + v[1] * v[1] + v[2] * v[2]).sqrt()
}

/// L (U x), or its inverse; log|det| is the same way round for both.
fn lu_apply<R: Real>(lu: &[R; 9], x: [R; 3], inverse: bool) -> [R; 3] {
    let [u00, u01, u02, l10, u11, u12, l20, l21, u22] = *lu;
    if inverse {
        let a = x[0];
        let b = x[1] - l10 * a;
        let c = x[2] - l20 * a - l21 * b;
        let z = c / u22;
        let y = (b - u12 * z) / u11;
        [(a - u01 * y - u02 * z) / u00, y, z]
    } else {
        let a = u00 * x[0] + u01 * x[1] + u02 * x[2];
        let b = u11 * x[1] + u12 * x[2];
        let c = u22 * x[2];
        [a, l10 * a + b, l20 * a + l21 * b + c]
    }
}

fn lu_log_det<R: Real>(lu: &[R; 9]) -> R {
    lu[0].abs().ln() + lu[4].abs().ln() + lu[8].abs().ln()
}

fn permute<R: Real>(x: [R; 3], permutation: [usize; 3]) -> [R; 3] {
    permutation.map(|k| x[k])
}

fn permute_back<R: Real>(y: [R; 3], permutation: [usize; 3]) -> [R; 3] {
    let mut x = y;
    for (k, &from) in permutation.iter().enumerate() {
        x[from] = y[k];
    }
    x
}

/// The network's matrix with its diagonal made positive: log(1 + e^{βd}) / β.
fn conditional_lu<R: Real>(row: &[R], beta: f64) -> [R; 9] {
    std::array::from_fn(|i| if i % 4 == 0 { softplus(R::of(beta) * row[i]) / R::of(beta) } else { row[i] })
}

/// Length to length of a radial map with what log|det| needs; (|y|, log|det|) for |x|.
fn radial<R: Real>(r: R, radius: f64, reach: f64) -> (R, R) {
    let t = (r / R::of(reach)).tanh();
    let length = R::of(radius) * t;
    // Slope along the radius is radius/reach · (1 − t²); twice the ratio of lengths across it.
    let slope = R::of((radius / reach).ln()) + ((R::ONE - t) * (R::ONE + t)).ln();
    (length, slope + R::of(2.0) * (length.ln() - r.ln()))
}

impl<R: Real> Transform<R> {
    /// Maps the points in place and adds log|det dy/dx| to `log_det`. `context` is one row a point.
    pub fn forward(&self, x: &mut [[R; 3]], context: &[R], log_det: &mut [R], scratch: &mut Scratch<R>) {
        match self {
            Self::Permute(permutation) => x.iter_mut().for_each(|p| *p = permute(*p, *permutation)),
            Self::SplineCoupling(splines) => {
                network_input(context, x, 1, scratch);
                splines.net.run(x.len(), scratch);
                let rows = scratch.ping.chunks_exact(splines.net.outputs());
                for ((point, det), row) in x.iter_mut().zip(log_det).zip(rows) {
                    for coordinate in 0..2 {
                        let spline = splines.blocked(row, coordinate, 2);
                        let (y, slope) = spline.forward(&splines.limits, point[coordinate + 1]);
                        point[coordinate + 1] = y;
                        *det += slope;
                    }
                }
            }
            Self::SplineMasked(splines) => {
                network_input(context, x, 3, scratch);
                splines.net.run(x.len(), scratch);
                let rows = scratch.ping.chunks_exact(splines.net.outputs());
                let mut own = Vec::new();
                for ((point, det), row) in x.iter_mut().zip(log_det).zip(rows) {
                    for (coordinate, value) in point.iter_mut().enumerate() {
                        let spline = splines.interleaved(row, coordinate, &mut own);
                        let (y, slope) = spline.forward(&splines.limits, *value);
                        *value = y;
                        *det += slope;
                    }
                }
            }
            Self::LinearPlu { permutation, lu } => {
                for (point, det) in x.iter_mut().zip(log_det) {
                    *point = permute(lu_apply(lu, *point, false), *permutation);
                    *det += lu_log_det(lu);
                }
            }
            Self::ConditionalLinearPlu { permutation, net, softplus_beta } => {
                network_input(context, x, 0, scratch);
                net.run(x.len(), scratch);
                for ((point, det), row) in x.iter_mut().zip(log_det).zip(scratch.ping.chunks_exact(9)) {
                    let lu = conditional_lu(row, *softplus_beta);
                    *point = permute(lu_apply(&lu, *point, false), *permutation);
                    *det += lu_log_det(&lu);
                }
            }
            Self::AdditiveCoupling(net) => {
                network_input(context, x, 1, scratch);
                net.run(x.len(), scratch);
                for (point, row) in x.iter_mut().zip(scratch.ping.chunks_exact(2)) {
                    *point = [point[0], point[1] + row[0], point[2] + row[1]];
                }
            }
            Self::AffineCoupling { net, log_scale } => {
                network_input(context, x, 1, scratch);
                net.run(x.len(), scratch);
                let (least, most) = (R::of(log_scale.0), R::of(log_scale.1));
                for ((point, det), row) in x.iter_mut().zip(log_det).zip(scratch.ping.chunks_exact(4)) {
                    for c in 0..2 {
                        let s = row[2 + c].max(least).min(most);
                        point[c + 1] = s.exp() * point[c + 1] + row[c];
                        *det += s;
                    }
                }
            }
            Self::RadialTanh { .. } | Self::ScaledRadialTanh { .. } => {
                let (radius, reach) = self.radial_sizes();
                for (point, det) in x.iter_mut().zip(log_det) {
                    let r = length(point);
                    if r > R::of(RADIAL_ZERO) {
                        let (longer, slope) = radial(r, radius, reach);
                        *point = point.map(|v| longer * v / r);
                        *det += slope;
                    }
                }
            }
        }
    }

    /// Maps the points back in place and adds log|det dy/dx| at the pre-image (not its negative) to `log_det`.
    pub fn inverse(&self, y: &mut [[R; 3]], context: &[R], log_det: &mut [R], scratch: &mut Scratch<R>) {
        match self {
            Self::Permute(permutation) => y.iter_mut().for_each(|p| *p = permute_back(*p, *permutation)),
            Self::SplineCoupling(splines) => {
                network_input(context, y, 1, scratch);
                splines.net.run(y.len(), scratch);
                let rows = scratch.ping.chunks_exact(splines.net.outputs());
                for ((point, det), row) in y.iter_mut().zip(log_det).zip(rows) {
                    for coordinate in 0..2 {
                        let spline = splines.blocked(row, coordinate, 2);
                        let (x, slope) = spline.inverse(&splines.limits, point[coordinate + 1]);
                        point[coordinate + 1] = x;
                        *det += slope;
                    }
                }
            }
            Self::SplineMasked(splines) => {
                let goal = y.to_vec();
                let mut slopes = vec![R::ZERO; y.len()];
                let mut own = Vec::new();
                // After pass i the first i coordinates of the network's order are right.
                for _ in 0..3 {
                    network_input(context, y, 3, scratch);
                    splines.net.run(y.len(), scratch);
                    let rows = scratch.ping.chunks_exact(splines.net.outputs());
                    for (((point, goal), sum), row) in y.iter_mut().zip(&goal).zip(&mut slopes).zip(rows) {
                        *sum = R::ZERO;
                        for coordinate in 0..3 {
                            let spline = splines.interleaved(row, coordinate, &mut own);
                            let (x, slope) = spline.inverse(&splines.limits, goal[coordinate]);
                            point[coordinate] = x;
                            *sum += slope;
                        }
                    }
                }
                log_det.iter_mut().zip(slopes).for_each(|(det, slope)| *det += slope);
            }
            Self::LinearPlu { permutation, lu } => {
                for (point, det) in y.iter_mut().zip(log_det) {
                    *point = lu_apply(lu, permute_back(*point, *permutation), true);
                    *det += lu_log_det(lu);
                }
            }
            Self::ConditionalLinearPlu { permutation, net, softplus_beta } => {
                network_input(context, y, 0, scratch);
                net.run(y.len(), scratch);
                for ((point, det), row) in y.iter_mut().zip(log_det).zip(scratch.ping.chunks_exact(9)) {
                    let lu = conditional_lu(row, *softplus_beta);
                    *point = lu_apply(&lu, permute_back(*point, *permutation), true);
                    *det += lu_log_det(&lu);
                }
            }
            Self::AdditiveCoupling(net) => {
                network_input(context, y, 1, scratch);
                net.run(y.len(), scratch);
                for (point, row) in y.iter_mut().zip(scratch.ping.chunks_exact(2)) {
                    *point = [point[0], point[1] - row[0], point[2] - row[1]];
                }
            }
            Self::AffineCoupling { net, log_scale } => {
                network_input(context, y, 1, scratch);
                net.run(y.len(), scratch);
                let (least, most) = (R::of(log_scale.0), R::of(log_scale.1));
                for ((point, det), row) in y.iter_mut().zip(log_det).zip(scratch.ping.chunks_exact(4)) {
                    for c in 0..2 {
                        let s = row[2 + c].max(least).min(most);
                        point[c + 1] = (point[c + 1] - row[c]) * (-s).exp();
                        *det += s;
                    }
                }
            }
            Self::RadialTanh { .. } | Self::ScaledRadialTanh { .. } => {
                let (radius, reach) = self.radial_sizes();
                for (point, det) in y.iter_mut().zip(log_det) {
                    let wide = point.map(Real::wide);
                    let r = length(&wide);
                    if r > RADIAL_ZERO {
                        // In f64: atanh close to 1 loses everything in f32.
                        let shorter = reach * (r / radius).atanh();
                        *point = wide.map(|v| R::of(shorter * v / r));
                        let t = r / radius;
                        let slope = (radius / reach).ln() + ((1.0 - t) * (1.0 + t)).ln();
                        *det += R::of(slope + 2.0 * (r.ln() - shorter.ln()));
                    }
                }
            }
        }
    }

    /// Radius of the image and the length scale of a radial map.
    fn radial_sizes(&self) -> (f64, f64) {
        match self {
            Self::RadialTanh { radius } => (*radius, 1.0),
            Self::ScaledRadialTanh { radius } => (*radius, *radius),
            _ => (1.0, 1.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::dense::Dense;
    use super::*;
    use rand::{Rng, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    fn net(rng: &mut ChaCha8Rng, widths: &[usize]) -> Mlp<f64> {
        let layer = |rng: &mut ChaCha8Rng, inputs: usize, outputs: usize| {
            let mut draw =
                |count: usize| (0..count).map(|_| rng.random_range(-0.8..0.8)).collect::<Vec<f64>>();
            Dense::new(inputs, draw(inputs * outputs), draw(outputs))
        };
        Mlp::new(widths.windows(2).map(|pair| layer(rng, pair[0], pair[1])).collect())
    }

    /// Every map on points well inside its domain: the inverse undoes it, both log-determinants are the
    /// numerical Jacobian's.
    #[test]
    fn every_map_is_inverted_and_has_its_jacobian() {
        let rng = &mut ChaCha8Rng::seed_from_u64(3);
        let context: Vec<f64> = (0..4).map(|_| rng.random_range(-1.0..1.0)).collect();
        let limits = SplineLimits::in_box(2.0);
        let maps = [
            Transform::Permute([2, 0, 1]),
            Transform::SplineCoupling(SplineNet { net: net(rng, &[5, 6, 4 * 8 - 2]), segments: 4, limits }),
            Transform::LinearPlu {
                permutation: [1, 2, 0],
                lu: [1.3, 0.2, -0.4, 0.5, -0.8, 0.1, 0.3, -0.2, 0.9],
            },
            Transform::ConditionalLinearPlu {
                permutation: [1, 2, 0],
                net: net(rng, &[4, 6, 9]),
                softplus_beta: 0.75,
            },
            Transform::AdditiveCoupling(net(rng, &[5, 6, 2])),
            Transform::AffineCoupling { net: net(rng, &[5, 6, 4]), log_scale: (-5.0, 3.0) },
            Transform::RadialTanh { radius: 2.0 },
            Transform::ScaledRadialTanh { radius: 4.7 },
        ];
        let scratch = &mut Scratch::default();
        for map in maps {
            for _ in 0..20 {
                let x: [f64; 3] = std::array::from_fn(|_| rng.random_range(-1.2..1.2));
                let mut run = |x: [f64; 3]| {
                    let (mut y, mut det) = ([x], [0.0]);
                    map.forward(&mut y, &context, &mut det, scratch);
                    (y[0], det[0])
                };
                let (y, det) = run(x);
                let h = 1e-6;
                let columns: [[f64; 3]; 3] = std::array::from_fn(|axis| {
                    let (mut more, mut less) = (x, x);
                    more[axis] += h;
                    less[axis] -= h;
                    let (more, less) = (run(more).0, run(less).0);
                    std::array::from_fn(|k| (more[k] - less[k]) / (2.0 * h))
                });
                let jacobian = glam::DMat3::from_cols_array_2d(&columns).determinant().abs().ln();
                assert!((jacobian - det).abs() < 1e-3, "{map:?}: {jacobian} {det}");
                let (mut back, mut det_back) = ([y], [0.0]);
                map.inverse(&mut back, &context, &mut det_back, scratch);
                assert!((0..3).all(|k| (back[0][k] - x[k]).abs() < 1e-8), "{map:?}");
                assert!((det_back[0] - det).abs() < 1e-8, "{map:?}");
            }
        }
    }
}
