//! The default refiner: makes bodies agree with the keypoints, the predicted distribution being the prior.
//!
//! For the mode it finds the likeliest body given keypoints. For a sample with white noise z₀ it minimises
//! `|z − z₀|² + Σ w ρ(reprojection)`: hidden limbs keep what the sample gave them, seen ones move onto the
//! keypoints ("randomised maximum likelihood", exact posterior samples where all is linear). Each step solves the
//! linearised problem in the space of the keypoints (at most 34 unknowns), as an iterated Kalman update does.

use std::sync::Arc;

use glam::{Vec2, Vec3};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::lifter::input::crop_of;
use super::tangent::{BETAS, BETAS_AT, Coordinates, DIMS, PLACE_AT, TangentChart, TangentGaussian};
use super::{Estimate, EstimateError, Refiner};
use crate::body::keypoint_chain::{ChainGradient, ChainPoints, KeypointChain};
use crate::body::{BodyModel, BodyState, Trajectory};
use crate::keypoints::{COCO_KEYPOINTS, Crop, Keypoint, Person};
use crate::progress::Cancel;

/// Score from which a keypoint is taken for true; detectors stay below.
const SURE: f32 = 0.995;
/// Two rows a keypoint.
const ROWS: usize = 2 * COCO_KEYPOINTS;

/// How the refinement weighs evidence against the prediction.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OptimiseConfig {
    pub steps: usize,
    /// Expected error of a keypoint with score 1 (true or placed by hand), in sides of the crop.
    pub sure_error: f32,
    /// Least expected error of a keypoint that a detector found.
    pub found_error: f32,
    /// What is added to it over the score's square: MoveNet's errors on renders grow like that.
    pub unsure_error: f32,
    /// Errors well above this count as outliers (Geman–McClure), in sides of the crop.
    pub outlier: f32,
    /// Keypoints below this score are left out.
    pub min_score: f32,
    /// Longest turn of a joint in one step, radians.
    pub longest_turn: f32,
}

impl Default for OptimiseConfig {
    fn default() -> Self {
        Self {
            steps: 10,
            sure_error: 0.006,
            found_error: 0.02,
            unsure_error: 0.0016,
            outlier: 0.05,
            min_score: 0.2,
            longest_turn: 0.5,
        }
    }
}

/// Refines by reprojection of COCO's 17 keypoints.
pub struct Reprojection {
    chain: Arc<KeypointChain>,
    config: OptimiseConfig,
}

impl Reprojection {
    /// # Errors
    /// Where the body has other joints than SMPL's 24.
    pub fn new(body: &BodyModel, config: OptimiseConfig) -> anyhow::Result<Self> {
        Ok(Self { chain: Arc::new(KeypointChain::new(body)?), config })
    }
}

/// Keypoints in the crop (sides from its middle) with the variance expected of each; `None`: left out.
type Evidence = [Option<(Vec2, f32)>; COCO_KEYPOINTS];

fn evidence(keypoints: &[Keypoint; COCO_KEYPOINTS], crop: &Crop, config: &OptimiseConfig) -> Evidence {
    keypoints.map(|keypoint| {
        let used = keypoint.score >= config.min_score && keypoint.position().is_finite();
        used.then(|| {
            let at = (keypoint.position() - crop.center) / crop.side;
            let error = if keypoint.score >= SURE {
                config.sure_error
            } else {
                config.found_error + config.unsure_error / (keypoint.score * keypoint.score).max(1e-3)
            };
            (at, error * error)
        })
    })
}

/// What each thread works with.
struct Work {
    points: ChainPoints,
    gradient: ChainGradient,
}

/// One body on its way.
struct Refinement<'a> {
    prior: &'a TangentGaussian,
    evidence: &'a Evidence,
    config: &'a OptimiseConfig,
}

impl Refinement<'_> {
    /// Robust misfit plus the distance from the start, and the mean reprojection error (sides of the crop).
    fn cost(
        &self,
        state: &BodyState,
        z: &Coordinates,
        start: &Coordinates,
        outlier: f32,
        work: &mut Work,
    ) -> (f32, f32) {
        self.prior.chart.points(state, &mut work.points);
        let (mut cost, mut error, mut count) = (0.0, 0.0, 0.0f32);
        for (place, wanted) in work.points.coco.iter().zip(self.evidence) {
            let Some((wanted, variance)) = wanted else { continue };
            let squared =
                self.prior.chart.seen(*place).map_or(1.0, |(seen, _)| (seen - *wanted).length_squared());
            let outlier = outlier * outlier;
            cost += outlier * squared / (outlier + squared) / variance;
            error += squared.sqrt();
            count += 1.0;
        }
        cost += z.iter().zip(start).map(|(z, s)| (z - s) * (z - s)).sum::<f32>();
        (cost, error / count.max(1.0))
    }

    /// Runs all steps from white coordinates `start`; `watch` sees every body with its error.
    fn run(
        &self,
        start: &Coordinates,
        begin: &Coordinates,
        work: &mut Work,
        mut watch: impl FnMut(&BodyState, f32),
    ) -> BodyState {
        let mut z = *begin;
        let mut state = self.prior.chart.state(&self.prior.color(&z));
        for step in 0..self.config.steps {
            // From forgiving to strict, so that a limb far off is caught before it counts as an outlier.
            let outlier = self.config.outlier * (1.0 + 5.0 * (1.0 - step as f32 / 5.0).max(0.0));
            let (cost, error) = self.cost(&state, &z, start, outlier, work);
            watch(&state, error);
            let Some(wanted) = self.solve(&z, start, outlier, work) else { break };
            let change: Coordinates = std::array::from_fn(|i| wanted[i] - z[i]);
            let turn = self
                .prior
                .color(&change)
                .chunks_exact(3)
                .take(BETAS_AT / 3)
                .map(|turn| Vec3::from_slice(turn).length())
                .fold(0.0, f32::max);
            let mut share = (self.config.longest_turn / turn.max(1e-6)).min(1.0);
            let mut moved = false;
            for _ in 0..4 {
                let next: Coordinates = std::array::from_fn(|i| z[i] + share * change[i]);
                let next_state = self.prior.chart.state(&self.prior.color(&next));
                if self.cost(&next_state, &next, start, outlier, work).0 < cost {
                    (z, state, moved) = (next, next_state, true);
                    break;
                }
                share *= 0.4;
            }
            let small = change.iter().all(|c| (share * c).abs() < 1e-3);
            if step >= 5 && (!moved || small) {
                break;
            }
        }
        let (_, error) = self.cost(&state, &z, start, self.config.outlier, work);
        watch(&state, error);
        state
    }

    /// The white coordinates that the problem linearised at `z` wants: `z₀ + Jᵀ(JJᵀ + W⁻¹)⁻¹(r + J(z − z₀))`.
    /// `work.points` must hold the body at `z`.
    fn solve(
        &self,
        z: &Coordinates,
        start: &Coordinates,
        outlier: f32,
        work: &mut Work,
    ) -> Option<Coordinates> {
        let delta = self.prior.color(z);
        // The points hold the last body whose cost was taken, which a refused step may have left elsewhere.
        self.prior.chart.points(&self.prior.chart.state(&delta), &mut work.points);
        let pull = self.prior.chart.pull(&delta);
        let mut jacobian: Vec<Coordinates> = Vec::with_capacity(ROWS);
        let mut noise = [0.0f32; ROWS];
        let mut wanted = [0.0f32; ROWS];
        for k in 0..COCO_KEYPOINTS {
            let Some((at, variance)) = self.evidence[k] else { continue };
            let Some((seen, rows)) = self.prior.chart.seen(work.points.coco[k]) else { continue };
            let off = at - seen;
            let robust = outlier * outlier / (outlier * outlier + off.length_squared());
            for axis in 0..2 {
                let chain = self.prior.chart.chain();
                chain.backward_keypoint(&work.points, k, rows[axis], &mut work.gradient);
                let by_delta = pull.back(&work.gradient);
                let row = self.prior.gradient_by_white(&by_delta);
                let shift: f32 = row.iter().zip(z.iter().zip(start)).map(|(j, (z, s))| j * (z - s)).sum();
                wanted[jacobian.len()] = off[axis] + shift;
                noise[jacobian.len()] = variance / (robust * robust);
                jacobian.push(row);
            }
        }
        let count = jacobian.len();
        let mut matrix = vec![0.0f32; count * count];
        for a in 0..count {
            for b in 0..=a {
                matrix[a * count + b] = jacobian[a].iter().zip(&jacobian[b]).map(|(x, y)| x * y).sum();
            }
            matrix[a * count + a] += noise[a];
        }
        let weights = solve_symmetric(&mut matrix, &wanted[..count])?;
        let mut out = *start;
        for (row, weight) in jacobian.iter().zip(weights) {
            for (out, j) in out.iter_mut().zip(row) {
                *out += weight * j;
            }
        }
        out.iter().all(|v| v.is_finite()).then_some(out)
    }
}

/// Solves `M x = b` for a positive definite matrix given by its lower triangle (destroyed).
fn solve_symmetric(matrix: &mut [f32], b: &[f32]) -> Option<Vec<f32>> {
    let n = b.len();
    for row in 0..n {
        for column in 0..=row {
            let dot: f32 = (0..column).map(|k| matrix[row * n + k] * matrix[column * n + k]).sum();
            let value = matrix[row * n + column] - dot;
            matrix[row * n + column] = if row == column {
                (value > 0.0).then(|| value.sqrt())?
            } else {
                value / matrix[column * n + column]
            };
        }
    }
    let mut x = b.to_vec();
    for row in 0..n {
        let dot: f32 = (0..row).map(|k| matrix[row * n + k] * x[k]).sum();
        x[row] = (x[row] - dot) / matrix[row * n + row];
    }
    for row in (0..n).rev() {
        let dot: f32 = (row + 1..n).map(|k| matrix[k * n + row] * x[k]).sum();
        x[row] = (x[row] - dot) / matrix[row * n + row];
    }
    Some(x)
}

/// Spreads for estimates that bring no Gaussian: radians, betas, place.
fn usual_spread() -> Coordinates {
    let mut spread = [0.3; DIMS];
    spread[..3].fill(0.25);
    // Spine, neck and collars bend little each; feet are not seen.
    for joint in [3usize, 6, 9, 12, 13, 14, 15, 10, 11, 7, 8, 20, 21] {
        spread[3 * joint..3 * joint + 3].fill(0.1);
    }
    spread[BETAS_AT..BETAS_AT + BETAS].fill(0.7);
    spread[PLACE_AT..].fill(0.1);
    spread
}

impl Refiner for Reprojection {
    fn refine(
        &self,
        estimate: &Estimate,
        person: &Person,
        cancel: &Cancel,
    ) -> Result<Estimate, EstimateError> {
        let crop = crop_of(&person.keypoints, self.config.min_score);
        let Some(crop) = estimate.prior.as_ref().map(|prior| prior.chart.crop).or(crop) else {
            return Ok(estimate.clone());
        };
        let prior = estimate.prior.clone().unwrap_or_else(|| {
            let chart = TangentChart::new(self.chain.clone(), &estimate.mode, estimate.camera, crop);
            Arc::new(TangentGaussian::independent(chart, &usual_spread()))
        });
        let evidence = evidence(&person.keypoints, &crop, &self.config);
        let refinement = Refinement { prior: &prior, evidence: &evidence, config: &self.config };
        let new_work = || Work { points: self.chain.points(), gradient: self.chain.gradient() };

        let (mut frames, mut values) = (Vec::new(), Vec::new());
        let begin = prior.whiten(&prior.chart.coordinates(&estimate.mode));
        let mode = refinement.run(&[0.0; DIMS], &begin, &mut new_work(), |state, error| {
            frames.push(state.clone());
            values.push(100.0 * error);
        });
        if cancel.is_cancelled() {
            return Err(EstimateError::Cancelled);
        }
        let samples: Vec<BodyState> = estimate
            .samples
            .par_iter()
            .map_init(new_work, |work, sample| {
                if cancel.is_cancelled() {
                    return sample.clone();
                }
                let start = prior.whiten(&prior.chart.coordinates(sample));
                refinement.run(&start, &start, work, |_, _| {})
            })
            .collect();
        if cancel.is_cancelled() {
            return Err(EstimateError::Cancelled);
        }
        let log_prob = if estimate.prior.is_some() {
            samples.iter().map(|s| prior.log_prob(&prior.whiten(&prior.chart.coordinates(s)))).collect()
        } else {
            estimate.log_prob.clone()
        };
        Ok(Estimate {
            mode,
            samples,
            log_prob,
            refinement: Some(Trajectory {
                frames,
                values,
                value_name: "reprojection error (% of the crop)".to_owned(),
                frame_rate: None,
                source: "refinement".to_owned(),
            }),
            ..estimate.clone()
        })
    }
}
