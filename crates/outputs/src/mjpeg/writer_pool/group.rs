//! The viewers of one channel at one writer, which wake up together.

use std::task::{Context, Poll};

use framecast_hub::{ReadySet, WakeRegistration};

use super::super::part_stream::PartStream;

/// Groups by number; the number of an ended group is used again.
#[derive(Default)]
pub(super) struct Groups {
    groups: Vec<Option<Group>>,
    ready_set: ReadySet,
}

struct Group {
    /// The wake-up registration; its token is the group's number.
    registration: WakeRegistration,
    slots: Vec<usize>,
    /// The viewer that is first in the next turn.
    turn: usize,
}

impl Groups {
    /// Puts the viewer in `slot` into the group of its channel; returns the group's number.
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

    /// Takes the viewer in `slot` out of its group. The group ends with its last viewer.
    pub(super) fn leave(&mut self, number: usize, slot: usize) {
        let Some(group) = &mut self.groups[number] else { return };
        group.slots.retain(|member| *member != slot);
        if group.slots.is_empty() {
            self.groups[number] = None;
        }
    }

    /// Puts the slots of a group into `order` for this turn. Each turn starts at another viewer, so that none is always
    /// last.
    pub(super) fn rotate(&mut self, number: usize, order: &mut Vec<usize>) {
        order.clear();
        let Some(group) = self.groups.get_mut(number).and_then(Option::as_mut) else { return };
        let first = group.turn % group.slots.len().max(1);
        group.turn = group.turn.wrapping_add(1);
        order.extend_from_slice(&group.slots[first..]);
        order.extend_from_slice(&group.slots[..first]);
    }

    /// The number of a group whose channel has published something. Now and then also a group that has nothing new.
    pub(super) fn poll_changed(&self, cx: &mut Context<'_>) -> Poll<usize> {
        self.ready_set.poll_ready(cx)
    }
}
