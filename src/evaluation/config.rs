//! What can be chosen for an evaluation; the same struct serves command line and form.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::estimators::optimise::OptimiseConfig;

/// What to measure on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EvaluateData {
    /// Rendered people whose bodies are known
    Synthetic,
    /// Photos with labelled keypoints
    People,
    /// The detector alone on photos with labelled keypoints
    Detector,
    /// The detector alone on rendered people, beside the sampler of its errors
    DetectorNoise,
}

/// An evaluation of the default estimator and its refinement.
#[derive(Clone, Debug, PartialEq, clap::Args, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EvaluateConfig {
    /// What to measure on
    #[arg(long, value_enum, default_value_t = EvaluateData::Synthetic)]
    pub data: EvaluateData,
    /// Poses of the rendered people (npz); the built-in pose prior where none is given
    #[arg(long, value_name = "FILE")]
    pub poses: Option<PathBuf>,
    /// Poses that the two baselines know (npz); the built-in pose prior where none is given
    #[arg(long, value_name = "FILE")]
    pub train_poses: Option<PathBuf>,
    /// Views of those poses among which the nearest is sought
    #[arg(long, default_value_t = 50_000)]
    pub views: usize,
    /// Folder with `people.json` and its pictures
    #[arg(long, value_name = "DIR")]
    pub people: Option<PathBuf>,
    /// Rendered people
    #[arg(short, long, default_value_t = 2000)]
    pub n: usize,
    /// Samples a person
    #[arg(long, default_value_t = 100)]
    pub samples: usize,
    /// Share of renders that cut off a part of the person
    #[arg(long, default_value_t = 0.0)]
    pub truncated: f32,
    /// Photos without people, to stand behind half of the rendered ones
    #[arg(long, value_name = "DIR")]
    pub backgrounds: Option<PathBuf>,
    /// Start of the random numbers
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Weights of the estimator; the shipped ones where none are given
    #[arg(long, value_name = "FILE")]
    pub weights: Option<PathBuf>,
    /// Disturb the true keypoints as the detector would instead of rendering and detecting (fast)
    #[arg(long)]
    pub simulated: bool,
    /// Keep the detector's keypoints of the renders in this file and read them from there the next time
    #[arg(long, value_name = "FILE")]
    pub keypoints_cache: Option<PathBuf>,
    /// Write each rendered person's numbers into this file, a JSON line a person
    #[arg(long, value_name = "FILE")]
    pub each: Option<PathBuf>,
    /// Settings of the refinement, as JSON
    #[arg(long, value_name = "JSON", value_parser = parse_refinement, default_value = "{}")]
    pub refinement: OptimiseConfig,
}

impl Default for EvaluateConfig {
    fn default() -> Self {
        Self {
            data: EvaluateData::Synthetic,
            poses: None,
            train_poses: None,
            views: 50_000,
            people: None,
            n: 2000,
            samples: 100,
            truncated: 0.0,
            backgrounds: None,
            seed: 1,
            weights: None,
            simulated: false,
            keypoints_cache: None,
            each: None,
            refinement: OptimiseConfig::default(),
        }
    }
}

fn parse_refinement(text: &str) -> Result<OptimiseConfig, String> {
    serde_json::from_str(text).map_err(|error| error.to_string())
}
