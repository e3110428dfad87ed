//! Revisions of the order of events. When the history corrects the times of stored events, those events move to other
//! places in the order. A table that is read page by page meanwhile would miss some events or contain some twice. So
//! all pages of a table must be read in one revision.

use std::sync::Arc;

use tokio::sync::watch;

use crate::Error;

/// A counter that increases whenever a change to the order of stored events begins or ends, so the count is odd during
/// a change. Clones share the count.
#[derive(Debug, Clone, Default)]
pub(crate) struct Revisions(Arc<watch::Sender<u64>>);

/// The revision of the order of events at which a reader began to read.
#[derive(Debug)]
pub(crate) struct Revision {
    revisions: Revisions,
    number: u64,
}

/// A change of the order of stored events that is in progress. Dropping this value ends the change.
#[derive(Debug)]
pub(crate) struct Change(Revisions);

impl Revisions {
    /// Returns the current revision of the order of events. While the order is being changed, waits for the end of the
    /// change. Cancel safe.
    pub(crate) async fn current(&self) -> Revision {
        let mut numbers = self.0.subscribe();
        let number = numbers.wait_for(|number| number.is_multiple_of(2)).await;
        let number = *number.expect("its sender is held here");
        Revision { revisions: self.clone(), number }
    }

    /// Begins a change of the order of events, and returns a value whose drop ends the change. The caller must not
    /// begin a second change before that drop.
    pub(crate) fn change(&self) -> Change {
        self.0.send_modify(|number| *number += 1);
        Change(self.clone())
    }
}

impl Drop for Change {
    fn drop(&mut self) {
        self.0.0.send_modify(|number| *number += 1);
    }
}

impl Revision {
    /// Checks that this revision of the order of events is still the current one. If so, all events that were read so
    /// far are in one order.
    ///
    /// # Errors
    /// [`Error::Corrected`] if the order of events has changed, or is changing.
    pub(crate) fn check(&self) -> Result<(), Error> {
        if *self.revisions.0.borrow() == self.number { Ok(()) } else { Err(Error::Corrected) }
    }
}

#[cfg(test)]
mod tests {
    #![warn(clippy::disallowed_methods)]

    use super::*;

    #[tokio::test]
    async fn an_edition_ends_with_the_first_change_and_the_next_begins_when_that_is_made() {
        let revisions = Revisions::default();
        let before = revisions.current().await;
        assert!(before.check().is_ok());
        let change = revisions.change();
        assert!(before.check().is_err());
        let other = revisions.clone();
        let next = tokio::spawn(async move { other.current().await });
        tokio::task::yield_now().await;
        assert!(!next.is_finished());
        drop(change);
        assert!(before.check().is_err());
        assert!(next.await.unwrap().check().is_ok());
    }
}
