//! Which files of other people were found: looked for on a thread of its own at the start and when asked.

use bevy::prelude::*;

use super::action::Action;
use super::session::Session;
use super::{Acting, Collecting, Waker};
use crate::formats::registry::{self, FileState, Row};
use crate::progress::Slot;

pub struct ModelsPlugin;

#[derive(Resource, Default)]
struct Looking(Slot<Vec<Row>>);

impl Plugin for ModelsPlugin {
    fn build(&self, app: &mut App) {
        app.init_resource::<Looking>()
            .add_systems(Startup, |looking: Res<Looking>, waker: Res<Waker>| look(&looking, &waker))
            .add_systems(Update, collect.in_set(Collecting))
            .add_systems(PostUpdate, act.in_set(Acting));
    }
}

fn look(looking: &Looking, waker: &Waker) {
    let (slot, wake) = (looking.0.clone(), waker.0.clone());
    std::thread::spawn(move || {
        slot.put(registry::rows());
        wake();
    });
}

fn collect(looking: Res<Looking>, mut session: ResMut<Session>) {
    let Some(rows) = looking.0.take() else { return };
    let found = |title: &str| {
        rows.iter().any(|row| row.title.starts_with(title) && matches!(row.state, FileState::Found { .. }))
    };
    session.notes = if found("SMPL") {
        Vec::new()
    } else {
        vec!["SMPL model not found: using the built-in body.".to_owned()]
    };
    session.models = rows;
}

fn act(
    mut actions: MessageReader<Action>,
    mut session: ResMut<Session>,
    looking: Res<Looking>,
    waker: Res<Waker>,
) {
    for action in actions.read() {
        match action {
            Action::ToggleModels => session.models_open = !session.models_open,
            Action::LookForModels => look(&looking, &waker),
            _ => {}
        }
    }
}
