//! Who receives a frame: one [`Channel`] per camera, one cursor per [`Subscriber`], and the [`Hub`] that finds them
//! by name.
//!
//! A publisher never waits for a subscriber and a subscriber never waits for another. Where frames come from and how
//! they leave does not belong here, nor do devices, sockets and clocks: times are arguments.

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
