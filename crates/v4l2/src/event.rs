//! The events that a device reports.

use std::os::fd::AsFd;

use crate::ioctl::{DQEVENT, SUBSCRIBE_EVENT, call_flat};
use crate::sys::{self, EventSubscription, Plain};
use crate::{Device, Error};

const SOURCE_CHANGE: u32 = 5;

/// An event that a device reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum DeviceEvent {
    /// The input signal has changed: it has another size, or there is no signal any more.
    SourceChange,
    /// An event of another type, to which the caller has not subscribed.
    Other,
}

impl Device {
    /// Subscribes to changes of the signal at the input with the number `input`, which has to be the selected input.
    /// Returns whether the device can report such changes.
    ///
    /// # Errors
    /// The kernel's error.
    pub fn subscribe_source_changes(&self, input: u32) -> Result<bool, Error> {
        let mut subscription = EventSubscription::zeroed();
        (subscription.kind, subscription.id) = (SOURCE_CHANGE, input);
        match call_flat(self.as_fd(), SUBSCRIBE_EVENT, &mut subscription) {
            Ok(()) => Ok(true),
            Err(error) if error.is_unsupported() => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Returns the next event that the device reports, or `None` if there is none yet. While an event is waiting, the
    /// file descriptor is ready for priority reading (`POLLPRI`).
    ///
    /// # Errors
    /// The kernel's error.
    pub fn next_event(&self) -> Result<Option<DeviceEvent>, Error> {
        let mut event = sys::V4l2Event::zeroed();
        match call_flat(self.as_fd(), DQEVENT, &mut event) {
            Ok(()) if event.kind == SOURCE_CHANGE => Ok(Some(DeviceEvent::SourceChange)),
            Ok(()) => Ok(Some(DeviceEvent::Other)),
            // ENOENT means that there is no event.
            Err(error) if error.is_no_event() || error.is_unsupported() => Ok(None),
            Err(error) => Err(error),
        }
    }
}
