//! Cameras as public reports describe them, each a server of the test's own, through the whole program: what a viewer
//! sees of them, and the messages about those that cannot be shown.
#![allow(clippy::unwrap_used, clippy::print_stdout)]
#![warn(clippy::disallowed_methods)]

mod bodies;
mod endings;
mod heads;
mod login;
mod parts;
mod redirects;
mod session;
mod show;
