//! Where samples stand that are shown side by side.

use glam::Vec3;

use crate::app::session::{Figure, SIDE_BY_SIDE};
use crate::body::BodyModel;
use crate::estimators::Estimate;

/// Least and greatest distance of bodies standing side by side, in steps so that small changes leave them in place,
/// metres.
pub const APART: (f32, f32) = (1.0, 2.2);
const APART_STEP: f32 = 0.2;
/// Distance of their rows, metres.
const ROWS_APART: f32 = 2.0;
/// From how high they are looked at first, radians.
pub const PITCH: f32 = 0.45;
/// What lies beyond the joints of two neighbours, metres.
const FLESH: f32 = 0.25;

/// From where to where joints go, across.
pub fn reach(joints: &Figure) -> (f32, f32) {
    let across = joints.iter().map(|joint| joint.x);
    (across.clone().fold(f32::INFINITY, f32::min), across.fold(f32::NEG_INFINITY, f32::max))
}

/// How far apart the samples that are shown side by side have to stand so that arms do not meet.
pub fn distance_apart(model: &BodyModel, estimate: &Estimate) -> f32 {
    let widths = estimate.samples.iter().take(SIDE_BY_SIDE).map(|sample| {
        let (low, high) = reach(&model.posed_joints(sample));
        high - low
    });
    let widest = widths.fold(0.0, f32::max) + FLESH;
    ((widest / APART_STEP).ceil() * APART_STEP).clamp(APART.0, APART.1)
}

/// Four bodies a row, or three where they need much room.
fn rows(bodies: usize, apart: f32) -> usize {
    bodies.div_ceil(if apart > 1.3 { 3 } else { 4 })
}

/// Width and height that bodies of a height take up in the picture, metres: rows stagger and come nearer, and from
/// above those behind are seen higher.
pub fn space(bodies: usize, apart: f32, tall: f32) -> (f32, f32) {
    let rows = rows(bodies, apart);
    let width = (bodies.div_ceil(rows) as f32 + 0.5) * apart * 1.1;
    (width, tall + ROWS_APART * PITCH.sin() * (rows - 1) as f32)
}

/// Where a body of several stands: rows from front to back, the back one between the heads of the front one.
pub fn slot(index: usize, bodies: usize, apart: f32) -> Vec3 {
    let rows = rows(bodies, apart);
    let columns = bodies.div_ceil(rows);
    let (row, column) = (index / columns, index % columns);
    let in_row = if row + 1 == rows { bodies - row * columns } else { columns };
    let shift = if row % 2 == 1 { 0.5 } else { 0.0 };
    let x = (column as f32 - (in_row as f32 - 1.0) / 2.0 + shift) * apart;
    Vec3::new(x, 0.0, ROWS_APART * ((rows as f32 - 1.0) / 2.0 - row as f32))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_side_by_side_stand_apart_and_around_the_middle() {
        for bodies in 1..=SIDE_BY_SIDE {
            let slots: Vec<Vec3> = (0..bodies).map(|index| slot(index, bodies, APART.0)).collect();
            for (index, one) in slots.iter().enumerate() {
                assert!(one.x.abs() < 4.0);
                assert!(slots[..index].iter().all(|other| one.distance(*other) > 0.9), "{slots:?}");
            }
        }
    }
}
