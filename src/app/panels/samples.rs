//! The samples as small figures with their log-density; a click puts one on the stage.

use bevy_egui::egui::{self, Color32, Rect, Sense, Stroke, StrokeKind, Ui, WidgetInfo, WidgetType};
use glam::Vec3;

use super::faded;
use crate::app::action::Action;
use crate::app::session::{Figure, Session};
use crate::app::theme;
use crate::body::joint_sets::SMPL_PARENTS;

const COLUMNS: usize = 4;
const TALL: f32 = 74.0;

/// Joints of SMPL on the person's left.
const LEFT: [usize; 9] = [1, 4, 7, 10, 13, 16, 18, 20, 22];
const RIGHT: [usize; 9] = [2, 5, 8, 11, 14, 17, 19, 21, 23];

pub fn gallery(ui: &mut Ui, session: &Session, actions: &mut Vec<Action>) {
    let Some(shown) = &session.shown else {
        ui.weak("Samples appear with an estimate");
        return;
    };
    let log_prob = &shown.estimate.log_prob;
    // Likeliest first.
    let mut order: Vec<usize> = (0..session.figures.len()).collect();
    order.sort_by(|a, b| {
        let of = |index: &usize| log_prob.get(*index).copied().unwrap_or(f32::NEG_INFINITY);
        of(b).total_cmp(&of(a))
    });
    let gap = 4.0;
    let width = ((ui.available_width() - 12.0) - gap * (COLUMNS as f32 - 1.0)) / COLUMNS as f32;
    ui.horizontal(|ui| {
        let selected = session.view.sample.is_none();
        let colour = if selected { theme::ON_ACCENT } else { theme::TEXT };
        let label = egui::RichText::new("Point estimate").color(colour);
        if ui.add(egui::Button::selectable(selected, label)).clicked() {
            actions.push(Action::SelectSample(None));
        }
        ui.weak("likeliest sample first");
    });
    let rows = order.len().div_ceil(COLUMNS);
    let height = TALL + gap;
    egui::ScrollArea::vertical().id_salt("samples").auto_shrink([false, false]).show_rows(
        ui,
        height - ui.spacing().item_spacing.y,
        rows,
        |ui, visible| {
            for row in visible {
                ui.horizontal(|ui| {
                    ui.spacing_mut().item_spacing.x = gap;
                    for index in order.iter().skip(row * COLUMNS).take(COLUMNS) {
                        let (rect, response) = ui.allocate_exact_size(
                            egui::vec2(width, TALL - ui.spacing().item_spacing.y + gap),
                            Sense::click(),
                        );
                        let selected = session.view.sample == Some(*index);
                        let value = log_prob.get(*index).copied().unwrap_or(f32::NAN);
                        response.widget_info(|| {
                            WidgetInfo::selected(
                                WidgetType::Button,
                                true,
                                selected,
                                format!("sample {}, log density {value:.1}", index + 1),
                            )
                        });
                        if let Some(figure) = session.figures.get(*index) {
                            card(
                                ui,
                                rect,
                                figure,
                                value,
                                selected,
                                response.hovered() || response.has_focus(),
                            );
                        }
                        if response.clicked() {
                            actions.push(Action::SelectSample((!selected).then_some(*index)));
                        }
                        response.on_hover_text(format!("Sample {}\nlog density {value:.2}", index + 1));
                    }
                });
            }
        },
    );
}

fn card(ui: &Ui, rect: Rect, figure: &Figure, log_prob: f32, selected: bool, lit: bool) {
    let painter = ui.painter_at(rect);
    painter.rect_filled(rect, 4.0, if lit { theme::RAISED_HOVER } else { theme::RAISED });
    if selected {
        painter.rect_stroke(rect, 4.0, Stroke::new(2.0, theme::ACCENT), StrokeKind::Inside);
    }
    let field = Rect::from_min_max(rect.min + egui::vec2(4.0, 4.0), rect.max - egui::vec2(4.0, 16.0));
    stick_figure(&painter, field, figure);
    painter.text(
        egui::pos2(rect.center().x, rect.max.y - 8.0),
        egui::Align2::CENTER_CENTER,
        if log_prob.is_finite() { format!("{log_prob:.1}") } else { "–".to_owned() },
        egui::FontId::proportional(10.5),
        theme::WEAK,
    );
}

/// Bones of a body seen from the front, filling a field.
fn stick_figure(painter: &egui::Painter, field: Rect, figure: &Figure) {
    let low = figure.iter().copied().reduce(Vec3::min).unwrap_or_default();
    let high = figure.iter().copied().reduce(Vec3::max).unwrap_or_default();
    let size = (high - low).max(Vec3::splat(0.3));
    let scale = (field.width() / size.x).min(field.height() / (size.y + 0.12));
    let middle = (low + high) / 2.0 + Vec3::Y * 0.05;
    let place = |point: Vec3| field.center() + egui::vec2(point.x - middle.x, middle.y - point.y) * scale;
    for (joint, parent) in SMPL_PARENTS.iter().enumerate() {
        let Ok(parent) = usize::try_from(*parent) else { continue };
        let colour: Color32 = if LEFT.contains(&joint) {
            theme::LEFT_SIDE
        } else if RIGHT.contains(&joint) {
            theme::RIGHT_SIDE
        } else {
            theme::MIDDLE
        };
        let stroke = Stroke::new(1.5, faded(colour, 0.85));
        painter.line_segment([place(figure[parent]), place(figure[joint])], stroke);
    }
    let head = figure[15] + (figure[15] - figure[12]).normalize_or_zero() * 0.08;
    painter.circle_filled(place(head), (0.09 * scale).max(1.5), faded(theme::MIDDLE, 0.85));
}
