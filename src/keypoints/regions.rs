//! Boxes and squares around people: joining, overlap, the next square to look at, merging double finds.
//!
//! Boxes here are x0, y0, x1, y1 in pixels of the photo unless a function says otherwise.

use glam::Vec2;

use super::{COCO_KEYPOINTS, Crop, Keypoint};

/// Joints below this are neither drawn nor followed. Source: TensorFlow's MoveNet demos.
pub const FOLLOWED: f32 = 0.2;
/// A joint above this is drawn in full and counts as visible for the estimators. Measured on labelled photos:
/// four in five joints scored 0.2 to 0.3 are right, half of those scored 0.1 to 0.2.
pub const VISIBLE: f32 = 0.3;
/// People below this score are not shown. Measured: most of what lies below is noise.
pub const PERSON: f32 = 0.15;
/// Side of the square for thunder, in longer sides of the person's box.
pub const SQUARE_MARGIN: f32 = 1.2;

/// COCO's per-joint spread of labels, in shares of the person's size.
const SIGMAS: [f32; COCO_KEYPOINTS] = [
    0.026, 0.025, 0.025, 0.035, 0.035, 0.079, 0.079, 0.072, 0.072, 0.062, 0.062, 0.107, 0.107, 0.087, 0.087,
    0.089, 0.089,
];
/// Two people whose joints agree more than this are one.
const SAME_JOINTS: f32 = 0.5;
/// Two people whose boxes overlap more than this are one.
const SAME_BOX: f32 = 0.65;

pub type Bbox = [f32; 4];

pub fn area(bbox: Bbox) -> f32 {
    (bbox[2] - bbox[0]).max(0.0) * (bbox[3] - bbox[1]).max(0.0)
}

pub fn longer_side(bbox: Bbox) -> f32 {
    (bbox[2] - bbox[0]).max(bbox[3] - bbox[1])
}

pub fn center(bbox: Bbox) -> Vec2 {
    Vec2::new(bbox[0] + bbox[2], bbox[1] + bbox[3]) / 2.0
}

pub fn joined(a: Bbox, b: Bbox) -> Bbox {
    [a[0].min(b[0]), a[1].min(b[1]), a[2].max(b[2]), a[3].max(b[3])]
}

/// Intersection over union; 0 for two empty boxes.
pub fn overlap(a: Bbox, b: Bbox) -> f32 {
    let common = area([a[0].max(b[0]), a[1].max(b[1]), a[2].min(b[2]), a[3].min(b[3])]);
    let union = area(a) + area(b) - common;
    if union > 0.0 { common / union } else { 0.0 }
}

/// The smallest box around the joints of at least `score`.
pub fn joint_box(joints: &[Keypoint; COCO_KEYPOINTS], score: f32) -> Option<Bbox> {
    joints
        .iter()
        .filter(|joint| joint.score >= score)
        .map(|joint| [joint.x, joint.y, joint.x, joint.y])
        .reduce(joined)
}

/// The unturned square around a box, `margin` times its longer side.
pub fn square_around(bbox: Bbox, margin: f32) -> Crop {
    Crop { center: center(bbox), side: (longer_side(bbox) * margin).max(1.0), angle: 0.0 }
}

/// The square around a whole picture of this size.
pub fn whole_square(height: usize, width: usize) -> Crop {
    Crop { center: Vec2::new(width as f32, height as f32) / 2.0, side: height.max(width) as f32, angle: 0.0 }
}

/// The next square to look at, as TensorFlow's demos follow a person through a film.
pub fn next_square(joints: &[Keypoint; COCO_KEYPOINTS], height: usize, width: usize) -> Crop {
    let whole = whole_square(height, width);
    let sure = |k: usize| joints[k].score > FOLLOWED;
    if !(sure(11) || sure(12)) || !(sure(5) || sure(6)) {
        return whole;
    }
    let middle = (joints[11].position() + joints[12].position()) / 2.0;
    let reach = |k: usize| {
        let offset = (joints[k].position() - middle).abs();
        offset.x.max(offset.y)
    };
    let torso = [5, 6, 11, 12].into_iter().map(reach).fold(0.0, f32::max);
    let body = (0..COCO_KEYPOINTS).filter(|k| joints[*k].score >= FOLLOWED).map(reach).fold(0.0, f32::max);
    let size = Vec2::new(width as f32, height as f32);
    let to_edge = middle.max(size - middle).max_element();
    let half = (1.9 * torso).max(1.2 * body).min(to_edge);
    if half > whole.side / 2.0 {
        return whole;
    }
    Crop { center: middle, side: 2.0 * half, angle: 0.0 }
}

/// COCO's joint agreement of two people, 0..1, relative to the larger of two boxes.
fn agreement(a: &[Vec2; COCO_KEYPOINTS], b: &[Vec2; COCO_KEYPOINTS], area: f32) -> f32 {
    let sum: f32 = (0..COCO_KEYPOINTS)
        .map(|k| {
            let spread = 2.0 * SIGMAS[k];
            (-a[k].distance_squared(b[k]) / (2.0 * area * spread * spread)).exp()
        })
        .sum();
    sum / COCO_KEYPOINTS as f32
}

/// One of several finds that may show the same person.
#[derive(Clone, Copy, Debug)]
pub struct Candidate {
    pub joints: [Vec2; COCO_KEYPOINTS],
    pub bbox: Bbox,
    pub score: f32,
}

/// Which candidates of at least `min_score` are people of their own, surest first.
pub fn merge_people(candidates: &[Candidate], min_score: f32) -> Vec<usize> {
    let mut order: Vec<usize> = (0..candidates.len()).filter(|i| candidates[*i].score >= min_score).collect();
    order.sort_by(|a, b| candidates[*b].score.total_cmp(&candidates[*a].score));
    let mut kept: Vec<usize> = Vec::new();
    for index in order {
        let candidate = &candidates[index];
        let double = kept.iter().any(|other| {
            let other = &candidates[*other];
            let size = area(candidate.bbox).max(area(other.bbox)).max(1.0);
            agreement(&candidate.joints, &other.joints, size) > SAME_JOINTS
                || overlap(candidate.bbox, other.bbox) > SAME_BOX
        });
        if !double {
            kept.push(index);
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidate(x: f32, score: f32) -> Candidate {
        let joints = std::array::from_fn(|k| Vec2::new(x + (k % 3) as f32 * 10.0, k as f32 * 10.0));
        Candidate { joints, bbox: [x, 0.0, x + 60.0, 170.0], score }
    }

    #[test]
    fn the_surer_of_two_finds_of_one_person_stays() {
        let people = [candidate(0.0, 0.4), candidate(2.0, 0.6), candidate(200.0, 0.5), candidate(400.0, 0.1)];
        assert_eq!(merge_people(&people, PERSON), [1, 2]);
    }

    #[test]
    fn overlap_of_known_boxes() {
        assert_eq!(overlap([0.0, 0.0, 2.0, 2.0], [1.0, 0.0, 3.0, 2.0]), 1.0 / 3.0);
        assert_eq!(overlap([0.0; 4], [0.0; 4]), 0.0);
    }

    #[test]
    fn without_a_torso_the_whole_picture_is_next() {
        let joints = [Keypoint { x: 5.0, y: 5.0, score: 0.1 }; COCO_KEYPOINTS];
        let crop = next_square(&joints, 100, 300);
        assert_eq!((crop.center, crop.side), (Vec2::new(150.0, 50.0), 300.0));
    }
}
