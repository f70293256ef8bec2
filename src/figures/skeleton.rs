//! A person's box and keypoints over a photo. Left is orange, right is blue as in the window, the face's middle is white;
//! what the detector is unsure of is drawn hollow and faint.

use glam::Vec2;

use super::canvas::Canvas;
use crate::body::joint_sets::{COCO_EDGES, COCO_NAMES};
use crate::keypoints::{Keypoint, Person};

/// Keypoints below this confidence are drawn as unsure.
pub const UNSURE_BELOW: f32 = 0.3;

const LEFT: [u8; 3] = [240, 122, 32];
const RIGHT: [u8; 3] = [70, 150, 235];
const MIDDLE: [u8; 3] = [245, 245, 245];
const BOX: [u8; 3] = [255, 214, 64];
const EDGE: [u8; 3] = [24, 26, 30];

fn side_color(keypoint: usize) -> [u8; 3] {
    match COCO_NAMES.get(keypoint) {
        Some(name) if name.starts_with("left") => LEFT,
        Some(name) if name.starts_with("right") => RIGHT,
        _ => MIDDLE,
    }
}

/// Draws box, skeleton and keypoints; `place` takes pixels of the photo to pixels of the canvas, `unit` is the
/// thickness of thin lines.
pub fn draw_person(canvas: &mut Canvas, person: &Person, place: impl Fn(Vec2) -> Vec2, unit: f32) {
    let [x0, y0, x1, y1] = person.bbox;
    let (low, high) = (place(Vec2::new(x0, y0)), place(Vec2::new(x1, y1)));
    canvas.rectangle(low, high, 3.0 * unit, EDGE, 0.5);
    canvas.rectangle(low, high, 1.8 * unit, BOX, 1.0);
    let shown = |keypoint: &Keypoint| keypoint.score > 0.0 && keypoint.position().is_finite();
    let opacity = |keypoint: &Keypoint| -> f32 { if keypoint.score < UNSURE_BELOW { 0.35 } else { 1.0 } };
    for (thickness, outline) in [(5.0, true), (3.2, false)] {
        for (a, b) in COCO_EDGES {
            let (from, to) = (&person.keypoints[a], &person.keypoints[b]);
            if !shown(from) || !shown(to) {
                continue;
            }
            let color = match (side_color(a), side_color(b)) {
                _ if outline => EDGE,
                (x, y) if x == y => x,
                _ => MIDDLE,
            };
            let strength = opacity(from).min(opacity(to)) * if outline { 0.55 } else { 0.95 };
            canvas.line(place(from.position()), place(to.position()), thickness * unit, color, strength);
        }
    }
    for (at, keypoint) in person.keypoints.iter().enumerate().filter(|(_, keypoint)| shown(keypoint)) {
        let center = place(keypoint.position());
        if keypoint.score < UNSURE_BELOW {
            canvas.ring(center, 4.5 * unit, 3.0 * unit, EDGE, 0.6);
            canvas.ring(center, 4.5 * unit, 1.6 * unit, side_color(at), 1.0);
        } else {
            canvas.disc(center, 5.6 * unit, EDGE, 0.9);
            canvas.disc(center, 4.2 * unit, side_color(at), 1.0);
        }
    }
}
