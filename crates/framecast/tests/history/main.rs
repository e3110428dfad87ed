//! The history for programs and people: marks, pages, tables, live events, webhooks and storage, over real sockets and
//! with the real program.
#![allow(clippy::unwrap_used)]
#![warn(clippy::disallowed_methods)]

mod disk;
mod killed;
mod live;
mod mark;
mod query;
mod silent;
mod storage;
mod table;
mod webhook;
