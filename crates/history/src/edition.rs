//! Which edition of the events a table is read from: times that are put right move events to other places, and a table
//! that is read by place, page after page, would miss some or have some twice.

use std::sync::Arc;

use tokio::sync::watch;

use crate::Error;

/// Counts the changes of places: odd while one is made. Clones share the count.
#[derive(Debug, Clone, Default)]
pub(crate) struct Editions(Arc<watch::Sender<u64>>);

/// The edition that somebody began to read.
#[derive(Debug)]
pub(crate) struct Edition {
    editions: Editions,
    number: u64,
}

/// A change that is being made; it ends with this.
#[derive(Debug)]
pub(crate) struct Change(Editions);

impl Editions {
    /// The edition of now; where a change is being made, the one that it comes to. Cancel safe.
    pub(crate) async fn current(&self) -> Edition {
        let mut numbers = self.0.subscribe();
        let number = numbers.wait_for(|number| number.is_multiple_of(2)).await;
        let number = *number.expect("its sender is held here");
        Edition { editions: self.clone(), number }
    }

    /// Begins a change. One is made at a time.
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

impl Edition {
    /// Whether all that was read up to now is of this edition.
    ///
    /// # Errors
    /// [`Error::Corrected`] where it may not be.
    pub(crate) fn check(&self) -> Result<(), Error> {
        if *self.editions.0.borrow() == self.number { Ok(()) } else { Err(Error::Corrected) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_edition_ends_with_the_first_change_and_the_next_begins_when_that_is_made() {
        let editions = Editions::default();
        let before = editions.current().await;
        assert!(before.check().is_ok());
        let change = editions.change();
        assert!(before.check().is_err());
        let other = editions.clone();
        let next = tokio::spawn(async move { other.current().await });
        tokio::task::yield_now().await;
        assert!(!next.is_finished());
        drop(change);
        assert!(before.check().is_err());
        assert!(next.await.unwrap().check().is_ok());
    }
}
