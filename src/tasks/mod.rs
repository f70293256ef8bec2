//! Long jobs, shared by the command line and the window.
//!
//! Task ──TaskQueue──▶ a named thread ──Event──▶ TaskHandle ──snapshot──▶ drawer, progress bar
//! keypoint drag ──▶ LiveEstimates (newest request wins) ──Slot──▶ 3D view

pub mod engine;
pub mod inputs;
pub mod latest;
pub mod live;
pub mod predict;
pub mod queue;
pub mod task;
pub mod training;

pub use latest::Latest;
pub use live::{Engine, LiveEstimate, LiveEstimates, LiveRequest, Stage};
pub use queue::{TaskHandle, TaskQueue, TaskSnapshot, TaskStatus};
pub use task::{Outcome, Task, Wake, lower_thread_priority, run_here};
