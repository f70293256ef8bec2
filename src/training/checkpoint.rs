//! What a run leaves beside its weights: the optimiser's state, the step, the curve.

use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow, ensure};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use serde::{Deserialize, Serialize};

use super::TrainConfig;
use super::adamw::Descent;
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
    /// Steps in which the distribution learnt too.
    #[serde(default)]
    pub distribution_steps: u64,
    pub threads: usize,
    /// What ran the network, for people.
    #[serde(default)]
    pub device: String,
    pub curve: Vec<CurvePoint>,
}

fn beside(weights: &Path, ending: &str) -> PathBuf {
    weights.with_extension(ending)
}

/// Where the record lies.
pub fn record_path(weights: &Path) -> PathBuf {
    beside(weights, "json")
}

/// Names of a checkpoint's arrays.
const ARRAYS: [&str; 4] = ["weights", "averaged", "first", "second"];

/// Writes weights (full precision), what the optimiser remembers, and the record, each file whole or not at all.
///
/// # Errors
/// Where something cannot be encoded or written.
pub fn save(descent: &Descent, record: &RunRecord, weights: &Path) -> anyhow::Result<()> {
    let arrays = [&descent.weights, &descent.averaged, &descent.first, &descent.second];
    let bytes = arrays.map(|array| array.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>());
    let views = ARRAYS
        .iter()
        .zip(&bytes)
        .map(|(name, bytes)| Ok((*name, TensorView::new(Dtype::F32, vec![bytes.len() / 4], bytes)?)))
        .collect::<anyhow::Result<Vec<_>>>()?;
    write_atomic(&beside(weights, "checkpoint.safetensors"), &safetensors::serialize(views, None)?)?;
    save_record(record, weights)
}

/// Writes the record alone.
///
/// # Errors
/// Where it cannot be written.
pub fn save_record(record: &RunRecord, weights: &Path) -> anyhow::Result<()> {
    Ok(write_atomic(&record_path(weights), serde_json::to_string_pretty(record)?.as_bytes())?)
}

/// Reads what [`save`] wrote for a network of `len` numbers.
///
/// # Errors
/// Where a file is missing or does not fit the network.
pub fn load(len: usize, weights: &Path) -> anyhow::Result<(Descent, RunRecord)> {
    let record = record_path(weights);
    let text = std::fs::read_to_string(&record).map_err(|error| {
        anyhow!("no run to go on from ({error}): start one without --resume: {}", record.display())
    })?;
    let record: RunRecord = serde_json::from_str(&text)
        .map_err(|error| anyhow!("not the record of a run ({error}): {}", record.display()))?;
    let path = beside(weights, "checkpoint.safetensors");
    let bytes =
        std::fs::read(&path).with_context(|| format!("checkpoint cannot be read: {}", path.display()))?;
    let descent =
        parse(&bytes, len).with_context(|| format!("not usable as checkpoint: {}", path.display()))?;
    Ok((descent, record))
}

fn parse(bytes: &[u8], len: usize) -> anyhow::Result<Descent> {
    let tensors = SafeTensors::deserialize(bytes)?;
    let array = |name: &str| -> anyhow::Result<Vec<f32>> {
        let view = tensors.tensor(name)?;
        ensure!(view.dtype() == Dtype::F32 && view.shape() == [len], "`{name}` is not {len} numbers");
        Ok(view.data().as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect())
    };
    let [weights, averaged, first, second] = ARRAYS.map(array);
    Ok(Descent { weights: weights?, averaged: averaged?, first: first?, second: second? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_saved_is_read_again_and_other_sizes_are_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("lifter.safetensors");
        let mut descent = Descent::new(vec![1.0, -2.5, 3.0]);
        descent.second[1] = 0.25;
        let record = RunRecord {
            config: TrainConfig::default(),
            step: 7,
            seconds: 1.5,
            examples: 14,
            distribution_steps: 3,
            threads: 2,
            device: "CPU".into(),
            curve: Vec::new(),
        };
        save(&descent, &record, &path).expect("written");
        let (again, known) = load(3, &path).expect("read");
        assert_eq!(again, descent);
        assert_eq!((known.step, known.distribution_steps), (7, 3));
        assert!(load(4, &path).is_err());
    }
}
