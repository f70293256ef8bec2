//! A trajectory's steps: play, step, scrub, and the curve of its value.

use bevy_egui::egui::{self, Align2, FontId, Pos2, Rect, RichText, Sense, Shape, Stroke, Ui, WidgetInfo};

use super::faded;
use crate::app::action::Action;
use crate::app::session::Timeline;
use crate::app::theme;

pub fn panel(ui: &mut Ui, timeline: &Timeline, actions: &mut Vec<Action>) {
    let last = timeline.last();
    ui.horizontal(|ui| {
        let play = if timeline.playing { "⏸" } else { "▶" };
        let button =
            |text: &str| egui::Button::new(RichText::new(text).size(14.0)).min_size(egui::vec2(28.0, 24.0));
        if ui.add(button("⏮")).on_hover_text("First step (Home)").clicked() {
            actions.push(Action::GoToFrame(0));
        }
        if ui.add(button("⏴")).on_hover_text("One step back (←)").clicked() {
            actions.push(Action::Step(-1));
        }
        if ui.add(button(play)).on_hover_text("Play or pause (Space)").clicked() {
            actions.push(Action::PlayOrPause);
        }
        if ui.add(button("⏵")).on_hover_text("One step on (→)").clicked() {
            actions.push(Action::Step(1));
        }
        if ui.add(button("⏭")).on_hover_text("Last step (End)").clicked() {
            actions.push(Action::GoToFrame(last));
        }
        let unit = if timeline.trajectory.frame_rate.is_some() { "frame" } else { "step" };
        let mut text = format!("{unit} {} of {last}", timeline.frame);
        if let Some(value) = timeline.trajectory.values.get(timeline.frame) {
            text += &format!(": {} {value:.2}", timeline.trajectory.value_name);
        }
        // From the right, so that a narrow window shortens the text and keeps the button.
        ui.with_layout(egui::Layout::right_to_left(egui::Align::Center), |ui| {
            if ui.small_button("✖").on_hover_text("Close the timeline").clicked() {
                actions.push(Action::CloseTimeline);
            }
            ui.with_layout(egui::Layout::left_to_right(egui::Align::Center), |ui| {
                ui.add(egui::Label::new(&text).truncate())
                    .on_hover_text(format!("{}, {text}", timeline.trajectory.source));
            });
        });
    });
    track(ui, timeline, actions);
}

/// The curve of the value over all frames; dragging anywhere on it scrubs.
fn track(ui: &mut Ui, timeline: &Timeline, actions: &mut Vec<Action>) {
    let size = egui::vec2(ui.available_width(), ui.available_height().max(28.0));
    let (rect, response) = ui.allocate_exact_size(size, Sense::click_and_drag());
    let last = timeline.last().max(1);
    response.widget_info(|| WidgetInfo::slider(true, timeline.frame as f64, "Timeline"));
    let painter = ui.painter_at(rect);
    painter.rect_filled(rect, 4.0, theme::DEEP);
    // Room on the right for the numbers of the curve's ends.
    let field = Rect::from_min_max(rect.min + egui::vec2(8.0, 8.0), rect.max - egui::vec2(46.0, 6.0));
    let x_of = |frame: usize| egui::lerp(field.x_range(), frame as f32 / last as f32);
    let values = &timeline.trajectory.values;
    let finite = || values.iter().copied().filter(|value| value.is_finite());
    let (low, high) = (finite().fold(f32::INFINITY, f32::min), finite().fold(f32::NEG_INFINITY, f32::max));
    if high > low {
        let points: Vec<Pos2> = values
            .iter()
            .enumerate()
            .filter(|(_, value)| value.is_finite())
            .map(|(frame, value)| {
                Pos2::new(x_of(frame), egui::remap(*value, low..=high, field.bottom()..=field.top()))
            })
            .collect();
        painter.add(Shape::line(points, Stroke::new(1.5, faded(theme::RIGHT_SIDE, 0.9))));
        let label = |at: Pos2, align, value: f32| {
            painter.text(at, align, format!("{value:.2}"), FontId::proportional(10.5), theme::WEAK);
        };
        let edge = rect.right() - 8.0;
        label(Pos2::new(edge, field.top()), Align2::RIGHT_CENTER, high);
        label(Pos2::new(edge, field.bottom()), Align2::RIGHT_CENTER, low);
    }
    let x = x_of(timeline.frame);
    painter.vline(x, rect.y_range(), Stroke::new(2.0, theme::ACCENT));
    painter.add(Shape::convex_polygon(
        vec![Pos2::new(x - 5.0, rect.top()), Pos2::new(x + 5.0, rect.top()), Pos2::new(x, rect.top() + 7.0)],
        theme::ACCENT,
        Stroke::NONE,
    ));
    if (response.dragged() || response.clicked())
        && let Some(at) = response.interact_pointer_pos()
    {
        let share = ((at.x - field.left()) / field.width().max(1.0)).clamp(0.0, 1.0);
        actions.push(Action::GoToFrame((share * last as f32).round() as usize));
    }
}
