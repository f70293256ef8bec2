//! CPU z-buffer and what is made of it: silhouettes, parts, IUV, normals, depth, lit colour.
//!
//! vertices, faces, camera ──[`Raster`]──▶ face and barycentric weights a pixel
//!     ──passes──▶ label maps        ──[`Light`]──▶ colours        ──[`draw_body`]──▶ overlays on pictures
//! One thread a raster, no floating-point order that depends on threads: the same input gives the same pixels.

pub mod colormap;
pub mod light;
pub mod noise;
pub mod normals;
pub mod outfit;
pub mod overlay;
pub mod passes;
pub mod shadow;
pub mod view;
pub mod zbuffer;

pub use colormap::Colormap;
pub use light::Light;
pub use normals::{vertex_normals, vertex_normals_into};
pub use outfit::{Dressed, Garment, Lower, Outfit, Pattern};
pub use overlay::{Mesh, MeshStyle, Paint, draw_body, draw_mesh};
pub use shadow::{ShadowMap, SkyVisibility, SoftShadow};
pub use zbuffer::{Culling, Raster};
