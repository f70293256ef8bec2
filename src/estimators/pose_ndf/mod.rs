//! Pose-NDF's released networks: a distance of body poses from plausible ones, read from the authors' checkpoints and
//! configs (their released layout, the older one with weight norm, and NRDF's).
//!
//! config.yaml ──[`config`]──▶ sizes        checkpoint ──[`network`]──▶ [`PoseNdf`] ──▶ distance of 21 quaternions

pub mod config;
pub mod network;

pub use config::{Activation, PoseNdfConfig};
pub use network::{ParentTable, PoseNdf};
