//! The server's life, from outside: the `App` that people run, on real sockets, with cameras under the test's control.
//!
//! These tests measure no time: each waits for an event and fails only if it does not come. The test target `measured`
//! measures rates, ages and memory.
#![allow(clippy::unwrap_used)]
#![warn(clippy::disallowed_methods)]

mod bad_input;
mod closing;
mod come_and_go;
mod encoding;
mod events;
mod faults;
mod fresh;
mod frozen_clock;
mod limits;
mod probe;
mod program;
mod reopened;
mod shutdown;
mod stalled;
mod stopped;
mod weaknesses;
