//! The real program: its output, its refusals and its shutdown. Also runs each example as a user does.
#![allow(clippy::unwrap_used)]
#![warn(clippy::disallowed_methods)]

mod config;
mod descriptors;
mod devices;
mod example;
mod health;
mod help;
mod log;
mod marked;
mod missing;
mod permissions;
mod pi;
mod reload;
mod secret;
mod serve;
mod service;
mod signal;
mod state;
mod successor;
mod unix;
