//! A worker for which only the newest request counts.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex};

use super::task::panic_text;
use crate::progress::Cancel;

/// A named thread that works on the newest request; what was asked for before it and not yet begun is forgotten.
/// Dropping it ends the thread after the request at hand, whose flag is raised.
pub struct Latest<R> {
    shared: Arc<Shared<R>>,
}

struct Shared<R> {
    state: Mutex<State<R>>,
    changed: Condvar,
}

struct State<R> {
    pending: Option<R>,
    /// Raised as soon as a newer request is there.
    superseded: Option<Cancel>,
    closed: bool,
}

impl<R: Send + 'static> Latest<R> {
    /// `work` gets a request and a flag that is raised as soon as a newer one is there: it may look at the flag or
    /// not (a short first answer is worth finishing, or a stream of requests would never see one).
    /// `failed` hears what a panic in `work` said; the thread goes on.
    ///
    /// # Errors
    /// Where no thread can be started.
    pub fn start(
        name: &str,
        mut work: impl FnMut(R, &Cancel) + Send + 'static,
        failed: impl Fn(&str) + Send + 'static,
    ) -> std::io::Result<Self> {
        let shared = Arc::new(Shared {
            state: Mutex::new(State { pending: None, superseded: None, closed: false }),
            changed: Condvar::new(),
        });
        let theirs = shared.clone();
        std::thread::Builder::new().name(name.to_owned()).spawn(move || {
            while let Some((request, superseded)) = theirs.next() {
                if let Err(payload) = catch_unwind(AssertUnwindSafe(|| work(request, &superseded))) {
                    failed(panic_text(&*payload));
                }
            }
        })?;
        Ok(Self { shared })
    }

    /// Asks for `request`; whatever is under way is told that it is out of date.
    pub fn submit(&self, request: R) {
        let mut state = self.shared.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        state.pending = Some(request);
        if let Some(superseded) = &state.superseded {
            superseded.cancel();
        }
        self.shared.changed.notify_one();
    }
}

impl<R> Shared<R> {
    fn next(&self) -> Option<(R, Cancel)> {
        let mut state = self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        state.superseded = None;
        loop {
            if state.closed {
                return None;
            }
            if let Some(request) = state.pending.take() {
                let superseded = Cancel::new();
                state.superseded = Some(superseded.clone());
                return Some((request, superseded));
            }
            state = self.changed.wait(state).unwrap_or_else(|poisoned| poisoned.into_inner());
        }
    }
}

impl<R> Drop for Latest<R> {
    fn drop(&mut self) {
        let mut state = self.shared.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        state.closed = true;
        if let Some(superseded) = &state.superseded {
            superseded.cancel();
        }
        self.shared.changed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;
    use std::time::Duration;

    const PATIENCE: Duration = Duration::from_secs(10);

    #[test]
    fn only_the_newest_request_is_worked_on() {
        let (began, begun) = mpsc::channel();
        let (release, released) = mpsc::channel::<()>();
        let worker = Latest::start(
            "latest",
            move |request: u32, superseded: &Cancel| {
                let _ = began.send((request, superseded.is_cancelled()));
                let _ = released.recv_timeout(PATIENCE);
                let _ = began.send((request, superseded.is_cancelled()));
            },
            |_| {},
        )
        .expect("a thread");
        worker.submit(1);
        assert_eq!(begun.recv_timeout(PATIENCE), Ok((1, false)));
        (2..=50).for_each(|request| worker.submit(request));
        release.send(()).expect("the worker listens");
        assert_eq!(begun.recv_timeout(PATIENCE), Ok((1, true)));
        assert_eq!(begun.recv_timeout(PATIENCE), Ok((50, false)));
        release.send(()).expect("the worker listens");
        assert_eq!(begun.recv_timeout(PATIENCE), Ok((50, false)));
    }

    #[test]
    fn a_panic_is_told_and_the_next_request_served() {
        let (tell, told) = mpsc::channel();
        let failed = tell.clone();
        let worker = Latest::start(
            "latest",
            move |request: &'static str, _: &Cancel| {
                assert!(request != "bad", "on purpose");
                let _ = tell.send(request.to_owned());
            },
            move |text| {
                let _ = failed.send(text.to_owned());
            },
        )
        .expect("a thread");
        worker.submit("bad");
        assert!(told.recv_timeout(PATIENCE).expect("an answer").contains("on purpose"));
        worker.submit("good");
        assert_eq!(told.recv_timeout(PATIENCE).as_deref(), Ok("good"));
    }
}
