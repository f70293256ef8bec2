//! What can be chosen for a prediction; flags of the command line and fields of the window's form.

use std::fmt;
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use serde::{Deserialize, Serialize};

use crate::body::Gender;
use crate::keypoints::Network;
use crate::tensors::device::DeviceChoice;

/// Samples beyond this would fill memory with bodies nobody looks at.
pub const MOST_SAMPLES: usize = 10_000;

/// Where keypoints come from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub enum KeypointsFrom {
    Network(Network),
    /// COCO or OpenPose JSON.
    File(PathBuf),
}

impl Default for KeypointsFrom {
    fn default() -> Self {
        Self::Network(Network::default())
    }
}

impl fmt::Display for KeypointsFrom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Network(network) => network.fmt(f),
            Self::File(path) => path.display().fmt(f),
        }
    }
}

/// A network's name, or else a path.
impl From<String> for KeypointsFrom {
    fn from(text: String) -> Self {
        Network::from_str(&text, true).map_or_else(|_| Self::File(text.into()), Self::Network)
    }
}

impl From<KeypointsFrom> for String {
    fn from(from: KeypointsFrom) -> Self {
        from.to_string()
    }
}

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

    /// Body model (SMPL, SMPL-H, SMPL-X: npz or pkl), or a folder that holds some; the built-in body without it
    #[arg(long, value_name = "FILE|DIR")]
    pub body: Option<PathBuf>,

    /// Which of that folder's bodies; without it the first there is
    #[arg(long, requires = "body", value_enum, ignore_case = true)]
    pub gender: Option<Gender>,

    /// Estimator weights: the default estimator's or HuManiFlow's (safetensors, or the authors' .tar); those that
    /// ship without it
    #[arg(long, value_name = "FILE")]
    pub weights: Option<PathBuf>,

    /// Whose keypoints: movenet, which ships; hrnet, the published systems' own, where its file is there; or those
    /// of a COCO or OpenPose JSON file
    #[arg(long, default_value_t = KeypointsFrom::default(), value_name = "movenet|hrnet|FILE")]
    pub keypoints: KeypointsFrom,

    /// Leave the estimate as the network gives it
    #[arg(long)]
    pub no_refine: bool,

    /// Where networks run
    #[arg(long, value_enum, ignore_case = true, default_value_t)]
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
            gender: None,
            weights: None,
            keypoints: KeypointsFrom::default(),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keypoints_come_from_a_network_or_a_file() {
        let from = |text: &str| KeypointsFrom::from(text.to_owned());
        assert_eq!(from("movenet"), KeypointsFrom::default());
        assert_eq!(from("HRNet"), KeypointsFrom::Network(Network::Hrnet));
        assert_eq!(from("./hrnet"), KeypointsFrom::File("./hrnet".into()));
        let config = PredictConfig { keypoints: from("people.json"), ..PredictConfig::default() };
        let text = serde_json::to_string(&config).unwrap();
        assert_eq!(serde_json::from_str::<PredictConfig>(&text).unwrap(), config);
    }
}
