//! What a program needs to hand its process over to a successor: inherited descriptors, and `exec` with some signals
//! blocked.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::atomic::{AtomicI32, Ordering};

use crate::signal::Action;

/// The lowest descriptor that can still be taken: behind the standard streams, which belong to the standard library.
static NEXT: AtomicI32 = AtomicI32::new(libc::STDERR_FILENO + 1);

/// Takes ownership of the descriptor `number`, which this process inherited from its parent or predecessor, and marks it
/// as not inherited by children. Returns `None` if there is no such descriptor, or if this or a higher one has been taken
/// before.
///
/// Call this function before the process opens descriptors of its own, because it takes whatever is open.
pub fn take_inherited(number: RawFd) -> Option<OwnedFd> {
    let behind = number.checked_add(1)?;
    if NEXT.fetch_max(behind, Ordering::Relaxed) > number {
        return None;
    }
    // SAFETY: the call only sets a flag of a descriptor, and fails if the descriptor is not open.
    if unsafe { libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC) } != 0 {
        return None;
    }
    // SAFETY: the descriptor is open. The process has opened none itself, and `NEXT` shows that none is taken twice.
    Some(unsafe { OwnedFd::from_raw_fd(number) })
}

/// Replaces the program of this process by `command`. Its signals `blocked` stay pending until it calls
/// [`unblock_signals`]. So a signal that arrives before the new program handles it does not end the process. Returns only
/// if that fails; the error says why.
///
/// After a failure, this process handles signals as before, and this thread blocks none. Other threads should not write to
/// pipes meanwhile: a write to a broken one would end the process.
pub fn exec(mut command: Command, blocked: &'static [i32]) -> io::Error {
    let block = || change_mask(libc::SIG_BLOCK, blocked);
    // The standard library gives SIGPIPE its default action before it tries, so that the new program finds it, and does
    // not undo that.
    let pipe = Action::of(libc::SIGPIPE);
    // SAFETY: without a fork, the closure runs as an ordinary function of this thread.
    let error = unsafe { command.pre_exec(block) }.exec();
    pipe.restore();
    unblock_signals(blocked);
    error
}

/// Lets the signals arrive that [`exec`] has blocked. Call this function on the main thread, once the program handles
/// them.
pub fn unblock_signals(blocked: &[i32]) {
    // The call fails only for an invalid first argument.
    change_mask(libc::SIG_UNBLOCK, blocked).ok();
}

/// Changes which signals the current thread blocks.
fn change_mask(how: libc::c_int, signals: &[i32]) -> io::Result<()> {
    let mut set = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: the call initialises the set, for which there is room.
    unsafe { libc::sigemptyset(set.as_mut_ptr()) };
    for signal in signals {
        // SAFETY: the set is initialised; the call fails for a number that is not a signal.
        unsafe { libc::sigaddset(set.as_mut_ptr(), *signal) };
    }
    // SAFETY: the set is initialised, and the previous mask is not asked for.
    match unsafe { libc::pthread_sigmask(how, set.as_ptr(), std::ptr::null_mut()) } {
        0 => Ok(()),
        errno => Err(io::Error::from_raw_os_error(errno)),
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::{AsRawFd, IntoRawFd};

    use super::*;
    use crate::is_ignored;

    #[test]
    fn an_inherited_descriptor_is_taken_once_and_a_closed_one_never() {
        let number = std::fs::File::open("/dev/null").unwrap().into_raw_fd();
        let taken = take_inherited(number).unwrap();
        assert_eq!(taken.as_raw_fd(), number);
        // SAFETY: the call only reads a flag.
        assert_eq!(unsafe { libc::fcntl(number, libc::F_GETFD) }, libc::FD_CLOEXEC);
        assert!(take_inherited(number).is_none(), "it has an owner");
        for number in [-1, 0, 2, 100_000] {
            assert!(take_inherited(number).is_none(), "{number}");
        }
    }

    #[test]
    fn a_command_that_does_not_exist_replaces_nothing() {
        let error = exec(Command::new("/nonexistent/program"), &[libc::SIGHUP]);
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
        assert!(
            is_ignored(libc::SIGPIPE),
            "a write to a broken pipe still fails, and does not end the process"
        );
        assert!(!is_blocked(libc::SIGHUP));
    }

    fn is_blocked(signal: i32) -> bool {
        let mut set = MaybeUninit::<libc::sigset_t>::uninit();
        // SAFETY: the call changes nothing, and initialises the set, for which there is room.
        unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, std::ptr::null(), set.as_mut_ptr()) };
        // SAFETY: the set is initialised.
        unsafe { libc::sigismember(set.as_ptr(), signal) == 1 }
    }
}
