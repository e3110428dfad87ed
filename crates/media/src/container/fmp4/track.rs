//! Reads what `moov` says about the first video track.

use std::sync::Arc;

use bytes::Bytes;
use mp4_atom::{Avcc, Hvcc, Mdhd, Stsz, StszSamples, Tkhd, Trex};

use super::boxes::WholeBox;
use super::problem::{BoxKind, Problem};
use crate::codec::{ParameterSets, VideoParameters, unit_kind};
use crate::{Codec, Error, Format};

/// The number of bytes before the boxes in a sample entry for video (ISO/IEC 14496-12 §12.1.3.2).
const VISUAL_BYTES: usize = 78;

/// The track that is read.
#[derive(Debug, Clone)]
pub(super) struct Track {
    pub(super) id: u32,
    /// Ticks per second, never 0.
    pub(super) timescale: u32,
    /// The number of bytes of the length before each NAL unit, 1 to 4.
    pub(super) length_bytes: usize,
    pub(super) codec: Codec,
    pub(super) sets: ParameterSets,
    /// `None` while no parameter sets have come: they can also be in the samples.
    pub(super) format: Option<Arc<Format>>,
    /// The values for samples for which a fragment has none.
    pub(super) defaults: Trex,
}

impl Track {
    /// Reads `moov`.
    pub(super) fn parse(moov: &WholeBox<'_>) -> Result<Self, Error> {
        let not_fragmented = || moov.error(Problem::NotFragmented);
        let mvex = moov.find(b"mvex")?.ok_or_else(not_fragmented)?;
        for track in moov.children() {
            let track = track?;
            if &track.kind.0 != b"trak" {
                continue;
            }
            let media = track.child(b"mdia")?;
            let handler = media.child(b"hdlr")?;
            if handler.body.get(8..12) == Some(b"vide") {
                return Self::parse_video(&track, &media, &mvex);
            }
        }
        Err(moov.error(Problem::NoVideo))
    }

    /// Makes the format of the parameter sets so far, if they are others than before.
    ///
    /// # Errors
    /// Those of [`VideoParameters::parse`].
    pub(super) fn update_format(&mut self) -> Result<(), Error> {
        let sets = self.sets.sets();
        let is_same = |format: &Arc<Format>| format.parameter_sets == sets;
        if !sets.is_empty() && !self.format.as_ref().is_some_and(is_same) {
            self.format = Some(Arc::new(VideoParameters::parse(self.codec, sets)?.format));
        }
        Ok(())
    }

    fn parse_video(track: &WholeBox<'_>, media: &WholeBox<'_>, mvex: &WholeBox<'_>) -> Result<Self, Error> {
        let Tkhd { track_id: id, .. } = track.child(b"tkhd")?.decode()?;
        let mdhd = media.child(b"mdhd")?;
        let Mdhd { timescale, .. } = mdhd.decode()?;
        if timescale == 0 {
            return Err(mdhd.invalid());
        }
        let table = media.child(b"minf")?.child(b"stbl")?;
        let (codec, length_bytes, sets) = sample_entry(&table.child(b"stsd")?)?;
        if has_samples(&table)? {
            return Err(track.error(Problem::NotFragmented));
        }
        let defaults = defaults(mvex, id)?;
        let mut track = Self {
            id,
            timescale,
            length_bytes,
            codec,
            sets: ParameterSets::default(),
            format: None,
            defaults,
        };
        track.sets.merge(codec, &sets);
        track.update_format()?;
        Ok(track)
    }
}

/// Returns whether `table` (`stbl`) lists samples outside of fragments.
fn has_samples(table: &WholeBox<'_>) -> Result<bool, Error> {
    let Some(sizes) = table.find(b"stsz")? else { return Ok(false) };
    let Stsz { samples } = sizes.decode()?;
    Ok(match samples {
        StszSamples::Identical { count, .. } => count > 0,
        StszSamples::Different { sizes } => !sizes.is_empty(),
    })
}

/// Returns the defaults of the track `id`.
fn defaults(mvex: &WholeBox<'_>, id: u32) -> Result<Trex, Error> {
    for child in mvex.children() {
        let child = child?;
        if &child.kind.0 == b"trex" {
            let trex: Trex = child.decode()?;
            if trex.track_id == id {
                return Ok(trex);
            }
        }
    }
    Ok(Trex { track_id: id, default_sample_description_index: 1, ..Trex::default() })
}

/// Reads the first sample entry of `stsd`: the codec, the number of bytes of the length before each NAL unit, and the
/// parameter sets.
fn sample_entry(stsd: &WholeBox<'_>) -> Result<(Codec, usize, Vec<Bytes>), Error> {
    let entry = stsd.children_after(8)?.next().ok_or_else(|| stsd.invalid())??;
    match &entry.kind.0 {
        b"avc1" | b"avc3" => {
            let avcc: Avcc = record(&entry, *b"avcC")?.decode()?;
            let sets = avcc.sequence_parameter_sets.into_iter().chain(avcc.picture_parameter_sets);
            Ok((Codec::H264, avcc.length_size.into(), sets.map(Bytes::from).collect()))
        }
        b"hvc1" | b"hev1" => {
            let hvcc: Hvcc = record(&entry, *b"hvcC")?.decode()?;
            let length_bytes = usize::from(hvcc.length_size_minus_one) + 1;
            // Beside the sets there can be SEI.
            let units = hvcc.arrays.into_iter().flat_map(|array| array.nalus).map(Bytes::from);
            let sets = units.filter(|unit| unit_kind(Codec::H265, unit).is_parameter_set());
            Ok((Codec::H265, length_bytes, sets.collect()))
        }
        _ => Err(entry.error(Problem::UnsupportedCodec { kind: entry.kind })),
    }
}

/// Returns the decoder configuration record of a sample entry, a box of `kind`.
fn record<'a>(entry: &WholeBox<'a>, kind: [u8; 4]) -> Result<WholeBox<'a>, Error> {
    for child in entry.children_after(VISUAL_BYTES)? {
        let child = child?;
        if child.kind.0 == kind {
            return Ok(child);
        }
    }
    Err(entry.error(Problem::MissingBox { kind: BoxKind(kind), parent: entry.kind }))
}
