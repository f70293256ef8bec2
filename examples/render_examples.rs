//! Draws the example pictures of `assets/photos/`: `cargo run --release --example render_examples -- FOLDER`.

use std::path::PathBuf;

use anyhow::{Context, Result};
use humanifold::body::BodyModel;
use humanifold::formats::atomic::write_atomic;
use humanifold::synthetic::augment::jpeg_bytes;
use humanifold::synthetic::examples::example_photos;
use humanifold::synthetic::photo::photograph;

fn main() -> Result<()> {
    let folder = std::env::args_os().nth(1).map_or_else(|| PathBuf::from("assets/photos"), PathBuf::from);
    std::fs::create_dir_all(&folder)?;
    let model = BodyModel::default_body()?;
    for (name, plan) in example_photos(&model) {
        let picture = photograph(&model, &plan);
        let bytes = jpeg_bytes(&picture, 90).context("the picture could not be encoded")?;
        write_atomic(&folder.join(format!("{name}.jpg")), &bytes)?;
    }
    Ok(())
}
