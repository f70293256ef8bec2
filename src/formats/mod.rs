//! Bytes to arrays and files, and back.
//!
//! file ──▶ limits checked ──▶ arrays, pictures ──▶ the rooms below
//! results ──▶ a temporary file beside the target ──▶ renamed over it

pub mod picture;
