//! Fits [`DetectorNoise`] to what the detector made of people whose joints are known.
//!
//! renders ──detector──▶ [`Observation`]s ──[`fit`]──▶ tables; [`Summary`] shows what was measured and what is drawn
//! from the tables side by side. Run by hand when the detector or the renders change; the result is a constant.

use std::f32::consts::PI;

use glam::Vec2;
use serde::{Deserialize, Serialize};

use super::detector_noise::{
    DetectorNoise, GroupNoise, JointGroup, LEVELS, Spread, View, ViewNoise, view_index,
};
use crate::keypoints::regions::VISIBLE;
use crate::keypoints::{COCO_KEYPOINTS, Keypoint, MIRRORED};

/// Left and right of arms or legs count as swapped when that makes the error this much smaller ...
const SWAP_GAIN: f32 = 0.5;
/// ... and the pairs lie this far apart on average, in squares.
const SWAP_DISTANCE: f32 = 0.05;
/// Errors beyond this (in squares) count as this when swaps are looked for.
const SWAP_CAP: f32 = 0.15;
/// Smallest error, for logarithms.
const TINY: f32 = 1e-4;

/// One person as rendered and as detected.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Observation {
    /// Pixels.
    pub truth: [Vec2; COCO_KEYPOINTS],
    pub visible: [bool; COCO_KEYPOINTS],
    /// Joints outside the picture are left out of everything.
    pub in_frame: [bool; COCO_KEYPOINTS],
    pub view: View,
    pub found: [Keypoint; COCO_KEYPOINTS],
}

impl Observation {
    /// In squares, for joint `k` of the truth against joint `source` of the detector.
    fn distance(&self, k: usize, source: usize) -> f32 {
        self.truth[k].distance(self.found[source].position()) / self.view.crop_side
    }

    /// Whether left and right are swapped in arms and legs.
    fn swaps(&self) -> [bool; 2] {
        [5..11, 11..17].map(|joints| {
            let used: Vec<usize> =
                joints.filter(|k| self.in_frame[*k] && self.in_frame[MIRRORED[*k]]).collect();
            if used.is_empty() {
                return false;
            }
            let sum = |value: &dyn Fn(usize) -> f32| used.iter().map(|k| value(*k)).sum::<f32>();
            let direct = sum(&|k| self.distance(k, k).min(SWAP_CAP));
            let mirrored = sum(&|k| self.distance(k, MIRRORED[k]).min(SWAP_CAP));
            let apart = sum(&|k| self.truth[k].distance(self.truth[MIRRORED[k]]) / self.view.crop_side);
            mirrored < SWAP_GAIN * direct && apart > SWAP_DISTANCE * used.len() as f32
        })
    }
}

/// One joint after swaps are undone.
struct Sample {
    person: usize,
    view: usize,
    error: f32,
    score: f32,
}

/// Samples by group, seen or hidden.
fn samples(observations: &[Observation]) -> [[Vec<Sample>; 2]; 7] {
    let mut all: [[Vec<Sample>; 2]; 7] = Default::default();
    for (person, observation) in observations.iter().enumerate() {
        let [arms, legs] = observation.swaps();
        for k in (0..COCO_KEYPOINTS).filter(|k| observation.in_frame[*k]) {
            let swapped = if k < 5 {
                false
            } else if k < 11 {
                arms
            } else {
                legs
            };
            let source = if swapped { MIRRORED[k] } else { k };
            all[JointGroup::of(k) as usize][usize::from(!observation.visible[k])].push(Sample {
                person,
                view: view_index(&observation.view),
                error: observation.distance(k, source),
                score: observation.found[source].score,
            });
        }
    }
    all
}

fn mean(values: impl Iterator<Item = f32>) -> f32 {
    let (sum, count) = values.fold((0.0_f64, 0), |(sum, count), v| (sum + f64::from(v), count + 1));
    if count == 0 { 0.0 } else { (sum / f64::from(count)) as f32 }
}

/// Values at [`LEVELS`]; the last one is chosen so that the mean of the uppermost part is kept.
fn spread(values: impl Iterator<Item = f32>) -> Spread {
    let mut sorted: Vec<f32> = values.collect();
    sorted.sort_by(f32::total_cmp);
    let last = sorted.len().saturating_sub(1);
    let mut spread =
        LEVELS.map(|level| sorted.get((level * last as f32).round() as usize).copied().unwrap_or(0.0));
    let upper = (LEVELS[LEVELS.len() - 2] * last as f32).round() as usize;
    let tail = mean(sorted.iter().skip(upper).copied());
    let below = spread[LEVELS.len() - 2];
    spread[LEVELS.len() - 1] = (2.0 * tail - below).max(below);
    spread
}

/// Share of values below each, in the order given, minus one half.
fn ranks(values: &[f32]) -> Vec<f32> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|a, b| values[*a].total_cmp(&values[*b]));
    let mut ranks = vec![0.0; values.len()];
    for (rank, index) in order.into_iter().enumerate() {
        ranks[index] = (rank as f32 + 0.5) / values.len() as f32 - 0.5;
    }
    ranks
}

/// Correlation of the normal variables behind two rank correlated quantities.
fn normal_correlation(mean_product_of_ranks: f32) -> f32 {
    let spearman = (12.0 * mean_product_of_ranks).clamp(-1.0, 1.0);
    2.0 * (PI * spearman / 6.0).sin()
}

/// Mean product over pairs of values of one person.
fn pair_product(values: &[(usize, f32)], people: usize) -> f32 {
    let mut sums = vec![(0.0_f64, 0.0_f64, 0.0_f64); people];
    for (person, value) in values {
        let value = f64::from(*value);
        let (sum, squares, count) = &mut sums[*person];
        *sum += value;
        *squares += value * value;
        *count += 1.0;
    }
    let (products, pairs) = sums.iter().fold((0.0, 0.0), |(products, pairs), (sum, squares, count)| {
        (products + sum * sum - squares, pairs + count * (count - 1.0))
    });
    if pairs == 0.0 { 0.0 } else { (products / pairs) as f32 }
}

/// The tables whose draws look like the observations.
pub fn fit(observations: &[Observation]) -> DetectorNoise {
    let samples = samples(observations);
    let mut residuals: [Vec<f32>; 4] = Default::default();
    for part in samples.iter().flatten() {
        let centre = mean(part.iter().map(|s| s.error.max(TINY).ln()));
        for sample in part {
            residuals[sample.view].push(sample.error.max(TINY).ln() - centre);
        }
    }
    let factors = residuals.map(|values| mean(values.into_iter()).exp());
    let groups = samples.each_ref().map(|parts| {
        parts.each_ref().map(|part| GroupNoise {
            error: spread(part.iter().map(|s| s.error / factors[s.view])),
            score: spread(part.iter().map(|s| s.score)),
        })
    });
    let (mut errors, mut scores, mut products) = (Vec::new(), Vec::new(), Vec::new());
    for part in samples.iter().flatten().filter(|part| part.len() > 20) {
        let error = ranks(&part.iter().map(|s| s.error / factors[s.view]).collect::<Vec<_>>());
        let score = ranks(&part.iter().map(|s| s.score).collect::<Vec<_>>());
        products.extend(error.iter().zip(&score).map(|(e, s)| e * s));
        errors.extend(part.iter().zip(&error).map(|(s, e)| (s.person, *e)));
        scores.extend(part.iter().zip(&score).map(|(s, r)| (s.person, *r)));
    }
    let errors_together = normal_correlation(pair_product(&errors, observations.len())).max(0.0);
    let scores_together = normal_correlation(pair_product(&scores, observations.len())).max(0.0);
    let lowers = (-normal_correlation(mean(products.into_iter()))).clamp(0.0, 0.95);
    // What the errors of a person do not explain of the likeness of its scores.
    let rest = (scores_together - lowers * lowers * errors_together).max(0.0) / (1.0 - lowers * lowers);
    DetectorNoise {
        groups,
        views: std::array::from_fn(|view| {
            let swaps: Vec<[bool; 2]> =
                observations.iter().filter(|o| view_index(&o.view) == view).map(Observation::swaps).collect();
            let share = |wanted: [bool; 2]| {
                swaps.iter().filter(|s| **s == wanted).count() as f32 / swaps.len().max(1) as f32
            };
            ViewNoise {
                error_factor: factors[view],
                swapped: [share([true, true]), share([true, false]), share([false, true])],
            }
        }),
        person_share: errors_together.sqrt(),
        error_lowers_score: lowers,
        score_person_share: rest.min(1.0).sqrt(),
    }
}

/// What matters of a set of observations, to compare measured and drawn ones.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Summary {
    pub people: usize,
    /// Over joints in the picture, in pixels of a square of 256.
    pub mean_error: f32,
    pub median_error: f32,
    pub error_90: f32,
    /// The same over joints scored above 0.3.
    pub mean_error_of_visible: f32,
    pub error_90_of_visible: f32,
    /// Shares of joints scored above 0.3, of seen and hidden ones.
    pub scored_seen: f32,
    pub scored_hidden: f32,
    pub hidden: f32,
    pub swapped_arms: f32,
    pub swapped_legs: f32,
    /// Mean error by group of joints, seen and hidden.
    pub groups: [[f32; 2]; 7],
    /// Mean error: front, side, back, head down; and people of each.
    pub views: [(f32, usize); 4],
    /// Joints outside the picture: share scored above 0.3, mean score.
    pub outside: [f32; 2],
    /// Standard deviation over people of a person's mean error, and of its mean score.
    pub person_error_deviation: f32,
    pub person_score_deviation: f32,
}

impl Summary {
    pub fn of(observations: &[Observation]) -> Self {
        let joints = || {
            observations
                .iter()
                .flat_map(|o| (0..COCO_KEYPOINTS).filter(|k| o.in_frame[*k]).map(move |k| (o, k)))
        };
        let error = |(o, k): (&Observation, usize)| o.distance(k, k) * 256.0;
        let sure = |(o, k): &(&Observation, usize)| o.found[*k].score > VISIBLE;
        let sorted = |values: &mut dyn Iterator<Item = f32>| {
            let mut values: Vec<f32> = values.collect();
            values.sort_by(f32::total_cmp);
            values
        };
        let at = |values: &[f32], share: f32| {
            values.get((share * values.len() as f32) as usize).copied().unwrap_or(0.0)
        };
        let (all, visible) =
            (sorted(&mut joints().map(error)), sorted(&mut joints().filter(sure).map(error)));
        let swaps: Vec<[bool; 2]> = observations.iter().map(Observation::swaps).collect();
        let flag = |value: bool| f32::from(u8::from(value));
        let deviation = |value: &dyn Fn(&Observation, usize) -> f32| {
            let people: Vec<f32> = observations
                .iter()
                .map(|o| mean((0..COCO_KEYPOINTS).filter(|k| o.in_frame[*k]).map(|k| value(o, k))))
                .collect();
            let centre = mean(people.iter().copied());
            mean(people.iter().map(|v| (v - centre).powi(2))).sqrt()
        };
        Self {
            people: observations.len(),
            mean_error: mean(all.iter().copied()),
            median_error: at(&all, 0.5),
            error_90: at(&all, 0.9),
            mean_error_of_visible: mean(visible.iter().copied()),
            error_90_of_visible: at(&visible, 0.9),
            scored_seen: mean(joints().filter(|(o, k)| o.visible[*k]).map(|j| flag(sure(&j)))),
            scored_hidden: mean(joints().filter(|(o, k)| !o.visible[*k]).map(|j| flag(sure(&j)))),
            hidden: mean(joints().map(|(o, k)| flag(!o.visible[k]))),
            swapped_arms: mean(swaps.iter().map(|s| flag(s[0]))),
            swapped_legs: mean(swaps.iter().map(|s| flag(s[1]))),
            groups: JointGroup::ALL.map(|group| {
                [true, false].map(|seen| {
                    mean(
                        joints()
                            .filter(|(o, k)| JointGroup::of(*k) == group && o.visible[*k] == seen)
                            .map(error),
                    )
                })
            }),
            views: std::array::from_fn(|view| {
                let of_view = |o: &Observation| view_index(&o.view) == view;
                let count = observations.iter().filter(|o| of_view(o)).count();
                (mean(joints().filter(|(o, _)| of_view(o)).map(error)), count)
            }),
            outside: {
                let outside = || {
                    observations.iter().flat_map(|o| {
                        (0..COCO_KEYPOINTS).filter(|k| !o.in_frame[*k]).map(|k| o.found[k].score)
                    })
                };
                [mean(outside().map(|score| flag(score > VISIBLE))), mean(outside())]
            },
            person_error_deviation: deviation(&|o, k| error((o, k))),
            person_score_deviation: deviation(&|o, k| o.found[k].score),
        }
    }
}

/// The same people with what the tables make of them.
pub fn drawn(observations: &[Observation], noise: &DetectorNoise, seed: u64) -> Vec<Observation> {
    observations
        .iter()
        .enumerate()
        .map(|(index, observation)| {
            let mut rng = super::stream(seed, index as u64);
            let found = noise.disturb(&observation.truth, &observation.visible, &observation.view, &mut rng);
            Observation { found, ..observation.clone() }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use rand::Rng;

    use super::*;

    /// A standing stick figure, wide enough that swaps show.
    fn observations(count: usize, noise: &DetectorNoise) -> Vec<Observation> {
        let truth = std::array::from_fn(|k| {
            let side = if k == 0 {
                0.0
            } else if k % 2 == 1 {
                25.0
            } else {
                -25.0
            };
            Vec2::new(128.0 + side, 20.0 + 12.0 * k as f32)
        });
        let people: Vec<Observation> = (0..count)
            .map(|index| {
                let mut rng = super::super::stream(3, index as u64);
                Observation {
                    truth,
                    visible: std::array::from_fn(|_| rng.random::<f32>() < 0.8),
                    in_frame: [true; 17],
                    view: View { crop_side: 256.0, facing: rng.random_range(-1.0..1.0), upright: 1.0 },
                    found: [Keypoint { x: 0.0, y: 0.0, score: 0.0 }; 17],
                }
            })
            .collect();
        drawn(&people, noise, 5)
    }

    #[test]
    fn a_fit_to_draws_gives_back_what_was_drawn_from() {
        let noise = DetectorNoise::default();
        let measured = observations(3000, &noise);
        let fitted = fit(&measured);
        for (a, b) in fitted.groups.iter().flatten().zip(noise.groups.iter().flatten()) {
            for level in 1..6 {
                let scale = b.error[level];
                assert!((a.error[level] - scale).abs() < 0.15 * scale + 0.001, "{:?} {:?}", a.error, b.error);
                assert!((a.score[level] - b.score[level]).abs() < 0.05, "{:?} {:?}", a.score, b.score);
            }
        }
        assert!((fitted.error_lowers_score - noise.error_lowers_score).abs() < 0.1);
        assert!((fitted.person_share - noise.person_share).abs() < 0.15);
        for view in 0..3 {
            let (a, b) = (fitted.views[view].swapped[0], noise.views[view].swapped[0]);
            assert!((a - b).abs() < 0.03, "{a} {b}");
        }
        let (a, b) = (Summary::of(&measured), Summary::of(&drawn(&measured, &fitted, 9)));
        assert!((a.mean_error / b.mean_error - 1.0).abs() < 0.07, "{} {}", a.mean_error, b.mean_error);
        assert!((a.scored_seen - b.scored_seen).abs() < 0.03);
    }
}
