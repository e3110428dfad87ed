//! Locks that survive a panic of another thread. They are here because every other crate may import this one.

use std::sync::{LockResult, Mutex, MutexGuard, PoisonError};

/// Locks `mutex`, even if another thread panicked while it held the lock. The caller must ensure that no panic can
/// leave the data under the lock half changed.
pub fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    unpoisoned(mutex.lock())
}

/// Returns the guard in `locked`, even if another thread panicked while it held the lock. This is for a
/// [`RwLock`](std::sync::RwLock) or a [`Condvar`](std::sync::Condvar); the caller must ensure the same as for [`lock`].
pub fn unpoisoned<G>(locked: LockResult<G>) -> G {
    locked.unwrap_or_else(PoisonError::into_inner)
}
