//! The lifter's losses on plain numbers, with gradients by hand: one person costs some ten microseconds, a
//! fraction of what the same chain costs as tensor operations. The trainer multiplies the gradients with the
//! network's outputs and lets burn do the rest.

use glam::{Vec2, Vec3};

use super::data::Target;
use crate::body::keypoint_chain::{ChainGradient, ChainPoints, KeypointChain};
use crate::body::state::JOINTS;
use crate::estimators::lifter::output::{
    POINT, POINT_BETAS, POINT_PLACE, Point, decode_triangle, diagonal_is_free, six_backward,
};
use crate::estimators::tangent::{BETAS, BETAS_AT, Coordinates, DIMS, PLACE_AT, ROTATIONS, TRIANGLE};
use crate::geometry::rotations::log_so3;
use crate::keypoints::COCO_KEYPOINTS;

/// Weights of the terms. Distances are metres and sides of the crop.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LossWeights {
    /// Squared difference of each rotation's two columns, summed.
    pub rotation: f32,
    /// Mean distance of the 24 joints, mean-centred.
    pub joints: f32,
    /// Mean distance of the 17 keypoints in the crop.
    pub seen: f32,
    pub betas: f32,
    pub place: f32,
}

impl Default for LossWeights {
    fn default() -> Self {
        Self { rotation: 0.05, joints: 10.0, seen: 6.0, betas: 0.01, place: 1.0 }
    }
}

/// How much a rotation's own difference counts: the root most, toes and collars little.
const ROTATION_WEIGHTS: [f32; ROTATIONS] = [
    4.0, 1.5, 1.5, 1.0, 1.5, 1.5, 1.0, 0.7, 0.7, 1.0, 0.3, 0.3, 0.7, 0.7, 0.7, 0.7, 1.0, 1.0, 1.0, 1.0, 0.5,
    0.5,
];
/// Distances are rounded off below these.
const JOINT_SOFTENING: f32 = 0.01;
const SEEN_SOFTENING: f32 = 0.005;
/// Longest gradient of one person's point estimate, in the norm over its numbers.
const LONGEST: f32 = 12.0;

/// Room for one thread's work.
pub struct Scratch {
    points: ChainPoints,
    gradient: ChainGradient,
}

impl Scratch {
    pub fn new(chain: &KeypointChain) -> Self {
        Self { points: chain.points(), gradient: chain.gradient() }
    }
}

/// Terms of one person, unweighted.
#[derive(Clone, Copy, Debug, Default)]
pub struct Terms {
    pub total: f32,
    /// Metres.
    pub joints: f32,
    /// Sides of the crop.
    pub seen: f32,
    /// Degrees.
    pub root: f32,
}

/// Loss of a point estimate and its gradient by the network's numbers.
pub fn point_loss(
    values: &[f32],
    target: &Target,
    chain: &KeypointChain,
    distance_m: f32,
    weights: &LossWeights,
    scratch: &mut Scratch,
    grad: &mut [f32],
) -> Terms {
    let point = Point::decode(values);
    let mut terms = Terms::default();
    let mut rotations = [glam::Mat3::IDENTITY; JOINTS];
    rotations[..ROTATIONS].copy_from_slice(&point.rotations);
    chain.forward(&point.betas, &rotations, Vec3::ZERO, &mut scratch.points);
    let points = &scratch.points;
    let mut by_joint = [Vec3::ZERO; JOINTS];
    let mut by_coco = [Vec3::ZERO; COCO_KEYPOINTS];

    let mean = points.joints.iter().sum::<Vec3>() / JOINTS as f32;
    for (joint, force) in by_joint.iter_mut().enumerate() {
        let off = points.joints[joint] - mean - target.joints[joint];
        let length = (off.length_squared() + JOINT_SOFTENING * JOINT_SOFTENING).sqrt();
        terms.joints += length / JOINTS as f32;
        *force = off * (weights.joints / (JOINTS as f32 * length));
    }
    let mean_force = by_joint.iter().sum::<Vec3>() / JOINTS as f32;
    by_joint.iter_mut().for_each(|force| *force -= mean_force);

    let scale = point.log_scale.exp();
    let mut by_place = Vec3::ZERO;
    for (k, pulled) in by_coco.iter_mut().enumerate() {
        let relative = points.coco[k] - points.joints[0];
        let depth = (distance_m - relative.z).max(0.3);
        let nearness = distance_m / depth;
        let flat = Vec2::new(relative.x, -relative.y);
        let seen = nearness * (point.at + scale * flat);
        let off = seen - target.seen[k];
        let length = (off.length_squared() + SEEN_SOFTENING * SEEN_SOFTENING).sqrt();
        terms.seen += length / COCO_KEYPOINTS as f32;
        let pull = off * (weights.seen / (COCO_KEYPOINTS as f32 * length));
        by_place += (nearness * pull).extend(nearness * scale * pull.dot(flat));
        let force = Vec3::new(nearness * scale * pull.x, -nearness * scale * pull.y, pull.dot(seen) / depth);
        *pulled = force;
        by_joint[0] -= force;
    }
    chain.backward(points, &by_joint, &by_coco, &mut scratch.gradient);

    let mut rotation_term = 0.0;
    for joint in 0..ROTATIONS {
        let six = &values[6 * joint..6 * joint + 6];
        let out = &mut grad[6 * joint..6 * joint + 6];
        let wanted = [target.rotations[joint].x_axis, target.rotations[joint].y_axis];
        let weight = weights.rotation * ROTATION_WEIGHTS[joint];
        for (i, out) in out.iter_mut().enumerate() {
            let off = six[i] - wanted[i / 3][i % 3];
            rotation_term += weight * off * off;
            *out = 2.0 * weight * off;
        }
        six_backward(six, &point.rotations[joint], scratch.gradient.rotations[joint], out);
    }
    let mut rest_term = 0.0;
    for beta in 0..BETAS {
        let off = values[POINT_BETAS + beta] - target.betas[beta];
        rest_term += weights.betas * off * off;
        grad[POINT_BETAS + beta] =
            2.0 * weights.betas * off + scratch.gradient.betas.get(beta).copied().unwrap_or(0.0);
    }
    let off = (point.at - target.at).extend(point.log_scale - target.log_scale);
    rest_term += weights.place * off.length_squared();
    let by_place = by_place + 2.0 * weights.place * off;
    grad[POINT_PLACE..POINT].copy_from_slice(&by_place.to_array());

    let norm = grad[..POINT].iter().map(|g| g * g).sum::<f32>().sqrt();
    if norm > LONGEST {
        grad[..POINT].iter_mut().for_each(|g| *g *= LONGEST / norm);
    }
    terms.total = rotation_term + rest_term + weights.joints * terms.joints + weights.seen * terms.seen;
    terms.root = crate::geometry::rotations::geodesic(point.rotations[0], target.rotations[0]).to_degrees();
    terms
}

/// What the distribution has to explain: the target in the tangent coordinates round a point estimate.
pub fn residual(values: &[f32], target: &Target) -> Coordinates {
    let point = Point::decode(values);
    let mut delta = [0.0; DIMS];
    for joint in 0..ROTATIONS {
        log_so3(point.rotations[joint].transpose() * target.rotations[joint])
            .write_to_slice(&mut delta[3 * joint..3 * joint + 3]);
    }
    for beta in 0..BETAS {
        delta[BETAS_AT + beta] = target.betas[beta] - point.betas[beta];
    }
    delta[PLACE_AT..]
        .copy_from_slice(&(target.at - point.at).extend(target.log_scale - point.log_scale).to_array());
    delta
}

/// White residuals longer than this pull with constant strength: swapped sides must not decide the spread.
const TAIL: f32 = 4.0;

/// Negative log-likelihood a coordinate (constant left out) and its gradient by the raw triangle.
pub fn likelihood_loss(raw: &[f32], delta: &Coordinates, grad: &mut [f32]) -> f32 {
    let mut triangle = [0.0; TRIANGLE];
    triangle.copy_from_slice(raw);
    decode_triangle(&mut triangle);
    let share = 1.0 / DIMS as f32;
    let mut loss = 0.0;
    for row in 0..DIMS {
        let at = row * (row + 1) / 2;
        let z: f32 = triangle[at..=at + row].iter().zip(delta).map(|(a, d)| a * d).sum();
        let diagonal = triangle[at + row];
        let tail = z.abs() > TAIL;
        loss += share * (if tail { TAIL * (z.abs() - 0.5 * TAIL) } else { 0.5 * z * z } - diagonal.ln());
        let pull = share * z.clamp(-TAIL, TAIL);
        for (grad, delta) in grad[at..at + row].iter_mut().zip(delta) {
            *grad = pull * delta;
        }
        let by_diagonal = pull * delta[row] * diagonal - share;
        grad[at + row] = if diagonal_is_free(raw[at + row]) || by_diagonal * raw[at + row] > 0.0 {
            by_diagonal
        } else {
            0.0
        };
    }
    let norm = grad.iter().map(|g| g * g).sum::<f32>().sqrt();
    if norm > 1.0 {
        grad.iter_mut().for_each(|g| *g /= norm);
    }
    loss
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::body::BodyModel;
    use crate::geometry::rotations::exp_so3;
    use crate::synthetic::stream;
    use rand::Rng;

    fn target() -> Target {
        let mut rng = stream(4, 0);
        let mut number = |size: f32| size * (rng.random::<f32>() - 0.5);
        Target {
            rotations: std::array::from_fn(|_| exp_so3(Vec3::new(number(1.0), number(1.0), number(1.0)))),
            betas: std::array::from_fn(|_| number(2.0)),
            at: Vec2::new(0.02, -0.05),
            log_scale: -0.6,
            joints: std::array::from_fn(|_| Vec3::new(number(1.0), number(1.0), number(1.0))),
            seen: std::array::from_fn(|_| Vec2::new(number(1.0), number(1.0))),
        }
    }

    #[test]
    fn gradient_of_the_point_matches_differences() {
        let chain =
            KeypointChain::new(&BodyModel::default_body().expect("the built-in body")).expect("24 joints");
        let (target, weights) = (target(), LossWeights::default());
        let mut scratch = Scratch::new(&chain);
        let mut rng = stream(5, 1);
        let mut values: Vec<f32> = (0..POINT).map(|_| rng.random::<f32>() - 0.5).collect();
        for joint in 0..ROTATIONS {
            values[6 * joint] += 1.0;
            values[6 * joint + 4] += 1.0;
        }
        let mut grad = vec![0.0; POINT];
        let mut unused = vec![0.0; POINT];
        point_loss(&values, &target, &chain, 4.0, &weights, &mut scratch, &mut grad);
        let mut ratio = None;
        for i in 0..POINT {
            let step = 4e-3;
            let mut moved = values.clone();
            moved[i] += step;
            let high = point_loss(&moved, &target, &chain, 4.0, &weights, &mut scratch, &mut unused).total;
            moved[i] -= 2.0 * step;
            let low = point_loss(&moved, &target, &chain, 4.0, &weights, &mut scratch, &mut unused).total;
            let numeric = (high - low) / (2.0 * step);
            // The gradient may have been shortened as a whole.
            let ratio = *ratio.get_or_insert(if grad[i].abs() > 0.05 { numeric / grad[i] } else { 1.0 });
            assert!(
                (numeric - ratio * grad[i]).abs() < 0.02 + 0.02 * numeric.abs(),
                "{i} {numeric} {}",
                grad[i]
            );
        }
    }

    #[test]
    fn gradient_of_the_likelihood_matches_differences() {
        let mut rng = stream(6, 2);
        let raw: Vec<f32> = (0..TRIANGLE).map(|_| 0.6 * (rng.random::<f32>() - 0.5)).collect();
        let delta: Coordinates = std::array::from_fn(|_| rng.random::<f32>() - 0.5);
        let mut grad = vec![0.0; TRIANGLE];
        let mut unused = vec![0.0; TRIANGLE];
        likelihood_loss(&raw, &delta, &mut grad);
        for i in (0..TRIANGLE).step_by(61).chain([0, 2, 5, TRIANGLE - 1]) {
            let step = 1e-2;
            let mut moved = raw.clone();
            moved[i] += step;
            let high = likelihood_loss(&moved, &delta, &mut unused);
            moved[i] -= 2.0 * step;
            let numeric = (high - likelihood_loss(&moved, &delta, &mut unused)) / (2.0 * step);
            assert!((numeric - grad[i]).abs() < 2e-3, "{i} {numeric} {}", grad[i]);
        }
    }
}
