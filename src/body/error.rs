//! What can be wrong with a body file or with what is asked of a body.

use crate::formats::FormatError;

#[derive(Clone, Debug, thiserror::Error)]
pub enum BodyError {
    /// The file itself, or an array in it.
    #[error(transparent)]
    File(#[from] FormatError),
    /// Numbers of things that do not fit each other or the body.
    #[error("{0}")]
    Shape(String),
    /// A number that no body can have.
    #[error("{0}")]
    Value(String),
}

impl BodyError {
    /// One word for tests and machine-readable output.
    pub fn word(&self) -> &'static str {
        match self {
            Self::File(error) => error.word(),
            Self::Shape(_) => "shape",
            Self::Value(_) => "value",
        }
    }
}
