//! Rotations, cameras, rigid alignment, measures of meshes.

pub mod align;
pub mod camera;
pub mod mesh;
pub mod published_cameras;
pub mod rotations;
pub mod simplify;
