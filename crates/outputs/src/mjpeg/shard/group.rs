//! The viewers of one channel at one writer, which are woken together.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use framecast_hub::Changes;
use futures_util::future::{AbortHandle, Abortable, Aborted};
use futures_util::stream::{FuturesUnordered, Stream as _};

use super::super::stream::Stream;

/// Groups by number; numbers of groups that have gone are given again.
#[derive(Default)]
pub(super) struct Groups {
    groups: Vec<Option<Group>>,
    waiting: FuturesUnordered<Abortable<Waiting>>,
}

type Waiting = Pin<Box<dyn Future<Output = (usize, Changes)> + Send>>;

struct Group {
    /// Tells which channel it is of.
    probe: Changes,
    slots: Vec<usize>,
    /// Who is first in the next turn.
    turn: usize,
    wait: AbortHandle,
}

impl Groups {
    /// Puts the viewer in `slot` into the group of its channel, and says which that is.
    pub(super) fn join(&mut self, stream: &Stream, slot: usize) -> usize {
        let is_of = |group: &Group| stream.is_of(&group.probe);
        let known = self.groups.iter().position(|group| group.as_ref().is_some_and(is_of));
        let number = known.unwrap_or_else(|| {
            let free = self.groups.iter().position(Option::is_none);
            let number = free.unwrap_or(self.groups.len());
            if free.is_none() {
                self.groups.push(None);
            }
            let wait = self.wait(number, stream.changes());
            self.groups[number] = Some(Group { probe: stream.changes(), slots: Vec::new(), turn: 0, wait });
            number
        });
        if let Some(group) = &mut self.groups[number] {
            group.slots.push(slot);
        }
        number
    }

    /// Takes the viewer in `slot` out of its group, which ends with its last one.
    pub(super) fn leave(&mut self, number: usize, slot: usize) {
        let Some(group) = &mut self.groups[number] else { return };
        group.slots.retain(|member| *member != slot);
        if group.slots.is_empty() {
            group.wait.abort();
            self.groups[number] = None;
        }
    }

    /// The slots of a group in the order of this turn: each turn another one is first, so that nobody is always last.
    pub(super) fn turn(&mut self, number: usize, order: &mut Vec<usize>) {
        order.clear();
        let Some(group) = self.groups.get_mut(number).and_then(Option::as_mut) else { return };
        let first = group.turn % group.slots.len().max(1);
        group.turn = group.turn.wrapping_add(1);
        order.extend_from_slice(&group.slots[first..]);
        order.extend_from_slice(&group.slots[..first]);
    }

    fn wait(&mut self, number: usize, mut changes: Changes) -> AbortHandle {
        let (handle, registration) = AbortHandle::new_pair();
        let changed: Waiting = Box::pin(async move {
            changes.changed().await;
            (number, changes)
        });
        self.waiting.push(Abortable::new(changed, registration));
        handle
    }

    /// The number of a group to whose channel something was published. Pending while there is none.
    pub(super) fn poll_changed(&mut self, cx: &mut Context<'_>) -> Poll<usize> {
        loop {
            match Pin::new(&mut self.waiting).poll_next(cx) {
                Poll::Ready(Some(Ok((number, changes)))) => {
                    let wait = self.wait(number, changes);
                    if let Some(group) = &mut self.groups[number] {
                        group.wait = wait;
                    }
                    return Poll::Ready(number);
                }
                Poll::Ready(Some(Err(Aborted))) => {}
                Poll::Ready(None) | Poll::Pending => return Poll::Pending,
            }
        }
    }
}
