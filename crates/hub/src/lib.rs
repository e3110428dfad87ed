//! Who receives a frame: a [`Channel`] per camera and rendition, one cursor per [`Subscriber`], and the [`Hub`] that
//! finds them by name. A small channel of [`Event`]s says what happens to them.
//!
//! A publisher never waits for a subscriber, and a subscriber never waits for another. Sources and outputs do not
//! belong here, nor do devices, sockets and clocks: times are arguments.

mod bell;
mod channel;
mod event;
mod feed;
mod holder;
mod hub;
mod notifier;
mod rate;
mod rendition;
mod ring;
mod status;

pub use bell::Bells;
pub use channel::{Bell, Changes, Channel, Delivery, Subscriber, Update};
pub use event::{Event, EventKind, EventReader, Events, Told};
pub use feed::{Bounds, Feed, Stats, TooManyRenditions};
pub use hub::{Hub, NameTaken};
pub use rendition::{QUALITY, Rendition, SIDE_PX};
pub use status::{State, Status};
