//! Composes the window in sRGB's encoding, in plain 8-bit textures: text and translucent layers then blend as panels
//! expect, and a software adapter, which pays for every conversion of a pixel, draws the cloud twice as fast.

use bevy::asset::{load_internal_asset, uuid_handle};
use bevy::core_pipeline::blit::{BlitPipeline, init_blit_pipeline};
use bevy::prelude::*;
use bevy::render::render_resource::{
    PipelineCache, SpecializedRenderPipelines, TextureFormat, TextureViewDescriptor,
};
use bevy::render::{Render, RenderApp, RenderStartup, RenderSystems};
use bevy::shader::Shader;
use bevy_egui::render::systems::{EguiPipelines, queue_pipelines_system};
use bevy_egui::render::{EGUI_SHADER_HANDLE, EguiPipeline, EguiPipelineKey};
use bevy_egui::{EguiManagedTextures, EguiPostUpdateSet, update_egui_textures_system};

/// The format of cameras with `CompositingSpace::Srgb`.
const CANVAS: TextureFormat = TextureFormat::Rgba8Unorm;

const SCREEN: Handle<Shader> = uuid_handle!("6a1c1b62-64dd-4f6f-9bb0-0f6a7a3c5a07");

pub struct ComposePlugin;

impl Plugin for ComposePlugin {
    fn build(&self, app: &mut App) {
        load_internal_asset!(app, EGUI_SHADER_HANDLE, "../../shaders/panels.wgsl", Shader::from_wgsl);
        app.add_systems(
            PostUpdate,
            read_as_written.after(update_egui_textures_system).in_set(EguiPostUpdateSet::PostProcessOutput),
        );
        load_internal_asset!(app, SCREEN, "../../shaders/screen.wgsl", Shader::from_wgsl);
        if let Some(render) = app.get_sub_app_mut(RenderApp) {
            // Bevy's own shader for the last step decodes with three powers a pixel.
            render.add_systems(
                RenderStartup,
                (|mut blit: ResMut<BlitPipeline>| blit.fragment_shader = SCREEN).after(init_blit_pipeline),
            );
            render.add_systems(
                Render,
                draw_panels_on_canvas.in_set(RenderSystems::Queue).after(queue_pipelines_system),
            );
        }
    }
}

/// egui's textures hold encoded colours, and its shader wants them so.
fn read_as_written(textures: Res<EguiManagedTextures>, mut images: ResMut<Assets<Image>>) {
    for texture in textures.values() {
        let id = texture.handle.id();
        if images.get(id).is_none_or(|image| image.texture_view_descriptor.is_some()) {
            continue;
        }
        if let Some(mut image) = images.get_mut(id) {
            image.texture_descriptor.view_formats = &[CANVAS];
            image.texture_view_descriptor = Some(TextureViewDescriptor { format: Some(CANVAS), ..default() });
        }
    }
}

/// bevy_egui 0.42 knows two formats of a camera's texture and not this one.
fn draw_panels_on_canvas(
    mut queued: ResMut<EguiPipelines>,
    mut specialized: ResMut<SpecializedRenderPipelines<EguiPipeline>>,
    pipelines: Res<PipelineCache>,
    panels: Res<EguiPipeline>,
) {
    for pipeline in queued.0.values_mut() {
        *pipeline = specialized.specialize(&pipelines, &panels, EguiPipelineKey { target_format: CANVAS });
    }
}
