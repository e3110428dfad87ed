//! Tells how this process handles a signal.

use std::mem::MaybeUninit;

/// Returns true if this process ignores the signal with the number `signal`. A process started by `nohup`, for example,
/// ignores SIGHUP. Returns false for a number that is not a signal.
pub fn is_ignored(signal: i32) -> bool {
    let mut current = MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: the call sets nothing, writes the current action to a place with room for it, and keeps no pointer.
    let done = unsafe { libc::sigaction(signal, std::ptr::null(), current.as_mut_ptr()) };
    // SAFETY: zeros are a valid action, the default one, and so is what the system wrote.
    done == 0 && unsafe { current.assume_init() }.sa_sigaction == libc::SIG_IGN
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_standard_library_ignores_is_ignored_and_nothing_else() {
        assert!(is_ignored(libc::SIGPIPE));
        assert!(!is_ignored(libc::SIGCHLD));
        for number in [-1, 0, 9999] {
            assert!(!is_ignored(number), "{number}");
        }
    }
}
