//! The detector's errors as they were observed on renders, given to other people in like poses.
//!
//! The tables of `detector_noise` hold sizes of errors; which joints err together, and which land on the other side's
//! joint, is kept by passing on one observed person's errors whole. The trainer draws from it.

use std::path::Path;

use glam::Vec2;
use rand::Rng;

use super::SyntheticError;
use super::noise_fit::Observation;
use crate::keypoints::{COCO_KEYPOINTS, Keypoint, MIRRORED};

/// Observed people who are compared; the most alike one's errors are taken.
const COMPARED: usize = 256;
/// Differences of a joint's place beyond this (in squares) count alike.
const FAR: f32 = 0.3;
/// What a joint that is seen in one and hidden in the other counts, in squared squares.
const OTHERWISE_SEEN: f32 = 0.03;
const OTHERWISE_INSIDE: f32 = 0.06;
/// A joint counts as put on the other side's where it lies nearer to that by this factor, and this far from its own.
const NEARER: f32 = 0.5;
const MISPLACED: f32 = 0.04;

/// One observed person.
#[derive(Clone, Debug)]
struct Entry {
    /// Joints from the middle of the trunk, in squares.
    truth: [Vec2; COCO_KEYPOINTS],
    visible: [bool; COCO_KEYPOINTS],
    inside: [bool; COCO_KEYPOINTS],
    /// Joint whose place was given out, and how far from it, in squares.
    found: [(usize, Vec2); COCO_KEYPOINTS],
    score: [f32; COCO_KEYPOINTS],
}

impl Entry {
    fn new(observation: &Observation) -> Self {
        let Observation { truth, visible, in_frame, view, found } = observation;
        Self {
            truth: from_trunk(truth, view.crop_side),
            visible: *visible,
            inside: *in_frame,
            found: std::array::from_fn(|k| {
                let [own, other] = [k, MIRRORED[k]]
                    .map(|source| (source, (found[k].position() - truth[source]) / view.crop_side));
                let swapped = other.1.length() < NEARER * own.1.length() && own.1.length() > MISPLACED;
                if swapped { other } else { own }
            }),
            score: found.map(|k| k.score),
        }
    }

    /// The same person seen in a mirror.
    fn mirrored(&self) -> Self {
        let flip = |v: Vec2| Vec2::new(-v.x, v.y);
        Self {
            truth: MIRRORED.map(|k| flip(self.truth[k])),
            visible: MIRRORED.map(|k| self.visible[k]),
            inside: MIRRORED.map(|k| self.inside[k]),
            found: MIRRORED.map(|k| (MIRRORED[self.found[k].0], flip(self.found[k].1))),
            score: MIRRORED.map(|k| self.score[k]),
        }
    }

    fn distance(
        &self,
        truth: &[Vec2; COCO_KEYPOINTS],
        visible: &[bool; COCO_KEYPOINTS],
        inside: &[bool; COCO_KEYPOINTS],
    ) -> f32 {
        (0..COCO_KEYPOINTS)
            .map(|k| {
                self.truth[k].distance_squared(truth[k]).min(FAR * FAR)
                    + if self.inside[k] != inside[k] {
                        OTHERWISE_INSIDE
                    } else if self.visible[k] != visible[k] {
                        OTHERWISE_SEEN
                    } else {
                        0.0
                    }
            })
            .sum()
    }
}

fn from_trunk(joints: &[Vec2; COCO_KEYPOINTS], side: f32) -> [Vec2; COCO_KEYPOINTS] {
    let middle = (joints[5] + joints[6] + joints[11] + joints[12]) / 4.0;
    joints.map(|joint| (joint - middle) / side.max(1.0))
}

/// Observed people and their mirror images.
#[derive(Clone, Debug)]
pub struct ErrorBank {
    entries: Vec<Entry>,
}

impl ErrorBank {
    /// `None` for no observations.
    pub fn new(observations: &[Observation]) -> Option<Self> {
        let entries: Vec<Entry> =
            observations.iter().map(Entry::new).flat_map(|entry| [entry.mirrored(), entry]).collect();
        (!entries.is_empty()).then_some(Self { entries })
    }

    /// From a file of observations (JSON).
    ///
    /// # Errors
    /// Where it cannot be read or holds none.
    pub fn read(path: &Path) -> Result<Self, SyntheticError> {
        let wrong = |what: String| {
            SyntheticError::Poses(format!(
                "{what}; make it with `evaluate --data detector-noise --keypoints-cache`: {}",
                path.display()
            ))
        };
        let bytes = std::fs::read(path).map_err(|error| wrong(format!("cannot be read ({error})")))?;
        let observations: Vec<Observation> = serde_json::from_slice(&bytes)
            .map_err(|error| wrong(format!("not what the detector said of renders ({error})")))?;
        Self::new(&observations).ok_or_else(|| wrong("no observation".into()))
    }

    /// Joints as the detector would report them: with the errors of someone observed in a like pose. `side`: of the
    /// detector's square, in the unit of the joints.
    pub fn disturb(
        &self,
        truth: &[Vec2; COCO_KEYPOINTS],
        visible: &[bool; COCO_KEYPOINTS],
        inside: &[bool; COCO_KEYPOINTS],
        side: f32,
        rng: &mut impl Rng,
    ) -> [Keypoint; COCO_KEYPOINTS] {
        let wanted = from_trunk(truth, side);
        let mut best = (f32::INFINITY, 0);
        for _ in 0..COMPARED.min(self.entries.len()) {
            let index = rng.random_range(0..self.entries.len());
            let distance = self.entries[index].distance(&wanted, visible, inside);
            if distance < best.0 {
                best = (distance, index);
            }
        }
        let entry = &self.entries[best.1];
        std::array::from_fn(|k| {
            let (source, offset) = entry.found[k];
            let at = truth[source] + offset * side;
            Keypoint { x: at.x, y: at.y, score: entry.score[k] }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::synthetic::detector_noise::View;
    use crate::synthetic::stream;

    fn observation() -> Observation {
        let truth: [Vec2; COCO_KEYPOINTS] =
            std::array::from_fn(|k| Vec2::new(100.0 + 20.0 * (k % 2) as f32, 10.0 * k as f32));
        let mut found = truth.map(|at| Keypoint { x: at.x, y: at.y, score: 0.7 });
        // The left wrist on the right one's place, three pixels off.
        found[9] = Keypoint { x: truth[10].x + 3.0, y: truth[10].y, score: 0.4 };
        let view = View { crop_side: 200.0, facing: 1.0, upright: 1.0 };
        Observation { truth, visible: [true; 17], in_frame: [true; 17], view, found }
    }

    #[test]
    fn errors_go_over_to_a_larger_person_and_to_the_mirror_image() {
        let seen = observation();
        let bank = ErrorBank::new(std::slice::from_ref(&seen)).expect("one");
        let larger = seen.truth.map(|at| at * 2.0 + Vec2::new(7.0, -3.0));
        let mut kinds = [false; 2];
        for item in 0..20 {
            let mut rng = stream(3, item);
            let got = bank.disturb(&larger, &[true; 17], &[true; 17], 400.0, &mut rng);
            assert!((got[0].position() - larger[0]).length() < 1e-3);
            let own = (got[9].position() - larger[10] - Vec2::new(6.0, 0.0)).length() < 1e-3;
            let mirrored = (got[10].position() - larger[9] + Vec2::new(6.0, 0.0)).length() < 1e-3;
            assert!(own != mirrored);
            kinds[usize::from(own)] = true;
        }
        assert_eq!(kinds, [true; 2]);
    }

    #[test]
    fn no_observations_make_no_bank() {
        assert!(ErrorBank::new(&[]).is_none());
    }
}
