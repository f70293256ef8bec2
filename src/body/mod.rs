//! Bodies: SMPL's mathematics, joint sets, parts.
//!
//! npz ──[`load`]──▶ [`BodyModel`] ──[`posing`]──▶ [`Posed`] ──▶ COCO-17, Human3.6M-17, the published 90
//!                        ├──[`keypoint_chain`]──▶ joints and keypoints without a mesh, with gradients
//!                        └──[`tensor`]──▶ joints and points of a batch, with autodiff

pub mod correctives;
pub mod error;
pub mod extras;
pub mod joint_sets;
pub mod keypoint_chain;
pub mod load;
pub mod model;
pub mod posing;
pub mod shape_statistics;
pub mod sparse;
pub mod state;

pub use error::BodyError;
pub use extras::MannequinExtras;
pub use load::LoadOptions;
pub use model::{BodyModel, Family};
pub use posing::{PoseInput, Posed};
pub use shape_statistics::{Sex, ShapeStatistics};
pub use sparse::SparseRows;
pub use state::{BodyState, Trajectory};
