//! The history for programs and people: marks, pages, tables, live events, webhooks and storage, over real sockets and
//! with the real program.
#![allow(clippy::unwrap_used)]

mod disk;
mod event_client;
mod kill;
mod killed;
mod live;
mod mark;
#[path = "../cli/program.rs"]
mod program;
mod query;
mod server;
mod silent;
mod storage;
mod table;
mod webhook;
