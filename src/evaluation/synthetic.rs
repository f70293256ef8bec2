//! The protocol on known bodies: renders of 256 × 256 pixels with the detector's keypoints, and the same people
//! with true keypoints (names with `_clean`).

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};

use glam::{Vec2, Vec3};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::baselines::Baselines;
use super::metrics::{JointError, Mean, joint_error, quantile, spread, straight_at};
use super::{EvaluateConfig, EvaluateError, Report};
use crate::body::keypoint_chain::KeypointChain;
use crate::body::{BodyModel, BodyState, state::JOINTS};
use crate::estimators::lifter::Lifter;
use crate::estimators::optimise::Reprojection;
use crate::estimators::{Estimate, EstimateOptions, Estimator, Refiner};
use crate::formats::atomic::write_atomic;
use crate::formats::picture::Picture;
use crate::geometry::camera::Projection;
use crate::keypoints::{COCO_KEYPOINTS, Detector, Keypoint, KeypointSource, Person};
use crate::progress::{Cancel, Reporter};
use crate::synthetic::detector_noise::View;
use crate::synthetic::{
    CameraConfig, DetectorNoise, LiftingSample, LiftingSampler, PoseSource, SceneBuffers, SceneConfig,
    SceneMaker, SceneSample, SyntheticTruth, Visibility, stream,
};
use crate::training::lifter::data::{detected, true_keypoints};

/// A keypoint below this score counts as hidden from the estimator.
const HIDDEN: f32 = 0.2;
/// Elbows, wrists, knees, ankles: COCO's keypoint and SMPL's joint.
const LIMBS: [(usize, usize); 8] = [(7, 18), (8, 19), (9, 20), (10, 21), (13, 4), (14, 5), (15, 7), (16, 8)];
const BEST_OF: [usize; 3] = [10, 25, 100];
/// People between reports.
const CHUNK: usize = 64;
/// Numbers that are told by their quantiles too.
const QUANTILES: [&str; 2] = ["sc_mpjpe_mm", "sc_mpjpe_refined_mm"];

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
    picture: &Picture,
) -> anyhow::Result<Numbers> {
    let mut means = Means::default();
    let person =
        Person { bbox: sample.bbox, keypoints, score: 1.0, source: KeypointSource::Truth, mask: None };
    let estimate = bench.lifter.estimate(picture, &person, &bench.options, &Cancel::new())?;
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
    // What is delivered are the refined samples; those as drawn are called predicted.
    for (stage, estimate) in [("predicted_", &estimate), ("", &refined)] {
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
    let stage_of_mode = if stage.is_empty() { "refined_" } else { "" };
    let mut add = |name: &str, state: &BodyState| {
        bench.chain.forward_state(state, &mut points);
        for (k, place) in points.coco.iter().enumerate() {
            if sample.visibility[k] == Visibility::Visible
                && let Some(pixel) = estimate.camera.project(*place)
            {
                let off = pixel.distance(sample.coco17[k]);
                means.add(&format!("joints2d_{name}px"), off);
                means.add(&format!("joints2d_{name}percent_of_box"), 100.0 * off / side);
            }
        }
    };
    add(stage_of_mode, &estimate.mode);
    estimate.samples.iter().for_each(|state| add(&format!("{stage}samples_"), state));
}

/// The picture of person `item`, blank where the estimator looks at none or there is none.
fn picture_of(
    bench: &Bench,
    scenes: &SceneMaker,
    config: &EvaluateConfig,
    item: u64,
    sample: &LiftingSample,
    buffers: &mut SceneBuffers,
) -> anyhow::Result<Picture> {
    if config.simulated || !bench.lifter.reads_picture() {
        let [width, height] = sample.camera.size.map(|side| side as usize);
        return Ok(Picture::filled(width, height, [0; 3]));
    }
    let SceneSample { picture, truth, .. } = scenes.at(config.seed, item, buffers);
    let moved = truth.coco17.iter().zip(&sample.coco17).any(|(a, b)| a.distance(*b) > 0.5);
    anyhow::ensure!(!moved, "the kept keypoints are of other renders: delete their file");
    Ok(picture)
}

/// The renders of the protocol.
fn scenes<'a>(
    config: &EvaluateConfig,
    body: &'a BodyModel,
    poses: &'a PoseSource,
) -> anyhow::Result<SceneMaker<'a>> {
    let camera = CameraConfig { truncated: config.truncated, ..CameraConfig::default() };
    Ok(SceneMaker::new(body, poses, SceneConfig { camera, ..SceneConfig::default() })?
        .with_backgrounds(config.backgrounds.as_deref())?
        .undisturbed())
}

/// Someone rendered, with the keypoints that stand for the detector's.
type Seen = (LiftingSample, [Keypoint; COCO_KEYPOINTS]);

/// The people of the protocol.
fn people(
    config: &EvaluateConfig,
    body: &BodyModel,
    poses: &PoseSource,
    reporter: &Reporter,
    cancel: &Cancel,
) -> Result<Vec<Seen>, EvaluateError> {
    let camera = CameraConfig { truncated: config.truncated, ..CameraConfig::default() };
    let items = 0..config.n as u64;
    if config.simulated {
        let sampler = LiftingSampler::new(body, poses, camera).map_err(anyhow::Error::from)?.undisturbed();
        let noise = DetectorNoise::default();
        return Ok(items
            .into_par_iter()
            .map(|item| {
                let sample = sampler.at(config.seed, item);
                let keypoints = detected(&sample, &noise, &mut stream(config.seed ^ 0xd1, item));
                (sample, keypoints)
            })
            .collect());
    }
    let maker = scenes(config, body, poses)?;
    let detector = Detector::load().map_err(anyhow::Error::from)?;
    if let Some(mut kept) = Cache::read(config).filter(|kept| kept.people.len() >= config.n) {
        kept.people.truncate(config.n);
        return Ok(kept.people);
    }
    let done = AtomicU64::new(0);
    let found: Vec<anyhow::Result<Seen>> = items
        .into_par_iter()
        .map_init(SceneBuffers::default, |buffers, item| {
            anyhow::ensure!(!cancel.is_cancelled(), "cancelled");
            let SceneSample { picture, truth, .. } = maker.at(config.seed, item, buffers);
            let keypoints = super::people::find(&detector, &picture, truth.bbox)?.keypoints;
            let done = done.fetch_add(1, Ordering::Relaxed) + 1;
            if done.is_multiple_of(16) {
                reporter.progress(done, config.n as u64, "renders");
            }
            let SyntheticTruth { state, camera, coco17, coco17_3d, visibility, joints, bbox } = truth;
            Ok((LiftingSample { state, camera, coco17, coco17_3d, visibility, joints, bbox }, keypoints))
        })
        .collect();
    if cancel.is_cancelled() {
        return Err(EvaluateError::Cancelled);
    }
    let people: Vec<_> = found.into_iter().collect::<anyhow::Result<_>>()?;
    let kept = Cache::of(config, people);
    kept.write(config)?;
    Ok(kept.people)
}

/// The people of one seed as rendered and detected, kept for further evaluations.
#[derive(Serialize, Deserialize)]
struct Cache {
    seed: u64,
    poses: String,
    truncated: f32,
    #[serde(default)]
    backgrounds: Option<PathBuf>,
    people: Vec<Seen>,
}

impl Cache {
    fn of(config: &EvaluateConfig, people: Vec<Seen>) -> Self {
        let poses =
            config.poses.as_ref().map_or_else(|| "prior".to_owned(), |path| path.display().to_string());
        Self {
            seed: config.seed,
            poses,
            truncated: config.truncated,
            backgrounds: config.backgrounds.clone(),
            people,
        }
    }

    /// What was kept for the same renders, if anything.
    fn read(config: &EvaluateConfig) -> Option<Self> {
        let text = std::fs::read(config.keypoints_cache.as_ref()?).ok()?;
        let kept: Self = serde_json::from_slice(&text).ok()?;
        let wanted = Self::of(config, Vec::new());
        let key = |kept: &Self| (kept.seed, kept.poses.clone(), kept.truncated, kept.backgrounds.clone());
        (key(&kept) == key(&wanted)).then_some(kept)
    }

    fn write(&self, config: &EvaluateConfig) -> anyhow::Result<()> {
        let Some(path) = &config.keypoints_cache else { return Ok(()) };
        Ok(write_atomic(path, &serde_json::to_vec(self)?)?)
    }
}

/// One person's numbers as a JSON line: how they stand, how well the detector saw them, and every error.
fn line_of(
    sample: &LiftingSample,
    keypoints: &[Keypoint; COCO_KEYPOINTS],
    clean: &Option<Numbers>,
    found: &Option<Numbers>,
) -> anyhow::Result<String> {
    let view = View::of(&sample.coco17_3d, &sample.coco17, sample.bbox);
    let map =
        |numbers: &Option<Numbers>| -> BTreeMap<String, f32> { numbers.iter().flatten().cloned().collect() };
    let off: Vec<f32> = (0..COCO_KEYPOINTS)
        .map(|k| keypoints[k].position().distance(sample.coco17[k]) / view.crop_side)
        .collect();
    let line = serde_json::json!({
        "view": view,
        "detector_off_in_squares": off,
        "scores": keypoints.map(|k| k.score),
        "visible": sample.visibility.map(|v| v == Visibility::Visible),
        "clean": map(clean),
        "detected": map(found),
    });
    Ok(serde_json::to_string(&line)? + "\n")
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
    let people = people(config, &body, &poses, reporter, cancel)?;

    let mut sums: BTreeMap<String, Mean> = BTreeMap::new();
    let mut spreads: BTreeMap<String, Vec<f32>> = BTreeMap::new();
    let (mut missed, mut seen_error, mut given) = (0usize, Mean::default(), Mean::default());
    let mut each: Vec<String> = Vec::new();
    let scenes = scenes(config, &body, &poses)?;
    for (chunk, people) in people.chunks(CHUNK).enumerate() {
        if cancel.is_cancelled() {
            return Err(EvaluateError::Cancelled);
        }
        let numbers: Vec<(Option<Numbers>, Option<Numbers>)> = people
            .par_iter()
            .enumerate()
            .map_init(SceneBuffers::default, |buffers, (place, (sample, keypoints))| {
                let item = (chunk * CHUNK + place) as u64;
                let picture = picture_of(&bench, &scenes, config, item, sample, buffers)?;
                let clean = measure(&bench, sample, true_keypoints(sample), &picture).ok();
                Ok((clean, measure(&bench, sample, *keypoints, &picture).ok()))
            })
            .collect::<anyhow::Result<_>>()?;
        for (sample, keypoints) in people {
            for (k, keypoint) in keypoints.iter().enumerate() {
                given.add(if keypoint.score >= HIDDEN { 1.0 } else { 0.0 });
                if sample.visibility[k] == Visibility::Visible && keypoint.score >= HIDDEN {
                    seen_error.add(keypoint.position().distance(sample.coco17[k]));
                }
            }
        }
        for ((clean, found), (sample, keypoints)) in numbers.into_iter().zip(people) {
            if config.each.is_some() {
                each.push(line_of(sample, keypoints, &clean, &found)?);
            }
            missed += usize::from(found.is_none());
            for (name, value) in clean.into_iter().flatten() {
                if QUANTILES.contains(&name.as_str()) {
                    spreads.entry(format!("{name}_clean")).or_default().push(value);
                }
                sums.entry(format!("{name}_clean")).or_default().add(value);
            }
            for (name, value) in found.into_iter().flatten() {
                if QUANTILES.contains(&name.as_str()) {
                    spreads.entry(name.clone()).or_default().push(value);
                }
                sums.entry(name).or_default().add(value);
            }
        }
        reporter.progress((chunk * CHUNK + people.len()) as u64, config.n as u64, "people");
    }
    if let Some(path) = &config.each {
        write_atomic(path, each.concat().as_bytes()).map_err(anyhow::Error::from)?;
    }
    let mut report = Report::default();
    report.numbers.extend(sums.iter().filter_map(|(name, mean)| Some((name.clone(), mean.get()?))));
    for suffix in ["", "_clean"] {
        for stage in ["", "predicted_"] {
            let of =
                |name: &str| report.numbers.get(&format!("spread_{stage}{name}_limbs_mm{suffix}")).copied();
            if let (Some(hidden), Some(visible)) = (of("hidden"), of("visible")) {
                report
                    .numbers
                    .insert(format!("spread_{stage}hidden_over_visible{suffix}"), hidden / visible.max(1e-6));
            }
        }
    }
    for (name, values) in &mut spreads {
        for (share, what) in [(0.5, "median"), (0.9, "90th_percentile")] {
            if let Some(value) = quantile(values, share) {
                report.numbers.insert(format!("{name}_{what}"), value);
            }
        }
    }
    report.numbers.insert("n".into(), config.n as f64);
    report.numbers.insert("not_estimated".into(), missed as f64);
    for (name, mean) in [("joints2d_detector_px", seen_error), ("keypoints_given_share", given)] {
        if let Some(value) = mean.get() {
            report.numbers.insert(name.into(), value);
        }
    }
    Ok(report)
}
