//! Metrics, protocols and data sets: how good the default estimator is.
//!
//! [`EvaluateConfig`] ──[`evaluate`]──▶ [`Report`]: numbers by name, as JSON or as a table

pub mod baselines;
pub mod config;
mod detector;
pub mod metrics;
pub mod people;
pub mod people_2d;
pub mod synthetic;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use config::{EvaluateConfig, EvaluateData};

use crate::progress::{Cancel, Reporter};

/// Numbers by name; the names carry their units.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Report {
    pub numbers: BTreeMap<String, f64>,
}

impl std::fmt::Display for Report {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let width = self.numbers.keys().map(String::len).max().unwrap_or(0);
        for (name, value) in &self.numbers {
            writeln!(f, "{name:width$}  {value:10.3}")?;
        }
        Ok(())
    }
}

#[derive(Debug, thiserror::Error)]
pub enum EvaluateError {
    #[error("cancelled")]
    Cancelled,
    #[error("{0}")]
    Config(String),
    #[error(transparent)]
    Other(#[from] anyhow::Error),
}

/// Runs an evaluation.
///
/// # Errors
/// `Cancelled`, a config that makes no sense, files that cannot be read.
pub fn evaluate(
    config: &EvaluateConfig,
    reporter: &Reporter,
    cancel: &Cancel,
) -> Result<Report, EvaluateError> {
    if config.n == 0 {
        return Err(EvaluateError::Config("at least one person is needed (-n)".into()));
    }
    match config.data {
        EvaluateData::Synthetic => synthetic::evaluate(config, reporter, cancel),
        EvaluateData::People => people::evaluate(config, reporter, cancel),
        EvaluateData::Detector => detector::on_photos(config, reporter, cancel),
        EvaluateData::DetectorNoise => detector::on_renders(config, reporter, cancel),
    }
}
