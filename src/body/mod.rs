//! Bodies: SMPL's mathematics, joint sets, parts.

pub mod state;

pub use state::{BodyState, Trajectory};
