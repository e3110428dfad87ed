//! Finds the viewers whose deadline has come. One heap contains the deadlines of all viewers, so that no viewer needs a
//! timer of its own.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use tokio::time::Instant;

/// The time from a deadline until the writer thread wakes up for it. With this delay, the thread wakes up only once for
/// deadlines that are close to each other.
const SLACK: Duration = Duration::from_millis(2);

/// The deadlines of all viewers. With every frame, a viewer's deadline becomes later, but the viewer's heap entry is
/// not changed. If the deadline is still ahead when the time of the entry comes, a new entry is added for the deadline.
#[derive(Debug, Default)]
pub(super) struct Deadlines(BinaryHeap<Reverse<(Instant, usize)>>);

/// One viewer's deadline (`at`), the time of its current heap entry (`entry`), and the time of an older heap entry
/// (`later`), which becomes the current one after `entry` is removed.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Deadline {
    at: Option<Instant>,
    entry: Option<Instant>,
    later: Option<Instant>,
}

impl Deadlines {
    /// Sets the deadline of viewer number `slot` to `at`.
    pub(super) fn set(&mut self, slot: usize, deadline: &mut Deadline, at: Option<Instant>) {
        deadline.at = at;
        if let Some(at) = at
            && deadline.entry.is_none_or(|entry| at < entry)
        {
            // A held viewer's deadline goes from far to near and back with each picture: the far entry is used again.
            deadline.later = deadline.later.or(deadline.entry);
            deadline.entry = Some(at);
            self.0.push(Reverse((at, slot)));
        }
    }

    /// Returns when to call [`pop`](Self::pop) next.
    pub(super) fn next(&self) -> Option<Instant> {
        self.0.peek().map(|Reverse((at, _))| *at + SLACK)
    }

    /// Removes a heap entry whose time has come, and returns its time and the number of its viewer.
    /// [`Deadlines::is_due`] says whether the viewer's deadline has come too.
    pub(super) fn pop(&mut self, now: Instant) -> Option<(Instant, usize)> {
        let Reverse((at, _)) = self.0.peek()?;
        if *at > now {
            return None;
        }
        self.0.pop().map(|Reverse(entry)| entry)
    }

    /// Returns whether the deadline of viewer number `slot` has come. The caller has just popped the heap entry with
    /// the time `at`. If the deadline is later than `now`, adds an entry for the deadline.
    pub(super) fn is_due(&mut self, slot: usize, deadline: &mut Deadline, at: Instant, now: Instant) -> bool {
        if deadline.entry != Some(at) {
            // An earlier entry replaced this one, or this one belongs to a previous viewer in the slot.
            return false;
        }
        deadline.entry = deadline.later.take();
        match deadline.at {
            Some(at) if at <= now => true,
            later => {
                self.set(slot, deadline, later);
                false
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_that_moves_on_comes_once_and_late() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let (mut deadlines, mut deadline) = (Deadlines::default(), Deadline::default());
        for ms in 100..200 {
            deadlines.set(7, &mut deadline, Some(at(ms)));
        }
        assert_eq!(deadlines.0.len(), 1);
        assert!(deadlines.pop(at(99)).is_none());
        let (entry, slot) = deadlines.pop(at(150)).unwrap();
        assert!(!deadlines.is_due(slot, &mut deadline, entry, at(150)), "it is at 199 now");
        let (entry, slot) = deadlines.pop(at(200)).unwrap();
        assert!(deadlines.is_due(slot, &mut deadline, entry, at(200)));
        assert!(deadlines.pop(at(10_000)).is_none());
    }

    #[test]
    fn near_times_in_turn_with_far_ones_leave_nothing_behind() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let (mut deadlines, mut deadline) = (Deadlines::default(), Deadline::default());
        for ms in (0..1000).step_by(10) {
            deadlines.set(7, &mut deadline, Some(at(ms + 3_600_000)));
            deadlines.set(7, &mut deadline, Some(at(ms + 10)));
            let (entry, slot) = deadlines.pop(at(ms + 10)).unwrap();
            assert!(deadlines.is_due(slot, &mut deadline, entry, at(ms + 10)));
        }
        assert_eq!(deadlines.0.len(), 1);
        assert!(deadlines.next().is_some_and(|next| next < at(3_600_100)));
    }

    #[test]
    fn an_earlier_time_comes_earlier() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let (mut deadlines, mut deadline) = (Deadlines::default(), Deadline::default());
        deadlines.set(7, &mut deadline, Some(at(100)));
        deadlines.set(7, &mut deadline, Some(at(10)));
        let (entry, slot) = deadlines.pop(at(10)).unwrap();
        assert!(deadlines.is_due(slot, &mut deadline, entry, at(10)));
        deadlines.set(7, &mut deadline, None);
        let (entry, slot) = deadlines.pop(at(100)).unwrap();
        assert!(!deadlines.is_due(slot, &mut deadline, entry, at(100)));
    }
}
