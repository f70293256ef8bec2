//! The drawer of long jobs: progress, rate, time left, cancel, curves, and what can be done with what came out.

use bevy_egui::egui::{self, RichText, Ui};
use egui_plot::{Line, Plot, PlotPoints};

use super::{duration, weak};
use crate::app::action::Action;
use crate::app::theme;
use crate::tasks::{TaskQueue, TaskSnapshot, TaskStatus};

/// What the drawer remembers from frame to frame.
#[derive(Default)]
pub struct TaskDrawer {
    /// The job whose curves are shown.
    selected: Option<u64>,
    /// The curve that is shown of it.
    metric: Option<String>,
}

impl TaskDrawer {
    pub fn ui(&mut self, ui: &mut Ui, queue: &TaskQueue, actions: &mut Vec<Action>) {
        ui.horizontal(|ui| {
            ui.heading("Tasks");
            ui.with_layout(egui::Layout::right_to_left(egui::Align::Center), |ui| {
                if ui.small_button("✖").on_hover_text("Close (Ctrl+T)").clicked() {
                    actions.push(Action::ToggleTasks);
                }
                if ui.button("Train…").on_hover_text("Train an estimator on synthetic people").clicked() {
                    actions.push(Action::OpenTraining);
                }
                let over = queue.handles().any(|handle| handle.is_over());
                if ui.add_enabled(over, egui::Button::new("Clear finished")).clicked() {
                    actions.push(Action::ClearTasks);
                }
            });
        });
        let snapshots: Vec<TaskSnapshot> = queue.handles().map(|handle| handle.snapshot()).collect();
        if snapshots.is_empty() {
            ui.weak("Nothing is running. Trainings and other long jobs are listed here.");
            return;
        }
        let selected = self
            .selected
            .filter(|id| snapshots.iter().any(|snapshot| snapshot.id == *id))
            .or_else(|| snapshots.first().map(|snapshot| snapshot.id));
        let curves = snapshots.iter().find(|s| Some(s.id) == selected && !s.curves.is_empty());
        let list_width = if curves.is_some() { ui.available_width() * 0.5 } else { ui.available_width() };
        ui.horizontal_top(|ui| {
            let down = egui::Layout::top_down(egui::Align::Min);
            ui.allocate_ui_with_layout(egui::vec2(list_width, ui.available_height()), down, |ui| {
                egui::ScrollArea::vertical().id_salt("tasks").auto_shrink([false, false]).show(ui, |ui| {
                    for snapshot in &snapshots {
                        if row(ui, snapshot, Some(snapshot.id) == selected, actions) {
                            self.selected = Some(snapshot.id);
                        }
                    }
                });
            });
            if let Some(snapshot) = curves {
                ui.with_layout(down, |ui| curve(ui, snapshot, &mut self.metric));
            }
        });
    }
}

/// One job; `true` where it was clicked.
fn row(ui: &mut Ui, task: &TaskSnapshot, selected: bool, actions: &mut Vec<Action>) -> bool {
    let fill = if selected { theme::RAISED } else { theme::PANEL };
    let frame = egui::Frame::new().fill(fill).corner_radius(5).inner_margin(8);
    let inner = frame.show(ui, |ui| {
        ui.set_width(ui.available_width());
        ui.horizontal(|ui| {
            let clicked =
                ui.add(egui::Button::new(RichText::new(&task.title).strong()).frame(false)).clicked();
            ui.with_layout(egui::Layout::right_to_left(egui::Align::Center), |ui| match &task.status {
                TaskStatus::Waiting | TaskStatus::Running => {
                    if ui.button("Cancel").clicked() {
                        actions.push(Action::CancelTask(task.id));
                    }
                }
                TaskStatus::Finished(outcome) => {
                    let weights =
                        outcome.files.iter().find(|f| f.extension().is_some_and(|e| e == "safetensors"));
                    if let Some(weights) = weights
                        && super::primary_button(ui, "Use these weights").clicked()
                    {
                        actions.push(Action::UseWeights(weights.clone()));
                    }
                }
                TaskStatus::Failed(_) | TaskStatus::Cancelled => {}
            });
            clicked
        })
        .inner
            | progress(ui, task)
    });
    inner.inner
}

fn progress(ui: &mut Ui, task: &TaskSnapshot) -> bool {
    match &task.status {
        TaskStatus::Waiting => {
            ui.weak("Waiting for other tasks");
        }
        TaskStatus::Running => {
            let share = if task.total > 0 { task.done as f32 / task.total as f32 } else { 0.0 };
            ui.add(egui::ProgressBar::new(share).desired_height(6.0).fill(theme::ACCENT));
            let mut words = vec![if task.total > 0 {
                format!("{} of {} {}", task.done, task.total, task.unit)
            } else if task.unit.is_empty() {
                "starting".to_owned()
            } else {
                format!("{} {}", task.done, task.unit)
            }];
            if let Some(rate) = task.rate {
                words.push(if rate >= 1.0 {
                    format!("{rate:.1} {}/s", task.unit)
                } else {
                    format!("{:.1} {}/min", rate * 60.0, task.unit)
                });
            }
            if let Some(left) = task.time_left {
                words.push(format!("{} left", duration(left.as_secs_f64())));
            }
            ui.add(egui::Label::new(weak(words.join("  ·  ")).size(12.0)).truncate());
        }
        TaskStatus::Finished(outcome) => {
            let took = duration(task.elapsed.as_secs_f64());
            ui.label(weak(format!("{} ({took})", outcome.message)).size(12.0));
        }
        TaskStatus::Failed(error) => {
            ui.colored_label(theme::ERROR, error);
        }
        TaskStatus::Cancelled => {
            ui.weak("Cancelled");
        }
    }
    if let Some(warning) = task.warnings.last() {
        let more = task.warnings.len() + task.more_warnings - 1;
        let text = if more > 0 { format!("{warning} (and {more} more)") } else { warning.clone() };
        ui.label(RichText::new(text).color(theme::WARNING).size(12.0));
    }
    false
}

/// One curve of a job, by choice: their units have nothing in common.
fn curve(ui: &mut Ui, task: &TaskSnapshot, metric: &mut Option<String>) {
    let known = |name: &str| task.curves.iter().find(|(of, _)| of.as_str() == name);
    let chosen =
        metric.as_deref().and_then(known).or_else(|| known("loss")).or_else(|| task.curves.iter().next());
    let Some((name, curve)) = chosen else { return };
    let words = |name: &str| name.replace('_', " ");
    let last = curve.points.last().map_or(String::new(), |(_, value)| format!("{value:.4}"));
    let mut next = None;
    ui.horizontal(|ui| {
        egui::ComboBox::from_id_salt("metric").selected_text(words(name)).show_ui(ui, |ui| {
            for other in task.curves.keys() {
                if ui.selectable_label(other == name, words(other)).clicked() {
                    next = Some(other.clone());
                }
            }
        });
        ui.label(weak(last));
    });
    let plot = Plot::new(("curves", task.id)).height(ui.available_height()).allow_scroll(false);
    // From the first step on, and with room for four digits from the first frame on.
    plot.include_x(0.0).y_axis_min_width(40.0).show(ui, |plot| {
        let points: PlotPoints = curve.points.iter().map(|(step, value)| [*step as f64, *value]).collect();
        plot.line(Line::new(words(name), points).color(theme::ACCENT).width(1.6));
    });
    if next.is_some() {
        *metric = next;
    }
}
