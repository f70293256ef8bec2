//! Kind `formats`: files of numbers and the readers of data sets.

use crate::case::{Case, CaseResult};

pub fn kinds() -> Vec<(&'static str, fn(&Case) -> CaseResult)> {
    Vec::new()
}
