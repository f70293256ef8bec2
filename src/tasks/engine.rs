//! What estimates are made with: the estimator and its refiner, with the weights that ship or others; what finds people.

use std::path::Path;
use std::sync::Arc;

use super::live::Engine;
use crate::body::BodyModel;
use crate::estimators::Estimator;
use crate::estimators::humaniflow::estimator::HumaniflowEstimator;
use crate::estimators::humaniflow::weights::looks_like_humaniflow;
use crate::estimators::lifter::Lifter;
use crate::estimators::optimise::{OptimiseConfig, Reprojection};
use crate::keypoints::{Finder, Network};
use crate::tensors::device::{self, DeviceChoice, Job};

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
    load_engine_on(weights, body, DeviceChoice::Auto)
}

/// As [`load_engine_for`], networks running where the user wants.
///
/// # Errors
/// As [`load_engine_for`], and where a device is asked for by name and there is none.
pub fn load_engine_on(
    weights: Option<&Path>,
    body: &BodyModel,
    choice: DeviceChoice,
) -> anyhow::Result<Engine> {
    let (estimator, chosen): (Arc<dyn Estimator>, _) = match weights {
        Some(path) if looks_like_humaniflow(path) => {
            let chosen = device::choose(choice, Job::LargeInference)?;
            (Arc::new(HumaniflowEstimator::load(path, &chosen.device)?), chosen)
        }
        _ => {
            let chosen = device::choose(choice, Job::SmallInference)?;
            (Arc::new(Lifter::on_device(weights, body, chosen.device.clone())?), chosen)
        }
    };
    let refiner = Reprojection::new(body, OptimiseConfig::default())?;
    Ok(Engine { estimator, refiner: Some(Arc::new(refiner)), device: chosen.name.into() })
}

/// Loads what finds people; HRNet runs where a published estimator would.
///
/// # Errors
/// Where a network's file is missing, or a device is asked for by name and there is none.
pub fn load_finder(network: Network, choice: DeviceChoice) -> anyhow::Result<Finder> {
    let chosen = match network {
        Network::MoveNet => device::choose(DeviceChoice::Cpu, Job::SmallInference)?,
        Network::Hrnet => device::choose(choice, Job::LargeInference)?,
    };
    Ok(Finder::load(network, &chosen.device)?)
}
