//! The panels: plain egui, no bevy types. Each reads the session and says what the user asked for.

pub mod about;
pub mod form;
pub mod inspector;
pub mod keypoints;
pub mod legend;
pub mod models;
pub mod palette;
pub mod photo;
pub mod photos;
pub mod samples;
pub mod status;
pub mod tasks;
#[cfg(test)]
mod tests;
pub mod timeline;
pub mod welcome;

use bevy_egui::egui::{self, Color32, ColorImage, Response, RichText, TextureHandle, TextureOptions, Ui};

use super::theme;

/// A section's heading.
pub fn section(ui: &mut Ui, title: &str) {
    ui.add_space(theme::GAP);
    ui.label(RichText::new(title).size(11.5).color(theme::WEAK).strong());
    ui.add_space(1.0);
}

pub fn weak(text: impl Into<String>) -> RichText {
    RichText::new(text).color(theme::WEAK)
}

/// One choice of several, side by side over the whole width.
pub fn choice<T: PartialEq + Copy>(ui: &mut Ui, current: T, options: &[(T, &str, &str)]) -> Option<T> {
    let mut chosen = None;
    let gap = 2.0;
    let width = (ui.available_width() - gap * (options.len() as f32 - 1.0)) / options.len() as f32;
    ui.horizontal(|ui| {
        ui.spacing_mut().item_spacing.x = gap;
        ui.spacing_mut().button_padding.x = 2.0;
        for (value, label, hint) in options {
            let selected = *value == current;
            let colour = if selected { theme::ON_ACCENT } else { theme::TEXT };
            let button = egui::Button::new(RichText::new(*label).color(colour).size(12.5))
                .selected(selected)
                .min_size(egui::vec2(width, 24.0));
            let response = ui.add(button).on_hover_text(*hint);
            if response.clicked() && !selected {
                chosen = Some(*value);
            }
        }
    });
    chosen
}

/// The one button of a panel that is meant to be pressed next.
pub fn primary_button(ui: &mut Ui, label: &str) -> Response {
    let text = RichText::new(label).color(theme::ON_ACCENT).strong();
    ui.add(egui::Button::new(text).fill(theme::ACCENT).min_size(egui::vec2(0.0, 28.0)))
}

/// A texture made from an image when first needed.
pub fn texture<'a>(
    slot: &'a mut Option<TextureHandle>,
    image: &std::sync::Arc<ColorImage>,
    name: &str,
    ui: &Ui,
) -> &'a TextureHandle {
    slot.get_or_insert_with(|| ui.ctx().load_texture(name, image.clone(), TextureOptions::LINEAR))
}

/// Less opaque.
pub fn faded(colour: Color32, share: f32) -> Color32 {
    colour.gamma_multiply(share.clamp(0.0, 1.0))
}

/// "3.2 s", "4 min", "2 h 05 min".
pub fn duration(seconds: f64) -> String {
    match seconds {
        s if s < 10.0 => format!("{s:.1} s"),
        s if s < 90.0 => format!("{s:.0} s"),
        s if s < 5400.0 => format!("{:.0} min", s / 60.0),
        s => format!("{} h {:02} min", (s / 3600.0) as u64, (s as u64 % 3600) / 60),
    }
}
