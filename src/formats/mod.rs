//! Bytes to arrays and files, and back.
//!
//! file ──▶ limits checked ──▶ arrays, pictures ──▶ the rooms below
//! results ──▶ a temporary file beside the target ──▶ renamed over it

pub mod array;
pub mod atomic;
pub mod error;
pub mod glb;
mod items;
pub mod json;
pub mod keypoint_json;
pub mod model_files;
pub mod motion;
pub mod npy;
mod npy_header;
pub mod npz;
pub mod pickle;
pub mod picture;

pub use array::{Array, ArrayData};
pub use error::{FormatError, Limits};
pub use npz::Npz;
pub use picture::Picture;
