//! Makes the parts of a multipart stream from frames, once for all viewers.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, Weak};
use std::time::SystemTime;

use axum::http::HeaderValue;
use bytes::{Bytes, BytesMut};
use framecast_hub::{Rendition, Update};
use framecast_media::container::multipart::{WriteError, Writer};
use framecast_media::lock;

use super::part::Part;
use super::{Boundary, Framing};
use crate::format_x_timestamp;

/// The packers: one for each combination of camera, rendition (size, quality and frame rate) and boundary that has
/// viewers.
#[derive(Debug, Clone, Default)]
pub(crate) struct Packers(Arc<Mutex<PackerMap>>);

/// By the camera's [id](framecast_hub::Feed::id): a camera that replaces another has the same name, but its sequence
/// numbers begin again.
type PackerMap = BTreeMap<(u64, Rendition, Boundary), Weak<Packer>>;

impl Packers {
    pub(crate) fn get_or_create(
        &self,
        camera_id: u64,
        rendition: Rendition,
        boundary: Boundary,
    ) -> Arc<Packer> {
        let mut packers = lock(&self.0);
        let key = (camera_id, rendition, boundary);
        if let Some(packer) = packers.get(&key).and_then(Weak::upgrade) {
            return packer;
        }
        packers.retain(|_, packer| packer.strong_count() > 0);
        let packer = Arc::new(Packer::new(boundary));
        packers.insert(key, Arc::downgrade(&packer));
        packer
    }
}

/// Where the bytes of a part are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Packing {
    /// In several pieces, one of which is the driver's own picture. For a socket that the server writes to itself.
    Pieces,
    /// In one buffer, to which the picture is copied. For an HTTP server, which would send each piece by itself.
    OneBuffer,
}

/// Makes the multipart parts of one channel (one camera in one size and quality) from its frames. Each part is made
/// once for each framing and packing. All viewers share it.
#[derive(Debug)]
pub(crate) struct Packer {
    boundary: Boundary,
    writer: Writer,
    /// What ends each part.
    delimiter: Bytes,
    standard: PartCache,
    advance: PartCache,
}

/// The newest parts of one framing.
#[derive(Debug, Default)]
struct PartCache {
    pieces: Mutex<Option<PackedPart>>,
    one_buffer: Mutex<PartBuffers>,
}

/// The newest part and the previous one. When all viewers have dropped the previous part, the next part reuses its
/// memory, so that most frames need no allocation.
#[derive(Debug, Default)]
struct PartBuffers {
    newest: Option<PackedPart>,
    before: Bytes,
}

#[derive(Debug, Clone)]
struct PackedPart {
    sequence: u64,
    part: Part,
}

impl PackedPart {
    /// Returns the part of `held` if it is the part of the update with the number `sequence`.
    fn of(held: Option<&Self>, sequence: u64) -> Option<Part> {
        held.filter(|held| held.sequence == sequence).map(|held| held.part.clone())
    }

    /// Makes `self` the newest part and returns the newest part before it. A viewer that is late with an older frame
    /// does not replace the newest part.
    fn replace(self, newest: &mut Option<Self>) -> Option<Self> {
        if newest.as_ref().is_some_and(|held| held.sequence >= self.sequence) {
            None
        } else {
            newest.replace(self)
        }
    }
}

impl Packer {
    fn new(boundary: Boundary) -> Self {
        let writer = Writer::new(boundary.as_str()).expect("both boundaries are letters");
        let delimiter = writer.delimiter();
        Self { boundary, writer, delimiter, standard: PartCache::default(), advance: PartCache::default() }
    }

    pub(crate) fn content_type(&self) -> HeaderValue {
        HeaderValue::try_from(self.writer.content_type()).expect("a boundary of letters is a header value")
    }

    /// Returns the bytes to send before the first part of a stream.
    pub(crate) fn opening(&self, framing: Framing) -> Bytes {
        match framing {
            Framing::Standard => self.writer.opening(),
            Framing::Advance => {
                let now = format_x_timestamp(SystemTime::now());
                written(self.writer.opening_ahead(&self.ahead(&now)))
            }
        }
    }

    /// Returns the part that contains the picture of `update`. The call for the first viewer makes the part; later
    /// calls return the same bytes.
    pub(crate) fn part(&self, framing: Framing, packing: Packing, update: &Update) -> Part {
        let cache = match framing {
            Framing::Standard => &self.standard,
            Framing::Advance => &self.advance,
        };
        let sequence = update.sequence;
        match packing {
            Packing::Pieces => {
                let mut newest = lock(&cache.pieces);
                PackedPart::of(newest.as_ref(), sequence).unwrap_or_else(|| {
                    let part = self.pieces(framing, update);
                    PackedPart { sequence, part: part.clone() }.replace(&mut newest);
                    part
                })
            }
            Packing::OneBuffer => {
                let mut parts = lock(&cache.one_buffer);
                PackedPart::of(parts.newest.as_ref(), sequence).unwrap_or_else(|| {
                    let room = std::mem::take(&mut parts.before).try_into_mut().unwrap_or_default();
                    let part = Part::from(self.pack(framing, update, room));
                    let before = PackedPart { sequence, part: part.clone() }.replace(&mut parts.newest);
                    parts.before = before.map(|before| before.part.into_bytes()).unwrap_or_default();
                    part
                })
            }
        }
    }

    /// Returns the bytes after the last part.
    pub(crate) fn closing(&self) -> Bytes {
        self.writer.closing()
    }

    /// Returns the headers of a part for sending in advance, before the part's picture exists. With uStreamer's
    /// boundary, the headers include the timestamp `now`, because uStreamer also sends a timestamp in advance.
    fn ahead<'t>(&self, now: &'t str) -> Vec<(&'static str, &'t str)> {
        let mut headers = vec![("Content-Type", "image/jpeg")];
        if self.boundary == Boundary::DoNotCross {
            headers.push(("X-Timestamp", now));
        }
        headers
    }

    /// Makes the part of `update` in pieces, without a copy of the picture.
    fn pieces(&self, framing: Framing, update: &Update) -> Part {
        let picture = update.frame.data.clone();
        match framing {
            Framing::Standard => {
                let head = with_headers(update, |headers| written(self.writer.part_head(headers)));
                Part::new(head, picture, self.delimiter.clone())
            }
            Framing::Advance => {
                let now = format_x_timestamp(SystemTime::now());
                let tail = written(self.writer.part_ahead(&self.ahead(&now), &[]));
                Part::new(Bytes::new(), picture, tail)
            }
        }
    }

    /// Makes the part of `update` in one buffer, in the memory of `room` if that is large enough.
    fn pack(&self, framing: Framing, update: &Update, room: BytesMut) -> Bytes {
        let picture = &update.frame.data;
        match framing {
            Framing::Standard => {
                with_headers(update, |headers| written(self.writer.part_into(room, headers, picture)))
            }
            Framing::Advance => {
                let now = format_x_timestamp(SystemTime::now());
                written(self.writer.part_ahead_into(room, &self.ahead(&now), picture))
            }
        }
    }
}

/// Calls `write` with the headers of the part of `update`.
fn with_headers(update: &Update, write: impl FnOnce(&[(&str, &str)]) -> Bytes) -> Bytes {
    let length = update.frame.data.len().to_string();
    let timestamp = format_x_timestamp(update.frame.captured_at);
    let headers = [
        ("Content-Type", "image/jpeg"),
        ("Content-Length", &length),
        ("X-Timestamp", &timestamp),
        ("X-Framecast-Notice", "1"),
    ];
    // The last header tells programs that this picture is a slate.
    let count = if update.is_slate { headers.len() } else { headers.len() - 1 };
    write(&headers[..count])
}

fn written(bytes: Result<Bytes, WriteError>) -> Bytes {
    bytes.expect("headers made of numbers and constants are well formed")
}
