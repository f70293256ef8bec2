//! Every colour and size of the window, in one place. Panels and shaders take them from here.

use bevy_egui::egui::{
    Color32, Context, CornerRadius, FontFamily, FontId, Margin, Stroke, TextStyle, Theme, Vec2, Visuals,
};

/// The one accent colour: what is selected, what is under the hand, what to press next.
pub const ACCENT: Color32 = Color32::from_rgb(0xF0, 0xA3, 0x47);
pub const ON_ACCENT: Color32 = Color32::from_rgb(0x1D, 0x16, 0x0C);
pub const ACCENT_DIM: Color32 = Color32::from_rgb(0x5A, 0x45, 0x2A);

/// Behind the bodies.
pub const STAGE: Color32 = Color32::from_rgb(0x24, 0x28, 0x2F);
pub const FLOOR: Color32 = Color32::from_rgb(0x31, 0x36, 0x3F);
pub const FLOOR_LINE: Color32 = Color32::from_rgb(0x4A, 0x51, 0x5D);
pub const PANEL: Color32 = Color32::from_rgb(0x1C, 0x1F, 0x25);
pub const DEEP: Color32 = Color32::from_rgb(0x14, 0x16, 0x1A);
pub const RAISED: Color32 = Color32::from_rgb(0x2C, 0x31, 0x3A);
pub const RAISED_HOVER: Color32 = Color32::from_rgb(0x39, 0x3F, 0x4A);
pub const EDGE: Color32 = Color32::from_rgb(0x33, 0x38, 0x42);
pub const TEXT: Color32 = Color32::from_rgb(0xDD, 0xE1, 0xE8);
pub const STRONG: Color32 = Color32::from_rgb(0xF6, 0xF7, 0xF9);
pub const WEAK: Color32 = Color32::from_rgb(0x9A, 0xA2, 0xAF);
pub const WARNING: Color32 = Color32::from_rgb(0xE6, 0xC0, 0x5C);
pub const ERROR: Color32 = Color32::from_rgb(0xE8, 0x7B, 0x74);

/// The person's own left, right and middle in skeletons.
pub const LEFT_SIDE: Color32 = ACCENT;
pub const RIGHT_SIDE: Color32 = Color32::from_rgb(0x79, 0xB4, 0xE8);
pub const MIDDLE: Color32 = Color32::from_rgb(0xE6, 0xE9, 0xEE);
pub const OUTLINE: Color32 = Color32::from_rgb(0x12, 0x14, 0x18);

/// One plain colour for shape, and the samples around the point estimate.
pub const CLAY: Color32 = Color32::from_rgb(0xC9, 0xC3, 0xBA);
pub const GHOST: Color32 = Color32::from_rgb(0x8F, 0xBE, 0xEA);

pub const GAP: f32 = 8.0;
pub const MARGIN: i8 = 12;
pub const PHOTO_PANEL: f32 = 392.0;
pub const INSPECTOR: f32 = 268.0;
pub const DRAWER: f32 = 210.0;
pub const TIMELINE: f32 = 112.0;
pub const KEYPOINT_RADIUS: f32 = 5.0;
/// How far from a keypoint the pointer still takes hold of it, points.
pub const KEYPOINT_REACH: f32 = 18.0;
pub const THUMBNAIL: f32 = 84.0;

/// Sets fonts' sizes, spacing and colours of a context, once.
pub fn apply(context: &Context) {
    context.set_theme(Theme::Dark);
    context.set_visuals_of(Theme::Dark, visuals());
    context.all_styles_mut(|style| {
        let font = |size| FontId::new(size, FontFamily::Proportional);
        style.text_styles = [
            (TextStyle::Small, font(11.5)),
            (TextStyle::Body, font(13.5)),
            (TextStyle::Button, font(13.5)),
            (TextStyle::Heading, font(17.0)),
            (TextStyle::Monospace, FontId::new(12.5, FontFamily::Monospace)),
        ]
        .into();
        style.spacing.item_spacing = Vec2::new(GAP, 6.0);
        style.spacing.button_padding = Vec2::new(9.0, 4.0);
        style.spacing.window_margin = Margin::same(MARGIN);
        style.spacing.slider_width = 96.0;
        style.spacing.interact_size.y = 22.0;
        style.animation_time = 0.08;
        style.interaction.selectable_labels = false;
        style.url_in_tooltip = true;
    });
}

fn visuals() -> Visuals {
    let mut visuals = Visuals::dark();
    let corner = CornerRadius::same(5);
    visuals.panel_fill = PANEL;
    visuals.window_fill = PANEL;
    visuals.window_stroke = Stroke::new(1.0, EDGE);
    visuals.extreme_bg_color = DEEP;
    visuals.faint_bg_color = Color32::from_rgb(0x21, 0x25, 0x2C);
    visuals.selection.bg_fill = ACCENT;
    visuals.selection.stroke = Stroke::new(1.0, ON_ACCENT);
    visuals.hyperlink_color = ACCENT;
    visuals.warn_fg_color = WARNING;
    visuals.error_fg_color = ERROR;
    visuals.weak_text_color = Some(WEAK);
    visuals.slider_trailing_fill = true;
    // A blinking cursor would redraw the whole window for ever.
    visuals.text_cursor.blink = false;
    let widgets = &mut visuals.widgets;
    for state in [
        &mut widgets.noninteractive,
        &mut widgets.inactive,
        &mut widgets.hovered,
        &mut widgets.active,
        &mut widgets.open,
    ] {
        state.corner_radius = corner;
        state.expansion = 0.0;
        state.fg_stroke.color = TEXT;
    }
    widgets.noninteractive.bg_stroke = Stroke::new(1.0, EDGE);
    widgets.inactive.weak_bg_fill = RAISED;
    widgets.inactive.bg_fill = RAISED;
    widgets.hovered.weak_bg_fill = RAISED_HOVER;
    widgets.hovered.bg_fill = RAISED_HOVER;
    widgets.hovered.bg_stroke = Stroke::new(1.0, WEAK);
    widgets.hovered.fg_stroke.color = STRONG;
    widgets.active.weak_bg_fill = ACCENT_DIM;
    widgets.active.bg_fill = ACCENT_DIM;
    widgets.active.bg_stroke = Stroke::new(1.0, ACCENT);
    widgets.active.fg_stroke.color = STRONG;
    widgets.open.weak_bg_fill = RAISED;
    visuals
}

/// An sRGB colour as linear red, green, blue in 0..1, as shaders want it.
pub fn linear(colour: Color32) -> [f32; 3] {
    [colour.r(), colour.g(), colour.b()].map(crate::raster::colormap::srgb_to_linear)
}
