//! Rotations, cameras, rigid alignment, measures of meshes.

pub mod camera;
