//! What bodies wear on the stage: the calm default outfit, as the shaders want it.

use bevy::mesh::MeshVertexAttribute;
use bevy::prelude::{Mesh, Vec4};
use bevy::render::render_resource::{ShaderType, VertexFormat};

use crate::body::{BodyModel, MannequinExtras};
use crate::raster::light::linear;
use crate::raster::outfit::Outfit;

/// Soft masks of upper and lower garment, shoes and hair.
pub const COVER: MeshVertexAttribute = MeshVertexAttribute::new("Cover", 0x48_66_01, VertexFormat::Float32x4);
/// Along the sleeve, the leg and the trunk.
pub const COORDS: MeshVertexAttribute =
    MeshVertexAttribute::new("Coords", 0x48_66_02, VertexFormat::Float32x3);

/// Linear colours, and in the last number of garments their length.
#[derive(ShaderType, Clone, Copy, Debug, PartialEq)]
pub struct OutfitLook {
    hair: Vec4,
    upper: Vec4,
    lower: Vec4,
    shoes: Vec4,
}

impl Default for OutfitLook {
    fn default() -> Self {
        let outfit = Outfit::default();
        let shoes = outfit.shoes.unwrap_or(outfit.skin);
        Self {
            hair: linear(outfit.hair).extend(1.0),
            upper: linear(outfit.upper.colour).extend(outfit.upper.length),
            lower: linear(outfit.lower.colour).extend(outfit.lower.length),
            shoes: linear(shoes).extend(1.0),
        }
    }
}

/// Linear colours of skin, brows, lips and eyes, one a point.
pub fn skin_colours(extras: &MannequinExtras) -> Vec<[f32; 4]> {
    let outfit = Outfit::default();
    let mut colours = vec![linear(outfit.skin); extras.cloth_coords.len()];
    let layers: [(&str, [u8; 3], f32); 5] = [
        ("brow", outfit.hair, 0.75),
        ("lips", outfit.lips, 0.8),
        ("eye", [226, 220, 214], 1.0),
        ("iris", outfit.iris, 1.0),
        ("pupil", [14, 12, 12], 1.0),
    ];
    for (mask, colour, strength) in layers {
        let colour = linear(colour);
        for (out, share) in colours.iter_mut().zip(extras.mask(mask)) {
            *out = out.lerp(colour, share * strength);
        }
    }
    colours.into_iter().map(|colour| colour.extend(1.0).to_array()).collect()
}

/// Adds what the shaders need to know of clothes; bodies without masks have none.
pub fn with_clothes(mesh: Mesh, model: &BodyModel) -> Mesh {
    let count = model.num_vertices();
    let (cover, coords) = match &model.extras {
        None => (vec![[0.0; 4]; count], vec![[-1.0; 3]; count]),
        Some(extras) => {
            let masks = ["upper_long", "trousers", "shoes", "hair"].map(|name| extras.mask(name));
            let cover = (0..count).map(|v| masks.map(|mask| mask.get(v).copied().unwrap_or(0.0))).collect();
            (cover, extras.cloth_coords.clone())
        }
    };
    mesh.with_inserted_attribute(COVER, cover).with_inserted_attribute(COORDS, coords)
}
