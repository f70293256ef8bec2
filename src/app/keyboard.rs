//! Gives every key press the modifiers that were down at that moment.
//!
//! bevy_egui 0.42 gives all of a frame's presses the modifiers at the frame's end: a chord that is struck within one
//! long frame of a software adapter would arrive as a plain letter, and do something else.

use bevy::input::ButtonState;
use bevy::input::keyboard::{Key, KeyboardFocusLost, KeyboardInput};
use bevy::prelude::*;
use bevy_egui::helpers::{bevy_to_egui_key, bevy_to_egui_physical_key};
use bevy_egui::{EguiInput, EguiPreUpdateSet, egui};

pub struct KeyboardPlugin;

impl Plugin for KeyboardPlugin {
    fn build(&self, app: &mut App) {
        app.add_systems(
            PreUpdate,
            mend_chords.after(EguiPreUpdateSet::ProcessInput).before(EguiPreUpdateSet::BeginPass),
        );
    }
}

fn mend_chords(
    mut pressed: MessageReader<KeyboardInput>,
    mut lost: MessageReader<KeyboardFocusLost>,
    mut inputs: Query<&mut EguiInput>,
    mut down: Local<egui::Modifiers>,
) {
    if lost.read().count() > 0 {
        *down = egui::Modifiers::default();
    }
    let mut at_the_time = Vec::new();
    for message in pressed.read() {
        let is_down = message.state == ButtonState::Pressed;
        match message.logical_key {
            Key::Shift => down.shift = is_down,
            Key::Control => down.ctrl = is_down,
            Key::Alt => down.alt = is_down,
            Key::Super | Key::Meta => down.mac_cmd = is_down && cfg!(target_os = "macos"),
            _ => {}
        }
        down.command = if cfg!(target_os = "macos") { down.mac_cmd } else { down.ctrl };
        // The keys that bevy_egui passes on, and no others.
        let known = bevy_to_egui_key(&message.logical_key).or(bevy_to_egui_physical_key(&message.key_code));
        if known.is_some() {
            at_the_time.push(*down);
        }
    }
    for mut input in &mut inputs {
        let mut at_the_time = at_the_time.iter();
        let mut kept: Vec<egui::Event> = Vec::with_capacity(input.events.len());
        for mut event in std::mem::take(&mut input.events) {
            if let egui::Event::Key { modifiers, pressed, .. } = &mut event
                && let Some(then) = at_the_time.next()
            {
                *modifiers = *then;
                // The letter of a chord is no text.
                let chord = *pressed && (then.command || then.alt);
                if chord && matches!(kept.last(), Some(egui::Event::Text(_))) {
                    kept.pop();
                }
            }
            kept.push(event);
        }
        input.events = kept;
    }
}
