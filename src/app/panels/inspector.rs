//! The right side: what stands on the stage, how it is coloured, how the distribution is drawn from.

use std::sync::Arc;

use bevy_egui::egui::{self, ColorImage, TextureHandle, Ui};

use super::{choice, keypoints, samples, section, weak};
use crate::app::action::Action;
use crate::app::session::{Axis, Colouring, MOST_SAMPLES, Scene, Session};
use crate::app::theme;
use crate::estimators::Estimate;
use crate::formats::picture::Picture;

/// What the samples keep below everything else: their heading and a row and a half.
const GALLERY: f32 = 180.0;

/// Room for the bar that floats over the right edge.
const SCROLL_BAR: f32 = 8.0;

/// Longer side of what the network saw, pixels: about twice of what is shown, since a linear filter skips thin lines
/// of anything larger.
const EVIDENCE: usize = 144;

/// What the panel remembers from frame to frame.
#[derive(Default)]
pub struct Inspector {
    /// The slider's value while it is dragged.
    samples: Option<usize>,
    /// What the network saw, of which estimate.
    evidence: Option<(Arc<Estimate>, Vec<TextureHandle>)>,
}

impl Inspector {
    pub fn ui(&mut self, ui: &mut Ui, session: &Session, actions: &mut Vec<Action>) {
        let height = (ui.available_height() - GALLERY).max(GALLERY);
        let scroll = egui::ScrollArea::vertical().id_salt("inspector").max_height(height);
        scroll.auto_shrink([false, true]).show(ui, |ui| {
            ui.set_max_width(ui.available_width() - SCROLL_BAR);
            self.settings(ui, session, actions);
        });
        section(ui, "SAMPLES");
        samples::gallery(ui, session, actions);
    }

    fn settings(&mut self, ui: &mut Ui, session: &Session, actions: &mut Vec<Action>) {
        section(ui, "STAGE");
        let scenes = [
            (Scene::One, "One", "The point estimate, or the selected sample, alone"),
            (Scene::Cloud, "Cloud", "The same with all samples around it"),
            (Scene::SideBySide, "Side by side", "Samples in rows"),
        ];
        if let Some(scene) = choice(ui, session.view.scene, &scenes) {
            actions.push(Action::Show(scene));
        }
        section(ui, "COLOUR");
        let colours = [
            (Colouring::Clothed, "Clothed", "Everyday clothes"),
            (Colouring::Plain, "Plain", "One colour, for the shape"),
            (Colouring::Uncertainty, "Uncertainty", "Standard deviation of each point over the samples"),
        ];
        if let Some(colouring) = choice(ui, session.view.colouring, &colours) {
            actions.push(Action::Colour(colouring));
        }
        if session.view.colouring == Colouring::Uncertainty {
            let axes = [
                (Axis::Total, "Total", "All directions together"),
                (Axis::X, "x", "Across the photo"),
                (Axis::Y, "y", "Up and down in the photo"),
                (Axis::Z, "z", "Towards the camera and away from it"),
            ];
            if let Some(axis) = choice(ui, session.view.axis, &axes) {
                actions.push(Action::UncertaintyAxis(axis));
            }
        }
        self.distribution(ui, session, actions);

        section(ui, "KEYPOINTS");
        egui::CollapsingHeader::new("List").id_salt("keypoint list").show(ui, |ui| {
            keypoints::list(ui, session, actions);
        });
        self.evidence(ui, session);
    }

    /// Pictures that went into the network, where it reads pictures.
    fn evidence(&mut self, ui: &mut Ui, session: &Session) {
        let shown = session.shown.as_ref().map(|shown| &shown.estimate);
        let Some(estimate) = shown.filter(|estimate| !estimate.evidence.is_empty()) else {
            self.evidence = None;
            return;
        };
        if !self.evidence.as_ref().is_some_and(|(of, _)| Arc::ptr_eq(of, estimate)) {
            let load = |(name, picture): &(String, Picture)| {
                let side = picture.width.max(picture.height).max(1);
                let scaled = |length: usize| length * EVIDENCE / side;
                let picture = picture.resized(scaled(picture.width), scaled(picture.height));
                let image = ColorImage::from_rgb([picture.width, picture.height], &picture.rgb);
                ui.ctx().load_texture(name, image, egui::TextureOptions::LINEAR)
            };
            self.evidence = Some((estimate.clone(), estimate.evidence.iter().map(load).collect()));
        }
        let Some((_, textures)) = &self.evidence else { return };
        section(ui, "WHAT THE NETWORK SEES");
        let width = (ui.available_width() - 2.0 * theme::GAP) / 3.0;
        ui.horizontal_wrapped(|ui| {
            for ((name, _), texture) in estimate.evidence.iter().zip(textures) {
                ui.add(egui::Image::new(texture).max_size(egui::Vec2::splat(width))).on_hover_text(name);
            }
        });
    }

    fn distribution(&mut self, ui: &mut Ui, session: &Session, actions: &mut Vec<Action>) {
        section(ui, "DISTRIBUTION");
        let options = &session.options;
        let mut samples = self.samples.unwrap_or(options.samples);
        let slider = egui::Slider::new(&mut samples, 1..=MOST_SAMPLES).text("samples");
        let response = ui.add(slider);
        self.samples = (response.dragged() || response.has_focus()).then_some(samples);
        if samples != options.samples {
            actions.push(Action::SetSamples(samples));
        }
        let mut temperature = options.temperature;
        let slider = egui::Slider::new(&mut temperature, 0.0..=2.0).fixed_decimals(2).text("temperature");
        if ui.add(slider).on_hover_text("1 is the learned distribution, 0 its mode").changed() {
            actions.push(Action::SetTemperature(temperature));
        }
        ui.horizontal(|ui| {
            let mut seed = options.seed;
            let label = ui.label("Seed");
            if ui.add(egui::DragValue::new(&mut seed).speed(0.2)).labelled_by(label.id).changed() {
                actions.push(Action::SetSeed(seed));
            }
            if ui.button("Next").on_hover_text("Other samples of the same distribution").clicked() {
                actions.push(Action::SetSeed(options.seed.wrapping_add(1)));
            }
            ui.with_layout(egui::Layout::right_to_left(egui::Align::Center), |ui| {
                let mut refine = session.refine;
                if ui
                    .checkbox(&mut refine, "Refine")
                    .on_hover_text("Make the estimate and every sample agree with the visible keypoints")
                    .changed()
                {
                    actions.push(Action::SetRefine(refine));
                }
            });
        });
        if let Some(spread) = &session.spread {
            let mean = spread.mean * 100.0;
            ui.label(weak(format!("Spread {mean:.1} cm (mean over the body)"))).on_hover_text(
                "Standard deviation of a point of the body over the samples, mean over all points",
            );
            if let Some(before) = spread.mean_before.filter(|before| *before > 1e-4) {
                let change = (spread.mean / before - 1.0) * 100.0;
                if change.abs() >= 1.0 {
                    let (word, colour) =
                        if change < 0.0 { ("less", theme::ACCENT) } else { ("more", theme::WEAK) };
                    ui.colored_label(
                        colour,
                        format!("{:.0} % {word} than before the last edit", change.abs()),
                    );
                }
                let mut before = session.view.before;
                if ui
                    .checkbox(&mut before, "Ghost of the estimate before")
                    .on_hover_text("While a keypoint is selected")
                    .changed()
                {
                    actions.push(Action::ShowBefore(before));
                }
            }
        }
    }
}
