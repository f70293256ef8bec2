//! What can be wrong with a file, and how much of one the readers accept.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Why a file was refused. The variants are the words a caller can tell apart; the text says what was wrong,
/// what was expected and, last, in which file.
#[derive(Clone, Debug, thiserror::Error)]
pub enum FormatError {
    /// Damaged, cut, in contradiction with itself, or not of that format.
    #[error("{0}")]
    Malformed(Detail),
    /// Passes a limit, or names something that is never read.
    #[error("{0}")]
    Unsafe(Detail),
    /// Sizes that do not fit each other or what is asked for.
    #[error("{0}")]
    Shape(Detail),
    /// A key or file that is needed is not there.
    #[error("{0}")]
    Missing(Detail),
    /// Well-formed, but a value or variant that this program does not take.
    #[error("{0}")]
    Value(Detail),
    /// The operating system refused.
    #[error("cannot {action}: {source}: {}", path.display())]
    Io { action: &'static str, source: Arc<io::Error>, path: PathBuf },
}

/// What was wrong, and where.
#[derive(Clone, Debug, Default)]
pub struct Detail {
    pub what: String,
    pub path: Option<PathBuf>,
}

impl fmt::Display for Detail {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.what)?;
        match &self.path {
            Some(path) => write!(out, ": {}", path.display()),
            None => Ok(()),
        }
    }
}

impl FormatError {
    pub fn malformed(what: impl Into<String>) -> Self {
        Self::Malformed(Detail { what: what.into(), path: None })
    }

    pub fn unsafe_input(what: impl Into<String>) -> Self {
        Self::Unsafe(Detail { what: what.into(), path: None })
    }

    pub fn shape(what: impl Into<String>) -> Self {
        Self::Shape(Detail { what: what.into(), path: None })
    }

    pub fn missing(what: impl Into<String>) -> Self {
        Self::Missing(Detail { what: what.into(), path: None })
    }

    pub fn value(what: impl Into<String>) -> Self {
        Self::Value(Detail { what: what.into(), path: None })
    }

    pub fn io(action: &'static str, source: io::Error, path: &Path) -> Self {
        Self::Io { action, source: Arc::new(source), path: path.to_owned() }
    }

    /// The same error with the file named, unless one is named already.
    pub fn at(mut self, file: &Path) -> Self {
        if let Some(detail) = self.detail_mut() {
            detail.path.get_or_insert_with(|| file.to_owned());
        }
        self
    }

    /// The same error with the part of the file ("array `poses`") said first.
    pub fn within(mut self, part: &str) -> Self {
        if let Some(detail) = self.detail_mut() {
            detail.what = format!("{part}: {}", detail.what);
        }
        self
    }

    /// One word for tests and machine-readable output.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Malformed(_) => "malformed",
            Self::Unsafe(_) => "unsafe",
            Self::Shape(_) => "shape",
            Self::Missing(_) => "missing",
            Self::Value(_) => "value",
            Self::Io { .. } => "io",
        }
    }

    fn detail_mut(&mut self) -> Option<&mut Detail> {
        match self {
            Self::Malformed(detail)
            | Self::Unsafe(detail)
            | Self::Shape(detail)
            | Self::Missing(detail)
            | Self::Value(detail) => Some(detail),
            Self::Io { .. } => None,
        }
    }
}

/// How much of a file is accepted. Sizes promised by a file are compared with these and with the bytes
/// there before anything is allocated.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// One array, tensor or inflated member.
    pub max_array_bytes: u64,
    /// Sum of the sizes declared in one file.
    pub max_total_bytes: u64,
    /// Members of an archive.
    pub max_entries: u64,
    /// Nesting of values.
    pub max_depth: u64,
    /// Values met when a result is walked with sharing undone.
    pub max_nodes: u64,
    /// Bits of one integer.
    pub max_int_bits: u64,
    /// How many times its own size the arrays of a file may take that holds them as they are (pickles, checkpoints) …
    pub max_expansion: u64,
    /// … beyond this, which any file may take. Deflated data expand as far as deflate can.
    pub free_bytes: u64,
}

impl Limits {
    /// Bytes that the arrays of an undeflated file of that length may take together.
    pub fn budget(&self, file_bytes: usize) -> u64 {
        (file_bytes as u64)
            .saturating_mul(self.max_expansion)
            .saturating_add(self.free_bytes)
            .min(self.max_total_bytes)
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_array_bytes: 2 << 30,
            max_total_bytes: 8 << 30,
            max_entries: 65_536,
            max_depth: 128,
            max_nodes: 4_000_000,
            max_int_bits: 4096,
            max_expansion: 3,
            free_bytes: 32 << 20,
        }
    }
}

/// Bytes of a whole file.
///
/// # Errors
/// `Missing` where there is none, `Io`.
pub fn read_bytes(path: &Path) -> Result<Vec<u8>, FormatError> {
    std::fs::read(path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => FormatError::missing("no such file").at(path),
        _ => FormatError::io("read", error, path),
    })
}
