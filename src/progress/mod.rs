//! What a long job tells the world, and how it is stopped.
//!
//! job ──Event──▶ Reporter ──▶ command line, window, log file
//!                 Cancel  ◀── whoever waits
//! Newest values that are drawn go through a [`Slot`]; nothing queues up behind a slow reader.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use serde::{Deserialize, Serialize};

/// One message of a job's stream. The command line prints them, the window draws them, a log keeps them.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// The job began; `title` is what a list of jobs shows.
    Started { title: String },
    /// `done` of `total` in `unit` ("photos", "steps"); `total` is 0 where it is unknown.
    Progress { done: u64, total: u64, unit: String },
    /// A number of a curve: loss, error, rate.
    Metric { name: String, step: u64, value: f64 },
    /// Something went wrong that does not end the job.
    Warning { message: String },
    /// The job ended as wanted.
    Finished { message: String },
    /// The job ended by an error or was cancelled.
    Failed { message: String },
}

/// Where a job sends its events. Cheap to clone; sending never blocks for long.
#[derive(Clone)]
pub struct Reporter(Arc<dyn Fn(Event) + Send + Sync>);

impl Reporter {
    /// Calls `sink` with every event, from whichever thread the job runs on.
    pub fn new(sink: impl Fn(Event) + Send + Sync + 'static) -> Self {
        Self(Arc::new(sink))
    }

    /// For callers that do not watch.
    pub fn silent() -> Self {
        Self::new(|_| {})
    }

    pub fn send(&self, event: Event) {
        (self.0)(event);
    }

    pub fn progress(&self, done: u64, total: u64, unit: &str) {
        self.send(Event::Progress { done, total, unit: unit.to_owned() });
    }

    pub fn metric(&self, name: &str, step: u64, value: f64) {
        self.send(Event::Metric { name: name.to_owned(), step, value });
    }

    pub fn warn(&self, message: impl Into<String>) {
        self.send(Event::Warning { message: message.into() });
    }
}

/// A flag that the waiting side raises and the job looks at between steps.
#[derive(Clone, Default, Debug)]
pub struct Cancel(Arc<AtomicBool>);

impl Cancel {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn cancel(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    pub fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Holds the newest value only: the writer never waits, the reader never sees a queue.
pub struct Slot<T>(Arc<Mutex<Option<T>>>);

impl<T> Clone for Slot<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T> Default for Slot<T> {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(None)))
    }
}

impl<T> Slot<T> {
    pub fn put(&self, value: T) {
        *self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) = Some(value);
    }

    /// Takes what was put since the last call, if anything.
    pub fn take(&self) -> Option<T> {
        self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).take()
    }
}
