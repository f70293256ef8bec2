//! The open photos as a strip of thumbnails, and the people of the selected one.

use bevy_egui::egui::{self, Color32, Rect, Sense, Stroke, StrokeKind, Ui, WidgetInfo, WidgetType};

use super::texture;
use crate::app::action::Action;
use crate::app::session::{PhotoState, Session};
use crate::app::theme;

const SIDE: f32 = 54.0;
/// Height of the strip: thumbnails and, where there are many, a bar to scroll with.
pub const STRIP: f32 = SIDE + 12.0;

pub fn strip(ui: &mut Ui, session: &mut Session, actions: &mut Vec<Action>) {
    let selected = session.selected;
    egui::ScrollArea::horizontal().id_salt("photos").auto_shrink([false, true]).show(ui, |ui| {
        ui.horizontal(|ui| {
            for photo in &mut session.photos {
                let (rect, response) = ui.allocate_exact_size(egui::Vec2::splat(SIDE), Sense::click());
                response.widget_info(|| {
                    WidgetInfo::selected(WidgetType::Button, true, selected == Some(photo.id), &photo.name)
                });
                ui.painter().rect_filled(rect, 4.0, theme::RAISED);
                if let Some(image) = &photo.thumbnail {
                    let [width, height] = image.size.map(|side| side as f32);
                    let side = width.min(height).max(1.0);
                    let (x, y) = ((width - side) / 2.0 / width, (height - side) / 4.0 / height);
                    let uv = Rect::from_min_size(egui::pos2(x, y), egui::vec2(side / width, side / height));
                    let name = format!("thumbnail of {}", photo.name);
                    let id = texture(&mut photo.thumbnail_texture, image, &name, ui).id();
                    ui.painter().image(id, rect.shrink(1.0), uv, Color32::WHITE);
                }
                if matches!(photo.state, PhotoState::Failed(_)) {
                    ui.painter().text(
                        rect.center(),
                        egui::Align2::CENTER_CENTER,
                        "!",
                        egui::FontId::proportional(22.0),
                        theme::ERROR,
                    );
                }
                let stroke = if selected == Some(photo.id) {
                    Stroke::new(2.0, theme::ACCENT)
                } else if response.hovered() || response.has_focus() {
                    Stroke::new(1.0, theme::STRONG)
                } else {
                    Stroke::new(1.0, theme::EDGE)
                };
                ui.painter().rect_stroke(rect, 4.0, stroke, StrokeKind::Inside);
                if response.clicked() {
                    actions.push(Action::SelectPhoto(photo.id));
                }
                if response.middle_clicked() {
                    actions.push(Action::ClosePhoto(photo.id));
                }
                response.on_hover_text(format!("{}\nMiddle click closes it", photo.name));
            }
            let add =
                egui::Button::new(egui::RichText::new("+").size(20.0)).min_size(egui::Vec2::splat(SIDE));
            if ui.add(add).on_hover_text("Open photos… (Ctrl+O)").clicked() {
                actions.push(Action::AskForPhotos);
            }
        });
    });
}

/// Which of several people; what to do where nobody was found or the detector is unsure.
pub fn people(ui: &mut Ui, session: &Session, actions: &mut Vec<Action>) {
    let Some(photo) = session.photo() else { return };
    match &photo.state {
        PhotoState::Looking => {
            ui.weak("Looking for people…");
        }
        PhotoState::Ready if photo.people.is_empty() => {
            ui.horizontal_wrapped(|ui| {
                ui.colored_label(theme::WARNING, "Nobody was found in this photo.");
                if ui.button("Place keypoints by hand").clicked() {
                    actions.push(Action::AddPerson);
                }
            });
        }
        PhotoState::Failed(error) if photo.picture.is_some() => {
            ui.colored_label(theme::ERROR, format!("Looking for people failed: {error}"));
            if ui.button("Place keypoints by hand").clicked() {
                actions.push(Action::AddPerson);
            }
        }
        PhotoState::Ready => {
            ui.horizontal_wrapped(|ui| {
                ui.spacing_mut().item_spacing.x = 3.0;
                if photo.people.len() > 1 {
                    for (index, person) in photo.people.iter().enumerate() {
                        let selected = index == photo.person;
                        let colour = if selected { theme::ON_ACCENT } else { theme::TEXT };
                        let label = egui::RichText::new(format!("Person {}", index + 1)).color(colour);
                        if ui
                            .add(egui::Button::selectable(selected, label))
                            .on_hover_text(format!("found with a certainty of {:.0} %", person.score * 100.0))
                            .clicked()
                        {
                            actions.push(Action::SelectPerson(index));
                        }
                    }
                } else {
                    ui.weak("Drag a keypoint. Right click switches it off.");
                }
            });
        }
        _ => {}
    }
}
