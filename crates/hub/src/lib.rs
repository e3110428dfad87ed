//! Who receives a frame: a [`Channel`] per camera and rendition, one cursor per [`Subscriber`], and the [`Hub`] that
//! finds them by name. A small channel of [`Event`]s says what happens to them.
//!
//! A publisher never waits for a subscriber, and a subscriber never waits for another. Sources and outputs do not
//! belong here, nor do devices, sockets and clocks: times are arguments.

#![forbid(unsafe_code)]

mod channel;
mod event;
mod feed;
mod frame_rate;
mod hub;
mod notifier;
mod ready_set;
mod rendition;
mod rendition_limiter;
mod ring;
mod status;

pub use channel::{ChangeListener, Channel, Delivery, Subscriber, Update, WakeRegistration};
pub use event::{Event, EventKind, EventReader, Events, Received};
pub use feed::{Feed, Stats, TooManyRenditions, ViewerLimits};
pub use hub::{Hub, NameTaken};
pub use ready_set::ReadySet;
pub use rendition::{QUALITY_RANGE, Rendition, SIDE_RANGE_PX};
pub use status::{CameraState, CameraStatus};
