//! Kinds of `default_body` and `body_model`: the body, rotations, cameras, joint sets.

use crate::case::{Case, CaseResult};

pub fn kinds() -> Vec<(&'static str, fn(&Case) -> CaseResult)> {
    Vec::new()
}
