//! Who receives a frame: one [`Channel`] per camera, one cursor per [`Subscriber`], and the [`Hub`] that finds them
//! by name.
//!
//! A publisher never waits for a subscriber and a subscriber never waits for another. Nothing here knows where
//! frames come from or how they leave, opens a device or a socket, or reads a clock: times are arguments.

mod channel;
mod feed;
mod hub;
mod rate;
mod ring;
mod status;

pub use channel::{Channel, Delivery, Subscriber, Update};
pub use feed::{Feed, Stats};
pub use hub::{Hub, NameTaken};
pub use status::{State, Status};
