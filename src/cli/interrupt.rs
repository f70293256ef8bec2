//! Ctrl-C: the first asks the job to stop between two steps, the second ends the process.

use crate::progress::Cancel;

/// A flag that Ctrl-C raises.
#[cfg(unix)]
pub fn cancel_on_interrupt() -> Cancel {
    use std::sync::OnceLock;
    static CANCEL: OnceLock<Cancel> = OnceLock::new();

    extern "C" fn raise(_: libc::c_int) {
        if let Some(cancel) = CANCEL.get() {
            cancel.cancel();
        }
        // SAFETY: `signal` may be called in a handler; the default ends the process at the next Ctrl-C.
        unsafe {
            libc::signal(libc::SIGINT, libc::SIG_DFL);
        }
    }

    let cancel = CANCEL.get_or_init(Cancel::new).clone();
    let handler: extern "C" fn(libc::c_int) = raise;
    // SAFETY: the handler only stores to an atomic and restores the default action.
    unsafe {
        libc::signal(libc::SIGINT, handler as libc::sighandler_t);
    }
    cancel
}

#[cfg(not(unix))]
pub fn cancel_on_interrupt() -> Cancel {
    Cancel::new()
}
