//! Ctrl-C and a polite kill: the first asks the job to stop between two steps, the second ends the process.

use std::process::ExitCode;

use crate::progress::Cancel;

/// A flag that Ctrl-C (SIGINT) or SIGTERM raises.
#[cfg(unix)]
pub fn cancel_on_interrupt() -> Cancel {
    extern "C" fn raise(signal: libc::c_int) {
        signals::LAST.store(signal, std::sync::atomic::Ordering::Relaxed);
        if let Some(cancel) = signals::CANCEL.get() {
            cancel.cancel();
        }
        const SAID: &[u8] = b"\nstopping; once more ends it at once\n";
        // SAFETY: `write` and `signal` may be called in a handler; the default ends the process the next time.
        unsafe {
            libc::write(libc::STDERR_FILENO, SAID.as_ptr().cast(), SAID.len());
            libc::signal(signal, libc::SIG_DFL);
        }
    }

    let cancel = signals::CANCEL.get_or_init(Cancel::new).clone();
    let handler: extern "C" fn(libc::c_int) = raise;
    for signal in [libc::SIGINT, libc::SIGTERM] {
        // SAFETY: the handler stores to atomics, writes a constant and restores the default action.
        unsafe {
            libc::signal(signal, handler as libc::sighandler_t);
        }
    }
    cancel
}

#[cfg(unix)]
mod signals {
    use std::sync::OnceLock;
    use std::sync::atomic::AtomicI32;

    use crate::progress::Cancel;

    pub static CANCEL: OnceLock<Cancel> = OnceLock::new();
    /// The signal that came, 0 before.
    pub static LAST: AtomicI32 = AtomicI32::new(0);
}

/// What a shell expects of a process that a signal stopped, where one did: 128 and the signal's number.
#[cfg(unix)]
pub fn exit_code() -> Option<ExitCode> {
    let signal = signals::LAST.load(std::sync::atomic::Ordering::Relaxed);
    u8::try_from(signal).ok().filter(|signal| *signal > 0).map(|signal| ExitCode::from(128 + signal))
}

#[cfg(not(unix))]
pub fn cancel_on_interrupt() -> Cancel {
    Cancel::new()
}

#[cfg(not(unix))]
pub fn exit_code() -> Option<ExitCode> {
    None
}
