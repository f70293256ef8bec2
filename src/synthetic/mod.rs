//! Training data made on the fly: people in random poses, shapes, clothes and light before random cameras.
//!
//! [`PoseSource`] + shape + [`CameraConfig`] ──[`LiftingSampler`]──▶ keypoints and 3D truth, no picture
//!       + clothes, light, surroundings ──[`SceneMaker`]──▶ picture and [`SyntheticTruth`]
//! Item `i` of seed `s` is a function of (s, i) alone: threads and order never change it.

pub mod augment;
pub mod backdrop;
pub mod boxes;
pub mod camera;
pub mod clothes;
pub mod detector_noise;
pub mod error_bank;
pub mod examples;
mod gaussian;
pub mod lifting;
mod light;
pub mod noise_fit;
pub mod noise_measure;
pub mod obstacles;
pub mod occlusion;
pub mod photo;
pub mod pose_file;
pub mod poses;
pub mod prior;
pub mod scene;
pub mod shape;
pub mod truth;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

pub use augment::AugmentConfig;
pub use camera::{CameraConfig, Viewpoint};
pub use detector_noise::DetectorNoise;
pub use lifting::{LiftingSample, LiftingSampler};
pub use occlusion::Visibility;
pub use pose_file::PoseFile;
pub use poses::{PoseSource, WorldPose};
pub use prior::{PosePrior, PriorFitConfig, fit_prior};
pub use scene::{SceneBuffers, SceneConfig, SceneMaker, SceneSample};
pub use shape::sample_betas;
pub use truth::SyntheticTruth;

use crate::formats::FormatError;
use crate::keypoints::KeypointError;

/// The random stream of one item.
pub fn stream(seed: u64, item: u64) -> ChaCha8Rng {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(item);
    rng
}

#[derive(Debug, thiserror::Error)]
pub enum SyntheticError {
    #[error(transparent)]
    Format(#[from] FormatError),
    #[error("{0}")]
    Poses(String),
    #[error("{0}")]
    Backgrounds(String),
    #[error(transparent)]
    Detector(#[from] KeypointError),
    #[error("cancelled")]
    Cancelled,
}
