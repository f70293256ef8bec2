//! How MoveNet errs, as a sampler: true 2D joints in, joints with scores as the detector would give them out.
//!
//! Trainers of keypoint networks use it, because rendering and detecting every example would cost a second each.
//! Errors and scores are drawn from tables of quantiles by group of joints and by whether the joint is seen,
//! tied together by one normal variable a person and one a joint.

use glam::{Vec2, Vec3};
use rand::Rng;
use rand_distr::StandardNormal;
use serde::{Deserialize, Serialize};

use crate::keypoints::regions::SQUARE_MARGIN;
use crate::keypoints::{COCO_KEYPOINTS, Keypoint, MIRRORED};

/// What the errors depend on besides the joint.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct View {
    /// Side of the detector's square in the unit of the joints (1.2 times the longer side of the person's box).
    pub crop_side: f32,
    /// Cosine between the way the chest points and the way to the camera: 1 from the front, -1 from behind.
    pub facing: f32,
    /// Cosine between the spine (hips to neck) in the picture and the picture's up: -1 head down.
    pub upright: f32,
}

impl View {
    /// Of a person whose COCO joints are known: in the camera's space (metres) and in pixels, with the box of what is seen.
    pub fn of(space: &[Vec3; COCO_KEYPOINTS], pixels: &[Vec2; COCO_KEYPOINTS], bbox: [f32; 4]) -> Self {
        let [left, top, right, bottom] = bbox;
        let across = space[5] - space[6];
        let spine = (space[5] + space[6] - space[11] - space[12]) / 2.0;
        let flat = (pixels[5] + pixels[6] - pixels[11] - pixels[12]) / 2.0;
        let chest = across.cross(spine).normalize_or_zero();
        Self {
            crop_side: (SQUARE_MARGIN * (right - left).max(bottom - top)).max(1.0),
            facing: chest.dot(-space[5].normalize_or_zero()),
            upright: -flat.normalize_or_zero().y,
        }
    }
}

/// Joints that err alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JointGroup {
    Face,
    Shoulder,
    Elbow,
    Wrist,
    Hip,
    Knee,
    Ankle,
}

impl JointGroup {
    pub const ALL: [Self; 7] =
        [Self::Face, Self::Shoulder, Self::Elbow, Self::Wrist, Self::Hip, Self::Knee, Self::Ankle];

    /// Of a joint in COCO's order.
    pub fn of(joint: usize) -> Self {
        match joint {
            0..=4 => Self::Face,
            5 | 6 => Self::Shoulder,
            7 | 8 => Self::Elbow,
            9 | 10 => Self::Wrist,
            11 | 12 => Self::Hip,
            13 | 14 => Self::Knee,
            _ => Self::Ankle,
        }
    }
}

/// Shares of joints below the values of [`Spread`].
pub const LEVELS: [f32; 8] = [0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 0.97, 1.0];
/// Values at [`LEVELS`].
pub type Spread = [f32; 8];

/// Errors and scores of one group, seen or hidden.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct GroupNoise {
    /// Distance from the truth in sides of the detector's square.
    pub error: Spread,
    pub score: Spread,
}

/// Where the person looks, in three bins of [`View::facing`], or head down.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct ViewNoise {
    /// Errors are multiplied by it.
    pub error_factor: f32,
    /// Shares of people whose left and right are swapped: whole body, arms only, legs only.
    pub swapped: [f32; 3],
}

/// The tables.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DetectorNoise {
    /// For each group: seen, hidden.
    pub groups: [[GroupNoise; 2]; 7],
    /// Front, side, back, head down.
    pub views: [ViewNoise; 4],
    /// Correlation of the errors (as normal variables) of two joints of one person is its square.
    pub person_share: f32,
    /// Correlation of error and score (as normal variables), with the sign turned.
    pub error_lowers_score: f32,
    /// Correlation of the scores of one person that its errors do not explain is its square.
    pub score_person_share: f32,
}

impl Default for DetectorNoise {
    fn default() -> Self {
        MOVENET_THUNDER
    }
}

impl DetectorNoise {
    /// Joints as the detector would report them. `visible`: not hidden by the person, clothes or things, and in the picture.
    pub fn disturb(
        &self,
        truth: &[Vec2; COCO_KEYPOINTS],
        visible: &[bool; COCO_KEYPOINTS],
        view: &View,
        rng: &mut impl Rng,
    ) -> [Keypoint; COCO_KEYPOINTS] {
        let noise = &self.views[view_index(view)];
        let person: f32 = rng.sample(StandardNormal);
        let own_share = (1.0 - self.person_share * self.person_share).sqrt();
        let free_score = (1.0 - self.error_lowers_score * self.error_lowers_score).sqrt();
        let person_luck: f32 = rng.sample(StandardNormal);
        let own_luck = (1.0 - self.score_person_share * self.score_person_share).sqrt();
        let swap: f32 = rng.random();
        let [whole, arms, legs] = noise.swapped;
        let swap_arms = swap < whole + arms;
        let swap_legs = swap < whole || (whole + arms..whole + arms + legs).contains(&swap);
        std::array::from_fn(|k| {
            let own: f32 = rng.sample(StandardNormal);
            let luck =
                self.score_person_share * person_luck + own_luck * rng.sample::<f32, _>(StandardNormal);
            let angle = rng.random_range(0.0..std::f32::consts::TAU);
            let swapped = match k {
                0..=4 => false,
                5..=10 => swap_arms,
                _ => swap_legs,
            };
            let source = if swapped { MIRRORED[k] } else { k };
            let group = &self.groups[JointGroup::of(k) as usize][usize::from(!visible[source])];
            let badness = self.person_share * person + own_share * own;
            let error = at_level(&group.error, normal_share(badness)) * noise.error_factor * view.crop_side;
            let fortune = free_score * luck - self.error_lowers_score * badness;
            let score = at_level(&group.score, normal_share(fortune)).clamp(0.0, 1.0);
            let at = truth[source] + Vec2::from_angle(angle) * error;
            Keypoint { x: at.x, y: at.y, score }
        })
    }
}

/// Bin of [`DetectorNoise::views`].
pub fn view_index(view: &View) -> usize {
    match view {
        View { upright, .. } if *upright < -0.5 => 3,
        View { facing, .. } if *facing > 0.5 => 0,
        View { facing, .. } if *facing > -0.5 => 1,
        _ => 2,
    }
}

/// The value below which this share of a spread lies.
fn at_level(spread: &Spread, share: f32) -> f32 {
    let upper = LEVELS.iter().position(|level| *level > share).unwrap_or(LEVELS.len() - 1).max(1);
    let part = (share - LEVELS[upper - 1]) / (LEVELS[upper] - LEVELS[upper - 1]);
    spread[upper - 1] + (spread[upper] - spread[upper - 1]) * part
}

/// Share of the standard normal distribution below `z`; logistic approximation, within 0.0002.
fn normal_share(z: f32) -> f32 {
    1.0 / (1.0 + (-1.5976 * z - 0.070_565 * z * z * z).exp())
}

const fn group(seen: [Spread; 2], hidden: [Spread; 2]) -> [GroupNoise; 2] {
    [GroupNoise { error: seen[0], score: seen[1] }, GroupNoise { error: hidden[0], score: hidden[1] }]
}

/// Fitted to MoveNet's answers on 983 renders of training poses. Tails of hidden joints that came from people of whom
/// hardly anything was in the picture are cut; swapped sides, too rare to count, are rounded up.
const MOVENET_THUNDER: DetectorNoise = DetectorNoise {
    groups: [
        group(
            [
                [0.000, 0.004, 0.008, 0.012, 0.019, 0.030, 0.061, 0.225],
                [0.016, 0.403, 0.504, 0.605, 0.703, 0.779, 0.831, 0.884],
            ],
            [
                [0.001, 0.007, 0.011, 0.021, 0.037, 0.109, 0.298, 0.900],
                [0.000, 0.090, 0.240, 0.465, 0.611, 0.697, 0.767, 0.822],
            ],
        ),
        group(
            [
                [0.001, 0.011, 0.017, 0.023, 0.032, 0.046, 0.080, 0.299],
                [0.022, 0.489, 0.608, 0.727, 0.818, 0.874, 0.914, 0.945],
            ],
            [
                [0.001, 0.019, 0.028, 0.042, 0.070, 0.197, 0.449, 0.900],
                [0.003, 0.098, 0.409, 0.598, 0.729, 0.819, 0.877, 0.936],
            ],
        ),
        group(
            [
                [0.000, 0.005, 0.008, 0.014, 0.025, 0.047, 0.114, 0.281],
                [0.031, 0.304, 0.444, 0.606, 0.729, 0.811, 0.877, 0.926],
            ],
            [
                [0.002, 0.012, 0.022, 0.041, 0.086, 0.239, 0.590, 0.900],
                [0.003, 0.088, 0.185, 0.341, 0.490, 0.658, 0.777, 0.874],
            ],
        ),
        group(
            [
                [0.000, 0.004, 0.007, 0.012, 0.024, 0.064, 0.186, 0.400],
                [0.024, 0.209, 0.375, 0.564, 0.713, 0.815, 0.886, 0.940],
            ],
            [
                [0.000, 0.015, 0.033, 0.071, 0.143, 0.307, 0.600, 0.900],
                [0.005, 0.059, 0.120, 0.222, 0.368, 0.546, 0.692, 0.846],
            ],
        ),
        group(
            [
                [0.000, 0.007, 0.012, 0.019, 0.029, 0.043, 0.074, 0.171],
                [0.042, 0.463, 0.600, 0.730, 0.819, 0.865, 0.900, 0.930],
            ],
            [
                [0.001, 0.011, 0.021, 0.034, 0.067, 0.208, 0.600, 0.900],
                [0.006, 0.109, 0.376, 0.629, 0.746, 0.832, 0.874, 0.916],
            ],
        ),
        group(
            [
                [0.000, 0.006, 0.010, 0.018, 0.028, 0.042, 0.085, 0.378],
                [0.049, 0.426, 0.583, 0.713, 0.813, 0.873, 0.916, 0.956],
            ],
            [
                [0.001, 0.013, 0.023, 0.058, 0.250, 0.400, 0.600, 0.900],
                [0.007, 0.036, 0.087, 0.319, 0.590, 0.746, 0.842, 0.904],
            ],
        ),
        group(
            [
                [0.000, 0.003, 0.005, 0.008, 0.014, 0.025, 0.122, 0.400],
                [0.047, 0.402, 0.565, 0.708, 0.816, 0.884, 0.921, 0.949],
            ],
            [
                [0.002, 0.015, 0.045, 0.120, 0.250, 0.400, 0.600, 0.900],
                [0.002, 0.019, 0.040, 0.099, 0.333, 0.615, 0.779, 0.871],
            ],
        ),
    ],
    views: [
        ViewNoise { error_factor: 0.94, swapped: [0.005, 0.008, 0.01] },
        ViewNoise { error_factor: 1.06, swapped: [0.01, 0.01, 0.025] },
        ViewNoise { error_factor: 0.93, swapped: [0.02, 0.005, 0.02] },
        ViewNoise { error_factor: 2.47, swapped: [0.06, 0.05, 0.05] },
    ],
    person_share: 0.53,
    error_lowers_score: 0.40,
    score_person_share: 0.73,
};

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    use super::*;

    const VIEW: View = View { crop_side: 256.0, facing: 1.0, upright: 1.0 };

    fn sample(visible: bool, count: usize) -> Vec<[Keypoint; COCO_KEYPOINTS]> {
        let mut rng = ChaCha8Rng::seed_from_u64(7);
        let noise = DetectorNoise {
            views: [ViewNoise { error_factor: 1.0, swapped: [0.0; 3] }; 4],
            ..Default::default()
        };
        (0..count).map(|_| noise.disturb(&[Vec2::ZERO; 17], &[visible; 17], &VIEW, &mut rng)).collect()
    }

    #[test]
    fn quantiles_of_what_is_drawn_are_those_of_the_table() {
        for visible in [true, false] {
            let people = sample(visible, 20_000);
            for k in [0, 5, 9, 15] {
                let table =
                    DetectorNoise::default().groups[JointGroup::of(k) as usize][usize::from(!visible)];
                let mut errors: Vec<f32> = people.iter().map(|p| p[k].position().length() / 256.0).collect();
                let mut scores: Vec<f32> = people.iter().map(|p| p[k].score).collect();
                errors.sort_by(f32::total_cmp);
                scores.sort_by(f32::total_cmp);
                for (level, (error, score)) in [(2, (0.06, 0.03)), (3, (0.06, 0.03)), (4, (0.08, 0.03))] {
                    let at = (LEVELS[level] * 20_000.0) as usize;
                    assert!((errors[at] / table.error[level] - 1.0).abs() < error, "{k} {level}");
                    assert!((scores[at] - table.score[level]).abs() < score, "{k} {level}");
                }
            }
        }
    }

    #[test]
    fn errors_of_one_person_go_together_and_lower_the_score() {
        let people = sample(true, 4000);
        let ranks = |value: &dyn Fn(&[Keypoint; 17]) -> f32| -> Vec<f32> {
            let values: Vec<f32> = people.iter().map(value).collect();
            let mut order: Vec<usize> = (0..values.len()).collect();
            order.sort_by(|a, b| values[*a].total_cmp(&values[*b]));
            let mut ranks = vec![0.0; values.len()];
            order.iter().enumerate().for_each(|(rank, index)| ranks[*index] = rank as f32 / 4000.0 - 0.5);
            ranks
        };
        let correlation =
            |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>() / 4000.0 * 12.0;
        let knee = ranks(&|p| p[13].position().length());
        assert!(correlation(&knee, &ranks(&|p| p[9].position().length())) > 0.1);
        assert!(correlation(&knee, &ranks(&|p| p[13].score)) < -0.2);
    }

    #[test]
    fn a_swapped_person_keeps_the_face() {
        let views = [ViewNoise { error_factor: 0.0, swapped: [1.0, 0.0, 0.0] }; 4];
        let noise = DetectorNoise { views, ..Default::default() };
        let truth = std::array::from_fn(|k| Vec2::new(k as f32, 0.0));
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let got = noise.disturb(&truth, &[true; 17], &VIEW, &mut rng);
        assert_eq!(got.map(|j| j.x)[..7], [0.0, 1.0, 2.0, 3.0, 4.0, 6.0, 5.0]);
    }

    #[test]
    fn the_same_seed_gives_the_same_joints() {
        assert_eq!(sample(true, 3), sample(true, 3));
    }
}
