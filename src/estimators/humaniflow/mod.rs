//! HuManiFlow (Sengupta et al., CVPR 2023): edges and keypoint heatmaps to normalising flows on SO(3),
//! one a body part, each conditioned on the rotations of its ancestors in the kinematic tree.
//!
//! features ──heads──▶ shape, global rotation, camera ──context──▶ 23 [`flow::PartFlow`]s, root to leaf

pub mod config;
pub mod dense;
pub mod encoder;
pub mod flow;
pub mod model;
pub mod proxy;
pub mod so3;
pub mod spline;
pub mod transforms;
pub mod weights;
