//! Reads fragmented MP4 as it comes: `moov` once or more, then fragments.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::SystemTime;

use bytes::{BufMut, Bytes};

use super::boxes::{BoxHeader, WholeBox};
use super::problem::{BoxKind, Problem};
use super::run::{Announced, announced};
use super::sample_content::{self, SampleContent};
use super::track::Track;
use crate::codec::dependency;
use crate::container::DEFAULT_MAX_PICTURE_BYTES;
use crate::container::stream_buffer::StreamBuffer;
use crate::{Dependency, Error, Format, Frame, Timestamp};

/// A frame of the first video track.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sample {
    /// The access unit, as [`Frame::data`] has it.
    pub data: Bytes,
    /// How the frame and those around it depend on each other.
    pub dependency: Dependency,
    /// When to show the frame, in media time of the stream.
    pub pts: Timestamp,
    /// When to decode the frame, in media time of the stream.
    pub dts: Timestamp,
    /// The parameters that a decoder needs. The `Arc` points to a new `Format` when a parameter changes.
    pub format: Arc<Format>,
    /// Where the sample begins, in bytes from the start of the stream.
    pub offset: u64,
}

impl Sample {
    /// Makes a frame that was captured at `captured_at`.
    pub fn into_frame(self, captured_at: SystemTime) -> Frame {
        let mut frame = Frame::coded(self.data, self.dependency, self.pts, captured_at, self.format);
        frame.dts = self.dts;
        frame
    }
}

/// Reads the first video track of a stream of fragmented MP4, whose bytes arrive in pieces.
///
/// After each [`push`](Self::push), or write into the [`room`](Self::room), call [`next_sample`](Self::next_sample)
/// until it yields `None`. A sample comes out as soon as its last byte is there, before the end of its fragment. The
/// result does not depend on how the stream is divided. All errors are fatal: the reader then yields the same error
/// again, and drops what is pushed.
///
/// Edit lists are not read: they would move all times by the same amount.
#[derive(Debug)]
pub struct Fmp4Reader {
    max_box_bytes: usize,
    buf: StreamBuffer,
    /// Where `buf` begins, in bytes from the start of the stream.
    offset: u64,
    place: Place,
    track: Option<Track>,
    /// The samples that the last `moof` announced and that have not come yet.
    announced: VecDeque<Announced>,
    /// The end of the samples so far, in ticks of the track.
    next_dts: u64,
}

/// What is at the start of the buffer.
#[derive(Debug)]
enum Place {
    /// The header of a box.
    Header,
    /// What is left of an `mdat` that ends at this offset of the stream.
    Data {
        end: u64,
    },
    /// What is left of a box that is not needed, up to this offset of the stream.
    Skipped {
        end: u64,
    },
    Failed(Error),
}

impl Default for Fmp4Reader {
    fn default() -> Self {
        Self::new(DEFAULT_MAX_PICTURE_BYTES)
    }
}

impl Fmp4Reader {
    /// Creates a reader for boxes of at most `max_box_bytes`.
    pub fn new(max_box_bytes: usize) -> Self {
        Self {
            max_box_bytes,
            buf: StreamBuffer::default(),
            offset: 0,
            place: Place::Header,
            track: None,
            announced: VecDeque::new(),
            next_dts: 0,
        }
    }

    /// Appends a copy of the next bytes of the stream.
    pub fn push(&mut self, bytes: &[u8]) {
        if !matches!(self.place, Place::Failed(_)) {
            self.buf.push(bytes);
        }
    }

    /// Returns the place for the next bytes of the stream, which is never empty: what is written there counts as
    /// [pushed](Self::push), without a copy.
    pub fn room(&mut self) -> impl BufMut {
        if matches!(self.place, Place::Failed(_)) {
            self.skip(self.buf.len());
        }
        self.buf.room()
    }

    /// Returns the format of the next samples; `None` before the first `moov`, or while the parameter sets are missing.
    pub fn format(&self) -> Option<&Arc<Format>> {
        self.track.as_ref()?.format.as_ref()
    }

    /// Returns the next sample in the bytes pushed so far, or `None` if more bytes are needed. Samples without a
    /// picture, and those before the first parameter sets, are left out.
    ///
    /// # Errors
    /// [`Error::Mp4`] if the stream is not fragmented MP4 with video that can be read, or exceeds a limit, and the
    /// errors of [`VideoParameters::parse`](crate::codec::VideoParameters::parse) about its parameter sets.
    pub fn next_sample(&mut self) -> Result<Option<Sample>, Error> {
        loop {
            let step = match &self.place {
                Place::Failed(error) => return Err(error.clone()),
                Place::Header => self.enter_box(),
                Place::Data { end } => self.read_data(*end),
                Place::Skipped { end } => Ok(self.skip_to(*end)),
            };
            match step {
                Ok(ReadStep::Sample(sample)) => return Ok(Some(sample)),
                Ok(ReadStep::Again) => {}
                Ok(ReadStep::MoreBytes) => return Ok(None),
                Err(error) => {
                    self.announced = VecDeque::new();
                    self.place = Place::Failed(error);
                }
            }
        }
    }

    /// Ends the stream. Call this method when [`next_sample`](Self::next_sample) yields `None`.
    ///
    /// # Errors
    /// [`Error::Mp4`] with [`Problem::Truncated`] if the stream ended inside a box or a fragment, and the error of
    /// `next_sample` if there was one.
    pub fn finish(self) -> Result<(), Error> {
        let is_between_boxes = matches!(self.place, Place::Header) && self.buf.is_empty();
        match self.place {
            Place::Failed(error) => Err(error),
            _ if is_between_boxes && self.announced.is_empty() => Ok(()),
            _ => Err(Error::Mp4 { offset: self.offset + self.buf.len() as u64, problem: Problem::Truncated }),
        }
    }

    fn error(&self, problem: Problem) -> Error {
        Error::Mp4 { offset: self.offset, problem }
    }

    fn skip(&mut self, len: usize) {
        self.buf.advance(len);
        self.offset += len as u64;
    }

    /// Skips the bytes before `end`. Returns [`ReadStep::Again`] if all of them have come.
    fn skip_to(&mut self, end: u64) -> ReadStep {
        let len = usize::try_from(end - self.offset).unwrap_or(usize::MAX).min(self.buf.len());
        self.skip(len);
        if self.offset < end {
            return ReadStep::MoreBytes;
        }
        if !matches!(self.place, Place::Data { end: data_end } if end < data_end) {
            self.place = Place::Header;
        }
        ReadStep::Again
    }

    /// Reads the box at the start of the buffer, or its header if the rest is not needed or is read later.
    fn enter_box(&mut self) -> Result<ReadStep, Error> {
        let Some(header) = BoxHeader::parse(&self.buf) else { return Ok(ReadStep::MoreBytes) };
        let size_bytes = self.checked_size(header)?;
        let end = self.offset + size_bytes as u64;
        match &header.kind.0 {
            b"moov" | b"moof" if self.buf.len() < size_bytes => {
                self.buf.reserve_picture(size_bytes);
                return Ok(ReadStep::MoreBytes);
            }
            b"moov" => {
                self.check_no_sample_is_missing()?;
                let moov = self.buf.take(size_bytes);
                self.track = Some(Track::parse(&WholeBox::new(header, self.offset, &moov))?);
                self.next_dts = 0;
                self.offset = end;
            }
            b"moof" => {
                self.check_no_sample_is_missing()?;
                let Some(track) = &self.track else { return Err(self.error(Problem::NoMoov)) };
                let moof = self.buf.take(size_bytes);
                let moof = WholeBox::new(header, self.offset, &moof);
                self.announced = announced(&moof, track, &mut self.next_dts)?;
                self.offset = end;
            }
            b"mdat" if self.track.is_none() => return Err(self.error(Problem::NotFragmented)),
            b"mdat" => {
                self.skip(header.header_bytes);
                self.place = Place::Data { end };
            }
            _ => self.place = Place::Skipped { end },
        }
        Ok(ReadStep::Again)
    }

    /// Returns the size of the box with `header`, which is within the limit.
    fn checked_size(&self, header: BoxHeader) -> Result<usize, Error> {
        let BoxHeader { kind, header_bytes, size_bytes } = header;
        // A box without a size is as long as the stream, which has no end.
        let size_bytes = size_bytes.unwrap_or(u64::MAX);
        if size_bytes < header_bytes as u64 {
            return Err(self.error(Problem::BoxSize { kind, size_bytes }));
        }
        if kind == BoxKind(*b"mdat") && self.track.is_none() {
            return Err(self.error(Problem::NotFragmented));
        }
        let limit_bytes = self.max_box_bytes;
        match usize::try_from(size_bytes) {
            Ok(size) if size <= limit_bytes => Ok(size),
            _ => Err(self.error(Problem::BoxTooLarge { kind, size_bytes, limit_bytes })),
        }
    }

    fn check_no_sample_is_missing(&self) -> Result<(), Error> {
        match self.announced.is_empty() {
            true => Ok(()),
            false => Err(self.error(Problem::SampleOutsideData)),
        }
    }

    /// Reads the next sample in an `mdat` that ends at `end`, or skips what belongs to no sample of the track.
    fn read_data(&mut self, end: u64) -> Result<ReadStep, Error> {
        let Some(&Announced { offset, size_bytes, .. }) = self.announced.front() else {
            return Ok(self.skip_to(end));
        };
        if offset >= end {
            return Ok(self.skip_to(end));
        }
        if offset < self.offset || offset + u64::from(size_bytes) > end {
            return Err(self.error(Problem::SampleOutsideData));
        }
        if offset > self.offset {
            return Ok(self.skip_to(offset));
        }
        let size = size_bytes as usize;
        if self.buf.len() < size {
            self.buf.reserve_picture(size);
            return Ok(ReadStep::MoreBytes);
        }
        let data = self.buf.take(size);
        let sample = self.sample(data)?;
        self.offset += u64::from(size_bytes);
        Ok(sample.map_or(ReadStep::Again, ReadStep::Sample))
    }

    /// Makes the sample of `data`, the first that is announced. Returns `None` if it has no picture.
    fn sample(&mut self, data: Bytes) -> Result<Option<Sample>, Error> {
        let announced = self.announced.pop_front().expect("the sample is announced");
        let track = self.track.as_mut().expect("a fragment is read only after moov");
        let error = |problem| Error::Mp4 { offset: announced.offset, problem };
        let unit = sample_content::read(track.codec, track.length_bytes, data).map_err(error)?;
        let SampleContent { data, has_picture, parameter_sets } = unit;
        track.sets.merge(track.codec, &parameter_sets);
        if dependency(&Format::new(track.codec, 0, 0), &data)? == Dependency::Keyframe {
            track.update_format()?;
        }
        let Some(format) = track.format.clone().filter(|_| has_picture) else { return Ok(None) };
        let dependency = match dependency(&format, &data)? {
            Dependency::Reference if announced.is_disposable() => Dependency::Disposable,
            other => other,
        };
        let (dependency, data) = track.sets.complete(dependency, data);
        let (dts, pts) = announced.times(track.timescale);
        Ok(Some(Sample { data, dependency, pts, dts, format, offset: announced.offset }))
    }
}

/// What reading did.
enum ReadStep {
    Sample(Sample),
    /// Something was read; reading goes on.
    Again,
    /// More bytes are needed.
    MoreBytes,
}
