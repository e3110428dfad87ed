//! The history for programs and people: marks, pages, tables, live events, webhooks and storage, over real sockets and
//! with the real program.
#![allow(clippy::unwrap_used)]

mod disk;
mod ear;
mod kill;
mod killed;
mod live;
mod mark;
mod place;
#[path = "../cli/program.rs"]
mod program;
mod query;
mod server;
mod silent;
mod table;
mod webhook;
