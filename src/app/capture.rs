//! Pictures of the window for people (F12) and its state for tests: a file named by an environment variable holds
//! what a test waits for.

use std::path::PathBuf;
use std::time::Instant;

use bevy::prelude::*;
use bevy::render::view::screenshot::{Screenshot, save_to_disk};
use bevy::window::PresentMode;
use bevy::winit::WinitSettings;

use super::session::{PhotoState, Session};
use super::start::Began;
use super::view3d::orbit::Orbit;
use crate::formats::atomic::write_atomic;
use crate::tasks::Stage;

/// Names a file to which the state of the window is written when it changes: one `key value` a line.
const STATE_FILE: &str = "HUMANIFOLD_WINDOW_STATE";
/// Set to anything: draws without pause and without waiting for the display, to measure frames.
const FREE_RUNNING: &str = "HUMANIFOLD_WINDOW_FREE_RUNNING";

pub struct CapturePlugin;

impl Plugin for CapturePlugin {
    fn build(&self, app: &mut App) {
        app.add_systems(Update, screenshot_on_key);
        if let Some(path) = std::env::var_os(STATE_FILE) {
            app.insert_resource(StateFile { path: path.into(), ..default() }).add_systems(Last, write_state);
        }
        if std::env::var_os(FREE_RUNNING).is_some() {
            app.insert_resource(WinitSettings::continuous()).add_systems(
                Startup,
                |mut window: Single<&mut Window>| {
                    window.present_mode = PresentMode::AutoNoVsync;
                },
            );
        }
    }
}

fn screenshot_on_key(keys: Res<ButtonInput<KeyCode>>, mut commands: Commands) {
    if keys.just_pressed(KeyCode::F12) {
        let mut names = (1..10_000).map(|number| PathBuf::from(format!("humanifold-{number:02}.png")));
        if let Some(path) = names.find(|path| !path.exists()) {
            commands.spawn(Screenshot::primary_window()).observe(save_to_disk(path));
        }
    }
}

#[derive(Resource, Default)]
struct StateFile {
    path: PathBuf,
    written: String,
    updates: u64,
    first_frame_s: f64,
    last: Option<Instant>,
    /// Times between updates, milliseconds, the newest 64.
    recent: Vec<f64>,
}

fn write_state(began: Res<Began>, session: Res<Session>, orbit: Res<Orbit>, mut state: ResMut<StateFile>) {
    let now = Instant::now();
    state.updates += 1;
    if state.first_frame_s == 0.0 && session.body.is_some() {
        state.first_frame_s = began.0.elapsed().as_secs_f64();
    }
    if let Some(last) = state.last.replace(now) {
        state.recent.push(now.duration_since(last).as_secs_f64() * 1e3);
        let surplus = state.recent.len().saturating_sub(64);
        state.recent.drain(..surplus);
    }
    let mut recent = state.recent.clone();
    recent.sort_by(f64::total_cmp);
    let median = recent.get(recent.len() / 2).copied().unwrap_or(0.0);
    let photo = match session.photo().map(|photo| &photo.state) {
        None => "none",
        Some(PhotoState::Reading) => "reading",
        Some(PhotoState::Looking) => "looking",
        Some(PhotoState::Ready) => "ready",
        Some(PhotoState::Failed(_)) => "failed",
    };
    let estimate = match session.shown.as_ref().map(|shown| shown.stage) {
        None => "none",
        Some(Stage::Predicted) => "predicted",
        Some(Stage::Refined) => "refined",
    };
    let latency = session.shown.as_ref().map_or(0.0, |shown| shown.latency.as_secs_f64() * 1e3);
    let places: Vec<String> = session.keypoint_places.iter().map(|[x, y]| format!("{x:.0},{y:.0}")).collect();
    let error = session.error.as_ref().or(session.estimate_error.as_ref());
    let lines = [
        ("photo", photo.to_owned()),
        ("photos", session.photos.len().to_string()),
        ("people", session.photo().map_or(0, |photo| photo.people.len()).to_string()),
        ("estimate", estimate.to_owned()),
        ("estimating", session.estimating.to_string()),
        ("samples", session.figures.len().to_string()),
        ("body", session.body.is_some().to_string()),
        ("spread", session.spread.is_some().to_string()),
        ("latency_ms", format!("{latency:.0}")),
        ("predicted_ms", format!("{:.0}", session.predicted_after.as_secs_f64() * 1e3)),
        ("took_ms", {
            let took = session.shown.as_ref().map_or(0.0, |shown| shown.took.as_secs_f64() * 1e3);
            format!("{took:.0}")
        }),
        ("frame", session.timeline.as_ref().map_or(-1, |timeline| timeline.frame as i64).to_string()),
        ("keypoints", places.join(" ")),
        ("stage", {
            let free = orbit.free;
            format!("{:.0} {:.0} {:.0} {:.0}", free.left(), free.top(), free.right(), free.bottom())
        }),
        ("tasks", session.tasks_open.to_string()),
        ("refused", {
            let reasons = session.photos.iter().filter_map(|photo| match &photo.state {
                PhotoState::Failed(reason) => Some(reason.replace('\n', " ")),
                _ => None,
            });
            reasons.collect::<Vec<_>>().join(" | ")
        }),
        ("error", error.map_or_else(String::new, |error| error.replace('\n', " "))),
        ("first_frame_s", format!("{:.3}", state.first_frame_s)),
        ("frame_ms", format!("{median:.1}")),
        ("updates", state.updates.to_string()),
    ];
    let text: String = lines.iter().map(|(key, value)| format!("{key} {value}\n")).collect();
    if text != state.written {
        if let Err(error) = write_atomic(&state.path, text.as_bytes()) {
            warn!("the window's state could not be written: {error}");
        }
        state.written = text;
    }
}
