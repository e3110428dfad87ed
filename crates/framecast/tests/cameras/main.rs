//! Cameras as public reports describe them, each a server of the test's own, through the whole program: what a viewer
//! sees of them, and the messages about those that cannot be shown.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod bodies;
mod endings;
mod heads;
mod login;
mod parts;
#[path = "../cli/program.rs"]
mod program;
mod redirects;
mod server;
mod session;
mod show;
mod site;
