//! A mixture of Gaussians with full covariances: expectation-maximisation, sampling, log-density.
//! Sums run over fixed blocks in a fixed order, so the number of threads never changes a result.

use rand::Rng;
use rand_chacha::ChaCha8Rng;
use rand_distr::StandardNormal;
use rayon::prelude::*;

/// Rows handled together by one thread.
const BLOCK: usize = 512;

/// `weights` (K), `means` (K, D), `factors` (K, D (D + 1) / 2): rows of the covariances' lower Cholesky factors.
#[derive(Clone, Debug)]
pub(super) struct Mixture {
    pub dimensions: usize,
    pub weights: Vec<f64>,
    pub means: Vec<f64>,
    pub factors: Vec<f64>,
}

fn packed(dimensions: usize) -> usize {
    dimensions * (dimensions + 1) / 2
}

/// A mixture to begin with: means at rows far from each other (k-means++), one round sphere each.
pub(super) fn start(
    rows: &[f64],
    dimensions: usize,
    components: usize,
    floor: f64,
    rng: &mut ChaCha8Rng,
) -> Mixture {
    let count = rows.len() / dimensions;
    let row = |i: usize| &rows[i * dimensions..(i + 1) * dimensions];
    let mut chosen = vec![rng.random_range(0..count)];
    let mut nearest = vec![f64::INFINITY; count];
    while chosen.len() < components {
        let latest = row(chosen[chosen.len() - 1]);
        let mut total = 0.0;
        for (i, distance) in nearest.iter_mut().enumerate() {
            let square: f64 = row(i).iter().zip(latest).map(|(a, b)| (a - b).powi(2)).sum();
            *distance = distance.min(square);
            total += *distance;
        }
        let mut at = rng.random::<f64>() * total;
        let next = nearest.iter().position(|d| {
            at -= d;
            at < 0.0
        });
        chosen.push(next.unwrap_or_else(|| rng.random_range(0..count)));
    }
    let sphere = (0.35f64).max(floor);
    let mut factor = vec![0.0; packed(dimensions)];
    for d in 0..dimensions {
        factor[d * (d + 1) / 2 + d] = sphere;
    }
    Mixture {
        dimensions,
        weights: vec![1.0 / components as f64; components],
        means: chosen.iter().flat_map(|&i| row(i).iter().copied()).collect(),
        factors: factor.repeat(components),
    }
}

/// What one component gathers over rows: its share, the sum of rows and of their products.
struct Moments {
    share: Vec<f64>,
    first: Vec<f64>,
    second: Vec<f64>,
    log_density: f64,
    weight: f64,
}

impl Mixture {
    fn components(&self) -> usize {
        self.weights.len()
    }

    fn mean(&self, k: usize) -> &[f64] {
        &self.means[k * self.dimensions..(k + 1) * self.dimensions]
    }

    fn factor(&self, k: usize) -> &[f64] {
        let size = packed(self.dimensions);
        &self.factors[k * size..(k + 1) * size]
    }

    /// Draws one row.
    pub fn sample(&self, rng: &mut ChaCha8Rng, row: &mut [f64]) {
        let total: f64 = self.weights.iter().sum();
        let mut at = rng.random::<f64>() * total;
        let mut k = self.components() - 1;
        for (i, weight) in self.weights.iter().enumerate() {
            at -= weight;
            if at < 0.0 {
                k = i;
                break;
            }
        }
        let noise: Vec<f64> = (0..self.dimensions).map(|_| rng.sample(StandardNormal)).collect();
        let (mean, factor) = (self.mean(k), self.factor(k));
        for (d, value) in row.iter_mut().enumerate() {
            let line = &factor[d * (d + 1) / 2..][..=d];
            *value = mean[d] + line.iter().zip(&noise).map(|(l, z)| l * z).sum::<f64>();
        }
    }

    /// Log-densities of one row under each component, weights included, and their log-sum.
    fn log_densities(&self, row: &[f64], scratch: &mut [f64], out: &mut [f64]) -> f64 {
        let constant = -0.5 * self.dimensions as f64 * std::f64::consts::TAU.ln();
        for (k, value) in out.iter_mut().enumerate() {
            let (mean, factor) = (self.mean(k), self.factor(k));
            let (mut square, mut log_volume) = (0.0, 0.0);
            for d in 0..self.dimensions {
                let line = &factor[d * (d + 1) / 2..][..=d];
                let known: f64 = line[..d].iter().zip(&scratch[..d]).map(|(l, y)| l * y).sum();
                let y = (row[d] - mean[d] - known) / line[d];
                scratch[d] = y;
                square += y * y;
                log_volume += line[d].ln();
            }
            *value = self.weights[k].max(1e-300).ln() + constant - log_volume - 0.5 * square;
        }
        let top = out.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        top + out.iter().map(|v| (v - top).exp()).sum::<f64>().ln()
    }

    /// The mean log-density of rows, by weight.
    pub fn mean_log_density(&self, rows: &[f64], weights: &[f64]) -> f64 {
        let block = BLOCK * self.dimensions;
        let sums: Vec<(f64, f64)> = rows
            .par_chunks(block)
            .zip(weights.par_chunks(BLOCK))
            .map(|(rows, weights)| {
                let mut scratch = vec![0.0; self.dimensions];
                let mut out = vec![0.0; self.components()];
                let mut sum = (0.0, 0.0);
                for (row, weight) in rows.chunks_exact(self.dimensions).zip(weights) {
                    sum.0 += weight * self.log_densities(row, &mut scratch, &mut out);
                    sum.1 += weight;
                }
                sum
            })
            .collect();
        let (density, weight) = sums.iter().fold((0.0, 0.0), |a, b| (a.0 + b.0, a.1 + b.1));
        density / weight
    }

    fn gather(&self, rows: &[f64], weights: &[f64]) -> Moments {
        let (d, k) = (self.dimensions, self.components());
        let mut m = Moments {
            share: vec![0.0; k],
            first: vec![0.0; k * d],
            second: vec![0.0; k * packed(d)],
            log_density: 0.0,
            weight: 0.0,
        };
        let mut scratch = vec![0.0; d];
        let mut out = vec![0.0; k];
        for (row, &weight) in rows.chunks_exact(d).zip(weights) {
            let total = self.log_densities(row, &mut scratch, &mut out);
            m.log_density += weight * total;
            m.weight += weight;
            for (c, value) in out.iter().enumerate() {
                let share = weight * (value - total).exp();
                if share < 1e-9 * weight {
                    continue;
                }
                m.share[c] += share;
                for (sum, x) in m.first[c * d..(c + 1) * d].iter_mut().zip(row) {
                    *sum += share * x;
                }
                let second = &mut m.second[c * packed(d)..(c + 1) * packed(d)];
                for i in 0..d {
                    let scaled = share * row[i];
                    for (sum, x) in second[i * (i + 1) / 2..][..=i].iter_mut().zip(row) {
                        *sum += scaled * x;
                    }
                }
            }
        }
        m
    }

    /// One round of expectation and maximisation; returns the mean log-density before it. `floor` is added
    /// to every direction's standard deviation (in squares).
    pub fn improve(&mut self, rows: &[f64], weights: &[f64], floor: f64) -> f64 {
        let (d, k) = (self.dimensions, self.components());
        // A few large pieces: each holds a full set of sums.
        let piece = (weights.len().div_ceil(16)).max(BLOCK);
        let parts: Vec<Moments> = rows
            .par_chunks(piece * d)
            .zip(weights.par_chunks(piece))
            .map(|(rows, weights)| self.gather(rows, weights))
            .collect();
        let mut parts = parts.into_iter();
        let Some(mut sum) = parts.next() else {
            return f64::NAN;
        };
        let add = |a: &mut [f64], b: &[f64]| a.iter_mut().zip(b).for_each(|(a, b)| *a += b);
        for part in parts {
            add(&mut sum.share, &part.share);
            add(&mut sum.first, &part.first);
            add(&mut sum.second, &part.second);
            sum.log_density += part.log_density;
            sum.weight += part.weight;
        }
        for c in 0..k {
            let share = sum.share[c];
            self.weights[c] = share / sum.weight;
            // A component without followers keeps its place and dies out by its weight.
            if share < 1e-6 * sum.weight {
                continue;
            }
            let mean: Vec<f64> = sum.first[c * d..(c + 1) * d].iter().map(|v| v / share).collect();
            let mut covariance: Vec<f64> =
                sum.second[c * packed(d)..(c + 1) * packed(d)].iter().map(|v| v / share).collect();
            for i in 0..d {
                for j in 0..=i {
                    covariance[i * (i + 1) / 2 + j] -= mean[i] * mean[j];
                }
                covariance[i * (i + 1) / 2 + i] += floor * floor;
            }
            if let Some(factor) = cholesky(&covariance, d) {
                self.means[c * d..(c + 1) * d].copy_from_slice(&mean);
                self.factors[c * packed(d)..(c + 1) * packed(d)].copy_from_slice(&factor);
            }
        }
        sum.log_density / sum.weight
    }
}

/// The lower Cholesky factor of a symmetric matrix, both as packed rows; `None` if it is not positive definite.
fn cholesky(matrix: &[f64], dimensions: usize) -> Option<Vec<f64>> {
    let mut factor = matrix.to_vec();
    let at = |i: usize, j: usize| i * (i + 1) / 2 + j;
    for i in 0..dimensions {
        for j in 0..=i {
            let known: f64 = (0..j).map(|m| factor[at(i, m)] * factor[at(j, m)]).sum();
            let rest = matrix[at(i, j)] - known;
            if i == j {
                if rest <= 0.0 || !rest.is_finite() {
                    return None;
                }
                factor[at(i, i)] = rest.sqrt();
            } else {
                factor[at(i, j)] = rest / factor[at(j, j)];
            }
        }
    }
    Some(factor)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::synthetic::stream;

    #[test]
    fn two_clouds_are_found() {
        let mut rng = stream(21, 0);
        let mut rows = Vec::new();
        for i in 0..3000 {
            let (a, b): (f64, f64) = (rng.sample(StandardNormal), rng.sample(StandardNormal));
            if i % 3 == 0 {
                rows.extend([2.0 + 0.1 * a, -1.0 + 0.3 * b]);
            } else {
                rows.extend([-1.0 + 0.4 * a, 1.0 + 0.4 * a + 0.1 * b]);
            }
        }
        let weights = vec![1.0; 3000];
        let mut mixture = start(&rows, 2, 2, 0.01, &mut rng);
        let mut last = f64::NEG_INFINITY;
        for _ in 0..40 {
            let density = mixture.improve(&rows, &weights, 0.001);
            assert!(density > last - 1e-3, "{density} {last}");
            last = density;
        }
        assert!((mixture.mean_log_density(&rows, &weights) - last).abs() < 1e-2);
        let small = usize::from(mixture.weights[0] > mixture.weights[1]);
        assert!((mixture.weights[small] - 1.0 / 3.0).abs() < 0.02);
        assert!((mixture.mean(small)[0] - 2.0).abs() < 0.02);
        let factor = mixture.factor(1 - small);
        // Both numbers of the second cloud share one cause: factor (0.4; 0.4, 0.1).
        assert!((factor[0] - 0.4).abs() < 0.03 && (factor[1] - 0.4).abs() < 0.03);
        assert!((factor[2] - 0.1).abs() < 0.02);
        let mut mean = [0.0; 2];
        for _ in 0..4000 {
            let mut row = [0.0; 2];
            mixture.sample(&mut rng, &mut row);
            mean = [mean[0] + row[0] / 4000.0, mean[1] + row[1] / 4000.0];
        }
        assert!((mean[0] - 0.0).abs() < 0.1 && (mean[1] - 1.0 / 3.0).abs() < 0.1, "{mean:?}");
    }
}
