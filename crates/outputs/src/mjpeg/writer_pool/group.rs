//! The viewers of one channel that belong to the same writer. They wake up together.

use std::task::{Context, Poll};

use framecast_hub::{ReadySet, WakeRegistration};

use super::super::part_stream::PartStream;

/// The groups of a writer, by number. The number of a removed group is used again.
#[derive(Default)]
pub(super) struct Groups {
    groups: Vec<Option<Group>>,
    ready_set: ReadySet,
}

struct Group {
    /// The group's registration with its channel, for wake-ups. The token is the group's number.
    registration: WakeRegistration,
    slots: Vec<usize>,
    /// A counter of turns. It selects the viewer that is served first.
    turn: usize,
}

impl Groups {
    /// Adds the viewer in `slot` to the group of its channel, and returns the group's number.
    pub(super) fn join(&mut self, stream: &PartStream, slot: usize) -> usize {
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

    /// Removes the viewer in `slot` from its group. A group without viewers is removed.
    pub(super) fn leave(&mut self, number: usize, slot: usize) {
        let Some(group) = &mut self.groups[number] else { return };
        group.slots.retain(|member| *member != slot);
        if group.slots.is_empty() {
            self.groups[number] = None;
        }
    }

    /// Writes the slots of a group into `order`, for one turn. Each turn starts with another viewer, so that no viewer
    /// is always last.
    pub(super) fn rotate(&mut self, number: usize, order: &mut Vec<usize>) {
        order.clear();
        let Some(group) = self.groups.get_mut(number).and_then(Option::as_mut) else { return };
        let first = group.turn % group.slots.len().max(1);
        group.turn = group.turn.wrapping_add(1);
        order.extend_from_slice(&group.slots[first..]);
        order.extend_from_slice(&group.slots[..first]);
    }

    /// Returns the number of a group whose channel has published something. Sometimes it is the number of a group that
    /// has nothing new.
    pub(super) fn poll_changed(&self, cx: &mut Context<'_>) -> Poll<usize> {
        self.ready_set.poll_ready(cx)
    }
}
