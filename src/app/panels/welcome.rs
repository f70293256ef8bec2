//! The first screen: what to do, three examples, what is missing for more.

use bevy_egui::egui::{self, Color32, Rect, RichText, Sense, Stroke, StrokeKind, Ui, WidgetInfo, WidgetType};

use super::{primary_button, texture, weak};
use crate::app::action::Action;
use crate::app::session::Session;
use crate::app::theme;

/// What the panel remembers from frame to frame.
#[derive(Default)]
pub struct Welcome {
    path: String,
}

impl Welcome {
    pub fn ui(&mut self, ui: &mut Ui, session: &mut Session, actions: &mut Vec<Action>) {
        ui.add_space(10.0);
        ui.label(RichText::new("Drop a photo of a person here").size(21.0).color(theme::STRONG));
        ui.label("or open one, and see every body that the photo allows.");
        ui.add_space(8.0);
        ui.horizontal(|ui| {
            if primary_button(ui, "Open photos…").on_hover_text("Ctrl+O").clicked() {
                actions.push(Action::AskForPhotos);
            }
        });
        ui.add_space(4.0);
        path_field(ui, &mut self.path, actions);

        if !session.examples.is_empty() {
            ui.add_space(14.0);
            ui.label(weak("Or try an example"));
            ui.add_space(2.0);
            let count = session.examples.len() as f32;
            let width = ((ui.available_width() - theme::GAP * (count - 1.0)) / count).min(150.0);
            ui.horizontal_top(|ui| {
                for example in &mut session.examples {
                    ui.vertical(|ui| {
                        ui.set_width(width);
                        let (rect, response) =
                            ui.allocate_exact_size(egui::vec2(width, width * 1.25), Sense::click());
                        response.widget_info(|| {
                            WidgetInfo::labeled(
                                WidgetType::Button,
                                true,
                                format!("example {}", example.caption),
                            )
                        });
                        let [w, h] = example.thumbnail.size.map(|side| side as f32);
                        let scale = (w / rect.width()).min(h / rect.height());
                        let part = egui::vec2(rect.width() * scale / w, rect.height() * scale / h);
                        let uv = Rect::from_center_size(egui::pos2(0.5, 0.5), part);
                        let id = texture(&mut example.texture, &example.thumbnail, &example.caption, ui).id();
                        ui.painter().image(id, rect, uv, Color32::WHITE);
                        let lit = response.hovered() || response.has_focus();
                        let stroke =
                            if lit { Stroke::new(2.0, theme::ACCENT) } else { Stroke::new(1.0, theme::EDGE) };
                        ui.painter().rect_stroke(rect, 4.0, stroke, StrokeKind::Inside);
                        if response.clicked() {
                            actions.push(Action::Open(example.path.clone()));
                        }
                        ui.add(egui::Label::new(weak(&example.caption).size(12.0)).truncate());
                    });
                }
            });
        }
        ui.add_space(14.0);
        for note in &session.notes {
            ui.label(weak(note).size(12.0));
        }
        if !session.models.is_empty() && ui.link("Models and data…").clicked() {
            actions.push(Action::ToggleModels);
        }
    }
}

/// A path typed or pasted, for where no dialog can be shown.
pub fn path_field(ui: &mut Ui, path: &mut String, actions: &mut Vec<Action>) {
    ui.horizontal(|ui| {
        let label = ui.label(weak("Path"));
        let field = egui::TextEdit::singleline(path)
            .hint_text("photo or folder, then Enter")
            .desired_width(ui.available_width() - 8.0);
        let response = ui.add(field).labelled_by(label.id);
        if response.lost_focus() && ui.input(|input| input.key_pressed(egui::Key::Enter)) {
            let typed = path.trim().trim_matches('"').trim_start_matches("file://");
            if !typed.is_empty() {
                actions.push(Action::Open(typed.into()));
                path.clear();
            }
        }
    });
}
