//! The window: one plugin a feature.
//!
//! panels, keys, drops ──Action──▶ plugins ──▶ Session ──▶ panels, stage
//!                                    │ ▲
//!                                    ▼ │ slots
//!                                  workers

pub mod action;
pub mod capture;
pub mod compose;
pub mod estimates;
pub mod evidence;
pub mod idle;
pub mod jobs;
pub mod keyboard;
pub mod layout;
pub mod models;
pub mod panels;
pub mod photos;
pub mod session;
pub mod start;
pub mod theme;
pub mod timeline;
pub mod view3d;

use bevy::prelude::{Resource, SystemSet};

pub use start::{WindowOptions, run};

use crate::tasks::Wake;

/// Systems that take what workers finished.
#[derive(SystemSet, Clone, Debug, PartialEq, Eq, Hash)]
pub struct Collecting;

/// Systems that carry out actions, after the panels of the same update wrote them and before it is drawn.
#[derive(SystemSet, Clone, Debug, PartialEq, Eq, Hash)]
pub struct Acting;

/// Wakes the window from any thread.
#[derive(Resource, Clone)]
pub struct Waker(pub Wake);
