//! The server's life, from outside: the `App` that people run, on real sockets, with cameras that do what the test
//! says.
//!
//! Nothing here measures time: a test waits for what must happen and fails only when it does not. What is measured
//! (rates, ages, memory) is in the test target `measured`.
#![allow(clippy::unwrap_used)]

mod bad_input;
mod camera;
mod encoding;
mod faults;
mod fresh;
mod limits;
mod program;
mod reopened;
mod server;
mod shutdown;
mod stalled;
mod stopped;
mod weaknesses;
