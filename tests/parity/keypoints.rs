//! Kinds of `keypoints`: detector, crops, mask.

use crate::case::{Case, CaseResult};

pub fn kinds() -> Vec<(&'static str, fn(&Case) -> CaseResult)> {
    Vec::new()
}
