//! Photo to people with 17 COCO keypoints, and to a mask of one person.
//!
//! picture ──▶ multipose at two sizes ──▶ merged candidates ──▶ thunder on a square each ──▶ `Person`s
//! chosen person ──▶ mask network ──▶ `PersonMask`
//! Entry: [`Finder`], which adds HRNet to the [`Detector`] where its file is there. MoveNet's layers are plain Rust on
//! the CPU; nothing here needs a GPU.

pub mod blazepose;
pub mod crops;
pub mod decode;
pub mod dense3x3;
pub mod detector;
pub mod feature_map;
pub mod finder;
pub mod hrnet;
pub mod kernels;
pub mod mask;
pub mod movenet;
pub mod person;
pub mod planes;
pub mod regions;
pub mod sampling;
mod weights;

use std::path::PathBuf;

pub use detector::{DetectOptions, Detector};
pub use feature_map::FeatureMap;
pub use finder::{Finder, Network};
pub use person::{COCO_KEYPOINTS, Crop, Keypoint, KeypointSource, Person, PersonMask};

use crate::formats::FormatError;

/// Index of the same joint on the other side, in COCO's order.
pub const MIRRORED: [usize; COCO_KEYPOINTS] = [0, 2, 1, 4, 3, 6, 5, 8, 7, 10, 9, 12, 11, 14, 13, 16, 15];

#[derive(Debug, thiserror::Error)]
pub enum KeypointError {
    #[error(
        "cannot read the detector's weights: {source}; check that the file is there and readable: {path}"
    )]
    Read { source: std::io::Error, path: PathBuf },
    #[error(
        "the detector's weights are not usable: {what}; take the file that ships with the program: {path}"
    )]
    Weights { what: String, path: PathBuf },
    #[error("these are not the weights of {network} ({what}): {path}")]
    OtherWeights { network: &'static str, what: String, path: PathBuf },
    /// A picture, map or box of a size that cannot be worked on.
    #[error("{0}")]
    Shape(String),
    #[error(transparent)]
    Format(#[from] FormatError),
    #[error("cancelled")]
    Cancelled,
}
