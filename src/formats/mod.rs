//! Bytes to arrays and files, and back.
//!
//! file ──▶ limits checked ──▶ arrays, pictures ──▶ the rooms below
//! results ──▶ a temporary file beside the target ──▶ renamed over it

pub mod acclaim;
pub mod array;
pub mod atomic;
pub mod bvh;
pub mod error;
pub mod glb;
pub mod glb_skin;
mod items;
pub mod json;
pub mod keypoint_json;
pub mod matlab;
pub mod model_files;
pub mod motion;
pub mod npy;
mod npy_header;
pub mod npz;
pub mod pickle;
pub mod picture;
pub mod pw3d;
pub mod recognise;
pub mod registry;
pub mod safetensors;
pub mod torch;
pub mod values;
mod zip_reader;

pub use array::{Array, ArrayData};
pub use error::{FormatError, Limits, read_bytes};
pub use npz::Npz;
pub use picture::Picture;
