//! Builds the window and runs it; says plainly what is missing where there can be none.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use bevy::asset::AssetPlugin;
use bevy::log::LogPlugin;
use bevy::pbr::PbrPlugin;
use bevy::prelude::*;
use bevy::render::RenderPlugin;
use bevy::render::pipelined_rendering::PipelinedRenderingPlugin;
use bevy::window::{PresentMode, WindowResolution};
use bevy::winit::{EventLoopProxyWrapper, WinitUserEvent};
use bevy_egui::{EguiPlugin, EguiPostUpdateSet};

use super::action::Action;
use super::session::Session;
use super::{Acting, Collecting, Waker};
use super::{capture, compose, estimates, idle, jobs, keyboard, layout, models, photos, timeline, view3d};

/// What the window opens with.
#[derive(Clone, Debug, Default)]
pub struct WindowOptions {
    pub photos: Vec<PathBuf>,
    /// Estimator weights instead of the default ones.
    pub weights: Option<PathBuf>,
}

/// When the process began, for the time to the first frame.
#[derive(Resource)]
pub struct Began(pub Instant);

/// What bevy and winit say when there is nothing to draw on, and what to tell people instead.
const NO_WINDOW: [(&str, &str); 4] = [
    ("Unable to find a GPU", "no graphics adapter was found (Vulkan, Metal or DirectX 12 driver missing)"),
    ("Failed to build event loop", "no display was found (neither X11 nor Wayland answers)"),
    ("Failed to create wgpu surface", "the display cannot be drawn on by the graphics driver"),
    ("Failed to create window", "the display refused to open a window"),
];

/// Opens the window and returns when it is closed.
pub fn run(options: WindowOptions) -> ExitCode {
    let began = Instant::now();
    explain_missing_display();
    let mut app = App::new();
    app.insert_resource(Began(began)).add_plugins(
        DefaultPlugins
            .set(WindowPlugin { primary_window: Some(window()), ..default() })
            // The window rests between changes: what is not ready in a frame would stay away until the next one.
            .set(RenderPlugin { synchronous_pipeline_compilation: true, ..default() })
            // A frame drawn beside the next update is shown a frame later; updates are short, frames may be long.
            .disable::<PipelinedRenderingPlugin>()
            .set(PbrPlugin { add_default_deferred_lighting_plugin: false, ..default() })
            .set(AssetPlugin { file_path: String::new(), ..default() })
            .set(LogPlugin {
                filter: "warn,wgpu_hal=error,wgpu_core=error,naga=error,winit=error,bevy_winit=error,\
                         bevy_render::renderer=error,calloop=error"
                    .to_owned(),
                ..default()
            }),
    );
    let proxy: bevy::winit::EventLoopProxy<WinitUserEvent> = {
        let wrapper = app.world().resource::<EventLoopProxyWrapper>();
        (**wrapper).clone()
    };
    app.insert_resource(Waker(Arc::new(move || {
        // The loop is gone only when the window is.
        let _ = proxy.send_event(WinitUserEvent::WakeUp);
    })));
    app.add_plugins(EguiPlugin::default())
        .add_message::<Action>()
        .init_resource::<Session>()
        .configure_sets(Update, Collecting)
        .configure_sets(PostUpdate, Acting.after(EguiPostUpdateSet::EndPass))
        .add_plugins((
            compose::ComposePlugin,
            idle::IdlePlugin,
            view3d::View3dPlugin,
            photos::PhotosPlugin { open: options.photos },
            estimates::EstimatesPlugin { weights: options.weights },
            timeline::TimelinePlugin,
            jobs::JobsPlugin,
            keyboard::KeyboardPlugin,
            models::ModelsPlugin,
            layout::LayoutPlugin,
            capture::CapturePlugin,
        ));
    match app.run() {
        AppExit::Success => ExitCode::SUCCESS,
        AppExit::Error(code) => ExitCode::from(code.get()),
    }
}

fn window() -> Window {
    Window {
        title: "humanifold".to_owned(),
        name: Some("humanifold".to_owned()),
        resolution: WindowResolution::new(1280, 800),
        resize_constraints: bevy::window::WindowResizeConstraints {
            min_width: 900.0,
            min_height: 560.0,
            ..default()
        },
        present_mode: PresentMode::AutoVsync,
        ..default()
    }
}

/// Without a display or an adapter bevy panics while it starts, on whichever thread. Nothing is lost then, so the
/// process ends with a sentence instead of a trace.
fn explain_missing_display() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        let said = info
            .payload()
            .downcast_ref::<String>()
            .map(String::as_str)
            .or_else(|| info.payload().downcast_ref::<&str>().copied())
            .unwrap_or_default();
        if let Some((_, reason)) = NO_WINDOW.iter().find(|(text, _)| said.contains(text)) {
            eprintln!("humanifold: the window cannot be opened: {reason}.");
            eprintln!("Everything else works without it: try `humanifold predict PHOTO --out out`.");
            std::process::exit(1);
        }
        usual(info);
    }));
}
