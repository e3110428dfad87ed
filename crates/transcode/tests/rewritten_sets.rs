//! The parameter set that a decoder configuration record carries, in which Framecast says that frames are never
//! reordered: ffmpeg decodes the same pictures with it as with the camera's own.

#![warn(clippy::disallowed_methods)]
#![expect(clippy::unwrap_used, reason = "tests")]

use std::fs;
use std::path::Path;
use std::process::Command;

use framecast_media::codec::VideoParameters;
use framecast_media::codec::nal::to_annex_b;
use framecast_media::container::AnnexBReader;
use framecast_media::{Bytes, Codec};
use framecast_testkit::blocking::output_of;
use framecast_testkit::not_run;

/// A stream of 96x64 pixels in the Baseline profile.
const STREAM: &[u8] = include_bytes!("../../../testdata/x264-baseline.h264");

/// The parameter set of that stream without its VUI, as cameras send it that say nothing about the order of frames.
const BARE_SET: &[u8] = &[0x67, 0x42, 0xC0, 0x0A, 0xD9, 0x06, 0x26, 0x40];

/// Returns the stream with `sps` in place of its own parameter set.
fn stream_with(sps: &Bytes) -> Vec<u8> {
    let mut reader = AnnexBReader::new(None, 1 << 20);
    reader.push(STREAM);
    reader.end();
    let mut stream = Vec::new();
    while let Some(access_unit) = reader.next_access_unit().unwrap() {
        let [_, pps] = &access_unit.format.parameter_sets[..] else { panic!("two sets") };
        stream.extend(to_annex_b(&access_unit.data, &[sps.clone(), pps.clone()]).unwrap());
    }
    stream
}

fn is_installed(program: &str) -> bool {
    std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default())
        .any(|folder| folder.join(program).is_file())
}

/// Runs `program`, which reads the stream in `file`. Returns its output and its complaints.
fn run(program: &str, file: &Path, arguments: &[&str]) -> (String, String) {
    let mut command = Command::new(program);
    let output = output_of(command.args(["-v", "error", "-f", "h264", "-i"]).arg(file).args(arguments));
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (text(output.stdout), text(output.stderr))
}

#[test]
fn ffmpeg_decodes_the_same_pictures_with_the_rewritten_set() {
    let bare = Bytes::from_static(BARE_SET);
    let pps = Bytes::from_static(&[0x68, 0xCB, 0x83, 0xCB, 0x20]);
    let parameters = VideoParameters::parse(Codec::H264, &[bare.clone(), pps]).unwrap();
    assert_eq!((parameters.reorder_depth, &parameters.format.parameter_sets[0]), (0, &bare));
    let len_bytes = usize::from(parameters.decoder_configuration[7]);
    let rewritten = parameters.decoder_configuration.slice(8..8 + len_bytes);
    assert_ne!(rewritten, bare);

    if !is_installed("ffmpeg") || !is_installed("ffprobe") {
        return not_run("there is no ffmpeg with ffprobe");
    }
    let folder = std::env::temp_dir().join(format!("framecast-rewritten-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    let [with_bare, with_rewritten] = [("bare", bare), ("rewritten", rewritten)].map(|(name, sps)| {
        let file = folder.join(name);
        fs::write(&file, stream_with(&sps)).unwrap();
        let pictures = run("ffmpeg", &file, &["-f", "framemd5", "-"]);
        (pictures, run("ffprobe", &file, &["-show_entries", "stream=width,height,has_b_frames"]))
    });
    fs::remove_dir_all(&folder).unwrap();
    let ((pictures, complaints), (stream, _)) = &with_rewritten;
    assert_eq!((pictures.lines().filter(|line| !line.starts_with('#')).count(), &**complaints), (6, ""));
    assert!(stream.contains("width=96\nheight=64\nhas_b_frames=0"), "{stream}");
    assert_eq!(with_rewritten, with_bare);
}
