//! Which edition of the events a table is read from: times that are put right move events to other places, and a table
//! that is read by place, page after page, would miss some or have some twice.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::Error;

/// Counts the changes of places: odd while one is made. Clones share the count.
#[derive(Debug, Clone, Default)]
pub(crate) struct Editions(Arc<AtomicU64>);

/// The edition that somebody began to read.
#[derive(Debug)]
pub(crate) struct Edition {
    editions: Editions,
    number: u64,
}

/// A change that is being made; it ends with this.
pub(crate) struct Change<'a>(&'a Editions);

impl Editions {
    /// The edition of now.
    pub(crate) fn current(&self) -> Edition {
        Edition { editions: self.clone(), number: self.0.load(Ordering::SeqCst) }
    }

    /// Begins a change. One is made at a time.
    pub(crate) fn change(&self) -> Change<'_> {
        self.0.fetch_add(1, Ordering::SeqCst);
        Change(self)
    }
}

impl Drop for Change<'_> {
    fn drop(&mut self) {
        self.0.0.fetch_add(1, Ordering::SeqCst);
    }
}

impl Edition {
    /// Whether all that was read up to now is of this edition.
    ///
    /// # Errors
    /// [`Error::Corrected`] where it may not be.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let is_whole = self.number.is_multiple_of(2) && self.editions.0.load(Ordering::SeqCst) == self.number;
        if is_whole { Ok(()) } else { Err(Error::Corrected) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_edition_ends_with_the_first_change() {
        let editions = Editions::default();
        let before = editions.current();
        assert!(before.check().is_ok());
        let change = editions.change();
        let within = editions.current();
        assert!(before.check().is_err() && within.check().is_err());
        drop(change);
        assert!(before.check().is_err() && within.check().is_err());
        assert!(editions.current().check().is_ok());
    }
}
