//! What the user changes by hand: keypoints, options of the estimate, which of its parts are shown.

use bevy::prelude::*;

use super::action::Action;
use super::photos::moved_by_hand;
use super::session::{MOST_SAMPLES, Session, UNSURE};
use crate::keypoints::Person;

/// Edits of keypoints and options, and how the estimate is looked at.
pub fn act(mut actions: MessageReader<Action>, mut session: ResMut<Session>) {
    for action in actions.read() {
        match action {
            Action::SelectKeypoint(keypoint) => session.keypoint = *keypoint,
            Action::MoveKeypoint(keypoint, place) => {
                let place = inside(*place, &session);
                edit_person(&mut session, |person| {
                    if let Some(keypoint) = person.keypoints.get_mut(*keypoint) {
                        (keypoint.x, keypoint.y, keypoint.score) = (place.x, place.y, 1.0);
                    }
                });
            }
            Action::SwitchKeypoint(keypoint, on) => {
                let score = session.photo().map_or(1.0, |photo| photo.found_score(*keypoint));
                edit_person(&mut session, |person| {
                    if let Some(keypoint) = person.keypoints.get_mut(*keypoint) {
                        keypoint.score = if *on { score.max(UNSURE) } else { 0.0 };
                    }
                });
            }
            Action::ResetKeypoints => {
                if let Some(photo) = session.photo_mut()
                    && let Some(found) = photo.found.get(photo.person).cloned()
                    && let Some(person) = photo.current_person_mut()
                {
                    *person = found;
                }
            }
            Action::SetSamples(samples) => session.options.samples = (*samples).clamp(1, MOST_SAMPLES),
            Action::SetSeed(seed) => session.options.seed = *seed,
            Action::SetTemperature(temperature) => session.options.temperature = temperature.clamp(0.0, 2.0),
            Action::SetRefine(refine) => session.refine = *refine,
            Action::ShowBefore(show) => session.view.before = *show,
            Action::SelectSample(sample) => session.view.sample = *sample,
            Action::ToggleOverlay => {
                session.view.overlay = !session.view.overlay;
                if !session.view.overlay {
                    session.overlay = None;
                    session.overlay_texture = None;
                }
            }
            _ => {}
        }
    }
}

fn inside(place: Vec2, session: &Session) -> Vec2 {
    let size = session.photo().and_then(|photo| photo.picture.as_ref());
    size.map_or(place, |picture| {
        place.clamp(Vec2::ZERO, Vec2::new(picture.width as f32, picture.height as f32))
    })
}

fn edit_person(session: &mut Session, edit: impl Fn(&mut Person)) {
    if let Some(current) = session.photo_mut().and_then(|photo| photo.current_person_mut()) {
        edit(current);
        moved_by_hand(current);
    }
}
