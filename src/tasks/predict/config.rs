//! What can be chosen for a prediction; flags of the command line and fields of the window's form.

use std::path::PathBuf;

use clap::Args;
use serde::{Deserialize, Serialize};

use crate::tensors::device::DeviceChoice;

/// Samples beyond this would fill memory with bodies nobody looks at.
pub const MOST_SAMPLES: usize = 10_000;

/// Photos in, a folder of results for each person out.
#[derive(Args, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct PredictConfig {
    /// Photos, or folders of photos
    #[arg(required = true, value_name = "PHOTO")]
    pub photos: Vec<PathBuf>,

    /// Folder for the results; each person gets a folder in it
    #[arg(long, short, default_value = "out", value_name = "DIR")]
    pub out: PathBuf,

    /// The photos are already cropped to one person: look for keypoints in all of it
    #[arg(long)]
    pub cropped: bool,

    /// Everyone in the photo, not only the most prominent person
    #[arg(long)]
    pub all: bool,

    /// Bodies to draw from the distribution
    #[arg(long, default_value_t = 100, value_name = "N")]
    pub samples: usize,

    /// Seed of all randomness: the same seed gives the same files
    #[arg(long, default_value_t = 0, value_name = "S")]
    pub seed: u64,

    /// Width of the distribution: 1 as learned, 0 the point estimate only
    #[arg(long, default_value_t = 1.0, value_name = "T")]
    pub temperature: f32,

    /// Body model file (npz); the built-in body without it
    #[arg(long, value_name = "FILE")]
    pub body: Option<PathBuf>,

    /// Estimator weights: the default estimator's or HuManiFlow's (safetensors, or the authors' .tar); those that
    /// ship without it
    #[arg(long, value_name = "FILE")]
    pub weights: Option<PathBuf>,

    /// Keypoints from a COCO or OpenPose JSON file instead of the detector
    #[arg(long, value_name = "FILE")]
    pub keypoints: Option<PathBuf>,

    /// Leave the estimate as the network gives it
    #[arg(long)]
    pub no_refine: bool,

    /// Where networks run: auto, cpu, wgpu or cuda
    #[arg(long, default_value_t = DeviceChoice::Auto, value_name = "DEVICE")]
    pub device: DeviceChoice,
}

impl Default for PredictConfig {
    fn default() -> Self {
        Self {
            photos: Vec::new(),
            out: PathBuf::from("out"),
            cropped: false,
            all: false,
            samples: 100,
            seed: 0,
            temperature: 1.0,
            body: None,
            weights: None,
            keypoints: None,
            no_refine: false,
            device: DeviceChoice::Auto,
        }
    }
}

impl PredictConfig {
    /// # Errors
    /// Where a number is out of its range.
    pub fn check(&self) -> anyhow::Result<()> {
        anyhow::ensure!(
            self.samples <= MOST_SAMPLES,
            "{} samples are too many: at most {MOST_SAMPLES} are drawn",
            self.samples
        );
        anyhow::ensure!(
            self.temperature.is_finite() && (0.0..=10.0).contains(&self.temperature),
            "a temperature of {} is out of range: 0 to 10, 1 is the learned distribution",
            self.temperature
        );
        Ok(())
    }
}
