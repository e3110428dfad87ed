//! A viewer of H.265 with open GOPs gets only frames that a decoder shows as they were coded.
#![warn(clippy::disallowed_methods)]
#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use std::path::Path;
use std::process::Command;
use std::time::{Duration, SystemTime};

use framecast_hub::{Channel, Delivery, Epoch, Subscriber};
use framecast_media::codec::nal::to_annex_b;
use framecast_media::container::AnnexBReader;
use framecast_media::{Anchor, Frame, Timestamp};
use framecast_testkit::blocking::output_of;
use framecast_testkit::not_run;

/// A keyframe and 27 frames in threes, the first of which is shown last. Each ninth frame begins an open GOP.
const STREAM: &[u8] = include_bytes!("../../../testdata/x265-open-gop.h265");

const INTERVAL_TICKS: i64 = 3600;

fn frames() -> Vec<Frame> {
    let mut reader = AnnexBReader::new(None, 1 << 20);
    reader.push(STREAM);
    reader.end();
    let mut frames = Vec::new();
    while let Some(unit) = reader.next_access_unit().unwrap() {
        let number = frames.len() as i64;
        let shown = if number == 0 { 0 } else { number + [-1, 2, -1][number as usize % 3] };
        let pts = Timestamp::from_ticks(shown * INTERVAL_TICKS);
        let mut frame = Frame::coded(unit.data, unit.dependency, pts, SystemTime::UNIX_EPOCH, unit.format);
        frame.dts = Timestamp::from_ticks((number - 1) * INTERVAL_TICKS);
        frames.push(frame);
    }
    frames
}

/// Returns the checksums of the pictures that ffmpeg makes of `frames`.
fn pictures(file: &Path, frames: &[Frame]) -> Vec<String> {
    let mut stream = Vec::new();
    for frame in frames {
        let sets = if frame.is_keyframe { &frame.format.parameter_sets[..] } else { &[] };
        stream.extend(to_annex_b(&frame.data, sets).unwrap());
    }
    std::fs::write(file, stream).unwrap();
    let mut command = Command::new("ffmpeg");
    command.args(["-v", "error", "-f", "hevc", "-i"]).arg(file).args(["-f", "framemd5", "-"]);
    let output = output_of(&mut command);
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "");
    let text = String::from_utf8(output.stdout).unwrap();
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines.map(|line| line.rsplit(' ').next().unwrap().to_owned()).collect()
}

/// Publishes `frames`.
fn publish(channel: &Channel, frames: &[Frame]) {
    for frame in frames {
        let epoch = Epoch { number: 1, anchor: Anchor::of(frame) };
        assert!(channel.publisher().publish(frame.clone(), epoch));
    }
}

fn read(viewer: &mut Subscriber) -> (Vec<Frame>, u64) {
    let updates: Vec<_> = std::iter::from_fn(|| viewer.try_next()).collect();
    let skipped = updates.iter().map(|update| update.skipped).sum();
    (updates.into_iter().map(|update| update.frame).collect(), skipped)
}

#[test]
fn a_viewer_who_starts_or_jumps_at_any_keyframe_gets_only_pictures_as_they_were_coded() {
    let folders = std::env::var_os("PATH").unwrap_or_default();
    if !std::env::split_paths(&folders).any(|folder| folder.join("ffmpeg").is_file()) {
        return not_run("without ffmpeg");
    }
    let file = std::env::temp_dir().join(format!("framecast-open-gop-{}.h265", std::process::id()));
    let frames = frames();
    let whole = pictures(&file, &frames);
    assert_eq!(whole.len(), 28);
    let keyframes: Vec<_> = (0..frames.len()).filter(|at| frames[*at].is_keyframe).collect();
    assert_eq!(keyframes, [0, 7, 16, 25]);
    for at in keyframes {
        let channel = Channel::new();
        let mut jumping = channel.subscribe(Delivery::InOrder).with_max_lag(Duration::ZERO);
        publish(&channel, &frames[..1]);
        let (mut seen, _) = read(&mut jumping);
        publish(&channel, &frames[1..=at]);
        let mut starting = channel.subscribe(Delivery::InOrder);
        let (jumped, _) = read(&mut jumping);
        publish(&channel, &frames[at + 1..]);
        let (started, skipped) = read(&mut starting);
        assert_eq!((started[0].pts, skipped), (frames[at].pts, 0));
        let leading = if at == 0 { 0 } else { 2 };
        assert_eq!(started.len(), frames.len() - at - leading, "{at}");
        seen.extend(jumped);
        let mut jumping = jumping.with_max_lag(Duration::MAX);
        let (rest, skipped) = read(&mut jumping);
        // They are told with the frame after them, which the last keyframe has none of.
        assert_eq!(skipped as usize, if at == 25 { 0 } else { leading }, "{at}");
        seen.extend(rest);
        for viewer in [started, seen] {
            let shown = pictures(&file, &viewer);
            assert_eq!(shown.len(), viewer.len());
            assert!(shown.iter().all(|picture| whole.contains(picture)), "a picture is not as it was coded");
        }
    }
    std::fs::remove_file(&file).unwrap();
}
