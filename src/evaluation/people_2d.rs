//! The detector against labelled 2D joints: PCK by torso and limb error by box, upright people and others apart.
//!
//! The data is a `people.json` with COCO joints a picture; it never ships. Called by the evaluation command.

use std::path::{Path, PathBuf};

use glam::Vec2;
use serde::{Deserialize, Serialize};

use crate::formats::FormatError;
use crate::formats::picture::Picture;
use crate::keypoints::{DetectOptions, Detector, KeypointError, MIRRORED, Person, regions};
use crate::progress::{Cancel, Reporter};

/// Shoulders to ankles.
const LIMB_JOINTS: std::ops::Range<usize> = 5..17;
/// Larger label files are refused; the known one has half a megabyte.
const MAX_BYTES: u64 = 50_000_000;

#[derive(Debug, thiserror::Error)]
pub enum PeopleError {
    #[error(
        "cannot read the labels ({what}); a people.json with images, boxes and 17 keypoints is needed: {path}"
    )]
    Labels { what: String, path: PathBuf },
    #[error(transparent)]
    Picture(#[from] FormatError),
    #[error(transparent)]
    Detector(#[from] KeypointError),
}

#[derive(Deserialize)]
struct LabelFile {
    images: Vec<LabelledPicture>,
}

/// A picture with one labelled person.
#[derive(Clone, Debug, Deserialize)]
pub struct LabelledPicture {
    pub file: String,
    /// x, y, labelled or not.
    pub keypoints: Vec<[f32; 3]>,
    /// x0, y0, x1, y1.
    pub bbox: [f32; 4],
    #[serde(default)]
    pub posture: String,
}

/// Scores over one group of pictures; shares 0..1, errors in percent of the box's longer side.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct PeopleScores {
    pub pictures: usize,
    /// Pictures where nobody was found near the label; their joints count as wrong and their error is left out.
    pub missed: usize,
    pub joints: usize,
    /// Joints nearer than 0.1 and 0.2 of the torso (right shoulder to left hip).
    pub pck_10: f32,
    pub pck_20: f32,
    /// The same with left and right free, whole arm pair or leg pair at a time.
    pub pck_20_sides_free: f32,
    /// Joints of a score above 0.3.
    pub visible: f32,
    /// Of those: nearer than 0.2 of the torso.
    pub pck_20_of_visible: f32,
    /// Mean error over all limb joints.
    pub limb_error: f32,
    pub median_limb_error: f32,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct PeopleReport {
    pub upright: PeopleScores,
    pub inverted: PeopleScores,
}

/// # Errors
/// The labels cannot be read or do not fit.
pub fn read_labels(labels: &Path) -> Result<Vec<LabelledPicture>, PeopleError> {
    let wrong = |what: String| PeopleError::Labels { what, path: labels.to_owned() };
    let size = std::fs::metadata(labels).map_err(|error| wrong(error.to_string()))?.len();
    if size > MAX_BYTES {
        return Err(wrong(format!("{size} bytes are too many")));
    }
    let text = std::fs::read(labels).map_err(|error| wrong(error.to_string()))?;
    let file: LabelFile = serde_json::from_slice(&text).map_err(|error| wrong(error.to_string()))?;
    for picture in &file.images {
        if picture.keypoints.len() != 17 {
            return Err(wrong(format!(
                "\"{}\" has {} keypoints instead of 17",
                picture.file,
                picture.keypoints.len()
            )));
        }
    }
    Ok(file.images)
}

/// Runs the detector on every picture of `labels` (a `people.json`; pictures lie relative to it).
///
/// # Errors
/// Labels or pictures that cannot be read, cancelled.
pub fn evaluate_people(
    detector: &Detector,
    labels: &Path,
    options: &DetectOptions,
    reporter: &Reporter,
    cancel: &Cancel,
) -> Result<PeopleReport, PeopleError> {
    let folder = labels.parent().unwrap_or(Path::new("."));
    let pictures = read_labels(labels)?;
    let (mut upright, mut inverted) = (Tally::default(), Tally::default());
    for (index, label) in pictures.iter().enumerate() {
        let picture = Picture::read(&folder.join(&label.file))?;
        let people = detector.find_people(&picture, options, cancel)?;
        let tally = if label.posture == "inverted" { &mut inverted } else { &mut upright };
        tally.add(label, people.first());
        reporter.progress(index as u64 + 1, pictures.len() as u64, "pictures");
    }
    Ok(PeopleReport { upright: upright.scores(), inverted: inverted.scores() })
}

#[derive(Default)]
struct Tally {
    scores: PeopleScores,
    within: [usize; 3],
    visible: [usize; 2],
    errors: Vec<f32>,
}

impl Tally {
    fn add(&mut self, label: &LabelledPicture, person: Option<&Person>) {
        let labelled = |k: usize| label.keypoints[k][2] > 0.0;
        let truth = |k: usize| Vec2::new(label.keypoints[k][0], label.keypoints[k][1]);
        let count = LIMB_JOINTS.filter(|k| labelled(*k)).count();
        self.scores.pictures += 1;
        self.scores.joints += count;
        let Some(person) = person.filter(|person| regions::overlap(person.bbox, label.bbox) > 0.1) else {
            self.scores.missed += 1;
            return;
        };
        let size = regions::longer_side(label.bbox).max(1.0);
        let torso = if labelled(6) && labelled(11) { truth(6).distance(truth(11)) } else { 0.0 };
        // A foreshortened torso would make every joint wrong.
        let torso = torso.max(0.15 * size);
        let error = |k: usize, source: usize| person.keypoints[source].position().distance(truth(k));
        for joints in [5..11, 11..17] {
            let near = |swapped: bool| {
                joints
                    .clone()
                    .filter(|k| {
                        labelled(*k) && error(*k, if swapped { MIRRORED[*k] } else { *k }) < 0.2 * torso
                    })
                    .count()
            };
            self.within[2] += near(false).max(near(true));
        }
        for k in LIMB_JOINTS.filter(|k| labelled(*k)) {
            let distance = error(k, k);
            let near = distance < 0.2 * torso;
            self.within[0] += usize::from(distance < 0.1 * torso);
            self.within[1] += usize::from(near);
            if person.visible(k) {
                self.visible[0] += 1;
                self.visible[1] += usize::from(near);
            }
            self.errors.push(100.0 * distance / size);
        }
    }

    fn scores(mut self) -> PeopleScores {
        let share = |part: usize, whole: usize| part as f32 / whole.max(1) as f32;
        let joints = self.scores.joints;
        self.errors.sort_by(f32::total_cmp);
        PeopleScores {
            pck_10: share(self.within[0], joints),
            pck_20: share(self.within[1], joints),
            pck_20_sides_free: share(self.within[2], joints),
            visible: share(self.visible[0], joints),
            pck_20_of_visible: share(self.visible[1], self.visible[0]),
            limb_error: self.errors.iter().sum::<f32>() / self.errors.len().max(1) as f32,
            median_limb_error: self.errors.get(self.errors.len() / 2).copied().unwrap_or(0.0),
            ..self.scores
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keypoints::{Keypoint, KeypointSource};

    #[test]
    fn exact_joints_score_full_and_swapped_ones_only_with_sides_free() {
        let keypoints: Vec<[f32; 3]> =
            (0..17).map(|k| [20.0 + (k % 2) as f32 * 40.0, 10.0 + k as f32 * 5.0, 1.0]).collect();
        let joints = std::array::from_fn(|k| Keypoint { x: keypoints[k][0], y: keypoints[k][1], score: 0.9 });
        let label = LabelledPicture {
            file: String::new(),
            keypoints,
            bbox: [15.0, 5.0, 65.0, 95.0],
            posture: String::new(),
        };
        let person = |joints| Person {
            bbox: label.bbox,
            keypoints: joints,
            score: 1.0,
            source: KeypointSource::MoveNet,
            mask: None,
        };
        let mut tally = Tally::default();
        tally.add(&label, Some(&person(joints)));
        let scores = tally.scores();
        assert_eq!((scores.pck_10, scores.pck_20_of_visible, scores.limb_error), (1.0, 1.0, 0.0));
        let mut tally = Tally::default();
        tally.add(&label, Some(&person(MIRRORED.map(|k| joints[k]))));
        tally.add(&label, None);
        let scores = tally.scores();
        assert_eq!((scores.pck_20, scores.pck_20_sides_free, scores.missed), (0.0, 0.5, 1));
    }
}
