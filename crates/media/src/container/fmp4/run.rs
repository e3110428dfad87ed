//! Reads from `moof` where the samples of the track lie and when they are shown.

use std::collections::VecDeque;

use mp4_atom::{Tfdt, Tfhd, Trun, TrunEntry};

use super::boxes::WholeBox;
use super::problem::Problem;
use super::track::Track;
use crate::{Error, Timestamp};

/// The maximum number of samples in a fragment: a quarter of an hour at 60 frames per second. The size of `moof` does
/// not limit the number, because samples can all have default values.
const MAX_SAMPLES: usize = 1 << 16;

/// A sample that a fragment announces. Times are in ticks of the track.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Announced {
    /// Where the sample begins, in bytes from the start of the stream.
    pub(super) offset: u64,
    pub(super) size_bytes: u32,
    pub(super) dts: u64,
    pub(super) composition_offset: i64,
    pub(super) flags: u32,
}

impl Announced {
    /// Returns whether the flags say that no other sample depends on this one.
    pub(super) fn is_disposable(&self) -> bool {
        self.flags >> 22 & 3 == 2
    }

    /// Returns the decoding time and the presentation time.
    pub(super) fn times(&self, timescale: u32) -> (Timestamp, Timestamp) {
        let dts = i128::from(self.dts);
        let ticks = |time: i128| {
            let ticks = (time * i128::from(Timestamp::TICKS_PER_SECOND)).div_euclid(timescale.into());
            Timestamp::from_ticks(i64::try_from(ticks).unwrap_or(i64::MAX))
        };
        (ticks(dts), ticks(dts + i128::from(self.composition_offset)))
    }
}

/// Reads the runs of `track` in `moof`. `next_dts` is the end of the samples before, and becomes the end of these.
pub(super) fn announced(
    moof: &WholeBox<'_>,
    track: &Track,
    next_dts: &mut u64,
) -> Result<VecDeque<Announced>, Error> {
    let (mut samples, mut room) = (VecDeque::new(), MAX_SAMPLES);
    let fragments = moof.children().filter(|child| child.as_ref().map_or(true, |c| &c.kind.0 == b"traf"));
    for (index, fragment) in fragments.enumerate() {
        let fragment = fragment?;
        let header = fragment.child(b"tfhd")?;
        let tfhd: Tfhd = header.decode()?;
        if tfhd.track_id != track.id {
            continue;
        }
        // Without both, the data follow those of the track before, whose size is not known here.
        let base = match tfhd.base_data_offset {
            Some(offset) => offset,
            None if tfhd.default_base_is_moof || index == 0 => moof.offset,
            None => return Err(header.error(Problem::NoDataOffset)),
        };
        if let Some(time) = fragment.find(b"tfdt")? {
            *next_dts = time.decode::<Tfdt>()?.base_media_decode_time;
        }
        let mut runs =
            Runs { track, tfhd: &tfhd, base, offset: base, next_dts, samples: &mut samples, room: &mut room };
        for run in fragment.children() {
            let run = run?;
            if &run.kind.0 == b"trun" {
                runs.add(&run)?;
            }
        }
    }
    Ok(samples)
}

/// Collects the samples of a track's runs.
struct Runs<'a> {
    track: &'a Track,
    tfhd: &'a Tfhd,
    /// Where offsets count from, in bytes from the start of the stream.
    base: u64,
    /// Where the next sample begins if the run does not say it.
    offset: u64,
    next_dts: &'a mut u64,
    samples: &'a mut VecDeque<Announced>,
    /// How many more samples the fragment may have.
    room: &'a mut usize,
}

impl Runs<'_> {
    fn add(&mut self, run: &WholeBox<'_>) -> Result<(), Error> {
        let trun: Trun = run.decode()?;
        let room = self.room.checked_sub(trun.samples.len());
        *self.room = room.ok_or_else(|| run.error(Problem::TooManySamples { limit: MAX_SAMPLES }))?;
        if let Some(offset) = trun.data_offset {
            let start = self.base.checked_add_signed(offset.into());
            self.offset = start.ok_or_else(|| run.error(Problem::SampleOutsideData))?;
        }
        for entry in &trun.samples {
            self.add_sample(entry).ok_or_else(|| run.invalid())?;
        }
        Ok(())
    }

    /// Adds a sample, unless it is empty. Returns `None` if its place or time is out of range.
    fn add_sample(&mut self, entry: TrunEntry) -> Option<()> {
        let Self { track: Track { defaults, .. }, tfhd, .. } = *self;
        let size_bytes = entry.size.or(tfhd.default_sample_size).unwrap_or(defaults.default_sample_size);
        let duration = entry.duration.or(tfhd.default_sample_duration);
        let flags = entry.flags.or(tfhd.default_sample_flags).unwrap_or(defaults.default_sample_flags);
        let composition_offset = entry.cts.unwrap_or(0);
        // An empty sample says that there is no picture for its time.
        if size_bytes > 0 {
            let (offset, dts) = (self.offset, *self.next_dts);
            self.samples.push_back(Announced { offset, size_bytes, dts, composition_offset, flags });
        }
        self.offset = self.offset.checked_add(size_bytes.into())?;
        let duration = duration.unwrap_or(defaults.default_sample_duration);
        *self.next_dts = self.next_dts.checked_add(duration.into())?;
        Some(())
    }
}
