//! Keypoints of a photo to the 51 numbers that the network reads.

use glam::Vec2;

use crate::keypoints::{COCO_KEYPOINTS, Crop, Keypoint};

/// Numbers a person: x, y, score of each keypoint.
pub const INPUTS: usize = 3 * COCO_KEYPOINTS;
/// The square's side over the longer side of the box round the keypoints.
const MARGIN: f32 = 1.2;
/// Score from which a keypoint takes part in the box; fewer than four such, and all given ones do.
const BOX_SCORE: f32 = 0.2;
const LEAST_FOR_BOX: usize = 4;

/// The square round the keypoints of at least `min_score`; `None` where fewer than two differ.
pub fn crop_of(keypoints: &[Keypoint; COCO_KEYPOINTS], min_score: f32) -> Option<Crop> {
    let bounds = |least: f32| {
        let (mut low, mut high, mut count) = (Vec2::INFINITY, Vec2::NEG_INFINITY, 0);
        for keypoint in keypoints.iter().filter(|k| k.score >= least && k.position().is_finite()) {
            low = low.min(keypoint.position());
            high = high.max(keypoint.position());
            count += 1;
        }
        (low, high, count)
    };
    let sure = bounds(BOX_SCORE.max(min_score));
    let (low, high, _) = if sure.2 >= LEAST_FOR_BOX { sure } else { bounds(min_score) };
    let side = MARGIN * (high - low).max_element();
    (side.is_finite() && side > 1.0).then(|| Crop { center: (low + high) / 2.0, side, angle: 0.0 })
}

/// Keypoints in the crop: −1..1 across it, the score beside; zeros for those below `min_score`.
pub fn encode(keypoints: &[Keypoint; COCO_KEYPOINTS], crop: &Crop, min_score: f32, out: &mut [f32]) {
    for (keypoint, out) in keypoints.iter().zip(out.chunks_exact_mut(3)) {
        let at = (keypoint.position() - crop.center) * (2.0 / crop.side);
        let given = keypoint.score >= min_score && at.is_finite();
        let values = if given { [at.x, at.y, keypoint.score.min(1.0)] } else { [0.0; 3] };
        out.copy_from_slice(&values);
    }
}

/// The input of the same person seen in a mirror.
pub fn mirror(input: &[f32]) -> Vec<f32> {
    let mut out = vec![0.0; INPUTS];
    for (joint, values) in input.chunks_exact(3).enumerate().take(COCO_KEYPOINTS) {
        let at = 3 * crate::body::joint_sets::COCO_MIRROR[joint];
        out[at..at + 3].copy_from_slice(&[-values[0], values[1], values[2]]);
    }
    out
}
