//! Trains the default estimator: first the point estimate alone, then the Gaussian around it beside it.

pub mod data;
mod gelu;
mod layers;
pub mod loss;
mod picture_pass;
pub mod pictures;
pub mod plain;
mod start;
mod tensor_pass;
mod validation;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use burn::tensor::Device;
use rand::Rng;
use rand_distr::StandardNormal;
use rayon::prelude::*;

use self::data::{Example, ExampleMaker};
use self::loss::{Scratch, likelihood_loss, point_loss, residual};
use self::pictures::PictureBank;
use self::plain::{Layout, Pass};
use self::tensor_pass::TensorPass;
use self::validation::Validation;
use super::adamw::Descent;
use super::checkpoint::{self, CurvePoint, RunRecord};
use super::{TrainConfig, TrainError};
use crate::body::BodyModel;
use crate::body::keypoint_chain::KeypointChain;
use crate::estimators::lifter::output::POINT;
use crate::estimators::lifter::weights;
use crate::estimators::tangent::{BETAS_AT, TRIANGLE};
use crate::progress::{Cancel, Reporter};
use crate::synthetic::error_bank::ErrorBank;
use crate::synthetic::{PoseSource, stream};
use crate::tensors::device::{self, DeviceChoice, Job};

/// Steps between reports.
const REPORT: u64 = 50;
/// Steps over which the learning rate rises.
const WARM_UP: u64 = 200;
/// Spread added to the rotations that the distribution learns from, radians: captured poses leave some axes
/// nearly flat, and a density on those would be all that counts.
const DITHER: f32 = 0.04;
/// Share of the learning rate that a trunk gets which knows the keypoints already and learns to read pictures too.
const KNOWING: f64 = 0.4;
/// People that one thread takes at a time. Gradients are summed over such shares in their order, whatever the threads.
const SHARE: usize = 128;
/// Steps that `auto` times on each device.
const TRIALS: u32 = 3;

/// Trains and writes the weights to `config.out`.
///
/// # Errors
/// `Cancelled` (after a checkpoint), `Diverged`, a config that makes no sense, files that cannot be read or written.
pub fn train(config: &TrainConfig, reporter: &Reporter, cancel: &Cancel) -> Result<(), TrainError> {
    if config.batch == 0 || config.steps == 0 {
        return Err(TrainError::Config("batch and steps must be at least 1".into()));
    }
    let mut config = config.clone();
    config.network.input = config.input;
    let config = &config;
    let body = BodyModel::default_body().map_err(anyhow::Error::from)?;
    let chain = Arc::new(KeypointChain::new(&body).map_err(anyhow::Error::from)?);
    let poses = PoseSource::open(config.poses.as_deref()).map_err(anyhow::Error::from)?;
    let bank = match &config.detections {
        Some(path) => Some(ErrorBank::read(path).map_err(anyhow::Error::from)?),
        None => None,
    };
    let layout = Layout::new(&config.network);
    let validation = match &config.validation {
        Some(path) => {
            let poses = PoseSource::from_npz(path).map_err(anyhow::Error::from)?;
            let maker = maker(&body, &poses, config, bank.clone())?;
            let seen = match config.input.reads_picture() {
                true => {
                    let pose = |rng: &mut _| poses.sample_undisturbed(rng);
                    let people = (validation::SEED, validation::PEOPLE);
                    Some(PictureBank::render(&body, &poses, pose, people, reporter, cancel)?)
                }
                false => None,
            };
            Some(Validation::new(&maker, &layout, seen.as_ref()))
        }
        None => None,
    };

    let device = Device::flex();
    device.seed(config.seed);
    let (network, grown) = start::start(config, &layout, &device)?;
    let mut descent = Descent::new(network.numbers());
    let mut record = RunRecord {
        config: config.clone(),
        step: 0,
        seconds: 0.0,
        examples: 0,
        distribution_steps: 0,
        threads: rayon::current_num_threads(),
        device: String::new(),
        curve: Vec::new(),
    };
    if config.resume {
        let old;
        (descent, old) = checkpoint::load(layout.len(), &config.out)?;
        record = RunRecord { config: config.clone(), ..old };
    }

    let maker = maker(&body, &poses, config, bank)?;
    let pictures = match config.input.reads_picture() {
        true => Some(PictureBank::of_run(&maker, &body, &poses, config, reporter, cancel)?),
        false => None,
    };
    let maker = maker.with_pictures(pictures.as_ref());
    let mut passes: Vec<Pass> = (0..config.batch)
        .step_by(SHARE)
        .map(|from| Pass::new(&layout, SHARE.min(config.batch - from)))
        .collect();
    let mut trial = |tensors: &mut Option<TensorPass>, weights: &[f32]| {
        step(&mut passes, tensors, weights, &maker, &chain, config, 0, true);
    };
    let (mut tensors, name) = runner(config, &descent.weights, &mut trial)?;
    record.device = name;
    let (began, before) = (Instant::now(), record.seconds);
    let mut saved = Instant::now();
    let mut sums = Sums::default();
    let save = |descent: &Descent, record: &RunRecord| -> anyhow::Result<()> {
        checkpoint::save(descent, record, &config.out)?;
        weights::save(&network.clone().with_numbers(&descent.averaged), &config.network, &config.out)
    };
    if let Some(validation) = &validation
        && record.step == 0
    {
        let values = validation.run(&descent.averaged, &chain);
        values.iter().for_each(|(name, value)| reporter.metric(name, 0, *value));
        record.curve.push(CurvePoint { step: 0, seconds: 0.0, values });
    }
    loop {
        record.seconds = before + began.elapsed().as_secs_f64();
        let by_time = config.minutes.map_or(0.0, |minutes| record.seconds / (60.0 * minutes));
        let done = (record.step as f64 / config.steps as f64).max(by_time);
        if done >= 1.0 {
            break;
        }
        let warm = ((record.step + 1) as f64 / WARM_UP as f64).min(1.0);
        let rate = config.learning_rate * warm * 0.5 * (1.0 + (std::f64::consts::PI * done).cos());
        let both = done >= config.distribution_from;
        let terms =
            step(&mut passes, &mut tensors, &descent.weights, &maker, &chain, config, record.step, both);
        let gradients: Vec<&[f32]> = passes.iter().map(|pass| pass.gradient.as_slice()).collect();
        let slow = if grown { KNOWING } else { 1.0 };
        descent.step(layout.of_point(), &gradients, (slow * rate) as f32, record.step);
        descent.step(layout.of_picture(), &gradients, rate as f32, record.step);
        if both {
            descent.step(layout.of_distribution(), &gradients, rate as f32, record.distribution_steps);
            record.distribution_steps += 1;
        }
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
                values.extend(validation.run(&descent.averaged, &chain));
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
            save(&descent, &record)?;
            saved = Instant::now();
        }
        if stop {
            return Err(TrainError::Cancelled);
        }
    }
    Ok(save(&descent, &record)?)
}

fn maker<'a>(
    body: &'a BodyModel,
    poses: &'a PoseSource,
    config: &TrainConfig,
    bank: Option<ErrorBank>,
) -> anyhow::Result<ExampleMaker<'a>> {
    Ok(ExampleMaker::new(body, poses, config.clean, &config.network)?.with_bank(bank))
}

/// What takes the steps: the plain passes (`None`) or tensors on a device, and its name. `auto` tries both where
/// there is a GPU and takes the faster; making people and losses is the CPU's work either way.
fn runner(
    config: &TrainConfig,
    weights: &[f32],
    trial: &mut dyn FnMut(&mut Option<TensorPass>, &[f32]),
) -> Result<(Option<TensorPass>, String), TrainError> {
    let chosen = device::choose(config.device, Job::Training).map_err(anyhow::Error::from)?;
    if !chosen.is_gpu {
        return Ok((None, chosen.name));
    }
    let mut tensors = Some(TensorPass::new(&config.network, &chosen.device));
    if config.device != DeviceChoice::Auto {
        return Ok((tensors, chosen.name));
    }
    let mut time = |tensors: &mut Option<TensorPass>| {
        trial(tensors, weights);
        let began = Instant::now();
        (0..TRIALS).for_each(|_| trial(tensors, weights));
        began.elapsed()
    };
    if time(&mut tensors) < time(&mut None) {
        Ok((tensors, chosen.name))
    } else {
        let cpu = device::choose(DeviceChoice::Cpu, Job::Training).map_err(anyhow::Error::from)?;
        Ok((None, cpu.name))
    }
}

/// Seconds since the curve's last point.
fn sums_since(record: &RunRecord) -> f64 {
    (record.seconds - record.curve.last().map_or(0.0, |point| point.seconds)).max(1e-3)
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

/// Makes the step's people, takes them through the network and leaves the gradient's parts in the passes.
#[allow(clippy::too_many_arguments)]
fn step(
    passes: &mut [Pass],
    tensors: &mut Option<TensorPass>,
    weights: &[f32],
    maker: &ExampleMaker,
    chain: &KeypointChain,
    config: &TrainConfig,
    step: u64,
    both: bool,
) -> StepTerms {
    let first = step * config.batch as u64;
    let make = |part: usize, pass: &mut Pass| {
        let from = first + (part * SHARE) as u64;
        let people = pass.rows() as u64;
        let examples: Vec<Example> =
            (from..from + people).map(|item| maker.example(config.seed, item)).collect();
        for (row, example) in examples.iter().enumerate() {
            pass.set(row, &example.input, &example.edges);
        }
        examples
    };
    let parts: Vec<StepTerms> = if let Some(tensors) = tensors {
        let examples: Vec<Vec<Example>> =
            passes.par_iter_mut().enumerate().map(|(part, pass)| make(part, pass)).collect();
        tensors.forward(passes, weights, both);
        let people = passes.par_iter_mut().zip(&examples);
        let parts = people.map(|(pass, examples)| losses(pass, examples, chain, config, both)).collect();
        tensors.backward(passes);
        parts
    } else {
        let shares = passes.par_iter_mut().enumerate();
        let through = |(part, pass): (usize, &mut Pass)| {
            let examples = make(part, pass);
            pass.forward(weights, both);
            let terms = losses(pass, &examples, chain, config, both);
            pass.backward(weights, both);
            terms
        };
        shares.map(through).collect()
    };
    parts.into_iter().fold(StepTerms::default(), |a, b| StepTerms {
        total: a.total + b.total,
        joints: a.joints + b.joints,
        seen: a.seen + b.seen,
        root: a.root + b.root,
        likelihood: b.likelihood.map(|b| a.likelihood.unwrap_or(0.0) + b).or(a.likelihood),
    })
}

/// Terms and gradients of one share of a batch, as parts of the batch's means.
fn losses(
    pass: &mut Pass,
    examples: &[Example],
    chain: &KeypointChain,
    config: &TrainConfig,
    both: bool,
) -> StepTerms {
    let share = 1.0 / config.batch as f32;
    let mut scratch = Scratch::new(chain);
    let mut sum = StepTerms::default();
    let rows = pass.points.chunks_exact(POINT).zip(pass.by_points.chunks_exact_mut(POINT));
    for ((values, grad), example) in rows.zip(examples) {
        let distance = config.network.distance_m;
        let terms = point_loss(values, &example.target, chain, distance, &config.loss, &mut scratch, grad);
        grad.iter_mut().for_each(|g| *g *= share);
        sum.total += share * terms.total;
        sum.joints += share * terms.joints;
        sum.seen += share * terms.seen;
        sum.root += share * terms.root;
    }
    if both {
        let mut total = 0.0;
        let rows = pass.triangles.chunks_exact(TRIANGLE).zip(pass.by_triangles.chunks_exact_mut(TRIANGLE));
        for (((raw, grad), values), example) in rows.zip(pass.points.chunks_exact(POINT)).zip(examples) {
            let mut delta = residual(values, &example.target);
            let mut rng = stream(values[0].to_bits().into(), values[7].to_bits().into());
            for delta in &mut delta[..BETAS_AT] {
                *delta += DITHER * rng.sample::<f32, _>(StandardNormal);
            }
            total += share * likelihood_loss(raw, &delta, grad);
            grad.iter_mut().for_each(|g| *g *= share);
        }
        sum.likelihood = Some(total);
    }
    sum
}
