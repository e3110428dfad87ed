//! Revisions of the order of events. A correction of times moves events to other places in the order. A table that is
//! read page by page during a correction would miss some events or contain some twice. So all pages of a table must
//! come from the same revision.

use std::sync::Arc;

use tokio::sync::watch;

use crate::Error;

/// Counts the beginnings and ends of changes to the order of events, so the count is odd during a change. Clones share
/// the count.
#[derive(Debug, Clone, Default)]
pub(crate) struct Revisions(Arc<watch::Sender<u64>>);

/// The revision of the order of events that a reader started with.
#[derive(Debug)]
pub(crate) struct Revision {
    revisions: Revisions,
    number: u64,
}

/// A change of the order of events that is in progress. Dropping the value ends the change.
#[derive(Debug)]
pub(crate) struct Change(Revisions);

impl Revisions {
    /// Returns the current revision. During a change, waits until the change has ended. Cancel safe.
    pub(crate) async fn current(&self) -> Revision {
        let mut numbers = self.0.subscribe();
        let number = numbers.wait_for(|number| number.is_multiple_of(2)).await;
        let number = *number.expect("its sender is held here");
        Revision { revisions: self.clone(), number }
    }

    /// Begins a change. The caller must not begin another one before this one has ended.
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
    /// Checks that this revision is still the current one. If so, everything that was read so far belongs to it.
    ///
    /// # Errors
    /// [`Error::Corrected`] if the order of events has changed, or is changing.
    pub(crate) fn check(&self) -> Result<(), Error> {
        if *self.revisions.0.borrow() == self.number { Ok(()) } else { Err(Error::Corrected) }
    }
}

#[cfg(test)]
mod tests {
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
