//! The server's clock, stopped: time passes only as the test says, so that no speed of the machine decides.

use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

use framecast_testkit::blocking::received;

/// A stopped clock of the test's runtime. Dropping this value lets the clock go on.
pub(crate) struct FrozenClock {
    _thaw: Sender<()>,
}

impl FrozenClock {
    /// Stops the clock. The test must run on a single thread, as `#[tokio::test]` does by default.
    pub(crate) fn stop() -> Self {
        let (thaw, thawed) = channel();
        tokio::time::pause();
        // While the runtime waits for a socket, tokio would skip to the next timer. Not so while a blocking task runs.
        tokio::task::spawn_blocking(move || received("the end of the frozen time", &thawed));
        Self { _thaw: thaw }
    }

    /// Lets `time` pass.
    pub(crate) async fn advance(&self, time: Duration) {
        tokio::time::advance(time).await;
    }
}

impl Drop for FrozenClock {
    fn drop(&mut self) {
        tokio::time::resume();
    }
}
