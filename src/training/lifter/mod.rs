//! Trains the default estimator: first the point estimate alone, then the Gaussian around it beside it.

pub mod data;
pub mod loss;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Instant;

use burn::optim::{AdamWConfig, GradientsParams};
use burn::tensor::{Device, Tensor, TensorData};
use glam::Vec3;
use rand::Rng;
use rand_distr::StandardNormal;
use rayon::prelude::*;

use self::data::{Example, ExampleMaker, Target};
use self::loss::{Scratch, likelihood_loss, point_loss, residual};
use super::checkpoint::{self, CurvePoint, RunRecord};
use super::{TrainConfig, TrainError};
use crate::body::BodyModel;
use crate::body::keypoint_chain::KeypointChain;
use crate::body::state::JOINTS;
use crate::estimators::lifter::input::{INPUTS, crop_of, encode};
use crate::estimators::lifter::network::LifterNetwork;
use crate::estimators::lifter::output::{POINT, Point};
use crate::estimators::lifter::weights;
use crate::estimators::tangent::{BETAS_AT, ROTATIONS, TRIANGLE};
use crate::geometry::align::scale_align;
use crate::progress::{Cancel, Reporter};
use crate::synthetic::{PoseSource, stream};

/// Steps between reports.
const REPORT: u64 = 50;
/// Steps over which the learning rate rises.
const WARM_UP: u64 = 200;
/// Spread added to the rotations that the distribution learns from, radians: captured poses leave some axes
/// nearly flat, and a density on those would be all that counts.
const DITHER: f32 = 0.04;
/// People of the validation set.
const VALIDATION: u64 = 400;

/// Trains and writes the weights to `config.out`.
///
/// # Errors
/// `Cancelled` (after a checkpoint), `Diverged`, a config that makes no sense, files that cannot be read or written.
pub fn train(config: &TrainConfig, reporter: &Reporter, cancel: &Cancel) -> Result<(), TrainError> {
    if config.batch == 0 || config.steps == 0 {
        return Err(TrainError::Config("batch and steps must be at least 1".into()));
    }
    let body = BodyModel::default_body().map_err(anyhow::Error::from)?;
    let chain = Arc::new(KeypointChain::new(&body).map_err(anyhow::Error::from)?);
    let poses = PoseSource::open(config.poses.as_deref()).map_err(anyhow::Error::from)?;
    let validation = match &config.validation {
        Some(path) => {
            let poses = PoseSource::from_npz(path).map_err(anyhow::Error::from)?;
            let maker = ExampleMaker::new(&body, &poses, config.clean, &config.network);
            Some(Validation::new(&maker.map_err(anyhow::Error::from)?))
        }
        None => None,
    };

    let device = Device::flex().autodiff();
    device.seed(config.seed);
    let mut network = config.network.init(&device);
    if let Some(path) = &config.from {
        let (loaded, layout) = weights::load(path, &device)?;
        if layout != config.network {
            return Err(TrainError::Config(format!("another layout than the config's: {}", path.display())));
        }
        network = loaded;
    }
    let mut optimizer = AdamWConfig::new().with_weight_decay(1e-4).with_epsilon(1e-8).init();
    let mut record = RunRecord {
        config: config.clone(),
        step: 0,
        seconds: 0.0,
        examples: 0,
        threads: rayon::current_num_threads(),
        curve: Vec::new(),
    };
    if config.resume {
        let old;
        (network, optimizer, old) = checkpoint::load(network, optimizer, &config.out)?;
        record = RunRecord { config: config.clone(), ..old };
    }

    let batches = produce(body.clone(), poses, config, record.step);
    let (began, before) = (Instant::now(), record.seconds);
    let mut saved = Instant::now();
    let mut sums = Sums::default();
    loop {
        record.seconds = before + began.elapsed().as_secs_f64();
        let by_time = config.minutes.map_or(0.0, |minutes| record.seconds / (60.0 * minutes));
        let done = (record.step as f64 / config.steps as f64).max(by_time);
        if done >= 1.0 {
            break;
        }
        let Ok(batch) = batches.recv() else {
            return Err(TrainError::Other(anyhow::anyhow!("making examples failed")));
        };
        let warm = ((record.step + 1) as f64 / WARM_UP as f64).min(1.0);
        let rate = config.learning_rate * warm * 0.5 * (1.0 + (std::f64::consts::PI * done).cos());
        let both = done >= config.distribution_from;
        let terms = step(&mut network, &mut optimizer, &batch, &chain, config, rate, both, &device);
        record.step += 1;
        record.examples += config.batch as u64;
        sums.add(&terms);
        if !terms.total.is_finite() {
            return Err(TrainError::Diverged { step: record.step });
        }
        if record.step.is_multiple_of(REPORT) {
            let mut values = sums.take();
            values.insert("learning_rate".into(), rate);
            values.insert(
                "examples_per_second".into(),
                (REPORT * config.batch as u64) as f64 / sums_since(&record),
            );
            if let Some(validation) = &validation
                && record.step.is_multiple_of(10 * REPORT)
            {
                values.extend(validation.run(&network, &chain, &device));
            }
            for (name, value) in &values {
                reporter.metric(name, record.step, *value);
            }
            reporter.progress(
                record.step,
                if by_time > 0.0 { (record.step as f64 / done) as u64 } else { config.steps },
                "steps",
            );
            record.curve.push(CurvePoint { step: record.step, seconds: record.seconds, values });
        }
        let stop = cancel.is_cancelled();
        if stop || saved.elapsed().as_secs_f64() > 60.0 * config.checkpoint_minutes {
            checkpoint::save(&network, &optimizer, &record, &config.out)?;
            weights::save(&network, &config.network, &config.out)?;
            saved = Instant::now();
        }
        if stop {
            return Err(TrainError::Cancelled);
        }
    }
    checkpoint::save(&network, &optimizer, &record, &config.out)?;
    weights::save(&network, &config.network, &config.out)?;
    Ok(())
}

/// Seconds since the curve's last point.
fn sums_since(record: &RunRecord) -> f64 {
    (record.seconds - record.curve.last().map_or(0.0, |point| point.seconds)).max(1e-3)
}

/// Makes batches ahead on a thread of its own; batch `i` holds the same people whatever the threads do.
fn produce(
    body: Arc<BodyModel>,
    poses: PoseSource,
    config: &TrainConfig,
    first: u64,
) -> Receiver<Vec<Example>> {
    let (sender, receiver) = sync_channel(3);
    let (seed, batch, clean, network) =
        (config.seed, config.batch as u64, config.clean, config.network.clone());
    std::thread::spawn(move || {
        let Ok(maker) = ExampleMaker::new(&body, &poses, clean, &network) else { return };
        for step in first.. {
            let items = step * batch..(step + 1) * batch;
            let examples = items.into_par_iter().map(|item| maker.example(seed, item)).collect();
            if sender.send(examples).is_err() {
                return;
            }
        }
    });
    receiver
}

/// Means over one step.
#[derive(Clone, Copy, Default)]
struct StepTerms {
    total: f32,
    joints: f32,
    seen: f32,
    root: f32,
    likelihood: Option<f32>,
}

#[derive(Default)]
struct Sums {
    steps: f64,
    terms: [f64; 4],
    likelihood: (f64, f64),
}

impl Sums {
    fn add(&mut self, terms: &StepTerms) {
        self.steps += 1.0;
        for (sum, term) in self.terms.iter_mut().zip([terms.total, terms.joints, terms.seen, terms.root]) {
            *sum += f64::from(term);
        }
        if let Some(likelihood) = terms.likelihood {
            self.likelihood.0 += f64::from(likelihood);
            self.likelihood.1 += 1.0;
        }
    }

    fn take(&mut self) -> BTreeMap<String, f64> {
        let names =
            [("loss", 1.0), ("joints_mm", 1000.0), ("keypoints_percent_of_crop", 100.0), ("root_deg", 1.0)];
        let mut out: BTreeMap<String, f64> = names
            .iter()
            .zip(self.terms)
            .map(|((name, unit), sum)| ((*name).to_owned(), unit * sum / self.steps))
            .collect();
        if self.likelihood.1 > 0.0 {
            out.insert("negative_log_likelihood".into(), self.likelihood.0 / self.likelihood.1);
        }
        *self = Self::default();
        out
    }
}

#[expect(clippy::too_many_arguments, reason = "one step's inputs, used once")]
fn step(
    network: &mut LifterNetwork,
    optimizer: &mut burn::optim::ModuleOptimizer,
    batch: &[Example],
    chain: &KeypointChain,
    config: &TrainConfig,
    rate: f64,
    both: bool,
    device: &Device,
) -> StepTerms {
    let count = batch.len();
    let input: Vec<f32> = batch.iter().flat_map(|example| example.input).collect();
    let input = Tensor::<2>::from_data(TensorData::new(input, [count, INPUTS]), device);
    let features = network.features(input);
    let points = network.point(features.clone());
    let values: Vec<f32> = points.clone().into_data().iter::<f32>().collect();

    let mut gradient = vec![0.0f32; count * POINT];
    let share = 1.0 / count as f32;
    let sum = gradient
        .par_chunks_mut(POINT)
        .zip(values.par_chunks(POINT))
        .zip(batch)
        .map_init(
            || Scratch::new(chain),
            |scratch, ((grad, values), example)| {
                let distance = config.network.distance_m;
                let terms = point_loss(values, &example.target, chain, distance, &config.loss, scratch, grad);
                grad.iter_mut().for_each(|g| *g *= share);
                [terms.total, terms.joints, terms.seen, terms.root].map(|term| term * share)
            },
        )
        .reduce(|| [0.0; 4], |a, b| std::array::from_fn(|i| a[i] + b[i]));
    let mut surrogate = (points * Tensor::from_data(TensorData::new(gradient, [count, POINT]), device)).sum();

    let mut likelihood = None;
    if both {
        let raw = network.triangle(features.detach());
        let numbers: Vec<f32> = raw.clone().into_data().iter::<f32>().collect();
        let mut gradient = vec![0.0f32; count * TRIANGLE];
        let total: f32 = gradient
            .par_chunks_mut(TRIANGLE)
            .zip(numbers.par_chunks(TRIANGLE))
            .zip(values.par_chunks(POINT))
            .zip(batch)
            .map(|(((grad, raw), values), example)| {
                let mut delta = residual(values, &example.target);
                let mut rng = stream(values[0].to_bits().into(), values[7].to_bits().into());
                for delta in &mut delta[..BETAS_AT] {
                    *delta += DITHER * rng.sample::<f32, _>(StandardNormal);
                }
                let loss = likelihood_loss(raw, &delta, grad);
                grad.iter_mut().for_each(|g| *g *= share);
                loss * share
            })
            .sum();
        likelihood = Some(total);
        surrogate =
            surrogate + (raw * Tensor::from_data(TensorData::new(gradient, [count, TRIANGLE]), device)).sum();
    }
    let gradients = GradientsParams::from_grads(surrogate.backward(), network);
    *network = optimizer.step(rate, network.clone(), gradients);
    StepTerms { total: sum[0], joints: sum[1], seen: sum[2], root: sum[3], likelihood }
}

/// A fixed set of people of other poses, with true and with disturbed keypoints.
struct Validation {
    clean: Vec<(Vec<f32>, Target)>,
    detected: Vec<(Vec<f32>, Target)>,
}

impl Validation {
    fn new(maker: &ExampleMaker) -> Self {
        let (mut clean, mut detected) = (Vec::new(), Vec::new());
        for item in 0..VALIDATION {
            let mut rng = stream(77, item);
            let view = maker.plain_view(&mut rng);
            let disturbed = maker.detected(&view, &mut rng);
            for (keypoints, out) in [(data::true_keypoints(&view), &mut clean), (disturbed, &mut detected)] {
                let Some(crop) = crop_of(&keypoints, maker.network.min_score) else { continue };
                let mut input = vec![0.0; INPUTS];
                encode(&keypoints, &crop, maker.network.min_score, &mut input);
                out.push((input, data::target(&view, &crop)));
            }
        }
        Self { clean, detected }
    }

    /// Mean scale-corrected joint error of the point estimate, millimetres.
    fn run(&self, network: &LifterNetwork, chain: &KeypointChain, device: &Device) -> BTreeMap<String, f64> {
        let mut out = BTreeMap::new();
        for (name, set) in [("validation_sc_mm_clean", &self.clean), ("validation_sc_mm", &self.detected)] {
            let input: Vec<f32> = set.iter().flat_map(|(input, _)| input.iter().copied()).collect();
            let input = Tensor::<2>::from_data(TensorData::new(input, [set.len(), INPUTS]), device);
            let values: Vec<f32> = network.point(network.features(input)).into_data().iter::<f32>().collect();
            let mut points = chain.points();
            let mut sum = 0.0;
            for (values, (_, target)) in values.chunks_exact(POINT).zip(set) {
                let point = Point::decode(values);
                let mut rotations = [glam::Mat3::IDENTITY; JOINTS];
                rotations[..ROTATIONS].copy_from_slice(&point.rotations);
                chain.forward(&point.betas, &rotations, Vec3::ZERO, &mut points);
                let fit = scale_align(&points.joints, &target.joints);
                sum += points
                    .joints
                    .iter()
                    .zip(&target.joints)
                    .map(|(own, wanted)| f64::from((fit.apply(*own) - *wanted).length()))
                    .sum::<f64>()
                    / JOINTS as f64;
            }
            out.insert(name.to_owned(), 1000.0 * sum / set.len().max(1) as f64);
        }
        out
    }
}
