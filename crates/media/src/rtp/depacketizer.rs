//! Makes access units of the packets of an H.264 or H.265 stream.
//!
//! Packets go in, in order; access units come out whole, or not at all. After a loss no access unit comes out up to the
//! next keyframe, except where the loss is certainly within a picture that no other needs.

use std::collections::VecDeque;

use bytes::Bytes;
use memchr::memmem;

use super::fmtp::MAX_SET_BYTES;
use super::nal::{Role, SetKind, Slice, Syntax};
use super::payload::{Fault, Payload, UnitFragment};
use super::problem::Problem;
use super::reorder::OrderedPacket;
use super::start_code;
use super::unit::PendingUnit;
use crate::codec::{LeadingFilter, ParameterSets};
use crate::{Dependency, Error};

/// The number of parameter sets in one access unit that are read.
const MAX_SETS_IN_UNIT: usize = 16;

/// One access unit: a coded picture and what belongs to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReceivedUnit {
    /// The NAL units, each behind its length as 4 bytes: the data of a [`Frame`](crate::Frame).
    pub data: Bytes,
    /// The media time in ticks of the RTP clock: when to show the picture. It wraps.
    pub rtp_timestamp: u32,
    /// How this unit and those around it depend on each other.
    pub dependency: Dependency,
    /// All parameter sets in the order VPS, SPS, PPS, if this is a keyframe and they are not those of the keyframe
    /// before.
    pub parameter_sets: Option<Vec<Bytes>>,
}

/// How many access units a [`Depacketizer`] has made and dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct UnitCounts {
    /// Access units that came out.
    pub whole: u64,
    /// Access units of which something was missing or broken.
    pub damaged: u64,
    /// Whole access units that need one that was dropped.
    pub without_reference: u64,
    /// Whole access units that came before the first keyframe.
    pub before_first_keyframe: u64,
    /// Keyframes whose parameter sets are not known.
    pub without_parameter_sets: u64,
}

/// Whether the markers of a stream end its access units.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Markers {
    /// Not known yet: access units end when the timestamp changes.
    Unknown,
    /// Each is on the last packet of a picture.
    Right,
    /// The sender marks packets in the midst of pictures too: access units end when the timestamp changes.
    Wrong,
}

/// Makes access units of packets. After each [`push`](Self::push), take out the units with
/// [`next_unit`](Self::next_unit).
#[derive(Debug)]
pub struct Depacketizer {
    syntax: Syntax,
    max_bytes: usize,
    sets: ParameterSets,
    /// The parameter sets that the last keyframe that came out was told to have.
    told_sets: Vec<Bytes>,
    /// Whether a keyframe came with parameter sets.
    has_sets_in_band: bool,
    pending: Option<PendingUnit>,
    markers: Markers,
    /// The timestamp of the access unit before, if its marker ended it.
    ended_by_marker: Option<u32>,
    /// Whether a reference is missing, so that only a keyframe may come out.
    awaits_keyframe: bool,
    leading: LeadingFilter,
    units: VecDeque<ReceivedUnit>,
    counts: UnitCounts,
}

impl Depacketizer {
    /// Makes access units of H.264 (RFC 6184) of at most `max_bytes` bytes. `parameter_sets` are those that the SDP
    /// names.
    pub fn h264(parameter_sets: &[Bytes], max_bytes: usize) -> Self {
        Self::new(Syntax::H264, parameter_sets, max_bytes)
    }

    /// Makes access units of H.265 (RFC 7798, without DONL) of at most `max_bytes` bytes. `parameter_sets` are those
    /// that the SDP names.
    pub fn h265(parameter_sets: &[Bytes], max_bytes: usize) -> Self {
        Self::new(Syntax::H265, parameter_sets, max_bytes)
    }

    fn new(syntax: Syntax, parameter_sets: &[Bytes], max_bytes: usize) -> Self {
        let mut sets = ParameterSets::default();
        sets.merge(syntax.codec(), parameter_sets);
        Self {
            syntax,
            max_bytes,
            sets,
            told_sets: Vec::new(),
            has_sets_in_band: false,
            pending: None,
            markers: Markers::Unknown,
            ended_by_marker: None,
            awaits_keyframe: true,
            leading: LeadingFilter::default(),
            units: VecDeque::new(),
            counts: UnitCounts::default(),
        }
    }

    /// Adds the next packet.
    ///
    /// # Errors
    ///
    /// Returns what is wrong with the packet or its access unit. The access unit is dropped, and the next packet may be
    /// pushed.
    pub fn push(&mut self, packet: &OrderedPacket) -> Result<(), Error> {
        let timestamp = packet.header.timestamp;
        let follows_loss = self.note_loss(packet);
        if self.pending.as_ref().is_some_and(|unit| unit.timestamp != timestamp) {
            self.finish();
        }
        if self.pending.is_none() {
            self.pending = Some(PendingUnit { timestamp, follows_loss, ..PendingUnit::default() });
        }
        let added = self.add(packet);
        if added.is_err() {
            self.unit().damage();
        }
        if packet.header.marker {
            self.end_at_marker();
        }
        added
    }

    /// Ends the access unit that is held because its marker may be wrong. Call this if no further packet comes for so
    /// long that none is to be expected, such as from a camera with one picture a second.
    pub fn flush(&mut self) {
        if self.pending.as_ref().is_some_and(|unit| unit.is_marked && unit.fragment_start.is_none()) {
            self.finish();
        }
    }

    /// Takes out the next access unit, if one is whole.
    pub fn next_unit(&mut self) -> Option<ReceivedUnit> {
        self.units.pop_front()
    }

    /// Returns how many access units came out and how many were dropped so far.
    pub const fn counts(&self) -> UnitCounts {
        self.counts
    }

    /// Drops what may be incomplete because packets are missing before `packet`. Returns whether the access unit of
    /// `packet` may have lost its first packets.
    fn note_loss(&mut self, packet: &OrderedPacket) -> bool {
        if packet.is_new_start {
            self.flush();
        } else if packet.lost_before == 0 {
            return false;
        }
        match &mut self.pending {
            // All missing packets are of this access unit.
            Some(unit) if unit.timestamp == packet.header.timestamp && !packet.is_new_start => {
                unit.damage();
                return false;
            }
            Some(unit) => {
                unit.damage();
                self.finish();
            }
            None => {}
        }
        self.awaits_keyframe = true;
        self.ended_by_marker = None;
        true
    }

    /// Adds the payload of `packet` to the pending unit.
    fn add(&mut self, packet: &OrderedPacket) -> Result<(), Error> {
        if packet.payload.is_empty() {
            return Ok(());
        }
        let sequence_number = packet.header.sequence_number;
        let named = |(offset, problem): Fault| Error::RtpPayload { sequence_number, offset, problem };
        match Payload::parse(self.syntax, &packet.payload).map_err(named)? {
            Payload::UnitFragment(fragment) => self.add_fragment(fragment, named),
            other => {
                self.expect_no_fragment().map_err(named)?;
                match other {
                    Payload::Aggregate(mut nals) => {
                        nals.try_for_each(|nal| self.add_nals(nal.map_err(named)?))
                    }
                    Payload::Unit(nal) => self.add_nals(nal),
                    Payload::UnitFragment(_) => Ok(()),
                }
            }
        }
    }

    fn expect_no_fragment(&mut self) -> Result<(), Fault> {
        match self.unit().fragment_start {
            Some(_) => Err((0, Problem::NoFragmentEnd)),
            None => Ok(()),
        }
    }

    fn add_fragment(
        &mut self,
        fragment: UnitFragment<'_>,
        named: impl Fn(Fault) -> Error,
    ) -> Result<(), Error> {
        let header = fragment.header;
        let header = &header[..self.syntax.header_bytes()];
        if fragment.is_start {
            self.expect_no_fragment().map_err(&named)?;
            let first = [header, &fragment.data[..fragment.data.len().min(1)]].concat();
            if let Role::Slice(slice) = self.syntax.role(&first) {
                self.enter(slice);
            }
            if !self.unit().is_damaged {
                self.check_room(header.len() + fragment.data.len())?;
                self.unit().begin_fragments(header);
            }
        } else if self.unit().fragment_start.is_none() {
            if let Role::Slice(slice) = self.syntax.role(header) {
                self.unit().note_slice(slice);
            }
            let was_damaged = self.unit().is_damaged;
            return if was_damaged { Ok(()) } else { Err(named((0, Problem::NoFragmentStart))) };
        }
        if self.unit().is_damaged {
            return Ok(());
        }
        self.check_room(fragment.data.len())?;
        self.unit().data.extend_from_slice(fragment.data);
        if fragment.is_end { self.end_fragments() } else { Ok(()) }
    }

    /// Ends a NAL unit whose last fragment came.
    fn end_fragments(&mut self) -> Result<(), Error> {
        let syntax = self.syntax;
        let unit = self.unit();
        let Some(start) = unit.fragment_start else { return Ok(()) };
        let nal = unit.end_fragments(start);
        let is_plain = matches!(syntax.role(nal), Role::Slice(_) | Role::Other);
        if is_plain && memmem::find(nal, &[0, 0, 1]).is_none() {
            return Ok(());
        }
        let taken = unit.data.split_off(start);
        self.add_nals(&taken[4..])
    }

    /// Adds one NAL unit, or several with start codes between them.
    fn add_nals(&mut self, nals: &[u8]) -> Result<(), Error> {
        start_code::split(nals).try_for_each(|nal| self.add_nal(nal))
    }

    fn add_nal(&mut self, nal: &[u8]) -> Result<(), Error> {
        match self.syntax.role(nal) {
            Role::Unused => Ok(()),
            Role::ParameterSet(kind) => self.add_set(kind, nal),
            Role::Slice(slice) => {
                self.enter(slice);
                self.append(nal)
            }
            Role::Other => self.append(nal),
        }
    }

    fn add_set(&mut self, kind: SetKind, set: &[u8]) -> Result<(), Error> {
        if set.len() > MAX_SET_BYTES {
            let (len_bytes, limit_bytes) = (set.len(), MAX_SET_BYTES);
            return Err(Error::ParameterSetLength { set: kind.name(), len_bytes, limit_bytes });
        }
        let unit = self.unit();
        let sets = if unit.picture.is_some() { &mut unit.later_sets } else { &mut unit.sets };
        if sets.len() < MAX_SETS_IN_UNIT {
            sets.push(Bytes::copy_from_slice(set));
        }
        Ok(())
    }

    fn append(&mut self, nal: &[u8]) -> Result<(), Error> {
        if self.unit().is_damaged {
            return Ok(());
        }
        self.check_room(nal.len())?;
        self.unit().append(nal);
        Ok(())
    }

    /// Takes up a slice whose first bytes came: ends the picture before it, and notes if its own beginning is missing.
    fn enter(&mut self, slice: Slice) {
        let unit = self.unit();
        let timestamp = unit.timestamp;
        if slice.is_first && unit.picture.is_some() && unit.is_marked {
            // Another picture with a repeated timestamp.
            self.finish();
            self.pending = Some(PendingUnit { timestamp, ..PendingUnit::default() });
        } else if !slice.is_first && unit.picture.is_none() {
            unit.damage();
            if self.ended_by_marker == Some(timestamp) {
                // The unit that the marker ended was a part of this picture.
                self.markers = Markers::Wrong;
                self.awaits_keyframe = true;
            }
        }
        self.unit().note_slice(slice);
    }

    /// Returns an error if `more_bytes` bytes and a length do not fit into the access unit.
    fn check_room(&mut self, more_bytes: usize) -> Result<(), Error> {
        let limit_bytes = self.max_bytes;
        let unit = self.unit();
        let len_bytes = unit.data.len() + 4 + more_bytes;
        if len_bytes <= limit_bytes {
            return Ok(());
        }
        Err(Error::AccessUnitTooLarge { rtp_timestamp: unit.timestamp, len_bytes, limit_bytes })
    }

    fn end_at_marker(&mut self) {
        let markers = self.markers;
        let unit = self.unit();
        if unit.picture.is_none() {
            return; // A marker on SEI or parameter sets alone ends nothing.
        }
        if unit.fragment_start.is_some() {
            unit.damage();
        }
        unit.is_marked = true;
        if markers == Markers::Right {
            self.ended_by_marker = Some(unit.timestamp);
            self.finish();
        }
    }

    /// Ends the pending access unit: hands it out, or drops it.
    fn finish(&mut self) {
        let Some(mut unit) = self.pending.take() else { return };
        if unit.fragment_start.is_some() {
            unit.damage();
        }
        self.sets.merge(self.syntax.codec(), &unit.sets);
        self.decide(&mut unit);
        self.sets.merge(self.syntax.codec(), &unit.later_sets);
    }

    fn decide(&mut self, unit: &mut PendingUnit) {
        let Some(picture) = unit.picture else {
            // The slices of a damaged unit may be what is missing.
            self.awaits_keyframe |= unit.is_damaged;
            self.counts.damaged += u64::from(unit.is_damaged);
            return;
        };
        let dependency = match picture.dependency {
            Dependency::Disposable if self.has_sub_layer_above(picture.sub_layer) => Dependency::Reference,
            other => other,
        };
        if unit.is_damaged {
            self.counts.damaged += 1;
            self.awaits_keyframe |= dependency != Dependency::Disposable;
            return;
        }
        self.learn_markers(unit);
        let is_keyframe = dependency == Dependency::Keyframe;
        if self.awaits_keyframe && !(is_keyframe && self.has_sets(unit)) {
            self.count_undecodable(is_keyframe);
            return;
        }
        if !self.leading.admits(picture.leading, self.awaits_keyframe) {
            self.counts.without_reference += 1;
            return;
        }
        self.has_sets_in_band |= is_keyframe && !unit.sets.is_empty();
        self.awaits_keyframe = false;
        self.hand_out(unit, dependency);
    }

    fn learn_markers(&mut self, unit: &PendingUnit) {
        if unit.is_marked_within {
            self.markers = Markers::Wrong;
        } else if unit.is_marked && self.markers == Markers::Unknown {
            self.markers = Markers::Right;
        }
    }

    /// Returns whether the parameter sets of a keyframe are known: none may have been lost right before it.
    fn has_sets(&self, unit: &PendingUnit) -> bool {
        let is_sequence = |set: &Bytes| self.syntax.role(set) == Role::ParameterSet(SetKind::Sequence);
        let may_be_lost = unit.follows_loss && self.has_sets_in_band && !unit.sets.iter().any(is_sequence);
        self.sets.is_complete(self.syntax.codec()) && !may_be_lost
    }

    /// Returns whether pictures of a higher temporal sub-layer than `sub_layer` may come.
    fn has_sub_layer_above(&self, sub_layer: u8) -> bool {
        let is_sequence = |set: &&Bytes| self.syntax.role(set) == Role::ParameterSet(SetKind::Sequence);
        // Three bits of the third byte of the set.
        let highest = |set: &Bytes| set.get(2).map_or(0, |byte| byte >> 1 & 7);
        let mut sequences = self.sets.sets().iter().filter(is_sequence);
        self.syntax == Syntax::H265 && sequences.any(|set| sub_layer < highest(set))
    }

    fn count_undecodable(&mut self, is_keyframe: bool) {
        match self.counts {
            _ if is_keyframe => self.counts.without_parameter_sets += 1,
            UnitCounts { whole: 0, .. } => self.counts.before_first_keyframe += 1,
            _ => self.counts.without_reference += 1,
        }
    }

    fn hand_out(&mut self, unit: &mut PendingUnit, dependency: Dependency) {
        let data = Bytes::from(std::mem::take(&mut unit.data).into_boxed_slice());
        let (dependency, data) = self.sets.complete(dependency, data);
        let have_changed = dependency == Dependency::Keyframe && self.told_sets != self.sets.sets();
        let parameter_sets = have_changed.then(|| self.sets.sets().to_vec());
        if let Some(sets) = &parameter_sets {
            self.told_sets.clone_from(sets);
        }
        self.counts.whole += 1;
        self.units.push_back(ReceivedUnit {
            data,
            rtp_timestamp: unit.timestamp,
            dependency,
            parameter_sets,
        });
    }

    /// The access unit of which packets come; begun by `push`.
    fn unit(&mut self) -> &mut PendingUnit {
        self.pending.get_or_insert_default()
    }
}

#[cfg(test)]
mod tests;
