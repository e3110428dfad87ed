//! The real program: what it prints, what it refuses and how it ends. And each example, as a user runs it.
#![allow(clippy::unwrap_used)]

mod config;
mod descriptors;
mod devices;
mod example;
mod help;
mod log;
mod marked;
mod missing;
mod pi;
mod program;
mod rights;
mod secret;
mod serve;
mod signal;
mod state;
mod unix;
