//! Where the panels are: photos and people left, the stage in the middle, the inspector right, timeline and tasks
//! below. Also the keys.

use bevy::prelude::*;
use bevy::window::RequestRedraw;
use bevy_egui::egui::{self, Frame, Key, Margin, Modifiers, Panel, PointerButton, Sense, UiBuilder};
use bevy_egui::{EguiContexts, EguiPrimaryContextPass};

use super::action::Action;
use super::jobs::Jobs;
use super::panels::{
    about, inspector, legend, models, palette, photo, photos, primary_button, status, tasks, timeline,
    welcome,
};
use super::session::{Colouring, Scene, Session, Side};
use super::theme;
use super::view3d::orbit::Orbit;

pub struct LayoutPlugin;

/// What panels remember.
#[derive(Resource, Default)]
struct Panels {
    themed: bool,
    photo: photo::PhotoPanel,
    inspector: inspector::Inspector,
    welcome: welcome::Welcome,
    tasks: tasks::TaskDrawer,
    palette: palette::Palette,
    about: bool,
}

impl Plugin for LayoutPlugin {
    fn build(&self, app: &mut App) {
        app.init_resource::<Panels>().add_systems(EguiPrimaryContextPass, show);
    }
}

fn show(
    mut contexts: EguiContexts,
    mut panels: ResMut<Panels>,
    mut session: ResMut<Session>,
    mut orbit: ResMut<Orbit>,
    jobs: Option<ResMut<Jobs>>,
    mut actions: MessageWriter<Action>,
    mut redraw: MessageWriter<RequestRedraw>,
) -> Result {
    let context = contexts.ctx_mut()?.clone();
    if !panels.themed {
        theme::apply(&context);
        panels.themed = true;
    }
    let mut asked = Vec::new();
    let mut jobs = jobs;
    let mut ui = egui::Ui::new(
        context.clone(),
        "window".into(),
        UiBuilder::new().layer_id(egui::LayerId::background()).max_rect(context.viewport_rect()),
    );
    let panels = &mut *panels;
    let session = &mut *session;

    let panel = |inner: i8| Frame::new().fill(theme::PANEL).inner_margin(Margin::same(inner));
    Panel::bottom("status").exact_size(28.0).frame(panel(0).inner_margin(Margin::symmetric(12, 2))).show(
        &mut ui,
        |ui| {
            let running = jobs.as_ref().map_or(0, |jobs| jobs.queue.running());
            status::bar(ui, session, running, &mut asked);
        },
    );
    if session.tasks_open
        && let Some(jobs) = &jobs
    {
        Panel::bottom("tasks")
            .default_size(theme::DRAWER)
            .resizable(true)
            .frame(panel(theme::MARGIN))
            .show(&mut ui, |ui| panels.tasks.ui(ui, &jobs.queue, &mut asked));
    }
    Panel::left("photo")
        .default_size(theme::PHOTO_PANEL)
        .size_range(280.0..=640.0)
        .resizable(true)
        .frame(panel(theme::MARGIN))
        .show(&mut ui, |ui| {
            if session.photos.is_empty() {
                panels.welcome.ui(ui, session, &mut asked);
            } else {
                Panel::bottom("strip")
                    .exact_size(photos::STRIP)
                    .frame(Frame::NONE)
                    .show_separator_line(false)
                    .show(ui, |ui| photos::strip(ui, session, &mut asked));
                panels.photo.ui(ui, session, &mut asked);
                photos::people(ui, session, &mut asked);
            }
        });
    Panel::right("inspector")
        .default_size(theme::INSPECTOR)
        .size_range(theme::INSPECTOR..=420.0)
        .resizable(true)
        .frame(panel(theme::MARGIN))
        .show(&mut ui, |ui| panels.inspector.ui(ui, session, &mut asked));
    if let Some(timeline) = session.timeline.as_ref().filter(|_| !session.timeline_closed) {
        Panel::bottom("timeline")
            .exact_size(theme::TIMELINE)
            .frame(panel(8))
            .show(&mut ui, |ui| timeline::panel(ui, timeline, &mut asked));
    }
    let free = ui.available_rect_before_wrap();
    stage(&mut ui, free, session, &mut orbit, &mut asked);
    if let Some(jobs) = jobs.as_mut() {
        training_window(&context, jobs, &mut asked);
    }
    panels.palette.ui(&context, session, &mut asked);
    panels.about ^= asked.contains(&Action::ToggleAbout)
        || context.input_mut(|input| input.consume_key(Modifiers::NONE, Key::F1));
    about::window(&context, &mut panels.about);
    models::window(&context, session, &mut asked);
    keys(&context, session, &mut asked);

    if !asked.is_empty() {
        actions.write_batch(asked);
        redraw.write(RequestRedraw);
    }
    Ok(())
}

/// The part of the window where the bodies are: turning, moving, zooming, and what lies over them.
fn stage(
    ui: &mut egui::Ui,
    free: egui::Rect,
    session: &Session,
    orbit: &mut ResMut<Orbit>,
    asked: &mut Vec<Action>,
) {
    let response = ui.interact(free, "stage".into(), Sense::click_and_drag());
    let mut next = **orbit;
    (next.free, next.window) = (free, ui.ctx().viewport_rect().size());
    let shift = ui.input(|input| input.modifiers.shift);
    let delta = response.drag_delta();
    let pans = response.dragged_by(PointerButton::Secondary)
        || response.dragged_by(PointerButton::Middle)
        || (shift && response.dragged_by(PointerButton::Primary));
    if pans {
        next.pan(delta);
    } else if response.dragged_by(PointerButton::Primary) {
        next.turn(delta);
    }
    if response.hovered() {
        let scroll = ui.input(|input| input.smooth_scroll_delta().y);
        if scroll != 0.0 {
            next.zoom((scroll * 0.0025).exp());
        }
    }
    if response.double_clicked() {
        next.look_from(Side::Front);
    }
    orbit.set_if_neq(next);

    legend::draw(ui, free, session);
    title(ui, free, session);
    let bar = egui::Rect::from_min_size(
        egui::pos2(free.center().x - 118.0, free.bottom() - 38.0),
        egui::vec2(236.0, 26.0),
    );
    ui.scope_builder(UiBuilder::new().max_rect(bar), |ui| {
        ui.horizontal(|ui| {
            ui.spacing_mut().item_spacing.x = 3.0;
            let sides = [
                (Side::Front, "Front", "1"),
                (Side::Left, "Side", "2"),
                (Side::Back, "Back", "3"),
                (Side::Top, "Top", "4"),
            ];
            for (side, label, key) in sides {
                let button = egui::Button::new(egui::RichText::new(label).size(12.0))
                    .fill(theme::PANEL.gamma_multiply(0.85))
                    .min_size(egui::vec2(56.0, 24.0));
                if ui.add(button).on_hover_text(format!("Look from here ({key})")).clicked() {
                    asked.push(Action::LookFrom(side));
                }
            }
        });
    });
}

/// What stands on the stage, in words.
fn title(ui: &egui::Ui, free: egui::Rect, session: &Session) {
    let Some(shown) = &session.shown else { return };
    let playing = session.timeline.as_ref().filter(|timeline| timeline.on_stage);
    let text = match (playing, session.view.scene, session.view.sample) {
        (Some(timeline), _, _) => format!("{}: step {}", timeline.trajectory.source, timeline.frame),
        (None, Scene::SideBySide, _) => {
            let shown = shown.estimate.samples.len().min(super::session::SIDE_BY_SIDE);
            format!("{shown} of {} samples", session.figures.len())
        }
        (None, _, Some(sample)) => format!("Sample {}", sample + 1),
        (None, Scene::Cloud, None) => format!("Point estimate and {} samples", shown.estimate.samples.len()),
        (None, Scene::One, None) => "Point estimate".to_owned(),
    };
    ui.painter().text(
        free.left_top() + egui::vec2(16.0, 14.0),
        egui::Align2::LEFT_TOP,
        text,
        egui::FontId::proportional(15.0),
        theme::STRONG,
    );
}

fn training_window(context: &egui::Context, jobs: &mut Jobs, asked: &mut Vec<Action>) {
    let mut open = jobs.training_open;
    if !open {
        return;
    }
    let training = &mut jobs.training;
    let title = training.title.clone();
    let mut start = false;
    egui::Window::new(title).id("training".into()).open(&mut open).default_width(460.0).show(context, |ui| {
        egui::ScrollArea::vertical().max_height(420.0).show(ui, |ui| training.ui(ui));
        ui.add_space(theme::GAP);
        start = primary_button(ui, "Start training").clicked();
    });
    jobs.training_open = open;
    if start {
        asked.push(Action::StartTraining);
    }
}

/// Keys, where no text field has them.
fn keys(context: &egui::Context, session: &Session, asked: &mut Vec<Action>) {
    if context.text_edit_focused() {
        return;
    }
    let timeline = session.timeline.is_some() && !session.timeline_closed;
    // Arrow keys and Space belong to a focused widget first, arrows then to the selected keypoint.
    let unfocused = context.memory(|memory| memory.focused().is_none());
    context.input_mut(|input| {
        let mut pressed = |modifiers, key| input.consume_key(modifiers, key);
        if pressed(Modifiers::COMMAND, Key::O) {
            asked.push(Action::AskForPhotos);
        }
        if pressed(Modifiers::COMMAND, Key::T) {
            asked.push(Action::ToggleTasks);
        }
        let sides = [
            (Key::Num1, Side::Front),
            (Key::Num2, Side::Left),
            (Key::Num3, Side::Back),
            (Key::Num4, Side::Top),
        ];
        for (key, side) in sides {
            if pressed(Modifiers::NONE, key) {
                asked.push(Action::LookFrom(side));
            }
        }
        for (key, factor) in [(Key::Plus, 1.2), (Key::Equals, 1.2), (Key::Minus, 1.0 / 1.2)] {
            if pressed(Modifiers::NONE, key) {
                asked.push(Action::Zoom(factor));
            }
        }
        let simple = [
            (Key::B, Action::ToggleOverlay),
            (Key::O, Action::Show(Scene::One)),
            (Key::C, Action::Show(Scene::Cloud)),
            (Key::S, Action::Show(Scene::SideBySide)),
            (Key::U, Action::Colour(Colouring::Uncertainty)),
            (Key::P, Action::Colour(Colouring::Plain)),
            (Key::D, Action::Colour(Colouring::Clothed)),
            (Key::N, Action::SetSeed(session.options.seed.wrapping_add(1))),
            (Key::Escape, Action::SelectKeypoint(None)),
        ];
        for (key, action) in simple {
            if pressed(Modifiers::NONE, key) {
                asked.push(action);
            }
        }
        if timeline && unfocused {
            if pressed(Modifiers::NONE, Key::Space) {
                asked.push(Action::PlayOrPause);
            }
            if session.keypoint.is_none() {
                let steps = [
                    (Key::ArrowLeft, Action::Step(-1)),
                    (Key::ArrowRight, Action::Step(1)),
                    (Key::Home, Action::GoToFrame(0)),
                    (Key::End, Action::GoToFrame(usize::MAX)),
                ];
                for (key, action) in steps {
                    if pressed(Modifiers::NONE, key) {
                        asked.push(action);
                    }
                }
            }
        }
    });
}
