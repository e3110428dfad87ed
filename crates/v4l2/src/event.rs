//! What a device tells by itself.

use std::os::fd::AsFd;

use crate::ioctl::{DQEVENT, SUBSCRIBE_EVENT, call_flat};
use crate::sys::{self, EventSubscription, Plain};
use crate::{Device, Error};

const SOURCE_CHANGE: u32 = 5;

/// What a device tells by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// What comes in has changed: another size, or none any more.
    SourceChange,
    /// Something that was not subscribed to.
    Other,
}

impl Device {
    /// Asks to be told of changes of what comes in at the selected input, number `input`. Says whether the device
    /// will.
    ///
    /// # Errors
    /// What the kernel said.
    pub fn watch_source(&self, input: u32) -> Result<bool, Error> {
        let mut subscription = EventSubscription::zeroed();
        (subscription.kind, subscription.id) = (SOURCE_CHANGE, input);
        match call_flat(self.as_fd(), SUBSCRIBE_EVENT, &mut subscription) {
            Ok(()) => Ok(true),
            Err(error) if error.is_unsupported() => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// The next event; `None` when there is none now. The descriptor is ready for priority reading when there is one.
    ///
    /// # Errors
    /// What the kernel said.
    pub fn next_event(&self) -> Result<Option<Event>, Error> {
        let mut event = sys::Event::zeroed();
        match call_flat(self.as_fd(), DQEVENT, &mut event) {
            Ok(()) if event.kind == SOURCE_CHANGE => Ok(Some(Event::SourceChange)),
            Ok(()) => Ok(Some(Event::Other)),
            // ENOENT is how the kernel says that there is none.
            Err(error) if error.is_none_left() || error.is_unsupported() => Ok(None),
            Err(error) => Err(error),
        }
    }
}
