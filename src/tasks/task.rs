//! What a long job is, and running one where the caller stands (the command line does).

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;

use crate::progress::{Cancel, Event, Reporter};

/// A long job. Everything it tells goes through the reporter; between steps it looks at `cancel`.
pub trait Task: Send {
    /// What a list of jobs shows.
    fn title(&self) -> String;

    /// Whether the job gives way to the window: it then runs on threads of its own with a low priority.
    fn is_background(&self) -> bool {
        true
    }

    /// # Errors
    /// Where the job could not do what it is for, or `cancel` was raised.
    fn run(&mut self, reporter: &Reporter, cancel: &Cancel) -> anyhow::Result<Outcome>;
}

/// What a job that came to its end leaves behind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// One line for people.
    pub message: String,
    /// Files worth opening: weights of a training, folders of a prediction.
    pub files: Vec<PathBuf>,
    /// Items that failed while the rest was done; the command line then exits with 1.
    pub problems: usize,
}

impl Outcome {
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), ..Self::default() }
    }
}

/// Called from worker threads after something worth drawing changed.
pub type Wake = Arc<dyn Fn() + Send + Sync>;

/// Nice value of background jobs. Measured on two cores beside a rendering window: the frame's p90
/// stays near its median at +10 and is five times as long at +0, at the same training speed.
const BACKGROUND_NICE: i32 = 10;

/// Lowers the priority of the calling thread; what cannot be lowered stays as it is.
pub fn lower_thread_priority() {
    #[cfg(target_os = "linux")]
    // SAFETY: plain system call without pointers; on Linux `who = 0` is the calling thread.
    unsafe {
        libc::setpriority(libc::PRIO_PROCESS, 0, BACKGROUND_NICE);
    }
}

/// Runs a task on this thread: `Started` first, then its own events, then exactly one `Finished` or `Failed`.
/// A panic inside counts as failure.
///
/// # Errors
/// The task's own error, or what it panicked with.
pub fn run_here(task: &mut dyn Task, reporter: &Reporter, cancel: &Cancel) -> anyhow::Result<Outcome> {
    reporter.send(Event::Started { title: task.title() });
    let result = catch_unwind(AssertUnwindSafe(|| task.run(reporter, cancel)))
        .unwrap_or_else(|payload| Err(anyhow::anyhow!("internal error: {}", panic_text(&*payload))));
    match &result {
        Ok(outcome) => reporter.send(Event::Finished { message: outcome.message.clone() }),
        Err(_) if cancel.is_cancelled() => reporter.send(Event::Failed { message: "cancelled".to_owned() }),
        Err(error) => reporter.send(Event::Failed { message: format!("{error:#}") }),
    }
    result
}

/// What a panic said.
pub(super) fn panic_text(payload: &(dyn std::any::Any + Send)) -> &str {
    payload
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    struct Steps {
        fail: bool,
        panic: bool,
    }

    impl Task for Steps {
        fn title(&self) -> String {
            "steps".to_owned()
        }

        fn run(&mut self, reporter: &Reporter, _: &Cancel) -> anyhow::Result<Outcome> {
            reporter.progress(1, 2, "steps");
            assert!(!self.panic, "on purpose");
            anyhow::ensure!(!self.fail, "cannot");
            Ok(Outcome::new("two steps"))
        }
    }

    fn events_of(mut task: Steps) -> Vec<Event> {
        let events = Arc::new(Mutex::new(Vec::new()));
        let sink = events.clone();
        let reporter = Reporter::new(move |event| sink.lock().expect("no panic while locked").push(event));
        let _ = run_here(&mut task, &reporter, &Cancel::new());
        events.lock().expect("no panic while locked").clone()
    }

    #[test]
    fn a_run_starts_once_and_ends_once() {
        for (fail, panic) in [(false, false), (true, false), (false, true)] {
            let events = events_of(Steps { fail, panic });
            assert!(matches!(&events[0], Event::Started { title } if title == "steps"));
            assert_eq!(events.len(), 3);
            match &events[2] {
                Event::Finished { message } => assert!(!fail && !panic && message == "two steps"),
                Event::Failed { message } => {
                    assert!(fail || panic);
                    assert!(message.contains(if panic { "on purpose" } else { "cannot" }));
                }
                other => panic!("ended with {other:?}"),
            }
        }
    }
}
