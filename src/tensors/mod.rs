//! What networks share: the device they run on, weight files, the convolution burn does slowly on a CPU.
//!
//! [`device`] chooses where a job runs, [`conv`] and [`norm`] are the layers of every picture network, [`weights`] fills
//! modules from files and writes them, [`product`] multiplies matrices of those who need no tensors.

use std::path::PathBuf;

pub mod conv;
pub mod device;
pub mod norm;
pub mod product;
pub mod weights;

/// What can go wrong between a user's choice of device or weight file and a network that runs.
#[derive(Debug, thiserror::Error)]
pub enum TensorError {
    #[error("this build has no {wanted} support: build with --features {feature}, or choose cpu")]
    NotBuilt { wanted: &'static str, feature: &'static str },
    #[error("no {0} device was found on this machine: check its driver, or choose cpu")]
    NoDevice(&'static str),
    #[error("the {wanted} device does not run ({reason}): update its driver, or choose cpu")]
    DeviceFails { wanted: &'static str, reason: String },

    #[error("cannot read weights: {reason}: {path}")]
    Read { reason: std::io::Error, path: PathBuf },
    #[error("not a whole safetensors file ({reason}); fetch it again: {path}")]
    Malformed { reason: String, path: PathBuf },
    #[error("weights {name} have {dtype} values, expected floats: {path}")]
    NotFloat { name: String, dtype: String, path: PathBuf },
    #[error("weights {name} hold a value that is not finite at element {element}: {path}")]
    NotFinite { name: String, element: usize, path: PathBuf },
    #[error("{count} weights are missing, the first is {first}: is this file for another network? {path}")]
    Missing { count: usize, first: String, path: PathBuf },
    #[error("weights {name} have shape {found:?}, the network expects {expected:?}: {path}")]
    Shape { name: String, found: Vec<usize>, expected: Vec<usize>, path: PathBuf },
    #[error(transparent)]
    Write(#[from] crate::formats::FormatError),
}
