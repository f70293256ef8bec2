//! What comes between camera and person: tables, bars and boxes in the room, patches painted over the picture.

use glam::{Mat3, Vec2, Vec3};
use rand::Rng;
use rand_chacha::ChaCha8Rng;

use super::SceneConfig;
use super::backdrop::Texture;
use super::boxes::Boxes;
use super::lifting::inside;
use crate::geometry::camera::Camera;
use crate::keypoints::COCO_KEYPOINTS;
use crate::raster::view;

/// Things drawn until one leaves enough of the person.
const DRAWS: usize = 8;

/// A rectangle of the picture (x0, y0, x1, y1 in pixels) and the colour that hides it.
pub type Patch = ([f32; 4], [u8; 3]);

/// A person before a camera.
pub struct Placed<'a> {
    pub camera: &'a Camera,
    pub joints: &'a [Vec3],
    pub coco17_3d: &'a [Vec3; COCO_KEYPOINTS],
    pub coco17: &'a [Vec2; COCO_KEYPOINTS],
}

/// Whether a place lies in a rectangle (x0, y0, x1, y1).
pub fn within([x0, y0, x1, y1]: [f32; 4], place: Vec2) -> bool {
    (x0..x1).contains(&place.x) && (y0..y1).contains(&place.y)
}

/// What is between camera and person: perhaps a thing, perhaps patches of the picture that are painted over.
/// Together they leave at least half of the keypoints that the frame shows: else nobody would call it a
/// picture of this person.
pub fn before(
    config: &SceneConfig,
    rng: &mut ChaCha8Rng,
    person: &Placed,
    up: Vec3,
    floor: f32,
) -> (Boxes, Vec<Patch>) {
    let framed = person.coco17.map(|place| inside(place, person.camera.size));
    let most = framed.iter().filter(|framed| **framed).count() / 2;
    let hidden = |boxes: &Boxes, patches: &[Patch]| {
        (0..COCO_KEYPOINTS)
            .filter(|&k| {
                let behind = || boxes.hide(person.coco17_3d[k]);
                framed[k] && (patches.iter().any(|(p, _)| within(*p, person.coco17[k])) || behind())
            })
            .count()
    };
    let mut boxes = Boxes::default();
    if rng.random::<f32>() < config.occluded {
        boxes = (0..DRAWS)
            .map(|_| occluder(rng, person, up, floor))
            .find(|boxes| hidden(boxes, &[]) <= most)
            .unwrap_or_default();
    }
    let mut patches = Vec::new();
    for patch in config.augment.patches(person.camera.size, rng) {
        patches.push(patch);
        if hidden(&boxes, &patches) > most {
            patches.pop();
        }
    }
    (boxes, patches)
}

/// A box, a bar or a table top between camera and person; nothing where there is no room.
fn occluder(rng: &mut ChaCha8Rng, person: &Placed, up: Vec3, floor: f32) -> Boxes {
    let Placed { camera, joints, .. } = *person;
    let mut all = Boxes::default();
    let (low, high) = view::extent(joints);
    let nearest = -high.z - 0.25;
    if nearest < 0.5 {
        return all;
    }
    let target = joints[rng.random_range(0..joints.len())];
    let kind = rng.random_range(0..4);
    let place = nearest * rng.random_range(0.75..1.0);
    let center = target * (place / -target.z);
    let size = high - low;
    let half = match kind {
        // A table or a low wall, from the floor up.
        0 | 1 => {
            let height = rng.random_range(0.3..0.9);
            let width = rng.random_range(0.3..1.2);
            let center = center + up * (floor + height / 2.0 - center.dot(up));
            let turn = Mat3::from_axis_angle(up, rng.random_range(-0.5..0.5));
            all.add(center, turn, up, Vec3::new(width, height / 2.0, 0.2), Texture::any(rng));
            return all;
        }
        2 => Vec3::new(rng.random_range(0.02..0.08), size.y, 0.03),
        _ => Vec3::new(rng.random_range(0.05..0.3), rng.random_range(0.05..0.3), rng.random_range(0.02..0.2)),
    };
    let axis = Vec3::new(rng.random_range(-0.3..0.3), 0.2, 1.0).normalize();
    let turn = Mat3::from_axis_angle(axis, rng.random_range(-0.8..0.8));
    // Things cut by the frame look like things near the camera.
    let center = center + Vec3::new(0.0, 0.1 * size.y / camera.size[1].max(1.0), 0.0);
    all.add(center, turn, up, half, Texture::any(rng));
    all
}
