//! Every command by its name: Ctrl+K, a few letters, Enter. Also the list of all keys.

use bevy_egui::egui::{self, Align, Align2, Context, Key, Layout, RichText};

use crate::app::action::Action;
use crate::app::session::{Axis, Colouring, Scene, Session, Side};
use crate::app::theme;

/// What the palette remembers while it is open.
#[derive(Default)]
pub struct Palette {
    open: bool,
    filter: String,
    selected: usize,
}

/// A command's name, its key, and what it asks for.
pub type Entry = (&'static str, &'static str, Action);

/// All commands that make sense at the moment.
pub fn commands(session: &Session) -> Vec<Entry> {
    let mut entries = vec![
        ("Open photos…", "Ctrl+O", Action::AskForPhotos),
        ("Show one body", "O", Action::Show(Scene::One)),
        ("Show the cloud of samples", "C", Action::Show(Scene::Cloud)),
        ("Show samples side by side", "S", Action::Show(Scene::SideBySide)),
        ("Colour: clothed", "D", Action::Colour(Colouring::Clothed)),
        ("Colour: plain", "P", Action::Colour(Colouring::Plain)),
        ("Colour: uncertainty", "U", Action::Colour(Colouring::Uncertainty)),
        ("Uncertainty in all directions", "", Action::UncertaintyAxis(Axis::Total)),
        ("Uncertainty along x", "", Action::UncertaintyAxis(Axis::X)),
        ("Uncertainty along y", "", Action::UncertaintyAxis(Axis::Y)),
        ("Uncertainty along z", "", Action::UncertaintyAxis(Axis::Z)),
        ("Look from the front", "1", Action::LookFrom(Side::Front)),
        ("Look from the side", "2", Action::LookFrom(Side::Left)),
        ("Look from the back", "3", Action::LookFrom(Side::Back)),
        ("Look from above", "4", Action::LookFrom(Side::Top)),
        ("Closer", "+", Action::Zoom(1.2)),
        ("Farther", "−", Action::Zoom(1.0 / 1.2)),
        ("Next seed", "N", Action::SetSeed(session.options.seed.wrapping_add(1))),
        ("Refinement on or off", "", Action::SetRefine(!session.refine)),
        ("Tasks", "Ctrl+T", Action::ToggleTasks),
        ("Train…", "", Action::OpenTraining),
        ("Ghost of the estimate before on or off", "", Action::ShowBefore(!session.view.before)),
        ("Models and data", "", Action::ToggleModels),
        ("About, licences and credits", "F1", Action::ToggleAbout),
    ];
    if session.photo().is_some() {
        entries.push(("Body over the photo", "B", Action::ToggleOverlay));
        entries.push(("Place a person by hand", "", Action::AddPerson));
        entries.push(("Reset keypoints", "", Action::ResetKeypoints));
        if let Some(id) = session.selected {
            entries.push(("Close photo", "", Action::ClosePhoto(id)));
        }
    }
    if session.view.sample.is_some() {
        entries.push(("Back to the point estimate", "", Action::SelectSample(None)));
    }
    if session.timeline.is_some() {
        entries.push(("Play or pause", "Space", Action::PlayOrPause));
        if session.timeline_closed {
            entries.push(("Show the timeline", "", Action::ShowTimeline));
        }
    }
    entries
}

impl Palette {
    pub fn ui(&mut self, context: &Context, session: &Session, actions: &mut Vec<Action>) {
        let toggled = context.input_mut(|input| input.consume_key(egui::Modifiers::COMMAND, Key::K));
        if toggled {
            *self = Self { open: !self.open, ..Self::default() };
        }
        if !self.open {
            return;
        }
        let wanted = self.filter.to_lowercase();
        let found: Vec<Entry> = commands(session)
            .into_iter()
            .filter(|(name, _, _)| wanted.split_whitespace().all(|word| name.to_lowercase().contains(word)))
            .collect();
        let (up, down, enter, escape) = context.input_mut(|input| {
            let mut pressed = |key| input.consume_key(egui::Modifiers::NONE, key);
            (pressed(Key::ArrowUp), pressed(Key::ArrowDown), pressed(Key::Enter), pressed(Key::Escape))
        });
        self.selected = (self.selected + usize::from(down)).saturating_sub(usize::from(up));
        self.selected = self.selected.min(found.len().saturating_sub(1));
        let mut chosen = found.get(self.selected).filter(|_| enter).map(|(_, _, action)| action.clone());

        egui::Window::new("Commands")
            .id("palette".into())
            .title_bar(false)
            .resizable(false)
            .anchor(Align2::CENTER_TOP, egui::vec2(0.0, 90.0))
            .fixed_size(egui::vec2(380.0, 360.0))
            .show(context, |ui| {
                let field = egui::TextEdit::singleline(&mut self.filter)
                    .hint_text("What do you want to do?")
                    .desired_width(f32::INFINITY);
                ui.add(field).request_focus();
                ui.add_space(4.0);
                egui::ScrollArea::vertical().max_height(310.0).auto_shrink([false, true]).show(ui, |ui| {
                    for (index, (name, key, action)) in found.iter().enumerate() {
                        let selected = index == self.selected;
                        let colour = if selected { theme::ON_ACCENT } else { theme::TEXT };
                        ui.horizontal(|ui| {
                            let label = RichText::new(*name).color(colour);
                            let response = ui.add(egui::Button::selectable(selected, label));
                            if selected && (up || down) {
                                response.scroll_to_me(None);
                            }
                            if response.clicked() {
                                chosen = Some(action.clone());
                            }
                            ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
                                ui.add_space(14.0);
                                ui.weak(*key)
                            });
                        });
                    }
                    if found.is_empty() {
                        ui.weak("No such command");
                    }
                });
            });
        if let Some(action) = chosen {
            actions.push(action);
            self.open = false;
        }
        if escape {
            self.open = false;
        }
    }
}
