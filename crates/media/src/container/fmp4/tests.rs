//! Tests of the reader with what real programs write, and of the writer by the reader.

use std::sync::Arc;
use std::time::SystemTime;

use super::*;
use crate::codec::VideoParameters;
use crate::codec::nal::{self, push_unit};
use crate::codec::samples::{BASELINE, CROPPED, units_of};
use crate::{Codec, Dependency, Error, Timestamp};

const X264: &[u8] = include_bytes!("../../../../../testdata/ffmpeg-fmp4-x264.mp4");
const B_FRAMES_AND_AAC: &[u8] = include_bytes!("../../../../../testdata/ffmpeg-fmp4-x264-bframes-aac.mp4");
const X265: &[u8] = include_bytes!("../../../../../testdata/ffmpeg-fmp4-x265.mp4");
const SOUND_FIRST: &[u8] = include_bytes!("../../../../../testdata/ffmpeg-fmp4-sound-first.mp4");
const ABSOLUTE_OFFSETS: &[u8] = include_bytes!("../../../../../testdata/ffmpeg-fmp4-absolute-offsets.mp4");
const UNFRAGMENTED: &[u8] = include_bytes!("../../../../../testdata/ffmpeg-mp4-unfragmented.mp4");
const FIRST_IN_MOOV: &[u8] = include_bytes!("../../../../../testdata/ffmpeg-mp4-first-in-moov.mp4");

const LIMIT_BYTES: usize = 64 << 10;

/// The presentation times of [`B_FRAMES_AND_AAC`], in tenths of a second, as ffprobe shows them.
const B_FRAMES_PTS: [i64; 20] = [2, 6, 4, 3, 5, 10, 8, 7, 9, 11, 12, 16, 14, 13, 15, 20, 18, 17, 19, 21];

type ReadResult = (Vec<Sample>, Result<(), Error>);

/// Reads a stream that arrives in pieces.
fn read_in_pieces(stream: &[u8], piece_bytes: usize) -> ReadResult {
    let mut reader = Fmp4Reader::new(LIMIT_BYTES);
    let mut samples = Vec::new();
    for piece in stream.chunks(piece_bytes) {
        reader.push(piece);
        while let Ok(Some(sample)) = reader.next_sample() {
            samples.push(sample);
        }
    }
    (samples, reader.finish())
}

/// Reads a stream in one piece and checks that smaller pieces give the same result.
fn read(stream: &[u8]) -> ReadResult {
    let whole = read_in_pieces(stream, stream.len().max(1));
    for piece_bytes in [1, 2, 7, 100, 1000] {
        assert_eq!(read_in_pieces(stream, piece_bytes), whole, "in pieces of {piece_bytes}");
    }
    whole
}

fn samples_of(stream: &[u8]) -> Vec<Sample> {
    let (samples, end) = read(stream);
    assert_eq!(end, Ok(()));
    samples
}

fn problem_of(stream: &[u8]) -> (u64, Problem) {
    match read(stream).1 {
        Err(Error::Mp4 { offset, problem }) => (offset, problem),
        other => panic!("{other:?}"),
    }
}

/// Returns where `kind` stands as the kind of a box, for streams in which the bytes occur nowhere else before.
fn find(stream: &[u8], kind: &[u8; 4]) -> usize {
    memchr::memmem::find(stream, kind).unwrap() - 4
}

fn times(samples: &[Sample], time: fn(&Sample) -> Timestamp) -> Vec<i64> {
    samples.iter().map(|sample| time(sample).ticks()).collect()
}

#[test]
fn ffmpeg_with_a_fragment_for_each_frame_is_read() {
    let samples = samples_of(X264);
    assert_eq!(samples.len(), 20);
    let in_order: Vec<i64> = (0..20).map(|number| number * 9000).collect();
    assert_eq!(times(&samples, |sample| sample.dts), in_order);
    assert_eq!(times(&samples, |sample| sample.pts), in_order);
    let keyframes: Vec<bool> =
        samples.iter().map(|sample| sample.dependency == Dependency::Keyframe).collect();
    assert_eq!(keyframes, [[true].as_slice(), &[false; 9], &[true], &[false; 9]].concat());
    let format = &samples[0].format;
    assert_eq!((format.codec, format.width_px, format.height_px), (Codec::H264, 96, 64));
    let kinds: Vec<u8> = format.parameter_sets.iter().map(|set| set[0] & 0x1F).collect();
    assert_eq!(kinds, [7, 8]);
    assert!(samples.iter().all(|sample| Arc::ptr_eq(&sample.format, format)));
    for sample in &samples {
        assert_eq!(X264[sample.offset as usize..][..sample.data.len()], sample.data);
    }
}

#[test]
fn frames_in_another_order_and_sound_beside_them_are_read() {
    let samples = samples_of(B_FRAMES_AND_AAC);
    let dts: Vec<i64> = (0..20).map(|number| number * 9000).collect();
    let pts = B_FRAMES_PTS.map(|tenths| tenths * 9000);
    assert_eq!(
        (times(&samples, |sample| sample.dts), times(&samples, |sample| sample.pts)),
        (dts, pts.into())
    );
    let disposable = samples.iter().filter(|sample| sample.dependency == Dependency::Disposable).count();
    assert!(disposable >= 4, "{disposable}");
}

#[test]
fn video_after_sound_is_read_if_the_fragments_say_where_it_is() {
    for stream in [SOUND_FIRST, ABSOLUTE_OFFSETS] {
        let samples = samples_of(stream);
        // The times that ffprobe shows.
        assert_eq!(times(&samples, |sample| sample.pts), [0, 14_765, 23_765, 32_765, 41_765]);
        assert!(samples.iter().all(|sample| sample.data.len() > 4));
    }
    let data = |stream| samples_of(stream).into_iter().map(|sample| sample.data).collect::<Vec<_>>();
    assert_eq!(data(SOUND_FIRST), data(ABSOLUTE_OFFSETS));
    // Without default-base-is-moof in the second `tfhd`, the place of the video is unknown.
    let mut stream = SOUND_FIRST.to_vec();
    let headers: Vec<usize> = memchr::memmem::find_iter(&stream, b"tfhd").collect();
    assert_eq!(stream[headers[1] + 5], 2);
    stream[headers[1] + 5] = 0;
    assert_eq!(problem_of(&stream), (headers[1] as u64 - 4, Problem::NoDataOffset));
}

#[test]
fn the_sets_of_x265_are_read_without_its_sei() {
    let samples = samples_of(X265);
    assert_eq!(samples.len(), 20);
    let format = &samples[0].format;
    assert_eq!((format.codec, format.width_px, format.height_px), (Codec::H265, 96, 64));
    let kinds: Vec<u8> = format.parameter_sets.iter().map(|set| set[0] >> 1 & 0x3F).collect();
    assert_eq!(kinds, [32, 33, 34]);
    assert_eq!(samples.iter().filter(|sample| sample.dependency == Dependency::Keyframe).count(), 2);
}

#[test]
fn the_reader_reads_what_the_writer_wrote_of_what_it_read() {
    for stream in [X264, B_FRAMES_AND_AAC, X265] {
        let samples = samples_of(stream);
        let mut written = init_segment(&samples[0].format).unwrap().to_vec();
        for (number, sample) in (1..).zip(samples.clone()) {
            let frame = sample.into_frame(SystemTime::UNIX_EPOCH);
            written.extend(Fragment::of(&frame, number, 0, 9000).head().unwrap());
            written.extend(frame.data);
        }
        let again = samples_of(&written);
        let without_offset = |samples: Vec<Sample>| {
            samples.into_iter().map(|sample| Sample { offset: 0, ..sample }).collect::<Vec<_>>()
        };
        assert_eq!(without_offset(again), without_offset(samples));
    }
}

#[test]
fn another_moov_in_the_stream_is_another_format() {
    let (first, second) = (samples_of(X264), samples_of(X265));
    let samples = samples_of(&[X264, X265].concat());
    assert_eq!(samples.len(), 40);
    assert_eq!(samples[..20], first);
    assert_eq!(samples[20].offset, X264.len() as u64 + second[0].offset);
    assert_eq!((&samples[20].format, samples[20].dts), (&second[0].format, second[0].dts));
}

#[test]
fn a_frame_that_the_container_calls_disposable_is_disposable() {
    let format = VideoParameters::parse(Codec::H264, &units_of(BASELINE)).unwrap().format;
    let mut stream = fragments(&init_segment(&format).unwrap(), &[&[&[0x65, 0x88]], &[&[0x41, 0x9A]]]);
    let dependency = |stream: &[u8]| samples_of(stream)[1].dependency;
    assert_eq!(dependency(&stream), Dependency::Reference);
    let flags = memchr::memmem::rfind(&stream, b"tfhd").unwrap() + 20;
    stream[flags..flags + 4].copy_from_slice(&0x0181_0000_u32.to_be_bytes());
    assert_eq!(dependency(&stream), Dependency::Disposable);
}

/// Writes a stream of one fragment for each of `samples`, with the init segment `init`.
fn fragments(init: &[u8], samples: &[&[&[u8]]]) -> Vec<u8> {
    let mut stream = init.to_vec();
    for (number, units) in (0..).zip(samples) {
        let mut data = Vec::new();
        units.iter().for_each(|unit| push_unit(&mut data, unit));
        let fragment = Fragment {
            sequence_number: number + 1,
            dts_90k: u64::from(number) * 3000,
            composition_offset_90k: 0,
            duration_90k: 3000,
            is_keyframe: true,
            is_disposable: false,
            data_bytes: data.len(),
        };
        stream.extend(fragment.head().unwrap());
        stream.extend(data);
    }
    stream
}

#[test]
fn parameter_sets_in_the_samples_replace_those_of_their_kind() {
    let format = VideoParameters::parse(Codec::H264, &units_of(BASELINE)).unwrap().format;
    let other = VideoParameters::parse(Codec::H264, &units_of(CROPPED)).unwrap().format;
    let init = init_segment(&format).unwrap();
    let [sps, pps] = [&other.parameter_sets[0][..], &other.parameter_sets[1]];
    let (idr, delimiter) = (&[0x65, 0x88][..], &[9, 0xF0][..]);
    let same = &format.parameter_sets[0][..];
    let stream = fragments(&init, &[&[idr], &[delimiter, same, idr], &[sps, pps, idr], &[idr], &[pps]]);
    let samples = samples_of(&stream);
    let formats: Vec<_> = samples.iter().map(|sample| &*sample.format).collect();
    assert_eq!(formats, [&format, &format, &other, &other]);
    assert!(Arc::ptr_eq(&samples[0].format, &samples[1].format));
    assert!(samples.iter().all(|sample| sample.data == samples[0].data));
    let broken = fragments(&init, &[&[&sps[..5], idr]]);
    assert!(matches!(read(&broken).1, Err(Error::ParameterSet { set: "SPS", .. })));
}

#[test]
fn parameter_sets_in_the_midst_of_a_group_of_pictures_change_no_format() {
    let format = VideoParameters::parse(Codec::H264, &units_of(BASELINE)).unwrap().format;
    let other = VideoParameters::parse(Codec::H264, &units_of(CROPPED)).unwrap().format;
    let init = init_segment(&format).unwrap();
    let [sps, pps] = [&other.parameter_sets[0][..], &other.parameter_sets[1]];
    let changed = &[&format.parameter_sets[1], &[0x80][..]].concat()[..];
    let (idr, slice) = (&[0x65, 0x88][..], &[0x41, 0x9A][..]);
    let stream =
        fragments(&init, &[&[idr], &[changed, slice], &[changed, slice], &[sps, pps, slice], &[idr]]);
    let samples = samples_of(&stream);
    let widths: Vec<_> = samples.iter().map(|sample| sample.format.width_px).collect();
    assert_eq!(widths, [96, 96, 96, 96, 100]);
    assert!(samples[..4].iter().all(|sample| Arc::ptr_eq(&sample.format, &samples[0].format)));
    let units =
        |sample: &Sample| nal::units(&sample.data).map(|unit| unit.unwrap().to_vec()).collect::<Vec<_>>();
    assert_eq!(units(&samples[1]), [changed, slice]);
    assert_eq!((units(&samples[2]), units(&samples[3])), (vec![slice.to_vec()], vec![slice.to_vec()]));
}

#[test]
fn without_parameter_sets_in_moov_frames_begin_with_those_in_the_samples() {
    let format = VideoParameters::parse(Codec::H264, &units_of(BASELINE)).unwrap().format;
    let mut init = init_segment(&format).unwrap().to_vec();
    // A record without sets, and what is left of its box as a box that is not needed.
    let avcc = find(&init, b"avcC");
    let rest_bytes = u32::from_be_bytes(*init[avcc..].first_chunk().unwrap()) - 15;
    init[avcc..avcc + 4].copy_from_slice(&15_u32.to_be_bytes());
    init[avcc + 13..avcc + 15].copy_from_slice(&[0xE0, 0]);
    init[avcc + 15..avcc + 19].copy_from_slice(&rest_bytes.to_be_bytes());
    init[avcc + 19..avcc + 23].copy_from_slice(b"free");
    let [sps, pps] = [&format.parameter_sets[0][..], &format.parameter_sets[1]];
    let idr = &[0x65, 0x88][..];
    let samples = samples_of(&fragments(&init, &[&[idr], &[sps, pps, idr], &[idr]]));
    assert_eq!(samples.iter().map(|sample| sample.dts.ticks()).collect::<Vec<_>>(), [3000, 6000]);
    assert_eq!(*samples[0].format, format);
}

#[test]
fn a_sample_comes_out_before_the_end_of_its_fragment() {
    let samples = samples_of(B_FRAMES_AND_AAC);
    let mut reader = Fmp4Reader::default();
    reader.push(&B_FRAMES_AND_AAC[..samples[1].offset as usize]);
    assert_eq!(reader.next_sample(), Ok(Some(samples[0].clone())));
    assert_eq!(reader.next_sample(), Ok(None));
    assert_eq!(reader.format(), Some(&samples[0].format));
}

#[test]
fn mp4_without_fragments_is_refused_with_what_to_do() {
    let (offset, problem) = problem_of(UNFRAGMENTED);
    assert_eq!((offset as usize, &problem), (find(UNFRAGMENTED, b"mdat"), &Problem::NotFragmented));
    assert!(problem.to_string().contains("-movflags frag_every_frame+empty_moov+default_base_moof"));
    // As with `-movflags faststart`.
    let (moov, mdat) = (find(UNFRAGMENTED, b"moov"), find(UNFRAGMENTED, b"mdat"));
    let fast_start = [&UNFRAGMENTED[..mdat], &UNFRAGMENTED[moov..]].concat();
    assert_eq!(problem_of(&fast_start), (mdat as u64, Problem::NotFragmented));
    assert_eq!(problem_of(FIRST_IN_MOOV).1, Problem::NotFragmented);
}

#[test]
fn a_box_over_the_limit_is_named_with_its_size_and_place() {
    let size_bytes = LIMIT_BYTES as u64 + 1;
    for kind in [b"mdat", b"moof", b"free"] {
        let header = [&(size_bytes as u32).to_be_bytes()[..], kind].concat();
        let stream = [X264, &header].concat();
        let kind = BoxKind(*kind);
        let problem = Problem::BoxTooLarge { kind, size_bytes, limit_bytes: LIMIT_BYTES };
        assert_eq!(problem_of(&stream), (X264.len() as u64, problem));
    }
    let endless = [X264, &[0, 0, 0, 0], b"mdat"].concat();
    assert!(matches!(problem_of(&endless).1, Problem::BoxTooLarge { size_bytes: u64::MAX, .. }));
    let large = [X264, &[0, 0, 0, 1], b"free", &(1_u64 << 40).to_be_bytes()].concat();
    assert!(matches!(problem_of(&large).1, Problem::BoxTooLarge { size_bytes: 0x100_0000_0000, .. }));
    let small = [X264, &[0, 0, 0, 7], b"free"].concat();
    assert!(matches!(problem_of(&small).1, Problem::BoxSize { size_bytes: 7, .. }));
}

#[test]
fn a_box_with_a_size_of_eight_bytes_is_read() {
    let mut wide = Vec::new();
    let mut rest = X264;
    while !rest.is_empty() {
        let size = u32::from_be_bytes(*rest.first_chunk().unwrap());
        // The offset in `trun` counts from the start of `moof`.
        if &rest[4..8] == b"mdat" {
            wide.extend([0, 0, 0, 1]);
            wide.extend(b"mdat");
            wide.extend((u64::from(size) + 8).to_be_bytes());
            wide.extend(&rest[8..size as usize]);
        } else {
            let mut narrow = rest[..size as usize].to_vec();
            if let Some(trun) = memchr::memmem::find(&narrow, b"trun") {
                let at = trun + 12;
                let offset = u32::from_be_bytes(*narrow[at..].first_chunk().unwrap());
                narrow[at..at + 4].copy_from_slice(&(offset + 8).to_be_bytes());
            }
            wide.extend(narrow);
        }
        rest = &rest[size as usize..];
    }
    let data = |samples: Vec<Sample>| samples.into_iter().map(|sample| sample.data).collect::<Vec<_>>();
    // The last box, `mfra`, says where fragments are; the reader does not need it.
    assert_eq!(data(samples_of(&wide)), data(samples_of(X264)));
}

#[test]
fn a_codec_that_is_not_carried_is_named() {
    let mut stream = X264.to_vec();
    let at = find(&stream, b"avc1");
    let entry = memchr::memmem::rfind(&stream[..find(&stream, b"avcC")], b"avc1").unwrap();
    assert!(at < entry, "the first place is the brand in `ftyp`");
    stream[entry..entry + 4].copy_from_slice(b"av01");
    let (offset, problem) = problem_of(&stream);
    assert_eq!(offset as usize, entry - 4);
    assert_eq!(problem.to_string(), "the video is `av01` (AV1); only H.264 and H.265 can be read from MP4");
    let mut sound = X264.to_vec();
    let handler = memchr::memmem::find(&sound, b"vide").unwrap();
    sound[handler..handler + 4].copy_from_slice(b"soun");
    assert_eq!(problem_of(&sound).1, Problem::NoVideo);
}

#[test]
fn a_stream_that_breaks_off_says_so_and_keeps_what_came() {
    let samples = samples_of(X264);
    let end = samples[7].offset as usize + 1;
    let (found, error) = read(&X264[..end]);
    assert_eq!(found, samples[..7]);
    assert_eq!(error, Err(Error::Mp4 { offset: end as u64, problem: Problem::Truncated }));
    assert_eq!(read(b""), (vec![], Ok(())));
}

#[test]
fn a_fragment_before_moov_is_an_error() {
    let fragments = &X264[find(X264, b"moof")..];
    assert_eq!(problem_of(fragments), (0, Problem::NoMoov));
}

#[test]
fn a_sample_outside_its_data_is_an_error() {
    let mut stream = X264.to_vec();
    let trun = memchr::memmem::find(&stream, b"trun").unwrap();
    for data_offset in [0, 8, 10_000, -1_000_000] {
        stream[trun + 12..trun + 16].copy_from_slice(&i32::to_be_bytes(data_offset));
        assert_eq!(problem_of(&stream).1, Problem::SampleOutsideData, "{data_offset}");
    }
}

#[test]
fn samples_without_bytes_in_moof_are_limited_in_number() {
    let fragment = Fragment {
        sequence_number: 1,
        dts_90k: 0,
        composition_offset_90k: 0,
        duration_90k: 1,
        is_keyframe: true,
        is_disposable: false,
        data_bytes: 0,
    };
    let mut head = fragment.head().unwrap();
    let trun = memchr::memmem::find(&head, b"trun").unwrap();
    // No composition offsets, so that samples need no bytes; four bytes are left over.
    head[trun + 6] = 0;
    head[trun + 8..trun + 12].copy_from_slice(&u32::MAX.to_be_bytes());
    let stream = [&X264[..find(X264, b"moof")], &head].concat();
    let offset = find(&stream, b"trun") as u64;
    assert_eq!(problem_of(&stream), (offset, Problem::TooManySamples { limit: 1 << 16 }));
}
