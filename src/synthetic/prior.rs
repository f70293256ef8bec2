//! A generative prior over poses: a mixture of Gaussians over the axis-angles of joints 1..=21 and the
//! direction of the world's up in the pelvis' frame. Shipped as `model_files/humanifold/pose_prior.npz`.

use std::path::{Path, PathBuf};

use glam::{Quat, Vec3};
use rand::Rng;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::gaussian::{self, Mixture};
use super::{PoseFile, SyntheticError, WorldPose, stream};
use crate::formats::array::Array;
use crate::formats::model_files;
use crate::formats::npz::Npz;
use crate::progress::{Cancel, Reporter};

/// Joints that the prior moves; the hands stay at rest.
const JOINTS: usize = 21;
/// Axis-angles and the up direction.
pub(super) const DIMENSIONS: usize = 3 * JOINTS + 3;
/// The up direction is multiplied by this before the fit, so that its spread compares with the joints'.
const UP_SCALE: f64 = 0.5;

/// Where the prior is kept, below the model files' folder.
pub const PRIOR_FILE: &str = "humanifold/pose_prior.npz";

/// The fitted distribution.
#[derive(Clone, Debug)]
pub struct PosePrior {
    mixture: Mixture,
    /// Least and greatest captured value of each number; samples are clamped to them.
    limits: Vec<[f64; 2]>,
}

impl PosePrior {
    /// Reads the shipped file.
    ///
    /// # Errors
    /// Where it is missing or damaged.
    pub fn load() -> Result<Self, SyntheticError> {
        Self::read(&model_files::find(PRIOR_FILE)?)
    }

    /// # Errors
    /// Where the file cannot be read or its arrays do not fit each other.
    pub fn read(path: &Path) -> Result<Self, SyntheticError> {
        let file = Npz::read(path)?;
        let wrong = |what: &str| SyntheticError::Poses(format!("{what}: {}", path.display()));
        let weights = file.get("weights")?.to_f64()?;
        let means = file.get("means")?.to_f64()?;
        let factors = file.get("cholesky")?.to_f64()?;
        let limits = file.get("limits")?.to_f64()?;
        let packed = DIMENSIONS * (DIMENSIONS + 1) / 2;
        let count = weights.len();
        if count == 0
            || means.len() != count * DIMENSIONS
            || factors.len() != count * packed
            || limits.len() != 2 * DIMENSIONS
        {
            return Err(wrong("the sizes of the pose prior's arrays do not fit each other"));
        }
        if ![&weights, &means, &factors, &limits].into_iter().flatten().all(|v| v.is_finite())
            || weights.iter().any(|&w| w < 0.0)
            || weights.iter().sum::<f64>() <= 0.0
            || limits.chunks_exact(2).any(|l| l[0] > l[1])
        {
            return Err(wrong("the pose prior holds numbers that are not finite or out of range"));
        }
        Ok(Self {
            mixture: Mixture { dimensions: DIMENSIONS, weights, means, factors },
            limits: limits.chunks_exact(2).map(|l| [l[0], l[1]]).collect(),
        })
    }

    /// Writes the file, whole or not at all.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub fn write(&self, path: &Path) -> Result<(), SyntheticError> {
        let narrow = |v: &[f64]| v.iter().map(|&x| x as f32).collect::<Vec<f32>>();
        let m = &self.mixture;
        let count = m.weights.len();
        let weights = Array::f32(&[count], narrow(&m.weights));
        let means = Array::f32(&[count, DIMENSIONS], narrow(&m.means));
        let packed = m.factors.len() / count;
        let half = m.factors.iter().map(|&x| half::f16::from_f64(x)).collect();
        let factors = Array::f16(&[count, packed], half);
        let limits = Array::f32(&[DIMENSIONS, 2], narrow(self.limits.as_flattened()));
        let arrays = [("weights", &weights), ("means", &means), ("cholesky", &factors), ("limits", &limits)];
        crate::formats::npz::write_npz(path, &arrays)?;
        Ok(())
    }

    /// A random pose; its heading is arbitrary.
    pub fn sample(&self, rng: &mut ChaCha8Rng) -> WorldPose {
        let mut numbers = [0.0; DIMENSIONS];
        self.mixture.sample(rng, &mut numbers);
        for (value, [low, high]) in numbers.iter_mut().zip(&self.limits) {
            *value = value.clamp(*low, *high);
        }
        let mut pose = decode(&numbers);
        pose.respect_hinges();
        if rng.random::<bool>() { pose.mirrored() } else { pose }
    }
}

/// A pose as the mixture's numbers.
fn encode(pose: &WorldPose) -> [f64; DIMENSIONS] {
    let mut numbers = [0.0; DIMENSIONS];
    for (chunk, v) in numbers.chunks_exact_mut(3).zip(&pose.body_pose[..JOINTS]) {
        chunk.copy_from_slice(&v.to_array().map(f64::from));
    }
    for (number, v) in numbers[3 * JOINTS..].iter_mut().zip(pose.up().to_array()) {
        *number = f64::from(v) * UP_SCALE;
    }
    numbers
}

/// The pose of the mixture's numbers, with the smallest root rotation that has this up direction.
fn decode(numbers: &[f64; DIMENSIONS]) -> WorldPose {
    let mut pose = WorldPose::rest();
    let vector = |c: &[f64]| Vec3::new(c[0] as f32, c[1] as f32, c[2] as f32);
    for (joint, chunk) in pose.body_pose[..JOINTS].iter_mut().zip(numbers.chunks_exact(3)) {
        *joint = vector(chunk);
    }
    let up = vector(&numbers[3 * JOINTS..]).try_normalize().unwrap_or(Vec3::Y);
    pose.root_orient = Quat::from_rotation_arc(up, Vec3::Y).to_scaled_axis();
    pose
}

/// What fitting the pose prior takes. Poses, target and seed are flags of every training and set by the caller.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, clap::Args)]
#[serde(default)]
pub struct PriorFitConfig {
    /// Captured poses (npz with `pose_body` or `poses`)
    #[arg(skip)]
    pub poses: PathBuf,
    /// The file to write
    #[arg(skip)]
    pub out: PathBuf,
    /// Gaussians in the mixture
    #[arg(long, default_value_t = 12, value_name = "N")]
    pub components: usize,
    /// Least standard deviation in any direction, degrees
    #[arg(long, default_value_t = 3.0, value_name = "DEGREES")]
    pub floor_deg: f64,
    /// Most rounds of expectation and maximisation
    #[arg(long, default_value_t = 60, value_name = "N")]
    pub iterations: usize,
    /// Share of the clips that only measure the fit
    #[arg(long, default_value_t = 0.1, value_name = "SHARE")]
    pub held_out: f64,
    /// Seed of the start and of the filled-in wrists and toes
    #[arg(skip)]
    pub seed: u64,
}

impl Default for PriorFitConfig {
    fn default() -> Self {
        Self {
            poses: PathBuf::new(),
            out: PathBuf::from("trained/pose_prior.npz"),
            components: 12,
            floor_deg: 3.0,
            iterations: 60,
            held_out: 0.1,
            seed: 1,
        }
    }
}

/// Fits the mixture to captured poses and their mirror images and writes it. Reports the mean log-density a pose as
/// metrics `log_density` and `log_density_held_out`.
///
/// # Errors
/// Where the poses cannot be read, the file cannot be written, or `cancel` was raised.
pub fn fit_prior(
    config: &PriorFitConfig,
    reporter: &Reporter,
    cancel: &Cancel,
) -> Result<PosePrior, SyntheticError> {
    let file = PoseFile::read(&config.poses)?;
    let refuse = |what: &str| Err(SyntheticError::Poses(what.to_owned()));
    if config.components == 0 || config.iterations == 0 {
        return refuse("the prior needs at least one component and one round");
    }
    if !(config.floor_deg > 0.0 && config.floor_deg.is_finite() && (0.0..0.9).contains(&config.held_out)) {
        return refuse("the floor must be above 0 degrees and the held-out share within 0..0.9");
    }
    let (mut train, mut train_weights) = (Vec::new(), Vec::new());
    let (mut held, mut held_weights) = (Vec::new(), Vec::new());
    for index in 0..file.len() {
        let mut rng = stream(config.seed, index as u64);
        let pose = file.completed(index, &mut rng);
        let clip_draw: f64 = stream(config.seed ^ 0x5eed, file.clip(index) as u64).random();
        let (rows, weights) = if clip_draw < config.held_out {
            (&mut held, &mut held_weights)
        } else {
            (&mut train, &mut train_weights)
        };
        for image in [pose.mirrored(), pose] {
            rows.extend_from_slice(&encode(&image));
            weights.push(file.weight(index));
        }
    }
    if train_weights.len() < 2 * config.components {
        return refuse("too few poses for so many components");
    }
    let limits = limits(&train, config.floor_deg.to_radians());
    let mut mixture = gaussian::start(
        &train,
        DIMENSIONS,
        config.components,
        config.floor_deg.to_radians(),
        &mut stream(config.seed, u64::MAX),
    );
    let mut last = f64::NEG_INFINITY;
    for round in 0..config.iterations {
        if cancel.is_cancelled() {
            return Err(SyntheticError::Cancelled);
        }
        let density = mixture.improve(&train, &train_weights, config.floor_deg.to_radians());
        reporter.metric("log_density", round as u64, density);
        if !held_weights.is_empty() {
            let value = mixture.mean_log_density(&held, &held_weights);
            reporter.metric("log_density_held_out", round as u64, value);
        }
        reporter.progress(round as u64 + 1, config.iterations as u64, "rounds");
        if (density - last).abs() < 1e-3 {
            break;
        }
        last = density;
    }
    let prior = PosePrior { mixture, limits };
    prior.write(&config.out)?;
    Ok(prior)
}

/// The 0.3 and 99.7 % values of every number, a floor's width further out.
fn limits(rows: &[f64], floor: f64) -> Vec<[f64; 2]> {
    (0..DIMENSIONS)
        .map(|d| {
            let mut values: Vec<f64> = rows.iter().skip(d).step_by(DIMENSIONS).copied().collect();
            values.sort_by(f64::total_cmp);
            let at = |share: f64| values[((values.len() - 1) as f64 * share).round() as usize];
            [at(0.003) - floor, at(0.997) + floor]
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use rand_distr::StandardNormal;

    use super::*;
    use crate::synthetic::poses::normal3;

    #[test]
    fn numbers_of_a_pose_give_the_pose_back_but_for_the_heading() {
        let mut rng = stream(11, 0);
        let mut pose = WorldPose::rest();
        for joint in &mut pose.body_pose[..JOINTS] {
            *joint = normal3(&mut rng) * 0.5;
        }
        pose.root_orient = Vec3::new(0.4, 1.9, -0.3);
        let back = decode(&encode(&pose));
        assert!((back.up() - pose.up()).length() < 1e-5);
        for (a, b) in back.body_pose.iter().zip(&pose.body_pose) {
            assert!((*a - *b).length() < 1e-6);
        }
        let mut upside_down = WorldPose::rest();
        upside_down.root_orient = Vec3::new(std::f32::consts::PI, 0.0, 0.0);
        assert!((decode(&encode(&upside_down)).up() + Vec3::Y).length() < 1e-3);
    }

    #[test]
    fn a_fitted_prior_survives_its_file_and_resembles_its_data() {
        let folder = tempfile::tempdir().unwrap();
        let poses = folder.path().join("poses.npz");
        let mut rng = stream(12, 0);
        let mut numbers = vec![0.0f32; 400 * 69];
        for row in numbers.chunks_exact_mut(69) {
            // The left knee bends by 1 +- 0.2 rad, together with the left hip.
            let bend: f32 = rng.sample(StandardNormal);
            row[9] = 1.0 + 0.2 * bend;
            row[0] = -0.5 - 0.1 * bend;
        }
        let array = Array::f32(&[400, 23, 3], numbers);
        crate::formats::npz::write_npz(&poses, &[("pose_body", &array)]).unwrap();
        let config = PriorFitConfig {
            poses,
            out: folder.path().join("prior.npz"),
            components: 2,
            iterations: 20,
            held_out: 0.0,
            ..PriorFitConfig::default()
        };
        let fitted = fit_prior(&config, &Reporter::silent(), &Cancel::new()).unwrap();
        let read = PosePrior::read(&config.out).unwrap();
        let draw = |prior: &PosePrior, item| prior.sample(&mut stream(4, item));
        let mut knees = 0.0;
        for item in 0..500 {
            let (a, b) = (draw(&fitted, item), draw(&read, item));
            assert!((a.body_pose[3] - b.body_pose[3]).length() < 0.02);
            assert!(b.up().y > 0.9);
            // One of the knees is bent, whichever side the mirror chose.
            knees += b.body_pose[3].x.max(b.body_pose[4].x) / 500.0;
        }
        assert!((knees - 1.0).abs() < 0.08, "{knees}");
        let cancel = Cancel::new();
        cancel.cancel();
        assert!(matches!(fit_prior(&config, &Reporter::silent(), &cancel), Err(SyntheticError::Cancelled)));
    }
}
