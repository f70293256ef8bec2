//! HuManiFlow (Sengupta et al., CVPR 2023): edges and keypoint heatmaps to normalising flows on SO(3),
//! one a body part, each conditioned on the rotations of its ancestors in the kinematic tree.
//!
//! person ──[`proxy`]──▶ maps ──[`encoder`]──▶ features ──heads──▶ shape, global rotation, camera
//! ──context──▶ 23 [`flow::PartFlow`]s, root to leaf; [`estimator`] does it all, [`net`] is what training changes

pub mod config;
pub mod dense;
pub mod encoder;
pub mod estimator;
pub mod flow;
pub mod losses;
pub mod model;
pub mod net;
pub mod optimise;
pub mod proxy;
pub mod so3;
pub mod spline;
pub mod spread;
pub mod stacked;
mod tensor_spline;
pub mod transforms;
pub mod weights;

#[cfg(test)]
mod gradient_tests;
