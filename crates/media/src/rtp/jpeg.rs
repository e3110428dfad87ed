//! Makes JPEG pictures of the packets of a Motion JPEG stream (RFC 2435).
//!
//! The packets carry the coded picture alone. Its headers are made here of what the packets say: the size, the
//! subsampling, and the quantisation tables or the quality of which they follow. The Huffman tables are the standard
//! ones, which the reader of the picture adds.

use std::collections::VecDeque;

use bytes::Bytes;

use super::payload::Fault;
use super::problem::Problem;
use super::reorder::OrderedPacket;
use crate::Error;

/// The length of the header of each payload, and of the restart header after it (sections 3.1.1 to 3.1.7).
const HEADER_BYTES: usize = 8;
const RESTART_BYTES: usize = 4;
/// The length of the header in front of quantisation tables (section 3.1.8).
const TABLES_HEADER_BYTES: usize = 4;
/// The number of entries in a quantisation table.
const TABLE_LEN: usize = 64;

/// The quantisation tables of which those for a quality follow (RFC 2435 appendix A; T.81 tables K.1 and K.2), in
/// zigzag order.
const LUMA_TABLE: [u8; TABLE_LEN] = [
    16, 11, 12, 14, 12, 10, 16, 14, 13, 14, 18, 17, 16, 19, 24, 40, 26, 24, 22, 22, 24, 49, 35, 37, 29, 40,
    58, 51, 61, 60, 57, 51, 56, 55, 64, 72, 92, 78, 64, 68, 87, 69, 55, 56, 80, 109, 81, 87, 95, 98, 103,
    104, 103, 62, 77, 113, 121, 112, 100, 120, 92, 101, 103, 99,
];
const CHROMA_TABLE: [u8; TABLE_LEN] = [
    17, 18, 18, 24, 21, 24, 47, 26, 26, 47, 99, 66, 56, 66, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99,
    99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99,
    99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99,
];

/// Makes JPEG pictures of packets. After each [`push`](Self::push), take out the pictures with
/// [`next_picture`](Self::next_picture).
#[derive(Debug)]
pub struct JpegDepacketizer {
    max_bytes: usize,
    /// The picture of which packets come; `None` if a part of it is missing.
    pending: Option<PendingPicture>,
    /// The tables that came last, and the quality number for which they stand.
    known_tables: Option<(u8, Vec<u8>)>,
    pictures: VecDeque<Bytes>,
    damaged: u64,
}

#[derive(Debug)]
struct PendingPicture {
    timestamp: u32,
    data: Vec<u8>,
    /// Where the coded picture begins in `data`.
    scan_at: usize,
}

/// What the headers of a payload say, and the part of the coded picture behind them.
struct JpegPayload<'a> {
    /// Where the part belongs, in bytes from the start of the coded picture.
    offset: usize,
    /// Whether colour has half the lines of brightness, besides half the columns.
    is_420: bool,
    quality: u8,
    size_px: (u16, u16),
    /// The number of blocks between two restart markers, if there are any.
    restart_interval: Option<u16>,
    /// The precisions of the tables, one bit each, and the tables; empty if there are none.
    tables: (u8, &'a [u8]),
    part: &'a [u8],
}

impl JpegDepacketizer {
    /// Makes pictures of at most `max_bytes` bytes.
    pub fn new(max_bytes: usize) -> Self {
        Self { max_bytes, pending: None, known_tables: None, pictures: VecDeque::new(), damaged: 0 }
    }

    /// Adds the next packet.
    ///
    /// # Errors
    /// Returns what is wrong with the packet or its picture. The picture is dropped, and the next packet may be pushed.
    pub fn push(&mut self, packet: &OrderedPacket) -> Result<(), Error> {
        let timestamp = packet.header.timestamp;
        let is_broken_off = self.pending.as_ref().is_some_and(|pending| pending.timestamp != timestamp);
        if is_broken_off || packet.lost_before > 0 || packet.is_new_start {
            self.drop_pending();
        }
        if packet.payload.is_empty() {
            return Ok(());
        }
        let added = self.add(packet);
        if added.is_err() {
            self.drop_pending();
        } else if packet.header.marker {
            self.finish();
        }
        added
    }

    /// Takes out the next picture, if one is whole. It has no Huffman tables.
    pub fn next_picture(&mut self) -> Option<Bytes> {
        self.pictures.pop_front()
    }

    /// Returns how many pictures were dropped so far because a part of them was missing or broken.
    pub fn damaged_pictures(&self) -> u64 {
        self.damaged
    }

    fn drop_pending(&mut self) {
        self.damaged += u64::from(self.pending.take().is_some());
    }

    fn add(&mut self, packet: &OrderedPacket) -> Result<(), Error> {
        let sequence_number = packet.header.sequence_number;
        let named = |(offset, problem): Fault| Error::RtpPayload { sequence_number, offset, problem };
        let payload = JpegPayload::parse(&packet.payload).map_err(named)?;
        if payload.offset == 0 {
            self.drop_pending();
            let data = self.headers(&payload).map_err(named)?;
            let (timestamp, scan_at) = (packet.header.timestamp, data.len());
            self.pending = Some(PendingPicture { timestamp, data, scan_at });
        }
        let limit_bytes = self.max_bytes;
        // The rest of a picture whose beginning is missing is of no use.
        let Some(pending) = &mut self.pending else { return Ok(()) };
        let expected = pending.data.len() - pending.scan_at;
        if expected != payload.offset {
            return Err(named((1, Problem::JpegOffset { offset: payload.offset, expected })));
        }
        let len_bytes = pending.data.len() + payload.part.len();
        if len_bytes > limit_bytes {
            let rtp_timestamp = pending.timestamp;
            return Err(Error::AccessUnitTooLarge { rtp_timestamp, len_bytes, limit_bytes });
        }
        pending.data.extend_from_slice(payload.part);
        Ok(())
    }

    /// Hands out the pending picture.
    fn finish(&mut self) {
        let Some(PendingPicture { mut data, .. }) = self.pending.take() else { return };
        if !data.ends_with(&[0xFF, 0xD9]) {
            data.extend([0xFF, 0xD9]);
        }
        self.pictures.push_back(Bytes::from(data.into_boxed_slice()));
    }

    /// Returns the headers of the picture whose first payload this is.
    fn headers(&mut self, payload: &JpegPayload<'_>) -> Result<Vec<u8>, Fault> {
        let (precisions, tables) = self.tables(payload)?;
        let mut data = vec![0xFF, 0xD8];
        let mut rest = &tables[..];
        for number in 0..2_u8 {
            let precision = precisions >> number & 1;
            let len = TABLE_LEN << precision;
            // One table serves brightness and colour.
            let table = rest.get(..len).or_else(|| tables.get(..len)).unwrap_or_default();
            rest = rest.get(len..).unwrap_or_default();
            segment(&mut data, 0xDB, &[&[precision << 4 | number], table]);
        }
        let (width, height) = payload.size_px;
        let sampling = if payload.is_420 { 0x22 } else { 0x21 };
        let components = [3, 1, sampling, 0, 2, 0x11, 1, 3, 0x11, 1];
        segment(&mut data, 0xC0, &[&[8], &height.to_be_bytes(), &width.to_be_bytes(), &components]);
        if let Some(interval) = payload.restart_interval {
            segment(&mut data, 0xDD, &[&interval.to_be_bytes()]);
        }
        segment(&mut data, 0xDA, &[&[3, 1, 0x00, 2, 0x11, 3, 0x11, 0, 63, 0]]);
        Ok(data)
    }

    /// Returns the quantisation tables of a picture: those in its first payload, those that came before for the same
    /// number, or those of a quality.
    fn tables(&mut self, payload: &JpegPayload<'_>) -> Result<(u8, Vec<u8>), Fault> {
        let quality = payload.quality;
        let (precisions, in_band) = payload.tables;
        match quality {
            1..=99 => Ok((0, scaled_tables(quality))),
            0 | 100..=127 => Err((5, Problem::JpegQuality { quality })),
            _ if !in_band.is_empty() => {
                let least = TABLE_LEN << (precisions & 1);
                if in_band.len() < least {
                    return Err((HEADER_BYTES, Problem::NoQuantisationTables));
                }
                let tables = [&[precisions], in_band].concat();
                self.known_tables = Some((quality, tables));
                Ok((precisions, in_band.to_vec()))
            }
            // The number 255 stands for other tables each time.
            255 => Err((HEADER_BYTES, Problem::NoQuantisationTables)),
            _ => match &self.known_tables {
                Some((known, tables)) if *known == quality => Ok((tables[0], tables[1..].to_vec())),
                _ => Err((HEADER_BYTES, Problem::NoQuantisationTables)),
            },
        }
    }
}

impl<'a> JpegPayload<'a> {
    fn parse(payload: &'a [u8]) -> Result<Self, Fault> {
        let Some(&[_, o2, o1, o0, kind, quality, width, height]) = payload.first_chunk::<HEADER_BYTES>()
        else {
            return Err(truncated(payload, HEADER_BYTES, "its JPEG header"));
        };
        // 64 more than a type is the same type with restart markers.
        let (0 | 1 | 64 | 65) = kind else { return Err((4, Problem::JpegType { kind })) };
        if width == 0 || height == 0 {
            return Err((6, Problem::JpegSize));
        }
        let offset = u32::from_be_bytes([0, o2, o1, o0]) as usize;
        let mut at = HEADER_BYTES;
        let mut restart_interval = None;
        if kind >= 64 {
            let Some(&[high, low, ..]) = payload.get(at..at + RESTART_BYTES) else {
                return Err(truncated(payload, at + RESTART_BYTES, "its restart header"));
            };
            restart_interval = Some(u16::from_be_bytes([high, low]));
            at += RESTART_BYTES;
        }
        let mut tables = (0, &payload[..0]);
        if offset == 0 && quality >= 128 {
            let Some(&[_, precisions, high, low]) = payload.get(at..at + TABLES_HEADER_BYTES) else {
                return Err(truncated(payload, at + TABLES_HEADER_BYTES, "the header of its tables"));
            };
            at += TABLES_HEADER_BYTES;
            let end = at + usize::from(u16::from_be_bytes([high, low]));
            let Some(bytes) = payload.get(at..end) else {
                return Err(truncated(payload, end, "its quantisation tables"));
            };
            tables = (precisions, bytes);
            at = end;
        }
        Ok(Self {
            offset,
            is_420: kind & 1 == 1,
            quality,
            size_px: (8 * u16::from(width), 8 * u16::from(height)),
            restart_interval,
            tables,
            part: &payload[at..],
        })
    }
}

fn truncated(payload: &[u8], needed: usize, what: &'static str) -> Fault {
    (payload.len(), Problem::Truncated { what, missing_bytes: needed - payload.len() })
}

/// Appends a segment of a JPEG picture: a marker, a length, and these parts.
fn segment(data: &mut Vec<u8>, marker: u8, parts: &[&[u8]]) {
    let len = 2 + parts.iter().map(|part| part.len()).sum::<usize>();
    data.extend([0xFF, marker, (len >> 8) as u8, len as u8]);
    parts.iter().for_each(|part| data.extend_from_slice(part));
}

/// Returns the tables for a quality of 1 to 99 (RFC 2435 appendix A).
fn scaled_tables(quality: u8) -> Vec<u8> {
    let quality = u32::from(quality);
    let percent = if quality < 50 { 5000 / quality } else { 200 - 2 * quality };
    let scaled = |entry: &u8| ((u32::from(*entry) * percent + 50) / 100).clamp(1, 255) as u8;
    LUMA_TABLE.iter().chain(&CHROMA_TABLE).map(scaled).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::jpeg;
    use crate::rtp::{ReorderBuffer, ReorderLimits, RtpHeader};

    /// Five pictures of 96x64 pixels in RTP, each packet behind its length, and the same pictures one after the other.
    const STREAM: &[u8] = include_bytes!("../../../../testdata/ffmpeg-jpeg.rtp");
    const PICTURES: &[u8] = include_bytes!("../../../../testdata/ffmpeg-jpeg-rtp.mjpg");

    fn packet(sequence_number: u16, timestamp: u32, marker: bool, payload: &[u8]) -> OrderedPacket {
        OrderedPacket {
            header: RtpHeader { payload_type: 26, marker, sequence_number, timestamp, ssrc: 1 },
            payload: Bytes::copy_from_slice(payload),
            lost_before: 0,
            is_new_start: false,
        }
    }

    /// Pushes payloads of one picture, and returns it.
    fn picture_of(depacketizer: &mut JpegDepacketizer, payloads: &[Vec<u8>]) -> Result<Option<Bytes>, Error> {
        for (number, payload) in payloads.iter().enumerate() {
            let is_last = number + 1 == payloads.len();
            depacketizer.push(&packet(number as u16, 90, is_last, payload))?;
        }
        Ok(depacketizer.next_picture())
    }

    /// A payload that begins a picture of 16x8 pixels.
    fn first(kind: u8, quality: u8, rest: &[u8]) -> Vec<u8> {
        [&[0, 0, 0, 0, kind, quality, 2, 1], rest].concat()
    }

    #[test]
    fn the_pictures_of_a_real_sender_come_out_as_they_went_in() {
        let (mut reorder, mut depacketizer) =
            (ReorderBuffer::new(ReorderLimits::TCP), JpegDepacketizer::new(1 << 20));
        let (mut rest, mut pictures) = (STREAM, Vec::new());
        while let Some((length, after)) = rest.split_first_chunk() {
            let (bytes, after) = after.split_at(usize::from(u16::from_be_bytes(*length)));
            reorder.push(&Bytes::copy_from_slice(bytes)).unwrap();
            while let Some(packet) = reorder.next_packet() {
                depacketizer.push(&packet).unwrap();
                pictures.extend(depacketizer.next_picture());
            }
            rest = after;
        }
        let starts = (0..PICTURES.len()).filter(|&at| PICTURES[at..].starts_with(&[0xFF, 0xD8, 0xFF]));
        let starts: Vec<_> = starts.chain([PICTURES.len()]).collect();
        assert_eq!(pictures.len(), starts.len() - 1);
        for (picture, ends) in pictures.into_iter().zip(starts.windows(2)) {
            let whole = jpeg::normalize(picture).unwrap();
            let pixels = |data: &[u8]| jpeg::decode(data, 1 << 20).unwrap();
            assert_eq!(pixels(&whole.data), pixels(&PICTURES[ends[0]..ends[1]]));
        }
        assert_eq!(depacketizer.damaged_pictures(), 0);
    }

    #[test]
    fn headers_are_made_of_what_the_packets_say() {
        let tables = [[7_u8; 64], [9; 64]].concat();
        let in_band = [&[0, 0, 0, 128][..], &tables, b"scan"].concat();
        for (kind, quality, rest) in [(0, 255, &in_band[..]), (1, 50, b"scan")] {
            let mut depacketizer = JpegDepacketizer::new(1 << 20);
            let data = picture_of(&mut depacketizer, &[first(kind, quality, rest)]).unwrap().unwrap();
            let header = jpeg::parse_markers(&data).unwrap();
            assert_eq!((header.width_px, header.height_px), (16, 8));
            assert!(data.ends_with(b"scan\xFF\xD9"));
            let entry = if quality == 50 { LUMA_TABLE[0] } else { 7 };
            assert_eq!(data[2..8], [0xFF, 0xDB, 0, 67, 0, entry]);
        }
        let restarts = [&[0, 5, 0xFF, 0xFF][..], b"scan"].concat();
        let data =
            picture_of(&mut JpegDepacketizer::new(1 << 20), &[first(65, 1, &restarts)]).unwrap().unwrap();
        assert!(data.windows(6).any(|bytes| bytes == [0xFF, 0xDD, 0, 4, 0, 5]));
    }

    #[test]
    fn a_picture_of_which_a_packet_is_missing_is_dropped_and_the_next_one_passes() {
        let mut depacketizer = JpegDepacketizer::new(1 << 20);
        let later = |offset: u8| [&[0, 0, 0, offset, 1, 50, 2, 1][..], b"more"].concat();
        let whole = [first(1, 50, b"scan"), later(4), later(8)];
        assert!(picture_of(&mut depacketizer, &whole).unwrap().unwrap().ends_with(b"scanmoremore\xFF\xD9"));
        for (lost, told) in [(1, true), (0, false)] {
            let mut lossy = whole.to_vec();
            lossy.remove(lost);
            match picture_of(&mut depacketizer, &lossy) {
                Err(error) => {
                    assert!(told && error.to_string().contains("8 bytes behind its start"), "{error}")
                }
                Ok(picture) => assert!(!told && picture.is_none()),
            }
        }
        let mut gap = packet(9, 90, true, &later(4));
        gap.lost_before = 1;
        depacketizer.push(&packet(7, 90, false, &whole[0])).unwrap();
        depacketizer.push(&gap).unwrap();
        assert_eq!(depacketizer.next_picture(), None);
        depacketizer.push(&packet(10, 91, false, &whole[0])).unwrap();
        assert!(picture_of(&mut depacketizer, &whole).unwrap().is_some());
        assert_eq!(depacketizer.damaged_pictures(), 3);
    }

    #[test]
    fn tables_that_came_before_serve_their_number_but_not_255() {
        let tables = [&[0, 0, 0, 128][..], &[3; 128], b"scan"].concat();
        let none = [&[0, 0, 0, 0][..], b"scan"].concat();
        let mut depacketizer = JpegDepacketizer::new(1 << 20);
        for (quality, rest, is_known) in [
            (200, &none, false),
            (200, &tables, true),
            (200, &none, true),
            (201, &none, false),
            (255, &none, false),
        ] {
            let picture = picture_of(&mut depacketizer, &[first(0, quality, rest)]);
            match picture {
                Ok(picture) => assert!(is_known && picture.unwrap()[7] == 3, "{quality}"),
                Err(error) => {
                    assert!(!is_known && error.to_string().contains("tables"), "{quality}: {error}")
                }
            }
        }
    }

    #[test]
    fn what_cannot_be_read_is_named_and_the_limit_holds() {
        let mut depacketizer = JpegDepacketizer::new(200);
        for (payload, told) in [
            (vec![0; 7], "ends 1 bytes too early for its JPEG header"),
            (first(2, 50, b""), "JPEG of type 2"),
            (first(0, 0, b""), "quality 0"),
            (vec![0, 0, 0, 0, 1, 50, 0, 90], "more than 2040 pixels"),
            (first(64, 50, &[0, 1]), "its restart header"),
            (first(0, 255, &[0, 0, 0, 128, 1]), "its quantisation tables"),
            (first(0, 255, &[0, 0, 0, 1, 1]), "tables of the JPEG picture are missing"),
            (first(0, 50, &[7; 200]), "the limit is 200"),
        ] {
            let error = picture_of(&mut depacketizer, &[payload]).unwrap_err().to_string();
            assert!(error.contains(told), "{error}");
        }
        assert_eq!(depacketizer.next_picture(), None);
    }
}
