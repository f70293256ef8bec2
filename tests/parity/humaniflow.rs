//! Kinds of `humaniflow`: flows, heads, the whole network, losses, directional variance.

use crate::case::{Case, CaseResult};

pub fn kinds() -> Vec<(&'static str, fn(&Case) -> CaseResult)> {
    Vec::new()
}
