//! Helpers for tests of the whole server: Framecast as a program or in the test's own process, cameras for it, and
//! clients of its history.
//!
//! Several test programs share each of these modules. Helpers that do not need the server belong in
//! `framecast-testkit`, and helpers of one test program belong beside its tests.

#![forbid(unsafe_code)]
#![warn(clippy::disallowed_methods)]
#![expect(clippy::unwrap_used, reason = "a panic fails the test")]

pub mod camera;
pub mod camera_server;
pub mod event_client;
pub mod history_server;
pub mod kill;
pub mod process;
pub mod program;
pub mod server;
pub mod site;
pub mod watchers;
