//! The colour bar of the uncertainty view, with its unit.

use bevy_egui::egui::{self, Align2, Color32, FontId, Mesh, Rect, Ui};

use super::faded;
use crate::app::session::{Axis, Colouring, Session};
use crate::app::theme;
use crate::app::view3d::paint::legend_top;
use crate::raster::Colormap;

const SIZE: egui::Vec2 = egui::vec2(196.0, 54.0);

/// Draws into the upper right corner of the stage.
pub fn draw(ui: &Ui, stage: Rect, session: &Session) {
    let Some(spread) = session.spread.as_ref().filter(|_| session.view.colouring == Colouring::Uncertainty)
    else {
        return;
    };
    let painter = ui.painter_at(stage);
    let rect = Rect::from_min_size(stage.right_top() + egui::vec2(-SIZE.x - 14.0, 12.0), SIZE);
    painter.rect_filled(rect, 6.0, faded(theme::PANEL, 0.88));
    let title = match session.view.axis {
        Axis::Total => "Standard deviation, total",
        Axis::X => "Standard deviation along x",
        Axis::Y => "Standard deviation along y",
        Axis::Z => "Standard deviation along z",
    };
    painter.text(
        rect.left_top() + egui::vec2(10.0, 7.0),
        Align2::LEFT_TOP,
        title,
        FontId::proportional(12.0),
        theme::TEXT,
    );
    let bar = Rect::from_min_size(rect.left_top() + egui::vec2(10.0, 25.0), egui::vec2(SIZE.x - 20.0, 9.0));
    let mut mesh = Mesh::default();
    const STEPS: usize = 32;
    for step in 0..=STEPS {
        let share = step as f32 / STEPS as f32;
        let [r, g, b] = Colormap::Ember.colour(share);
        let x = egui::lerp(bar.x_range(), share);
        mesh.colored_vertex(egui::pos2(x, bar.top()), Color32::from_rgb(r, g, b));
        mesh.colored_vertex(egui::pos2(x, bar.bottom()), Color32::from_rgb(r, g, b));
        if step > 0 {
            let first = 2 * (step as u32 - 1);
            mesh.add_triangle(first, first + 1, first + 2);
            mesh.add_triangle(first + 1, first + 2, first + 3);
        }
    }
    painter.add(mesh);
    let top = legend_top(spread) * 100.0;
    for (share, align) in [(0.0, Align2::LEFT_TOP), (0.5, Align2::CENTER_TOP), (1.0, Align2::RIGHT_TOP)] {
        let value = top * share;
        let number = if top < 2.0 && share == 0.5 { format!("{value:.1}") } else { format!("{value:.0}") };
        let text = if share == 1.0 { format!("≥ {number} cm") } else { number };
        painter.text(
            egui::pos2(egui::lerp(bar.x_range(), share), bar.bottom() + 3.0),
            align,
            text,
            FontId::proportional(11.0),
            theme::WEAK,
        );
    }
}
