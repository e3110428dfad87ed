//! Tells how this process handles a signal.

use std::mem::MaybeUninit;

/// How this process handles one signal.
pub(crate) struct Action {
    signal: i32,
    /// `None` for a number that is not a signal.
    current: Option<libc::sigaction>,
}

impl Action {
    pub(crate) fn of(signal: i32) -> Self {
        let mut current = MaybeUninit::<libc::sigaction>::uninit();
        // SAFETY: the call sets nothing, writes the current action to a place with room for it, and keeps no pointer.
        let done = unsafe { libc::sigaction(signal, std::ptr::null(), current.as_mut_ptr()) };
        // SAFETY: a call that succeeds has written the action.
        let current = (done == 0).then(|| unsafe { current.assume_init() });
        Self { signal, current }
    }

    /// Lets this process handle the signal as it did when this value was made.
    pub(crate) fn restore(&self) {
        if let Some(action) = &self.current {
            // SAFETY: the action was in force before, so that its handler, if it has one, is valid.
            unsafe { libc::sigaction(self.signal, action, std::ptr::null_mut()) };
        }
    }
}

/// Returns true if this process ignores the signal with the number `signal`. A process started by `nohup`, for example,
/// ignores SIGHUP. Returns false for a number that is not a signal.
pub fn is_ignored(signal: i32) -> bool {
    Action::of(signal).current.is_some_and(|action| action.sa_sigaction == libc::SIG_IGN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_that_the_process_ignores_is_told_from_the_others() {
        // No other test changes how this signal is handled.
        let signal = libc::SIGURG;
        let before = Action::of(signal);
        assert!(!is_ignored(signal));
        // SAFETY: the call sets no handler.
        unsafe { libc::signal(signal, libc::SIG_IGN) };
        assert!(is_ignored(signal));
        before.restore();
        assert!(!is_ignored(signal));
        for number in [-1, 0, 9999] {
            assert!(!is_ignored(number), "{number}");
        }
    }
}
