//! What a run leaves beside its weights: the optimiser's state, the step, the curve.

use std::path::{Path, PathBuf};

use anyhow::anyhow;
use burn::module::Module;
use burn::optim::ModuleOptimizer;
use serde::{Deserialize, Serialize};

use super::TrainConfig;
use crate::formats::atomic::write_atomic;

/// One point of the curve.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CurvePoint {
    pub step: u64,
    pub seconds: f64,
    /// Metric by name.
    pub values: std::collections::BTreeMap<String, f64>,
}

/// The run's record, written beside the weights as `.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunRecord {
    pub config: TrainConfig,
    pub step: u64,
    pub seconds: f64,
    pub examples: u64,
    pub threads: usize,
    pub curve: Vec<CurvePoint>,
}

fn beside(weights: &Path, ending: &str) -> PathBuf {
    weights.with_extension(ending)
}

/// Where the record lies.
pub fn record_path(weights: &Path) -> PathBuf {
    beside(weights, "json")
}

/// Writes network (full precision), optimiser and record, each file whole or not at all.
///
/// # Errors
/// Where something cannot be encoded or written.
pub fn save<M: Module>(
    network: &M,
    optimizer: &ModuleOptimizer,
    record: &RunRecord,
    weights: &Path,
) -> anyhow::Result<()> {
    let bytes = network.clone().into_record().into_bytes().map_err(|e| anyhow!("network: {e}"))?;
    write_atomic(&beside(weights, "network.bpk"), &bytes)?;
    let bytes = optimizer.into_bytes().map_err(|e| anyhow!("optimiser: {e}"))?;
    write_atomic(&beside(weights, "optimizer.bpk"), &bytes)?;
    save_record(record, weights)
}

/// Writes the record alone.
///
/// # Errors
/// Where it cannot be written.
pub fn save_record(record: &RunRecord, weights: &Path) -> anyhow::Result<()> {
    Ok(write_atomic(&record_path(weights), serde_json::to_string_pretty(record)?.as_bytes())?)
}

/// Reads what [`save`] wrote.
///
/// # Errors
/// Where a file is missing or does not fit the network.
pub fn load<M: Module>(
    network: M,
    optimizer: ModuleOptimizer,
    weights: &Path,
) -> anyhow::Result<(M, ModuleOptimizer, RunRecord)> {
    let record = record_path(weights);
    let text = std::fs::read_to_string(&record).map_err(|error| {
        anyhow!("no run to go on from ({error}): start one without --resume: {}", record.display())
    })?;
    let record: RunRecord = serde_json::from_str(&text)
        .map_err(|error| anyhow!("not the record of a run ({error}): {}", record.display()))?;
    let path = beside(weights, "network.bpk");
    let module = burn::store::ModuleRecord::load(&path).map_err(|e| anyhow!("{e}: {}", path.display()))?;
    let path = beside(weights, "optimizer.bpk");
    let optimizer = optimizer.load(&path).map_err(|e| anyhow!("{e}: {}", path.display()))?;
    Ok((network.load_record(module), optimizer, record))
}
