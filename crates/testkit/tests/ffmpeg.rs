//! ffmpeg reads what our writers write.
#![warn(clippy::disallowed_methods)]
#![expect(clippy::unwrap_used, reason = "a panic fails the test")]

use std::fs::File;
use std::io::{Seek, Write};
use std::process::Command;
use std::time::SystemTime;

use framecast_media::container::fmp4::{Fmp4Reader, Fragment, Sample, init_segment};
use framecast_testkit::blocking::output_of;
use framecast_testkit::has_ffmpeg;

/// Fragmented MP4 of ffmpeg, 20 frames each.
const SAMPLES: [&[u8]; 3] = [
    include_bytes!("../../../testdata/ffmpeg-fmp4-x264.mp4"),
    include_bytes!("../../../testdata/ffmpeg-fmp4-x264-bframes-aac.mp4"),
    include_bytes!("../../../testdata/ffmpeg-fmp4-x265.mp4"),
];

fn samples_of(stream: &[u8]) -> Vec<Sample> {
    let mut reader = Fmp4Reader::default();
    reader.push(stream);
    std::iter::from_fn(|| reader.next_sample().unwrap()).collect()
}

/// Writes `samples` with a fragment for each.
fn written(samples: &[Sample]) -> Vec<u8> {
    let mut stream = init_segment(&samples[0].format).unwrap().to_vec();
    for (number, sample) in (1..).zip(samples) {
        let frame = sample.clone().into_frame(SystemTime::UNIX_EPOCH);
        stream.extend(Fragment::of(&frame, number, 0, 9000).head().unwrap());
        stream.extend(frame.data);
    }
    stream
}

/// Decodes the video of `stream` by ffmpeg, which reads it from its standard input. Returns the checksum of each
/// picture, in the order in which they are shown, and what ffmpeg complains about.
fn decoded(stream: &[u8]) -> (Vec<String>, String) {
    let mut file: File = tempfile::tempfile().unwrap();
    file.write_all(stream).unwrap();
    file.rewind().unwrap();
    let options = "-v error -i - -map 0:v -fps_mode passthrough -f framecrc -";
    let output = output_of(Command::new("ffmpeg").args(options.split(' ')).stdin(file));
    let text = String::from_utf8(output.stdout).unwrap();
    let pictures = text.lines().filter(|line| !line.starts_with('#'));
    let checksum = |line: &str| line.rsplit(',').next().unwrap().trim().to_owned();
    (pictures.map(checksum).collect(), String::from_utf8(output.stderr).unwrap())
}

#[test]
fn ffmpeg_decodes_the_same_pictures_from_fragments_as_from_the_original() {
    if !has_ffmpeg() {
        return;
    }
    for original in SAMPLES {
        let (pictures, complaints) = decoded(&written(&samples_of(original)));
        assert_eq!(complaints, "");
        assert_eq!((pictures.len(), pictures), (20, decoded(original).0));
    }
}
