//! Groups: the viewers of one writer thread that watch the same channel (one camera in one size and quality). A new
//! frame of the channel wakes the writer once for all of them.

use std::task::{Context, Poll};

use framecast_hub::{ReadySet, WakeRegistration};

use super::super::client_stream::ClientStream;

/// The groups of viewers of one writer thread, by number. A new group can get the number of a removed group.
#[derive(Default)]
pub(super) struct Groups {
    groups: Vec<Option<Group>>,
    ready_set: ReadySet,
}

struct Group {
    /// Wakes the writer thread when a frame is published in the channel that the group watches. The registered token is
    /// the group's number.
    registration: WakeRegistration,
    slots: Vec<usize>,
    /// The number of times that the group was served. It selects the viewer that is served first.
    turn: usize,
}

impl Groups {
    /// Adds viewer number `slot` to the group of the channel that `stream` reads. Returns the group's number.
    pub(super) fn join(&mut self, stream: &ClientStream, slot: usize) -> usize {
        let is_same_channel = |group: &Group| stream.is_same_channel(&group.registration);
        let known = self.groups.iter().position(|group| group.as_ref().is_some_and(is_same_channel));
        let number = known.unwrap_or_else(|| {
            let free = self.groups.iter().position(Option::is_none);
            let number = free.unwrap_or(self.groups.len());
            if free.is_none() {
                self.groups.push(None);
            }
            let registration = stream.register(&self.ready_set, number);
            self.groups[number] = Some(Group { registration, slots: Vec::new(), turn: 0 });
            number
        });
        if let Some(group) = &mut self.groups[number] {
            group.slots.push(slot);
        }
        number
    }

    /// Removes viewer number `slot` from group `number`. A group without viewers is removed.
    pub(super) fn leave(&mut self, number: usize, slot: usize) {
        let Some(group) = &mut self.groups[number] else { return };
        group.slots.retain(|member| *member != slot);
        if group.slots.is_empty() {
            self.groups[number] = None;
        }
    }

    /// Fills `order` with the slots of the viewers of group `number`, in the sequence in which to serve them now. Each
    /// call begins with a different viewer, so that no viewer is always last.
    pub(super) fn rotate(&mut self, number: usize, order: &mut Vec<usize>) {
        order.clear();
        let Some(group) = self.groups.get_mut(number).and_then(Option::as_mut) else { return };
        let first = group.turn % group.slots.len().max(1);
        group.turn = group.turn.wrapping_add(1);
        order.extend_from_slice(&group.slots[first..]);
        order.extend_from_slice(&group.slots[..first]);
    }

    /// Returns the number of a group in whose channel a frame was published. Sometimes it is the number of a group that
    /// has nothing new.
    pub(super) fn poll_changed(&self, cx: &mut Context<'_>) -> Poll<usize> {
        self.ready_set.poll_ready(cx)
    }
}
