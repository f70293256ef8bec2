//! Kinds of `humaniflow`: encoder, edges, heatmaps, crops.

use crate::case::{Case, CaseResult};

pub fn kinds() -> Vec<(&'static str, fn(&Case) -> CaseResult)> {
    Vec::new()
}
