//! Bodies: SMPL's mathematics, joint sets, parts.
//!
//! file ──[`files`], [`load`]──▶ [`BodyModel`] ──[`posing`]──▶ [`Posed`] ──▶ COCO-17, Human3.6M-17, the published 90
//!                        ├──[`keypoint_chain`]──▶ joints and keypoints without a mesh, with gradients
//!                        └──[`tensor`]──▶ joints and points of a batch, with autodiff

pub mod arrays;
pub mod correctives;
pub mod error;
pub mod extras;
pub mod files;
pub mod folders;
pub mod hands;
pub mod joint_maps;
pub mod joint_sets;
pub mod keypoint_chain;
pub mod load;
pub mod measure;
pub mod model;
pub mod motion;
pub mod pose_layouts;
pub mod posing;
pub mod shape_statistics;
pub mod skin;
pub mod sparse;
pub mod state;
pub mod tensor;

pub use error::BodyError;
pub use extras::MannequinExtras;
pub use folders::Gender;
pub use load::LoadOptions;
pub use measure::BodyMeasures;
pub use model::{BodyModel, Family};
pub use posing::{PoseInput, Posed};
pub use shape_statistics::{Sex, ShapeStatistics};
pub use sparse::SparseRows;
pub use state::{BodyState, Trajectory};
