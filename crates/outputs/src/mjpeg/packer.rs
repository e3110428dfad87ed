//! Packs frames into the parts of a multipart stream, once for all viewers.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::SystemTime;

use axum::http::HeaderValue;
use bytes::{Bytes, BytesMut};
use framecast_hub::{Rendition, Update};
use framecast_media::container::multipart::{WriteError, Writer};

use super::{Boundary, Framing};
use crate::format_x_timestamp;

/// The packers: one for each combination of camera, rendition (size, quality and frame rate) and boundary that has
/// viewers.
#[derive(Debug, Clone, Default)]
pub(crate) struct Packers(Arc<Mutex<PackerMap>>);

type PackerMap = BTreeMap<(String, Rendition, Boundary), Weak<Packer>>;

impl Packers {
    pub(crate) fn get_or_create(
        &self,
        camera: &str,
        rendition: Rendition,
        boundary: Boundary,
    ) -> Arc<Packer> {
        let mut packers = lock(&self.0);
        let key = (camera.to_owned(), rendition, boundary);
        if let Some(packer) = packers.get(&key).and_then(Weak::upgrade) {
            return packer;
        }
        packers.retain(|_, packer| packer.strong_count() > 0);
        let packer = Arc::new(Packer::new(boundary));
        packers.insert(key, Arc::downgrade(&packer));
        packer
    }
}

/// Packs the frames of one channel (one camera in one size and quality) into multipart parts. Each frame is packed into
/// a contiguous buffer, once for each framing. All viewers share the buffer.
#[derive(Debug)]
pub(crate) struct Packer {
    boundary: Boundary,
    writer: Writer,
    standard: Mutex<PartBuffers>,
    advance: Mutex<PartBuffers>,
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
    part: Bytes,
}

impl Packer {
    fn new(boundary: Boundary) -> Self {
        let writer = Writer::new(boundary.as_str()).expect("both boundaries are letters");
        Self { boundary, writer, standard: Mutex::default(), advance: Mutex::default() }
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
                packed(self.writer.opening_ahead(&self.ahead(&now)))
            }
        }
    }

    /// Returns the part that contains the picture of `update`. The call for the first viewer packs the part; later
    /// calls return the same buffer.
    pub(crate) fn part(&self, framing: Framing, update: &Update) -> Bytes {
        let parts = match framing {
            Framing::Standard => &self.standard,
            Framing::Advance => &self.advance,
        };
        let mut parts = lock(parts);
        if let Some(held) = parts.newest.as_ref().filter(|held| held.sequence == update.sequence) {
            return held.part.clone();
        }
        let room = std::mem::take(&mut parts.before).try_into_mut().unwrap_or_default();
        let part = self.pack(framing, update, room);
        // A viewer that is late with an older frame must not replace the newest part.
        if parts.newest.as_ref().is_none_or(|held| held.sequence < update.sequence) {
            let before = parts.newest.replace(PackedPart { sequence: update.sequence, part: part.clone() });
            parts.before = before.map(|before| before.part).unwrap_or_default();
        }
        part
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

    fn pack(&self, framing: Framing, update: &Update, room: BytesMut) -> Bytes {
        let picture = &update.frame.data;
        if framing == Framing::Advance {
            let now = format_x_timestamp(SystemTime::now());
            return packed(self.writer.part_ahead_into(room, &self.ahead(&now), picture));
        }
        let length = picture.len().to_string();
        let timestamp = format_x_timestamp(update.frame.captured_at);
        let headers = [
            ("Content-Type", "image/jpeg"),
            ("Content-Length", &length),
            ("X-Timestamp", &timestamp),
            ("X-Framecast-Notice", "1"),
        ];
        // The last header tells programs that this picture is a slate.
        let count = if update.is_slate { headers.len() } else { headers.len() - 1 };
        packed(self.writer.part_into(room, &headers[..count], picture))
    }
}

fn packed(part: Result<Bytes, WriteError>) -> Bytes {
    part.expect("headers made of numbers and constants are well formed")
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
