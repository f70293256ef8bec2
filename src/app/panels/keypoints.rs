//! The 17 keypoints as a list: the way to them without a pointer, their scores in numbers, whose they are.

use bevy_egui::egui::{self, Ui};

use super::photo::side_colour;
use crate::app::action::Action;
use crate::app::session::{Session, UNSURE};
use crate::app::theme;
use crate::body::joint_sets::COCO_NAMES;
use crate::formats::registry::FileState;
use crate::keypoints::Network;

/// Which network the keypoints come from. HRNet can be chosen where its file is there.
fn networks(ui: &mut Ui, session: &Session, actions: &mut Vec<Action>) {
    ui.horizontal(|ui| {
        ui.weak("Found by");
        let mut choice = |network: Network, name: &str, enabled: bool, missing: &str, about: &str| {
            let button = egui::Button::selectable(session.network == network, name);
            let response =
                ui.add_enabled(enabled, button).on_hover_text(about).on_disabled_hover_text(missing);
            if response.clicked() && session.network != network {
                actions.push(Action::UseKeypointNetwork(network));
            }
        };
        choice(Network::MoveNet, "MoveNet", true, "", "Fast, ships with the program");
        let found = session.hrnet().is_some_and(|row| matches!(row.state, FileState::Found { .. }));
        let missing = match session.hrnet() {
            None => "Looking for its file…".to_owned(),
            Some(row) => match &row.state {
                FileState::Damaged { path, reason } => {
                    format!("Its file cannot be used: {reason}: {}", path.display())
                }
                _ => format!(
                    "Its file is not there. Get it from {} and put it to model_files/{}; then Models and data, Look \
                     again.",
                    row.get, row.put
                ),
            },
        };
        let about = "Finer, half a second a person; keypoints placed by hand are replaced";
        choice(Network::Hrnet, "HRNet", found, &missing, about);
    });
}

pub fn list(ui: &mut Ui, session: &Session, actions: &mut Vec<Action>) {
    networks(ui, session, actions);
    let Some(person) = session.photo().and_then(|photo| photo.current_person()) else {
        ui.weak("No person selected");
        return;
    };
    ui.horizontal(|ui| {
        let unsure = person.keypoints.iter().filter(|k| k.score > 0.0 && k.score < UNSURE).count();
        let used = person.keypoints.iter().filter(|k| k.score > 0.0).count();
        ui.weak(format!("{used} in use, {unsure} unsure"));
        ui.with_layout(egui::Layout::right_to_left(egui::Align::Center), |ui| {
            if ui.small_button("Reset").on_hover_text("Back to what the detector found").clicked() {
                actions.push(Action::ResetKeypoints);
            }
        });
    });
    egui::Grid::new("keypoints").num_columns(3).spacing([6.0, 2.0]).show(ui, |ui| {
        for (index, keypoint) in person.keypoints.iter().enumerate() {
            let name = COCO_NAMES.get(index).map_or(String::new(), |name| name.replace('_', " "));
            let mut on = keypoint.score > 0.0;
            let check = egui::Checkbox::without_text(&mut on);
            let response = ui.add(check);
            response.widget_info(|| {
                egui::WidgetInfo::selected(egui::WidgetType::Checkbox, true, on, format!("use {name}"))
            });
            if response.changed() {
                actions.push(Action::SwitchKeypoint(index, on));
            }
            let selected = session.keypoint == Some(index);
            let colour = match (selected, on) {
                (true, _) => theme::ON_ACCENT,
                (false, true) => theme::TEXT,
                (false, false) => theme::WEAK,
            };
            let label = egui::Button::selectable(selected, egui::RichText::new(&name).color(colour));
            if ui
                .add(label)
                .on_hover_text("Arrow keys move the selected keypoint, Shift moves it further")
                .clicked()
            {
                actions.push(Action::SelectKeypoint((!selected).then_some(index)));
            }
            let (rect, _) = ui.allocate_exact_size(egui::vec2(64.0, 8.0), egui::Sense::hover());
            ui.painter().rect_filled(rect, 2.0, theme::DEEP);
            let mut filled = rect;
            filled.set_width(rect.width() * keypoint.score.clamp(0.0, 1.0));
            let colour = if keypoint.score < UNSURE { theme::WARNING } else { side_colour(index) };
            ui.painter().rect_filled(filled, 2.0, colour);
            ui.end_row();
        }
    });
}
