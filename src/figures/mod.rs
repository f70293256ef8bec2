//! Pictures and plots written to files: a small kit (canvas, text, colour bar) and the figures made with it.
//!
//! estimate, posed bodies, spread ──[`estimate_figure`]──▶ cells drawn in parallel ──▶ one [`Picture`]
//!
//! [`Picture`]: crate::formats::Picture

pub mod canvas;
mod cells;
pub mod color_bar;
pub mod estimate;
pub mod skeleton;
pub mod text;

pub use canvas::Canvas;
pub use color_bar::ColorScale;
pub use estimate::{EstimateFigure, VertexSpread, estimate_figure};
