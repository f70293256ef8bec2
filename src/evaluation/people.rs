//! The protocol on photos with labelled keypoints: how far the reprojected body lies from the labels, in percent
//! of the torso (right shoulder to left hip), beside the detector's own error.

use std::path::Path;

use glam::Vec2;

use super::metrics::quantile;
use super::people_2d::{LabelledPicture, read_labels};
use super::{EvaluateConfig, EvaluateError, Report};
use crate::body::BodyModel;
use crate::body::keypoint_chain::KeypointChain;
use crate::estimators::lifter::Lifter;
use crate::estimators::optimise::Reprojection;
use crate::estimators::{Estimate, EstimateOptions, Estimator, Refiner};
use crate::formats::picture::Picture;
use crate::keypoints::{COCO_KEYPOINTS, DetectOptions, Detector, Person};
use crate::progress::{Cancel, Reporter};

/// Shoulders to ankles: what is labelled everywhere.
const LIMBS: std::ops::Range<usize> = 5..COCO_KEYPOINTS;
/// Overlap of boxes from which a found person is the labelled one.
const SAME: f32 = 0.3;

/// Errors of one photo's joints, percent of the torso.
struct PersonErrors {
    upright: bool,
    /// By kind: detector, as predicted, refined, samples, refined samples.
    kinds: [Vec<f32>; 5],
}

const KINDS: [&str; 5] = ["detector", "predicted", "refined", "samples", "refined_samples"];

fn overlap(a: [f32; 4], b: [f32; 4]) -> f32 {
    let area = |b: [f32; 4]| (b[2] - b[0]).max(0.0) * (b[3] - b[1]).max(0.0);
    let both = area([a[0].max(b[0]), a[1].max(b[1]), a[2].min(b[2]), a[3].min(b[3])]);
    both / (area(a) + area(b) - both).max(1e-6)
}

/// The labelled person as the detector sees them.
pub(super) fn find(detector: &Detector, picture: &Picture, bbox: [f32; 4]) -> anyhow::Result<Person> {
    let people = detector.find_people(picture, &DetectOptions::default(), &Cancel::new())?;
    let best = people.into_iter().max_by(|a, b| overlap(a.bbox, bbox).total_cmp(&overlap(b.bbox, bbox)));
    match best {
        Some(person) if overlap(person.bbox, bbox) > SAME => Ok(person),
        _ => Ok(detector.keypoints_in_box(picture, bbox, DetectOptions::default().fine)?),
    }
}

/// Distances of places from labels in percent of the torso.
fn errors(places: &[Option<Vec2>; COCO_KEYPOINTS], labels: &[[f32; 3]], torso: f32, out: &mut Vec<f32>) {
    for joint in LIMBS {
        let label = labels[joint];
        if label[2] > 0.0
            && let Some(place) = places[joint]
        {
            out.push(100.0 * place.distance(Vec2::new(label[0], label[1])) / torso);
        }
    }
}

fn measure(
    image: &LabelledPicture,
    folder: &Path,
    detector: &Detector,
    lifter: &Lifter,
    refiner: &Reprojection,
    chain: &KeypointChain,
    options: &EstimateOptions,
) -> anyhow::Result<PersonErrors> {
    anyhow::ensure!(image.keypoints.len() == COCO_KEYPOINTS, "expected 17 keypoints: {}", image.file);
    let picture = Picture::read(&folder.join(&image.file))?;
    let at = |k: usize| Vec2::new(image.keypoints[k][0], image.keypoints[k][1]);
    let torso = at(6).distance(at(11)).max(1.0);
    let person = find(detector, &picture, image.bbox)?;
    let estimate = lifter.estimate(&picture, &person, options, &Cancel::new())?;
    let refined = refiner.refine(&estimate, &person, &Cancel::new())?;
    let mut kinds: [Vec<f32>; 5] = Default::default();
    errors(&person.keypoints.map(|k| Some(k.position())), &image.keypoints, torso, &mut kinds[0]);
    let mut points = chain.points();
    let mut add = |estimate: &Estimate, state: &crate::body::BodyState, out: &mut Vec<f32>| {
        chain.forward_state(state, &mut points);
        errors(&points.coco.map(|p| estimate.camera.project(p)), &image.keypoints, torso, out);
    };
    add(&estimate, &estimate.mode, &mut kinds[1]);
    add(&refined, &refined.mode, &mut kinds[2]);
    estimate.samples.iter().for_each(|state| add(&estimate, state, &mut kinds[3]));
    refined.samples.iter().for_each(|state| add(&refined, state, &mut kinds[4]));
    Ok(PersonErrors { upright: image.posture != "inverted", kinds })
}

/// Runs the protocol.
pub(super) fn evaluate(
    config: &EvaluateConfig,
    reporter: &Reporter,
    cancel: &Cancel,
) -> Result<Report, EvaluateError> {
    let folder = config
        .people
        .as_deref()
        .ok_or_else(|| EvaluateError::Config("--data people needs --people DIR (with people.json)".into()))?;
    let labels = read_labels(&folder.join("people.json")).map_err(anyhow::Error::from)?;
    let body = BodyModel::default_body().map_err(anyhow::Error::from)?;
    let chain = KeypointChain::new(&body).map_err(anyhow::Error::from)?;
    let detector = Detector::load().map_err(anyhow::Error::from)?;
    let lifter = Lifter::with_body(config.weights.as_deref(), &body)?;
    let refiner = Reprojection::new(&body, config.refinement.clone())?;
    let options = EstimateOptions { samples: config.samples.min(25), seed: config.seed, temperature: 1.0 };
    let mut all = Vec::new();
    let total = labels.len();
    for (done, image) in labels.iter().enumerate() {
        if cancel.is_cancelled() {
            return Err(EvaluateError::Cancelled);
        }
        match measure(image, folder, &detector, &lifter, &refiner, &chain, &options) {
            Ok(errors) => all.push(errors),
            Err(error) => reporter.warn(format!("{}: {error:#}", image.file)),
        }
        reporter.progress(done as u64 + 1, total as u64, "photos");
    }
    let mut report = Report::default();
    for (group, upright) in [("upright", true), ("inverted", false)] {
        let members: Vec<&PersonErrors> = all.iter().filter(|p| p.upright == upright).collect();
        report.numbers.insert(format!("{group}_people"), members.len() as f64);
        for (kind, name) in KINDS.iter().enumerate() {
            let mut pooled: Vec<f32> = members.iter().flat_map(|p| p.kinds[kind].iter().copied()).collect();
            let mut means: Vec<f32> = members
                .iter()
                .map(|p| &p.kinds[kind])
                .filter(|errors| !errors.is_empty())
                .map(|errors| errors.iter().sum::<f32>() / errors.len() as f32)
                .collect();
            let within = pooled.iter().filter(|e| **e <= 20.0).count() as f64 / pooled.len().max(1) as f64;
            let mut put = |what: &str, value: Option<f64>| {
                if let Some(value) = value {
                    report.numbers.insert(format!("{group}_{name}_{what}"), value);
                }
            };
            put("median_percent_of_torso", quantile(&mut pooled, 0.5));
            put("median_of_person_means_percent_of_torso", quantile(&mut means, 0.5));
            put("within_20_percent_of_torso", (!pooled.is_empty()).then_some(within));
        }
        let of = |name: &str| report.numbers.get(&format!("{group}_{name}_median_percent_of_torso")).copied();
        if let (Some(refined), Some(detector)) = (of("refined"), of("detector")) {
            report.numbers.insert(format!("{group}_refined_over_detector"), refined / detector.max(1e-6));
        }
    }
    Ok(report)
}
