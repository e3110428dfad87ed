//! Waits with a limit. Every wait of a test goes through one of these functions, so that a test whose event never comes
//! fails with what it waited for and does not hang. `clippy.toml` lists the functions that they replace.
#![expect(clippy::disallowed_methods, reason = "the only place that waits")]

use std::future::Future;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc::{Receiver, RecvError, RecvTimeoutError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// The maximum time that a test waits for an event. A passing test needs far less, so only a hang exceeds this time.
const TIMEOUT: Duration = Duration::from_secs(60);

/// The time between two looks at a condition whose changes send no notification.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// Waits for `future` and returns its output. `what` describes the event that the test waits for, for the panic
/// message.
///
/// # Panics
/// If `future` takes more than a minute.
pub async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(TIMEOUT, future).await {
        Ok(value) => value,
        Err(_) => panic!("timed out waiting: {what}"),
    }
}

/// Waits until `holds` returns true, by calling it every few milliseconds. This is for conditions whose changes send no
/// notification. `what` describes the condition, for the panic message.
///
/// # Panics
/// If the condition is still false after a minute.
pub async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    until_async(what, async || holds()).await;
}

/// Waits like [`until`] for a condition that is itself asked for with a wait, such as a request.
///
/// # Panics
/// If the condition is still false after a minute.
pub async fn until_async(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let looking = async {
        while !holds().await {
            tokio::time::sleep(LOOK_EVERY).await;
        }
    };
    soon(what, looking).await;
}

/// Polls `future` for `time`, and drops it if it is not complete by then. Returns its output, or `None`. This is for
/// tests of what a dropped future leaves behind, and of futures that must not complete on a paused clock. The result
/// must not depend on the speed of the machine.
pub async fn cut_short<T>(time: Duration, future: impl Future<Output = T>) -> Option<T> {
    tokio::time::timeout(time, future).await.ok()
}

/// Lets a fake camera or client take its time, or a paused clock go on. A test must not pause until something has
/// happened: that is what [`soon`] and [`until`] are for.
pub async fn pause(time: Duration) {
    tokio::time::sleep(time).await;
}

/// The same waits for tests without an async runtime.
pub(crate) mod blocking {
    use super::*;

    /// Waits until `holds` returns true, by calling it every few milliseconds. `what` describes the condition, for the
    /// panic message.
    ///
    /// # Panics
    /// If the condition is still false after a minute.
    pub fn until(what: &str, mut holds: impl FnMut() -> bool) {
        let since = Instant::now();
        while !holds() {
            assert!(since.elapsed() < TIMEOUT, "timed out waiting: {what}");
            thread::sleep(LOOK_EVERY);
        }
    }

    /// Waits for the next message of `receiver`. `what` describes the message, for the panic message.
    ///
    /// # Errors
    /// All senders are gone.
    ///
    /// # Panics
    /// If no message comes within a minute.
    pub fn received<T>(what: &str, receiver: &Receiver<T>) -> Result<T, RecvError> {
        match receiver.recv_timeout(TIMEOUT) {
            Ok(message) => Ok(message),
            Err(RecvTimeoutError::Disconnected) => Err(RecvError),
            Err(RecvTimeoutError::Timeout) => panic!("timed out waiting: {what}"),
        }
    }

    /// Waits for the end of `thread`, and returns what it returned. `what` describes the end, for the panic message.
    ///
    /// # Panics
    /// If the thread does not end within a minute, or panicked.
    pub fn joined<T>(what: &str, thread: JoinHandle<T>) -> T {
        until(what, || thread.is_finished());
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }

    /// Waits for the end of `program`, and returns how it ended.
    ///
    /// # Panics
    /// If the program does not end within a minute.
    pub fn ended(program: &mut Child) -> ExitStatus {
        let mut status = None;
        until("the program ends", || {
            status = program.try_wait().expect("a child can be waited for");
            status.is_some()
        });
        status.expect("the wait is over")
    }

    /// Runs `command` to its end, and returns its output.
    ///
    /// # Panics
    /// If the program cannot be started, or does not end within a minute.
    pub fn output_of(command: &mut Command) -> Output {
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let child = child.unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let what = format!("the end of {command:?}");
        joined(&what, thread::spawn(move || child.wait_with_output())).expect("its output can be read")
    }

    /// Lets a fake camera or client take its time. A test must not pause until something has happened: that is what
    /// [`until`] and [`received`] are for.
    pub fn pause(time: Duration) {
        thread::sleep(time);
    }
}

#[cfg(test)]
mod tests {
    #![warn(clippy::disallowed_methods)]

    use std::future::pending;

    use super::*;

    #[tokio::test(start_paused = true)]
    #[should_panic(expected = "timed out waiting: a bird")]
    async fn a_wait_for_what_never_comes_fails_with_what_it_waited_for() {
        soon("a bird", pending::<()>()).await;
    }

    #[tokio::test(start_paused = true)]
    #[should_panic(expected = "timed out waiting: a flock")]
    async fn a_condition_that_never_holds_fails_with_what_it_waited_for() {
        until("a flock", || false).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_condition_is_asked_until_it_holds() {
        let mut looks = 0;
        until("five looks", || {
            looks += 1;
            looks == 5
        })
        .await;
        assert_eq!(looks, 5);
    }

    #[test]
    fn the_end_of_all_senders_is_told_from_a_message() {
        let (sender, receiver) = std::sync::mpsc::channel();
        sender.send(7).unwrap();
        drop(sender);
        assert_eq!(blocking::received("seven", &receiver), Ok(7));
        assert_eq!(blocking::received("the end", &receiver), Err(RecvError));
    }

    #[test]
    #[should_panic(expected = "a thread that fails")]
    fn the_panic_of_a_thread_is_that_of_its_test() {
        blocking::joined("its end", thread::spawn(|| panic!("a thread that fails, as the test asked for")));
    }

    #[test]
    fn a_program_is_waited_for_with_all_of_its_output() {
        let output = blocking::output_of(Command::new("sh").args(["-c", "echo out; echo err >&2; exit 3"]));
        assert_eq!((output.stdout.trim_ascii(), output.stderr.trim_ascii()), (&b"out"[..], &b"err"[..]));
        assert_eq!(output.status.code(), Some(3));
    }
}
