//! Distributes frames to subscribers. Each camera and each rendition has a [`Channel`], each [`Subscriber`] has a
//! cursor in one channel, and the [`Hub`] finds cameras by name. [`Events`] reports what happens to the cameras and the
//! server.
//!
//! A publisher never waits for a subscriber, and a subscriber never waits for another subscriber. Code that opens
//! cameras or serves clients does not belong in this crate. Neither do clocks: functions take the current time as an
//! argument.

#![forbid(unsafe_code)]

mod camera_channels;
mod channel;
mod channel_state;
mod demand;
mod epoch;
mod event;
mod feed;
mod frame_rate;
mod gop_figures;
mod hub;
mod notifier;
mod ready_set;
mod rendition;
mod rendition_limiter;
mod ring;
mod source_subscriber;
mod stats;
mod status;
mod subscriber;

pub use camera_channels::{Publisher, SlatePublisher, SourceKind};
pub use channel::{Channel, ChannelPublisher};
pub use demand::{Demand, DemandCounts, DemandKind};
pub use epoch::Epoch;
pub use event::{Event, EventKind, EventReader, Events, Received};
pub use feed::{Feed, ViewerLimits};
pub use gop_figures::GopFigures;
pub use hub::{Hub, NameTaken, Replacement};
pub use ready_set::ReadySet;
pub use rendition::{QUALITY_RANGE, Rendition, SIDE_RANGE_PX};
pub use rendition_limiter::TooManyRenditions;
pub use ring::RingLimits;
pub use source_subscriber::SourceSubscriber;
pub use stats::Stats;
pub use status::{CameraState, CameraStatus};
pub use subscriber::{ChangeListener, Delivery, Subscriber, Update, WakeRegistration};
