//! Version, licences and credits.

use bevy_egui::egui::{self, Context, RichText};

use crate::app::theme;

/// What ships with the program and under which terms.
const NOTICE: &str = include_str!("../../../NOTICE");

pub fn window(context: &Context, open: &mut bool) {
    egui::Window::new("About humanifold")
        .open(open)
        .default_size(egui::vec2(560.0, 420.0))
        .pivot(egui::Align2::CENTER_CENTER)
        .default_pos(context.viewport_rect().center())
        .show(context, |ui| {
            ui.label(RichText::new(concat!("humanifold ", env!("CARGO_PKG_VERSION"))).heading());
            ui.label(env!("CARGO_PKG_DESCRIPTION"));
            ui.label(RichText::new(concat!("Licence: ", env!("CARGO_PKG_LICENSE"))).color(theme::WEAK));
            ui.separator();
            egui::ScrollArea::vertical().auto_shrink([false, false]).show(ui, |ui| {
                ui.label(RichText::new(NOTICE).size(12.5));
            });
        });
}
