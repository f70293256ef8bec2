//! The lifter's weight file: safetensors (half precision), the network's layout in its metadata.

use std::path::Path;

use anyhow::{Context, bail};
use burn::store::{FloatCastAdapter, HalfPrecisionAdapter, ModuleSnapshot, SafetensorsStore};
use burn::tensor::{DType, Device};
use safetensors::SafeTensors;

use super::config::LifterConfig;
use super::network::LifterNetwork;
use crate::formats::atomic::write_atomic;

/// Key of the layout in the file's metadata.
const CONFIG_KEY: &str = "humanifold_lifter";

/// Writes weights and layout; the file appears whole or not at all.
///
/// # Errors
/// Where the weights cannot be encoded or the file cannot be written.
pub fn save(network: &LifterNetwork, config: &LifterConfig, path: &Path) -> anyhow::Result<()> {
    let mut store = SafetensorsStore::from_bytes(None)
        .metadata(CONFIG_KEY, serde_json::to_string(config)?)
        .with_to_adapter(HalfPrecisionAdapter::new());
    network.save_into(&mut store).map_err(|error| anyhow::anyhow!("weights cannot be encoded: {error}"))?;
    let bytes = store.get_bytes().map_err(|error| anyhow::anyhow!("weights cannot be encoded: {error}"))?;
    Ok(write_atomic(path, &bytes)?)
}

/// Reads a weight file.
///
/// # Errors
/// A missing, truncated or foreign file; missing tensors or wrong shapes; numbers that are not finite.
pub fn load(path: &Path, device: &Device) -> anyhow::Result<(LifterNetwork, LifterConfig)> {
    let bytes = std::fs::read(path)
        .map_err(|error| anyhow::anyhow!("weights cannot be read ({error}): {}", path.display()))?;
    parse(bytes, device).map_err(|error| {
        anyhow::anyhow!(
            "not usable as weights of the default estimator ({error:#}); expected a whole file that \
             `humanifold train` wrote: {}",
            path.display()
        )
    })
}

fn parse(bytes: Vec<u8>, device: &Device) -> anyhow::Result<(LifterNetwork, LifterConfig)> {
    let (_, metadata) = SafeTensors::read_metadata(&bytes)?;
    let config = metadata
        .metadata()
        .as_ref()
        .and_then(|entries| entries.get(CONFIG_KEY))
        .with_context(|| format!("the metadata hold no `{CONFIG_KEY}` (another network's weights?)"))?;
    let config: LifterConfig = serde_json::from_str(config)?;
    let widths = [config.width, config.inner, config.distribution_width, config.picture_hidden];
    if widths.iter().chain(&config.picture_widths).any(|n| !(1..=8192).contains(n))
        || config.blocks > 64
        || !(config.distance_m > 0.5 && config.distance_m.is_finite())
    {
        bail!("the layout in the metadata is out of range");
    }
    let mut network = config.init(device);
    check_shapes(&network, &SafeTensors::deserialize(&bytes)?)?;
    let mut store =
        SafetensorsStore::from_bytes(Some(bytes)).with_from_adapter(FloatCastAdapter::to(DType::F32));
    network.load_from(&mut store).map_err(|error| anyhow::anyhow!("{error}"))?;
    if !network.is_finite() {
        bail!("a weight is not a finite number");
    }
    Ok((network, config))
}

/// Said here in a line; burn would say it in a table.
fn check_shapes(network: &LifterNetwork, file: &SafeTensors) -> anyhow::Result<()> {
    let mut missing = Vec::new();
    for wanted in network.collect(None, None, false) {
        let expected: Vec<usize> = wanted.shape.to_vec();
        match file.tensor(&wanted.name) {
            Err(_) => missing.push(wanted.name.clone()),
            Ok(found) if found.shape() != expected => {
                bail!("tensor `{}` has shape {:?}, expected {expected:?}", wanted.name, found.shape())
            }
            Ok(_) => {}
        }
    }
    match missing.as_slice() {
        [] => Ok(()),
        [first, ..] => bail!("tensor `{first}` is missing, one of {}", missing.len()),
    }
}
