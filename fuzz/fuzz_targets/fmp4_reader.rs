//! Any bytes as fragmented MP4: the result is the same however the bytes are divided, the bounds hold, and the writer
//! writes what the reader reads back. The first byte of the input chooses the division, the second what comes before
//! the input.
#![no_main]

use std::time::SystemTime;

use bytes::BufMut;
use framecast_fuzz::pieces;
use framecast_media::{Error, Format};
use framecast_media::codec::nal::units;
use framecast_media::container::fmp4::{Fmp4Reader, Fragment, Sample, init_segment};
use libfuzzer_sys::fuzz_target;

const MAX_BOX_BYTES: usize = 3000;

/// The bytes before the first fragment, as ffmpeg writes them.
const X264: &[u8] = include_bytes!("../../testdata/ffmpeg-fmp4-x264.mp4");
const X264_MOOV_END: usize = 28 + 749;

/// Writes `bytes` into the reader's room, as reads from a pipe do.
fn write(reader: &mut Fmp4Reader, mut bytes: &[u8]) {
    while !bytes.is_empty() {
        let mut room = reader.room();
        let (head, rest) = bytes.split_at(bytes.len().min(room.remaining_mut()));
        room.put_slice(head);
        bytes = rest;
    }
}

/// Reads a stream that arrives in pieces, which `add` adds to the reader.
fn read<'a>(
    pieces: impl Iterator<Item = &'a [u8]>,
    add: fn(&mut Fmp4Reader, &[u8]),
) -> (Vec<Sample>, Result<(), Error>) {
    let mut reader = Fmp4Reader::new(MAX_BOX_BYTES);
    let mut samples = Vec::new();
    for piece in pieces {
        add(&mut reader, piece);
        while let Ok(Some(sample)) = reader.next_sample() {
            samples.push(sample);
        }
    }
    (samples, reader.finish())
}

fuzz_target!(|data: &[u8]| {
    let &[seed, start, ref stream @ ..] = data else { return };
    let start = if start & 1 == 0 { &[] } else { &X264[..X264_MOOV_END] };
    let stream = &[start, stream].concat()[..];
    let whole = read(std::iter::once(stream), Fmp4Reader::push);
    assert_eq!(read(pieces(stream, seed), Fmp4Reader::push), whole);
    assert_eq!(read(pieces(stream, seed), write), whole);
    for sample in &whole.0 {
        // Lengths of one byte become four bytes, and parameter sets that changed come before.
        assert!(sample.data.len() <= 4 * MAX_BOX_BYTES + (300 << 10));
        assert!(units(&sample.data).all(|unit| unit.is_ok_and(|unit| !unit.is_empty())));
        written(sample);
    }
});

/// Checks that the reader reads `sample` back.
fn written(sample: &Sample) {
    let mut stream = init_segment(&sample.format).expect("the reader has read the sets").to_vec();
    let frame = sample.clone().into_frame(SystemTime::UNIX_EPOCH);
    stream.extend(Fragment::of(&frame, 1, 0, 1).head().expect("a sample is small"));
    stream.extend(&frame.data);
    let mut reader = Fmp4Reader::default();
    reader.push(&stream);
    let again = reader.next_sample().expect("our own stream is valid").expect("it has one sample");
    assert_eq!((&again.data, again.dependency), (&sample.data, sample.dependency));
    // The writer adds to the sets that frames are not reordered, and does so only once.
    let size = |format: &Format| (format.codec, format.width_px, format.height_px);
    assert_eq!(size(&again.format), size(&sample.format));
    assert_eq!(init_segment(&again.format), init_segment(&sample.format));
    assert_eq!(reader.next_sample(), Ok(None));
    assert_eq!(reader.finish(), Ok(()));
}
