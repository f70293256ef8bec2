//! Models and data that the program can use: what each unlocks, whether it is there, where to get and put it.

use bevy_egui::egui::{self, Context, RichText, Ui};

use super::weak;
use crate::app::action::Action;
use crate::app::session::Session;
use crate::app::theme;
use crate::formats::registry::{FileState, Row};

pub fn window(context: &Context, session: &mut Session, actions: &mut Vec<Action>) {
    let mut open = session.models_open;
    egui::Window::new("Models and data")
        .open(&mut open)
        .default_size(egui::vec2(640.0, 460.0))
        .default_pos(egui::pos2(320.0, 90.0))
        .show(context, |ui| {
            ui.label("Everything that estimates need ships with the program. These files unlock more:");
            egui::ScrollArea::vertical().max_height(380.0).auto_shrink([false, false]).show(ui, |ui| {
                for row in &session.models {
                    entry(ui, row);
                }
            });
            if ui.button("Look again").clicked() {
                actions.push(Action::LookForModels);
            }
        });
    session.models_open = open;
}

fn entry(ui: &mut Ui, row: &Row) {
    ui.separator();
    ui.horizontal(|ui| {
        ui.label(RichText::new(row.title).strong());
        let colour = match row.state {
            FileState::Found { .. } => theme::ACCENT,
            FileState::Missing => theme::WEAK,
            FileState::Damaged { .. } => theme::ERROR,
        };
        ui.colored_label(colour, row.state.word());
    });
    ui.label(row.unlocks);
    match &row.state {
        FileState::Found { path, .. } => {
            ui.label(weak(path.display().to_string()));
        }
        FileState::Missing => {
            ui.label(weak(format!("Get it: {}", row.get)));
            ui.label(weak(format!("Put it: model_files/{}", row.put)));
        }
        FileState::Damaged { path, reason } => {
            ui.colored_label(theme::ERROR, reason);
            ui.label(weak(path.display().to_string()));
        }
    }
}
