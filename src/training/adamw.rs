//! AdamW on one flat array, with a running mean of the weights: what validation and the weight file get.

use std::ops::Range;

use rayon::prelude::*;

const MOMENTUM: f32 = 0.9;
const SQUARES: f32 = 0.999;
const EPSILON: f32 = 1e-8;
const WEIGHT_DECAY: f32 = 1e-4;
/// Share of the running mean that a step keeps.
const AVERAGING: f32 = 0.999;
/// Numbers a task.
const CHUNK: usize = 1 << 15;

/// Weights with what the optimiser remembers of them.
#[derive(Clone, Debug, PartialEq)]
pub struct Descent {
    pub weights: Vec<f32>,
    /// Their running mean.
    pub averaged: Vec<f32>,
    pub first: Vec<f32>,
    pub second: Vec<f32>,
}

impl Descent {
    pub fn new(weights: Vec<f32>) -> Self {
        let zeros = vec![0.0; weights.len()];
        Self { averaged: weights.clone(), first: zeros.clone(), second: zeros, weights }
    }

    /// One step for a part of the weights, which has taken `before` steps already; `gradients` are summed.
    pub fn step(&mut self, part: Range<usize>, gradients: &[&[f32]], rate: f32, before: u64) {
        let taken = before as i32 + 1;
        let first_rate = rate / (1.0 - MOMENTUM.powi(taken));
        let second_rate = 1.0 / (1.0 - SQUARES.powi(taken));
        let keep = AVERAGING.min((1.0 + taken as f32) / (10.0 + taken as f32));
        let start = part.start;
        self.weights[part.clone()]
            .par_chunks_mut(CHUNK)
            .zip(self.averaged[part.clone()].par_chunks_mut(CHUNK))
            .zip(self.first[part.clone()].par_chunks_mut(CHUNK))
            .zip(self.second[part].par_chunks_mut(CHUNK))
            .enumerate()
            .for_each(|(chunk, (((weights, averaged), first), second))| {
                let from = start + chunk * CHUNK;
                let mut sum = [0.0f32; CHUNK];
                let sum = &mut sum[..weights.len()];
                for gradient in gradients {
                    let gradient = &gradient[from..from + sum.len()];
                    sum.iter_mut().zip(gradient).for_each(|(sum, g)| *sum += g);
                }
                for i in 0..sum.len() {
                    first[i] += (1.0 - MOMENTUM) * (sum[i] - first[i]);
                    second[i] += (1.0 - SQUARES) * (sum[i] * sum[i] - second[i]);
                    let change = first_rate * first[i] / ((second[i] * second_rate).sqrt() + EPSILON);
                    weights[i] -= change + rate * WEIGHT_DECAY * weights[i];
                    averaged[i] += (1.0 - keep) * (weights[i] - averaged[i]);
                }
            });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bottom_of_a_bowl_is_found_and_other_parts_stay() {
        let mut descent = Descent::new(vec![1.0, -2.0, 5.0]);
        for step in 0..2000 {
            let gradient: Vec<f32> = descent.weights.iter().map(|w| 0.5 * w).collect();
            descent.step(0..2, &[&gradient, &gradient], 1e-2, step);
        }
        assert!(descent.weights[..2].iter().chain(&descent.averaged[..2]).all(|w| w.abs() < 0.02));
        assert_eq!(descent.weights[2], 5.0);
    }
}
