//! What the user asks for. Panels and keys write actions, each feature's plugin carries out its own.

use std::path::PathBuf;

use bevy::prelude::Message;
use glam::Vec2;

use super::session::{Axis, Colouring, Scene, Side};
use crate::keypoints::Network;

#[derive(Message, Clone, Debug, PartialEq)]
pub enum Action {
    // Photos.
    AskForPhotos,
    Open(PathBuf),
    SelectPhoto(u64),
    ClosePhoto(u64),
    SelectPerson(usize),
    /// A person whose keypoints are placed by hand, standing in the middle of the photo.
    AddPerson,

    // Evidence.
    SelectKeypoint(Option<usize>),
    /// In pixels of the photo.
    MoveKeypoint(usize, Vec2),
    SwitchKeypoint(usize, bool),
    ResetKeypoints,
    /// Looks at all open photos again with this network.
    UseKeypointNetwork(Network),

    // Distribution.
    SetSamples(usize),
    SetSeed(u64),
    SetTemperature(f32),
    SetRefine(bool),
    SelectSample(Option<usize>),

    // View.
    Show(Scene),
    Colour(Colouring),
    UncertaintyAxis(Axis),
    LookFrom(Side),
    Zoom(f32),
    ToggleOverlay,
    /// The ghost of the estimate before the last edit.
    ShowBefore(bool),

    // Timeline.
    PlayOrPause,
    Step(i64),
    GoToFrame(usize),
    CloseTimeline,
    ShowTimeline,

    ToggleAbout,
    ToggleModels,
    LookForModels,

    // Tasks.
    ToggleTasks,
    OpenTraining,
    StartTraining,
    CancelTask(u64),
    ClearTasks,
    UseWeights(PathBuf),
}
