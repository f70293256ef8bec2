//! What estimates are made with: the default estimator and its refiner, with the weights that ship or others.

use std::path::Path;
use std::sync::Arc;

use burn::tensor::Device;

use super::live::Engine;
use crate::body::BodyModel;
use crate::estimators::Estimator;
use crate::estimators::humaniflow::estimator::HumaniflowEstimator;
use crate::estimators::humaniflow::weights::looks_like_humaniflow;
use crate::estimators::lifter::Lifter;
use crate::estimators::optimise::{OptimiseConfig, Reprojection};

/// Loads an estimator and its refiner for the built-in body; `None` takes the weights that ship. A file says by
/// its tensors which system it is for: the lifter or HuManiFlow.
///
/// # Errors
/// Where weights or body are missing or damaged.
pub fn load_engine(weights: Option<&Path>) -> anyhow::Result<Engine> {
    load_engine_for(weights, &*BodyModel::default_body()?)
}

/// As [`load_engine`], for another body of SMPL's form.
///
/// # Errors
/// Where the weights are missing or damaged, or the body has other joints than SMPL's 24.
pub fn load_engine_for(weights: Option<&Path>, body: &BodyModel) -> anyhow::Result<Engine> {
    let estimator: Arc<dyn Estimator> = match weights {
        Some(path) if looks_like_humaniflow(path) => {
            Arc::new(HumaniflowEstimator::load(path, &Device::flex())?)
        }
        _ => Arc::new(Lifter::with_body(weights, body)?),
    };
    let refiner = Reprojection::new(body, OptimiseConfig::default())?;
    Ok(Engine { estimator, refiner: Some(Arc::new(refiner)) })
}
