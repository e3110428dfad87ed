//! Revisions of the events. Correcting times moves events to other places in the order. A table that is read page by
//! page while that happens would miss some events or have some twice, so it must read one revision only.

use std::sync::Arc;

use tokio::sync::watch;

use crate::Error;

/// Counts the changes of order; odd while one is in progress. Clones share the count.
#[derive(Debug, Clone, Default)]
pub(crate) struct Revisions(Arc<watch::Sender<u64>>);

/// The revision that a reader started with.
#[derive(Debug)]
pub(crate) struct Revision {
    revisions: Revisions,
    number: u64,
}

/// A change in progress; it ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Change(Revisions);

impl Revisions {
    /// The current revision. During a change, waits for the one after it. Cancel safe.
    pub(crate) async fn current(&self) -> Revision {
        let mut numbers = self.0.subscribe();
        let number = numbers.wait_for(|number| number.is_multiple_of(2)).await;
        let number = *number.expect("its sender is held here");
        Revision { revisions: self.clone(), number }
    }

    /// Begins a change. The caller makes only one at a time.
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
    /// Checks that everything read so far is of this revision.
    ///
    /// # Errors
    /// [`Error::Corrected`] if it may not be.
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
