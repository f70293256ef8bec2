//! Photo and keypoints to a distribution over bodies ([`Estimator`]), and making an estimate agree
//! with its evidence ([`Refiner`]).
//!
//! Picture + Person ──Estimator──▶ Estimate ──Refiner──▶ Estimate + Trajectory ──▶ Uncertainty

pub mod humaniflow;
pub mod lifter;
pub mod optimise;
pub mod pose_ndf;
pub mod tangent;
pub mod uncertainty;

use std::sync::Arc;

use crate::body::{BodyState, Trajectory};
use crate::formats::picture::Picture;
use crate::geometry::camera::Camera;
use crate::keypoints::Person;
use crate::progress::Cancel;

/// What the user chooses for one estimate.
#[derive(Clone, Debug)]
pub struct EstimateOptions {
    pub samples: usize,
    pub seed: u64,
    /// Multiplies the standard deviation of the base noise; 1 is the learned distribution.
    pub temperature: f32,
}

/// The distribution over bodies that one person in one photo allows.
#[derive(Clone, Debug)]
pub struct Estimate {
    /// Point estimate, placed in the camera's space.
    pub mode: BodyState,
    /// The photo's camera.
    pub camera: Camera,
    /// Draws from the distribution, placed in the camera's space. Empty for a point regressor.
    pub samples: Vec<BodyState>,
    /// Log-density of each sample's pose.
    pub log_prob: Vec<f32>,
    /// What the network saw, with a caption each.
    pub evidence: Vec<(String, Picture)>,
    pub seed: u64,
    /// Which estimator and which weights.
    pub source: String,
    /// The steps of the refinement of the mode, where one was made.
    pub refinement: Option<Trajectory>,
    /// The predicted distribution where it is a Gaussian around the mode: what the refiner takes as prior.
    pub prior: Option<Arc<tangent::TangentGaussian>>,
}

/// One published (or own) system: photo and person in, distribution out.
pub trait Estimator: Send + Sync {
    /// Name and weights, as shown to people and written into results.
    fn name(&self) -> String;

    /// # Errors
    /// Where the input cannot be used (no visible keypoint) or `cancel` was raised.
    fn estimate(
        &self,
        picture: &Picture,
        person: &Person,
        options: &EstimateOptions,
        cancel: &Cancel,
    ) -> Result<Estimate, EstimateError>;
}

/// Makes an estimate agree with the evidence, the predicted distribution acting as prior.
pub trait Refiner: Send + Sync {
    /// Refines the mode and every sample; the mode's steps are in `Estimate::refinement`.
    ///
    /// # Errors
    /// Where `cancel` was raised.
    fn refine(
        &self,
        estimate: &Estimate,
        person: &Person,
        cancel: &Cancel,
    ) -> Result<Estimate, EstimateError>;
}

#[derive(Debug, thiserror::Error)]
pub enum EstimateError {
    #[error("only {visible} of 17 keypoints are visible, {needed} are needed: place some by hand")]
    TooFewKeypoints { visible: usize, needed: usize },
    #[error("cancelled")]
    Cancelled,
    #[error(transparent)]
    Weights(#[from] anyhow::Error),
}
