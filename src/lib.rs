//! humanifold: a photo of a person in, the distribution of 3D bodies that it allows out.
//!
//! The rooms, in the order in which data passes through them.
//! A room uses only rooms above it; `tests/architecture.rs` holds the table.
//! Inside: y up, metres, right-handed, the camera looks along −z; pictures start at the top left.

/// Events, cancelling and newest-value slots that every long job shares.
pub mod progress;

/// Bytes to arrays and files, and back.
pub mod formats;

/// Rotations, cameras, alignment, measures of meshes.
pub mod geometry;

/// The device networks run on, weight files, the fast CPU convolution.
pub mod tensors;

/// SMPL's mathematics for the built-in body and for licensed files; joint sets; parts.
pub mod body;

/// Photo to people with 17 COCO keypoints.
pub mod keypoints;

/// CPU z-buffer: parts, silhouettes, depth, normals, lit colour.
pub mod raster;

/// Training data made on the fly.
pub mod synthetic;

/// Keypoints and picture to a distribution over bodies, and its refinement.
pub mod estimators;

/// The loop that all trainable things share, and the trainers.
pub mod training;

/// Metrics, protocols and data sets.
pub mod evaluation;

/// Pictures and plots written to files.
pub mod figures;

/// Jobs with events, progress and cancel, shared by command line and window.
pub mod tasks;

/// One file a command.
pub mod cli;

/// The window.
#[cfg(feature = "viewer")]
pub mod app;
