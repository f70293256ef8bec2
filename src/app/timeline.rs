//! Plays, steps and scrubs a trajectory: the refinement of an estimate, later clips and projections.

use bevy::prelude::*;
use bevy::window::RequestRedraw;

use super::Acting;
use super::action::Action;
use super::session::{Session, Timeline};

/// Frames a second of trajectories whose frames are steps.
const STEPS_A_SECOND: f32 = 24.0;

pub struct TimelinePlugin;

impl Plugin for TimelinePlugin {
    fn build(&self, app: &mut App) {
        app.add_systems(Update, play).add_systems(PostUpdate, act.in_set(Acting));
    }
}

impl Timeline {
    pub fn new(trajectory: std::sync::Arc<crate::body::Trajectory>) -> Self {
        let frame = trajectory.frames.len().saturating_sub(1);
        Self { trajectory, frame, playing: false, passed: 0.0, on_stage: false }
    }

    pub fn last(&self) -> usize {
        self.trajectory.frames.len().saturating_sub(1)
    }

    fn go_to(&mut self, frame: usize) {
        self.frame = frame.min(self.last());
        self.passed = 0.0;
        self.on_stage = true;
    }
}

fn play(time: Res<Time>, mut session: ResMut<Session>, mut redraw: MessageWriter<RequestRedraw>) {
    let Some(timeline) = session.timeline.as_mut().filter(|timeline| timeline.playing) else { return };
    let rate = timeline.trajectory.frame_rate.unwrap_or(STEPS_A_SECOND);
    // A window that slept between redraws must not skip to the end.
    timeline.passed += time.delta_secs().min(0.1) * rate;
    let frames = timeline.passed.floor();
    timeline.passed -= frames;
    timeline.frame += frames as usize;
    if timeline.frame >= timeline.last() {
        timeline.frame = timeline.last();
        timeline.playing = false;
    }
    redraw.write(RequestRedraw);
}

fn act(mut actions: MessageReader<Action>, mut session: ResMut<Session>) {
    for action in actions.read() {
        match action {
            Action::CloseTimeline => {
                session.timeline_closed = true;
                if let Some(timeline) = session.timeline.as_mut() {
                    timeline.on_stage = false;
                    timeline.playing = false;
                }
            }
            Action::ShowTimeline => session.timeline_closed = false,
            _ => {}
        }
        let Some(timeline) = session.timeline.as_mut() else { continue };
        match action {
            Action::PlayOrPause => {
                timeline.playing = !timeline.playing;
                if timeline.playing && timeline.frame == timeline.last() {
                    timeline.frame = 0;
                }
                timeline.passed = 0.0;
                timeline.on_stage = true;
            }
            Action::Step(by) => {
                timeline.playing = false;
                timeline.go_to(timeline.frame.saturating_add_signed(*by as isize));
            }
            Action::GoToFrame(frame) => timeline.go_to(*frame),
            _ => {}
        }
    }
}
