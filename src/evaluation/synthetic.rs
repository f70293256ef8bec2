//! The protocol on known bodies: renders of 256 × 256 pixels with the detector's keypoints, and the same people
//! with true keypoints (names with `_clean`).

use std::collections::BTreeMap;

use glam::{Vec2, Vec3};
use rayon::prelude::*;

use super::baselines::Baselines;
use super::metrics::{JointError, Mean, joint_error, spread, straight_at};
use super::{EvaluateConfig, EvaluateError, Report};
use crate::body::keypoint_chain::KeypointChain;
use crate::body::{BodyModel, BodyState, state::JOINTS};
use crate::estimators::lifter::Lifter;
use crate::estimators::optimise::Reprojection;
use crate::estimators::{Estimate, EstimateOptions, Estimator, Refiner};
use crate::formats::picture::Picture;
use crate::geometry::camera::Projection;
use crate::keypoints::{COCO_KEYPOINTS, Keypoint, KeypointSource, Person};
use crate::progress::{Cancel, Reporter};
use crate::synthetic::detector_noise::DetectorNoise;
use crate::synthetic::lifting::{LiftingSample, LiftingSampler};
use crate::synthetic::occlusion::Visibility;
use crate::synthetic::{CameraConfig, PoseSource, stream};
use crate::training::lifter::data::{detected, true_keypoints};

/// A keypoint below this score counts as hidden from the estimator.
const HIDDEN: f32 = 0.2;
/// Elbows, wrists, knees, ankles: COCO's keypoint and SMPL's joint.
const LIMBS: [(usize, usize); 8] = [(7, 18), (8, 19), (9, 20), (10, 21), (13, 4), (14, 5), (15, 7), (16, 8)];
const BEST_OF: [usize; 3] = [10, 25, 100];

/// Everything an evaluation of one person needs besides the person.
struct Bench {
    body: std::sync::Arc<BodyModel>,
    chain: KeypointChain,
    lifter: Lifter,
    refiner: Reprojection,
    baselines: Baselines,
    options: EstimateOptions,
}

/// Sums of everything that is reported, by name.
#[derive(Default)]
struct Means(BTreeMap<String, Mean>);

impl Means {
    fn add(&mut self, name: &str, value: f32) {
        self.0.entry(name.to_owned()).or_default().add(value);
    }

    fn joints(&mut self, name: &str, error: JointError) {
        self.add(&format!("sc_mpjpe_{name}mm"), 1000.0 * error.scaled);
        self.add(&format!("pa_mpjpe_{name}mm"), 1000.0 * error.aligned);
    }
}

/// Numbers of one person; names that occur several times are averaged with equal weight.
type Numbers = Vec<(String, f32)>;

/// Measures one person.
fn measure(
    bench: &Bench,
    sample: &LiftingSample,
    keypoints: [Keypoint; COCO_KEYPOINTS],
) -> anyhow::Result<Numbers> {
    let mut means = Means::default();
    let person =
        Person { bbox: sample.bbox, keypoints, score: 1.0, source: KeypointSource::Truth, mask: None };
    let size = sample.camera.size;
    let picture = Picture::filled(size[0] as usize, size[1] as usize, [0; 3]);
    let estimate = bench.lifter.estimate(&picture, &person, &bench.options, &Cancel::new())?;
    let refined = bench.refiner.refine(&estimate, &person, &Cancel::new())?;

    // The photo tells nothing of the lens, so bodies are compared in the frame of the estimate's own camera.
    let middle = match estimate.camera.projection {
        Projection::Perspective { principal_px, .. } => Vec2::from(principal_px),
        Projection::WeakPerspective { .. } => {
            Vec2::new(sample.bbox[0] + sample.bbox[2], sample.bbox[1] + sample.bbox[3]) / 2.0
        }
    };
    let turn = straight_at(&sample.camera, middle);
    let truth = sample.joints.map(|joint| turn * joint);
    let error = |joints: &[Vec3; JOINTS]| joint_error(joints, &truth);

    means.joints("", error(&bench.body.posed_joints(&estimate.mode)));
    means.joints("refined_", error(&bench.body.posed_joints(&refined.mode)));
    let root = turn * sample.state.global_orient;
    means.joints("mean_pose_true_root_", error(&bench.baselines.mean_pose(&bench.body, root)));
    if let Some(joints) = bench.baselines.nearest(&keypoints) {
        means.joints("nearest_view_", error(joints));
    }
    for (stage, estimate) in [("", &estimate), ("refined_", &refined)] {
        let joints: Vec<[Vec3; JOINTS]> =
            estimate.samples.iter().map(|sample| bench.body.posed_joints(sample)).collect();
        let errors: Vec<JointError> = joints.iter().map(error).collect();
        for count in BEST_OF.into_iter().filter(|count| *count <= errors.len()) {
            let least =
                |of: fn(&JointError) -> f32| errors[..count].iter().map(of).fold(f32::INFINITY, f32::min);
            let best = JointError { scaled: least(|e| e.scaled), aligned: least(|e| e.aligned) };
            means.joints(&format!("{stage}best_of_{count}_"), best);
        }
        errors.iter().for_each(|error| means.joints(&format!("{stage}sample_"), *error));
        flat_errors(&mut means, bench, sample, estimate, stage);
        for (keypoint, joint) in LIMBS {
            let hidden = keypoints[keypoint].score < HIDDEN;
            let name = if hidden { "hidden" } else { "visible" };
            if joints.len() > 1 {
                let value = spread(joints.iter().map(|joints| joints[joint] - joints[0]));
                means.add(&format!("spread_{stage}{name}_limbs_mm"), 1000.0 * value);
            }
        }
    }
    Ok(means.0.into_iter().filter_map(|(name, mean)| Some((name, mean.get()? as f32))).collect())
}

/// Distance of projected keypoints from the true ones that can be seen, pixels of the render and percent of the box.
fn flat_errors(means: &mut Means, bench: &Bench, sample: &LiftingSample, estimate: &Estimate, stage: &str) {
    let side = (sample.bbox[2] - sample.bbox[0]).max(sample.bbox[3] - sample.bbox[1]).max(1.0);
    let mut points = bench.chain.points();
    let mut add = |name: &str, state: &BodyState| {
        bench.chain.forward_state(state, &mut points);
        for (k, place) in points.coco.iter().enumerate() {
            if sample.visibility[k] == Visibility::Visible
                && let Some(pixel) = estimate.camera.project(*place)
            {
                let off = pixel.distance(sample.coco17[k]);
                means.add(&format!("joints2d_{stage}{name}px"), off);
                means.add(&format!("joints2d_{stage}{name}percent_of_box"), 100.0 * off / side);
            }
        }
    };
    add("", &estimate.mode);
    estimate.samples.iter().for_each(|state| add("samples_", state));
}

/// Runs the protocol.
pub(super) fn evaluate(
    config: &EvaluateConfig,
    reporter: &Reporter,
    cancel: &Cancel,
) -> Result<Report, EvaluateError> {
    let body = BodyModel::default_body().map_err(anyhow::Error::from)?;
    let poses = PoseSource::open(config.poses.as_deref()).map_err(anyhow::Error::from)?;
    let known = PoseSource::open(config.train_poses.as_deref()).map_err(anyhow::Error::from)?;
    let bench = Bench {
        lifter: Lifter::with_body(config.weights.as_deref(), &body)?,
        refiner: Reprojection::new(&body, config.refinement.clone())?,
        baselines: Baselines::new(&body, &known, config.views, config.seed).map_err(anyhow::Error::from)?,
        options: EstimateOptions { samples: config.samples, seed: config.seed, temperature: 1.0 },
        chain: KeypointChain::new(&body).map_err(anyhow::Error::from)?,
        body: body.clone(),
    };
    let sampler = LiftingSampler::new(&body, &poses, CameraConfig::default())
        .map_err(anyhow::Error::from)?
        .undisturbed();
    let samples: Vec<LiftingSample> =
        (0..config.n as u64).into_par_iter().map(|item| sampler.at(config.seed, item)).collect();
    let noise = DetectorNoise::default();
    let keypoints: Vec<[Keypoint; COCO_KEYPOINTS]> = samples
        .iter()
        .enumerate()
        .map(|(item, sample)| detected(sample, &noise, &mut stream(config.seed ^ 0xd1, item as u64)))
        .collect();

    let mut sums: BTreeMap<String, Mean> = BTreeMap::new();
    let (mut missed, mut seen_error) = (0usize, Mean::default());
    for (chunk, (samples, keypoints)) in samples.chunks(64).zip(keypoints.chunks(64)).enumerate() {
        if cancel.is_cancelled() {
            return Err(EvaluateError::Cancelled);
        }
        let numbers: Vec<(Option<Numbers>, Option<Numbers>)> = samples
            .par_iter()
            .zip(keypoints)
            .map(|(sample, keypoints)| {
                (
                    measure(&bench, sample, true_keypoints(sample)).ok(),
                    measure(&bench, sample, *keypoints).ok(),
                )
            })
            .collect();
        for (sample, keypoints) in samples.iter().zip(keypoints) {
            for k in 0..COCO_KEYPOINTS {
                if sample.visibility[k] == Visibility::Visible && keypoints[k].score >= HIDDEN {
                    seen_error.add(keypoints[k].position().distance(sample.coco17[k]));
                }
            }
        }
        for (clean, found) in numbers {
            missed += usize::from(found.is_none());
            for (name, value) in clean.into_iter().flatten() {
                sums.entry(format!("{name}_clean")).or_default().add(value);
            }
            for (name, value) in found.into_iter().flatten() {
                sums.entry(name).or_default().add(value);
            }
        }
        reporter.progress((chunk * 64 + samples.len()) as u64, config.n as u64, "people");
    }
    let mut report = Report::default();
    report.numbers.extend(sums.iter().filter_map(|(name, mean)| Some((name.clone(), mean.get()?))));
    for suffix in ["", "_clean"] {
        for stage in ["", "refined_"] {
            let of =
                |name: &str| report.numbers.get(&format!("spread_{stage}{name}_limbs_mm{suffix}")).copied();
            if let (Some(hidden), Some(visible)) = (of("hidden"), of("visible")) {
                report
                    .numbers
                    .insert(format!("spread_{stage}hidden_over_visible{suffix}"), hidden / visible.max(1e-6));
            }
        }
    }
    report.numbers.insert("n".into(), config.n as f64);
    report.numbers.insert("not_estimated".into(), missed as f64);
    if let Some(error) = seen_error.get() {
        report.numbers.insert("joints2d_detector_px".into(), error);
    }
    Ok(report)
}
