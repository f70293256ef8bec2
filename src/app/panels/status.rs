//! The line at the bottom: what is going on, what is wrong, what it runs on.

use bevy_egui::egui::{self, RichText, Ui};

use crate::app::action::Action;
use crate::app::session::{PhotoState, Session, UNSURE};
use crate::app::theme;
use crate::keypoints::Person;
use crate::tasks::Stage;

pub fn bar(ui: &mut Ui, session: &Session, running: usize, actions: &mut Vec<Action>) {
    ui.horizontal_centered(|ui| {
        ui.spacing_mut().item_spacing.x = 14.0;
        let small = |text: String| RichText::new(text).size(12.0);
        if let Some(error) = session.error.as_ref().or(session.estimate_error.as_ref()) {
            ui.add(egui::Label::new(small(error.clone()).color(theme::ERROR)).truncate());
        } else {
            ui.label(small(activity(session)));
            if let Some(warning) = warning(session) {
                ui.label(small(warning).color(theme::WARNING));
            }
        }
        ui.with_layout(egui::Layout::right_to_left(egui::Align::Center), |ui| {
            let label = match running {
                0 => "Tasks".to_owned(),
                1 => "1 task running".to_owned(),
                n => format!("{n} tasks running"),
            };
            if ui
                .add(egui::Button::selectable(session.tasks_open, small(label)))
                .on_hover_text("Ctrl+T")
                .clicked()
            {
                actions.push(Action::ToggleTasks);
            }
            ui.label(small(short(&session.device, 34)).color(theme::WEAK))
                .on_hover_text(format!("Drawn by {}", session.device));
            if let Some(shown) = &session.shown {
                let text = format!("{} on {}", short(&shown.estimate.source, 30), shown.device);
                ui.label(small(text).color(theme::WEAK))
                    .on_hover_text(format!("{} estimates on {}", shown.estimate.source, shown.device));
            }
        });
    });
}

fn activity(session: &Session) -> String {
    let state = session.photo().map(|photo| &photo.state);
    match (state, &session.shown) {
        (None, _) => "Ready".to_owned(),
        (Some(PhotoState::Reading), _) => "Reading the photo…".to_owned(),
        (Some(PhotoState::Looking), _) => "Looking for people…".to_owned(),
        (Some(PhotoState::Failed(error)), None) => error.clone(),
        (_, None) if session.estimating => "Estimating…".to_owned(),
        (_, None) => "No estimate".to_owned(),
        (_, Some(shown)) => {
            let took = shown.took.as_secs_f64() * 1e3;
            let samples = shown.estimate.samples.len();
            match shown.stage {
                Stage::Predicted if session.estimating => {
                    format!("{samples} samples in {took:.0} ms, refining…")
                }
                Stage::Predicted => format!("{samples} samples in {took:.0} ms"),
                Stage::Refined => format!("{samples} samples, refined in {took:.0} ms"),
            }
        }
    }
}

/// What to be careful about.
fn warning(session: &Session) -> Option<String> {
    let person = session.photo()?.current_person()?;
    unsure_text(person)
}

pub fn unsure_text(person: &Person) -> Option<String> {
    let visible = person.keypoints.iter().filter(|k| k.score >= UNSURE).count();
    if person.score < 0.3 {
        Some("Low confidence that this is a person: check the keypoints or place them by hand".to_owned())
    } else if visible < 8 {
        Some(format!("Only {visible} of 17 keypoints are sure: drag the others into place"))
    } else {
        None
    }
}

fn short(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        text.to_owned()
    } else {
        let kept: String = text.chars().take(most - 1).collect();
        format!("{kept}…")
    }
}
