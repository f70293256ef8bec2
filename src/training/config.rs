//! What can be chosen for a training run; the same struct serves command line, form and file.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::lifter::loss::LossWeights;
use crate::estimators::lifter::LifterConfig;
use crate::estimators::lifter::config::InputKind;
use crate::tensors::device::DeviceChoice;

/// A training run of the default estimator.
#[derive(Clone, Debug, PartialEq, clap::Args, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TrainConfig {
    /// Poses to train on (npz with `pose_body` and `root_orient`); the built-in pose prior where none is given
    #[arg(long, value_name = "FILE")]
    pub poses: Option<PathBuf>,
    /// Poses of other people to report the error on during training
    #[arg(long, value_name = "FILE")]
    pub validation: Option<PathBuf>,
    /// Where the weights go; checkpoints and the curve lie beside them
    #[arg(long, value_name = "FILE", default_value = "trained/lifter.safetensors")]
    pub out: PathBuf,
    /// Steps to take
    #[arg(long, default_value_t = 30_000)]
    pub steps: u64,
    /// Stop after this many minutes, the learning rate falling to zero by then
    #[arg(long)]
    pub minutes: Option<f64>,
    /// People a step
    #[arg(long, default_value_t = 512)]
    pub batch: usize,
    /// Highest learning rate
    #[arg(long, default_value_t = 1.5e-3)]
    pub learning_rate: f64,
    /// Share of the run after which the spread is learnt too
    #[arg(long, default_value_t = 0.5)]
    pub distribution_from: f64,
    /// Share of people with true instead of detected keypoints
    #[arg(long, default_value_t = 0.3)]
    pub clean: f32,
    /// What the detector said of renders (kept by `evaluate --data detector-noise --keypoints-cache FILE`): half of the
    /// disturbed people then err like those
    #[arg(long, value_name = "FILE")]
    pub detections: Option<PathBuf>,
    /// Where the network runs; auto times a few steps and takes the fastest
    #[arg(long, value_enum, ignore_case = true, default_value_t)]
    pub device: DeviceChoice,
    /// What the network reads
    #[arg(long, value_enum, default_value_t)]
    pub input: InputKind,
    /// Renders that a network which reads pictures is trained on
    #[arg(long, default_value_t = 40_000)]
    pub pictures: usize,
    /// Keep these renders in this file and read them from there the next time
    #[arg(long, value_name = "FILE")]
    pub pictures_cache: Option<PathBuf>,
    /// Start of the random numbers
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Minutes between checkpoints
    #[arg(long, default_value_t = 3.0)]
    pub checkpoint_minutes: f64,
    /// Go on from the checkpoint beside the weights
    #[arg(long)]
    pub resume: bool,
    /// Start from these weights
    #[arg(long, value_name = "FILE")]
    pub from: Option<PathBuf>,
    /// Take the network that reads the picture from these weights
    #[arg(long, value_name = "FILE")]
    pub picture_from: Option<PathBuf>,
    #[arg(skip)]
    pub network: LifterConfig,
    #[arg(skip)]
    pub loss: LossWeights,
}

impl Default for TrainConfig {
    fn default() -> Self {
        Self {
            poses: None,
            validation: None,
            out: PathBuf::from("trained/lifter.safetensors"),
            steps: 30_000,
            minutes: None,
            batch: 512,
            learning_rate: 1.5e-3,
            distribution_from: 0.5,
            clean: 0.3,
            detections: None,
            device: DeviceChoice::Auto,
            input: InputKind::Keypoints,
            pictures: 40_000,
            pictures_cache: None,
            seed: 1,
            checkpoint_minutes: 3.0,
            resume: false,
            from: None,
            picture_from: None,
            network: LifterConfig::default(),
            loss: LossWeights::default(),
        }
    }
}
