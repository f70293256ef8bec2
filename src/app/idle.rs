//! Redraws only when something changed, and counts updates so that a test can hold it to that.

use std::time::Duration;

use bevy::prelude::*;
use bevy::render::render_resource::PipelineCache;
use bevy::render::{Render, RenderApp, RenderSystems};
use bevy::winit::{UpdateMode, WinitSettings};
use bevy_egui::{EguiInput, EguiPreUpdateSet, egui};

use super::Waker;

pub struct IdlePlugin;

/// Updates since the start.
#[derive(Resource, Default)]
pub struct Updates(pub u64);

impl Plugin for IdlePlugin {
    fn build(&self, app: &mut App) {
        // Waiting for ever would also do; once a minute lets "3 min ago" texts move.
        let wait = UpdateMode::reactive_low_power(Duration::from_secs(60));
        app.insert_resource(WinitSettings { focused_mode: wait, unfocused_mode: wait })
            .init_resource::<Updates>()
            .add_systems(First, |mut updates: ResMut<Updates>| updates.0 += 1)
            .add_systems(
                PreUpdate,
                drop_repeated_modifiers
                    .after(EguiPreUpdateSet::ProcessInput)
                    .before(EguiPreUpdateSet::BeginPass),
            );
        let waker = app.world().get_resource::<Waker>().cloned();
        if let (Some(waker), Some(render)) = (waker, app.get_sub_app_mut(RenderApp)) {
            render.insert_resource(waker).add_systems(Render, finish.in_set(RenderSystems::Cleanup));
        }
    }
}

/// What could not be drawn because its shader was not ready gets another frame.
fn finish(pipelines: Res<PipelineCache>, waker: Res<Waker>) {
    if pipelines.waiting_pipelines().next().is_some() {
        (waker.0)();
    }
}

/// bevy_egui 0.42 tells egui the state of the modifier keys in every frame, and egui answers any event with another
/// frame: the window would never rest. Only changes are let through.
fn drop_repeated_modifiers(mut inputs: Query<&mut EguiInput>, mut last: Local<egui::Modifiers>) {
    for mut input in &mut inputs {
        input.events.retain(|event| {
            let egui::Event::ModifiersChanged(modifiers) = event else { return true };
            let changed = *modifiers != *last;
            *last = *modifiers;
            changed
        });
    }
}
