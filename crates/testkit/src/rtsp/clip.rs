//! A file that a fake camera replays.

use std::path::Path;
use std::process::Command;

use bytes::Bytes;

use super::annex_b::{ClipCodec, NalKind, access_units, sniff};
use crate::blocking::output_of;

/// The rate of a file that does not name its own.
const DEFAULT_FPS: f64 = 25.0;

/// One picture of a clip.
#[derive(Clone, Debug)]
pub struct ClipPicture {
    /// The NAL units in the order of the file, without start codes; of JPEG the image.
    pub nals: Vec<Bytes>,
    /// The place of the picture in the order in which the pictures are shown, from 0.
    pub place: u64,
    /// Whether a decoder can start here.
    pub is_keyframe: bool,
}

/// The pictures of a file in decode order. It begins with a keyframe.
#[derive(Clone, Debug)]
pub struct Clip {
    /// How the pictures are coded.
    pub codec: ClipCodec,
    /// The pictures in decode order.
    pub pictures: Vec<ClipPicture>,
    /// Pictures a second.
    pub fps: f64,
}

impl Clip {
    /// Reads H.264 or H.265 with start codes (Annex B), whose pictures must be shown in their order in the file, or any
    /// other file of video. ffprobe and ffmpeg read the latter, so the order of its pictures may be any.
    ///
    /// # Panics
    /// If the file cannot be read, or does not begin with a keyframe.
    pub fn read(path: impl AsRef<Path>) -> Self {
        let path = path.as_ref();
        let file = std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        if file.starts_with(&[0, 0, 1]) || file.starts_with(&[0, 0, 0, 1]) {
            return Self::from_annex_b(file);
        }
        let entries = "stream=codec_name,r_frame_rate:packet=pts";
        let probe = ["-v", "error", "-select_streams", "v:0", "-of", "csv", "-show_entries", entries];
        let (codec, fps, shown) = parse_probe(&run("ffprobe", &probe, path, &[]));
        let name = match codec {
            ClipCodec::H264 => "h264",
            ClipCodec::H265 => "hevc",
            ClipCodec::Jpeg => "mjpeg",
        };
        let file =
            run("ffmpeg", &["-v", "error", "-i"], path, &["-map", "0:v:0", "-c", "copy", "-f", name, "-"]);
        Self::new(codec, file.into(), fps, |place| shown.get(place).copied())
    }

    /// Reads H.264 or H.265 with start codes (Annex B), whose pictures must be shown in their order in the file.
    ///
    /// # Panics
    /// If `file` does not begin with a keyframe.
    pub fn from_annex_b(file: impl Into<Bytes>) -> Self {
        let file = file.into();
        Self::new(sniff(&file), file, DEFAULT_FPS, |place| Some(place as u64))
    }

    /// Reads JPEG images that follow one another, with the usual Huffman tables.
    ///
    /// # Panics
    /// If `file` has no image.
    pub fn from_jpegs(file: impl Into<Bytes>) -> Self {
        Self::new(ClipCodec::Jpeg, file.into(), DEFAULT_FPS, |place| Some(place as u64))
    }

    /// `shown` returns the place in the order of showing of the picture at a place in the file.
    fn new(codec: ClipCodec, file: Bytes, fps: f64, shown: impl Fn(usize) -> Option<u64>) -> Self {
        let units = if codec == ClipCodec::Jpeg { jpeg_images(&file) } else { access_units(&file, codec) };
        let is_keyframe = |nals: &[Bytes]| nals.iter().any(|nal| codec.kind(nal) == NalKind::KeySlice);
        let pictures = units.into_iter().enumerate().map(|(at, nals)| {
            let place = shown(at).unwrap_or_else(|| panic!("ffprobe told no time of picture {at}"));
            ClipPicture { is_keyframe: is_keyframe(&nals), place, nals }
        });
        let clip = Self { codec, pictures: pictures.collect(), fps };
        assert!(
            clip.pictures.first().is_some_and(|first| first.is_keyframe),
            "the file begins with no keyframe"
        );
        clip
    }

    /// The parameter sets of the first picture: VPS, SPS and PPS, as far as the codec has them.
    pub fn parameter_sets(&self) -> Vec<Bytes> {
        let first = self.pictures[0].nals.iter();
        first.filter(|nal| self.codec.kind(nal) == NalKind::ParameterSet).cloned().collect()
    }
}

/// What ffprobe says of a file: the codec, the pictures a second, and the place of each picture in the order of showing.
fn parse_probe(output: &[u8]) -> (ClipCodec, f64, Vec<u64>) {
    let text = String::from_utf8_lossy(output);
    let rows = || text.lines().map(|line| line.split(',').collect::<Vec<_>>());
    let stream = rows().find(|row| row[0] == "stream").expect("ffprobe names the stream");
    let codec = match stream[1] {
        "h264" => ClipCodec::H264,
        "hevc" => ClipCodec::H265,
        "mjpeg" => ClipCodec::Jpeg,
        other => panic!("a fake camera cannot send {other}"),
    };
    let rate = stream[2]
        .split_once('/')
        .and_then(|(over, under)| Some(over.parse::<f64>().ok()? / under.parse::<f64>().ok()?));
    let times = rows().filter(|row| row[0] == "packet").map(|row| row[1].parse::<i64>().expect("a time"));
    let times: Vec<i64> = times.collect();
    let mut order: Vec<usize> = (0..times.len()).collect();
    order.sort_by_key(|at| times[*at]);
    let mut places = vec![0; times.len()];
    for (place, at) in (0..).zip(order) {
        places[at] = place;
    }
    (codec, rate.expect("ffprobe names the rate"), places)
}

/// The JPEG images of a file that has one after the other.
fn jpeg_images(file: &Bytes) -> Vec<Vec<Bytes>> {
    let starts: Vec<usize> =
        (0..file.len()).filter(|at| file[*at..].starts_with(&[0xff, 0xd8, 0xff])).collect();
    let ends = starts.iter().skip(1).copied().chain([file.len()]);
    starts.iter().zip(ends).map(|(start, end)| vec![file.slice(*start..end)]).collect()
}

/// The output of `program` with the file `path` between these arguments.
fn run(program: &str, before: &[&str], path: &Path, after: &[&str]) -> Vec<u8> {
    let output = output_of(Command::new(program).args(before).arg(path).args(after));
    let why = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} cannot read {}: {why}", path.display());
    output.stdout
}
