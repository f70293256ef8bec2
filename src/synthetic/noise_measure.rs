//! Renders people and lets the detector look at them: the observations behind `detector_noise`'s tables.

use rand::Rng;

use super::detector_noise::View;
use super::noise_fit::Observation;
use super::occlusion::Visibility;
use super::scene::{SceneBuffers, SceneMaker};
use super::{SyntheticError, stream};
use crate::keypoints::{DetectOptions, Detector, KeypointError, regions};
use crate::progress::Cancel;

/// Boxes drawn by hand or found by a detector are off by this share of their sides (uniform).
const BOX_ERROR: f32 = 0.08;

/// How the detector is led to the person.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lead {
    /// The whole way from the picture.
    Search,
    /// From the true box, a little off; three times as fast and nobody is missed.
    Box,
}

/// Picture `item` of a list of scenes as the detector sees it; `None` where it finds nobody there.
///
/// # Errors
/// The detector's; cancelled.
pub fn observe(
    scenes: &SceneMaker,
    detector: &Detector,
    lead: Lead,
    (seed, item): (u64, u64),
    buffers: &mut SceneBuffers,
    cancel: &Cancel,
) -> Result<Option<Observation>, SyntheticError> {
    if cancel.is_cancelled() {
        return Err(SyntheticError::Cancelled);
    }
    let sample = scenes.at(seed, item, buffers);
    let truth = &sample.truth;
    let person = match lead {
        Lead::Search => detector
            .find_people(&sample.picture, &DetectOptions::default(), cancel)
            .map(|people| people.into_iter().find(|p| regions::overlap(p.bbox, truth.bbox) > 0.3)),
        Lead::Box => {
            let mut rng = stream(seed ^ 0xb0, item);
            let [left, top, right, bottom] = truth.bbox;
            let mut off = |at: f32, side: f32| at + side * rng.random_range(-BOX_ERROR..BOX_ERROR);
            let (width, height) = (right - left, bottom - top);
            let bbox = [off(left, width), off(top, height), off(right, width), off(bottom, height)];
            detector.keypoints_in_box(&sample.picture, bbox, true).map(Some)
        }
    };
    let person = match person {
        Ok(Some(person)) => person,
        // A sliver of a person at the picture's edge has no box.
        Ok(None) | Err(KeypointError::Shape(_)) => return Ok(None),
        Err(KeypointError::Cancelled) => return Err(SyntheticError::Cancelled),
        Err(error) => return Err(SyntheticError::Detector(error)),
    };
    Ok(Some(Observation {
        truth: truth.coco17,
        visible: truth.visibility.map(|v| v == Visibility::Visible),
        in_frame: truth.visibility.map(|v| v != Visibility::OutOfFrame),
        view: View::of(&truth.coco17_3d, &truth.coco17, truth.bbox),
        found: person.keypoints,
    }))
}
