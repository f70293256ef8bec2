//! Materials of our own for bodies and floor. Bevy's standard material is four to five times slower on a software
//! adapter, and slower than need be on integrated graphics.

use bevy::asset::{load_internal_asset, uuid_handle};
use bevy::mesh::MeshVertexBufferLayoutRef;
use bevy::pbr::{MaterialPipeline, MaterialPipelineKey};
use bevy::prelude::*;
use bevy::reflect::TypePath;
use bevy::render::render_resource::{
    AsBindGroup, RenderPipelineDescriptor, ShaderType, SpecializedMeshPipelineError,
};
use bevy::render::storage::ShaderBuffer;
use bevy::shader::{Shader, ShaderRef};

use super::dress::{COORDS, COVER, OutfitLook};

const SHADING: Handle<Shader> = uuid_handle!("6a1c1b62-64dd-4f6f-9bb0-0f6a7a3c5a01");
const SRGB: Handle<Shader> = uuid_handle!("6a1c1b62-64dd-4f6f-9bb0-0f6a7a3c5a06");
const BODY: Handle<Shader> = uuid_handle!("6a1c1b62-64dd-4f6f-9bb0-0f6a7a3c5a02");
const CROWD: Handle<Shader> = uuid_handle!("6a1c1b62-64dd-4f6f-9bb0-0f6a7a3c5a03");
const OUTFIT: Handle<Shader> = uuid_handle!("6a1c1b62-64dd-4f6f-9bb0-0f6a7a3c5a05");
const FLOOR: Handle<Shader> = uuid_handle!("6a1c1b62-64dd-4f6f-9bb0-0f6a7a3c5a04");

pub const SHADOWS: usize = 8;

pub struct MaterialsPlugin;

impl Plugin for MaterialsPlugin {
    fn build(&self, app: &mut App) {
        load_internal_asset!(app, SRGB, "../../../shaders/srgb.wgsl", Shader::from_wgsl);
        load_internal_asset!(app, SHADING, "../../../shaders/shading.wgsl", Shader::from_wgsl);
        load_internal_asset!(app, OUTFIT, "../../../shaders/outfit.wgsl", Shader::from_wgsl);
        load_internal_asset!(app, BODY, "../../../shaders/body.wgsl", Shader::from_wgsl);
        load_internal_asset!(app, CROWD, "../../../shaders/crowd.wgsl", Shader::from_wgsl);
        load_internal_asset!(app, FLOOR, "../../../shaders/floor.wgsl", Shader::from_wgsl);
        app.add_plugins((
            MaterialPlugin::<BodyMaterial>::default(),
            MaterialPlugin::<CrowdMaterial>::default(),
            MaterialPlugin::<FloorMaterial>::default(),
        ));
    }
}

#[derive(ShaderType, Clone, Copy, Debug, PartialEq)]
pub struct BodyLook {
    /// Linear colour, and how opaque.
    pub tint: Vec4,
    /// 0: the vertices' own colours, 1: the tint alone.
    pub plain: f32,
    /// 1: clothes over the vertices' colours.
    pub clothed: f32,
}

/// What decides which shader draws a body or a crowd.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Ghostly {
    ghost: bool,
}

impl From<&BodyMaterial> for Ghostly {
    fn from(material: &BodyMaterial) -> Self {
        Self { ghost: material.translucent }
    }
}

impl From<&CrowdMaterial> for Ghostly {
    fn from(material: &CrowdMaterial) -> Self {
        Self { ghost: material.translucent }
    }
}

/// A body posed on the CPU.
#[derive(Asset, TypePath, AsBindGroup, Clone)]
#[bind_group_data(Ghostly)]
pub struct BodyMaterial {
    #[uniform(0)]
    pub look: BodyLook,
    #[uniform(1)]
    pub outfit: OutfitLook,
    pub translucent: bool,
}

impl Material for BodyMaterial {
    fn vertex_shader() -> ShaderRef {
        BODY.into()
    }

    fn fragment_shader() -> ShaderRef {
        BODY.into()
    }

    fn alpha_mode(&self) -> AlphaMode {
        if self.translucent { AlphaMode::Blend } else { AlphaMode::Opaque }
    }

    fn enable_prepass() -> bool {
        false
    }

    fn enable_shadows() -> bool {
        false
    }

    fn specialize(
        _: &MaterialPipeline,
        descriptor: &mut RenderPipelineDescriptor,
        layout: &MeshVertexBufferLayoutRef,
        key: MaterialPipelineKey<Self>,
    ) -> Result<(), SpecializedMeshPipelineError> {
        body_inputs(descriptor, layout, key.bind_group_data)
    }
}

#[derive(ShaderType, Clone, Copy, Debug, PartialEq)]
pub struct CrowdLook {
    pub tint: Vec4,
    pub plain: f32,
    pub clothed: f32,
    pub betas: u32,
    pub joints: u32,
    /// A pixel shows every second ghost (2) or every fourth (4), its neighbours the others; 1: all.
    pub every: u32,
}

/// Many bodies shaped and skinned in the vertex shader; an instance's tag is its number.
#[derive(Asset, TypePath, AsBindGroup, Clone)]
#[bind_group_data(Ghostly)]
pub struct CrowdMaterial {
    #[uniform(0)]
    pub look: CrowdLook,
    #[storage(1, read_only)]
    pub transforms: Handle<ShaderBuffer>,
    #[storage(2, read_only)]
    pub betas: Handle<ShaderBuffer>,
    #[storage(3, read_only)]
    pub shapes: Handle<ShaderBuffer>,
    #[storage(4, read_only)]
    pub skin: Handle<ShaderBuffer>,
    #[uniform(5)]
    pub outfit: OutfitLook,
    pub translucent: bool,
}

impl Material for CrowdMaterial {
    fn vertex_shader() -> ShaderRef {
        CROWD.into()
    }

    fn fragment_shader() -> ShaderRef {
        CROWD.into()
    }

    fn alpha_mode(&self) -> AlphaMode {
        if self.translucent { AlphaMode::Blend } else { AlphaMode::Opaque }
    }

    fn enable_prepass() -> bool {
        false
    }

    fn enable_shadows() -> bool {
        false
    }

    fn specialize(
        _: &MaterialPipeline,
        descriptor: &mut RenderPipelineDescriptor,
        layout: &MeshVertexBufferLayoutRef,
        key: MaterialPipelineKey<Self>,
    ) -> Result<(), SpecializedMeshPipelineError> {
        body_inputs(descriptor, layout, key.bind_group_data)
    }
}

/// What both body shaders read of a vertex.
fn body_inputs(
    descriptor: &mut RenderPipelineDescriptor,
    layout: &MeshVertexBufferLayoutRef,
    key: Ghostly,
) -> Result<(), SpecializedMeshPipelineError> {
    if key.ghost {
        descriptor.vertex.shader_defs.push("GHOST".into());
        if let Some(fragment) = descriptor.fragment.as_mut() {
            fragment.shader_defs.push("GHOST".into());
        }
    }
    let layout = layout.0.get_layout(&[
        Mesh::ATTRIBUTE_POSITION.at_shader_location(0),
        Mesh::ATTRIBUTE_NORMAL.at_shader_location(1),
        COVER.at_shader_location(2),
        COORDS.at_shader_location(3),
        Mesh::ATTRIBUTE_COLOR.at_shader_location(5),
    ])?;
    descriptor.vertex.buffers = vec![layout];
    Ok(())
}

#[derive(ShaderType, Clone, Copy, Debug, PartialEq)]
pub struct FloorLook {
    // Colours in sRGB's encoding.
    pub background: Vec4,
    pub colour: Vec4,
    pub line: Vec4,
    /// A circle (middle x, z, radius) outside of which there is no shadow, and how many there are.
    pub reach: Vec4,
    /// Middle (x, z), one over the radius, strength.
    pub shadows: [Vec4; SHADOWS],
}

#[derive(Asset, TypePath, AsBindGroup, Clone)]
pub struct FloorMaterial {
    #[uniform(0)]
    pub look: FloorLook,
}

impl Material for FloorMaterial {
    fn fragment_shader() -> ShaderRef {
        FLOOR.into()
    }

    fn enable_prepass() -> bool {
        false
    }

    fn enable_shadows() -> bool {
        false
    }
}
