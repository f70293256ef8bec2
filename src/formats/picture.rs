//! Pictures as the rest of the program sees them.

use std::path::PathBuf;
use std::sync::Arc;

/// An RGB picture, 8 bits a channel, row-major, (0, 0) at the top-left pixel's corner, upright
/// (an orientation tag is already applied). Cheap to clone.
#[derive(Clone, Debug)]
pub struct Picture {
    pub width: usize,
    pub height: usize,
    /// `height * width * 3` bytes.
    pub rgb: Arc<Vec<u8>>,
    /// The file it was read from, if any.
    pub path: Option<PathBuf>,
}
