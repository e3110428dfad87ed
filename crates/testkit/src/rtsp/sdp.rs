//! What a fake camera says of itself: the answer to DESCRIBE.

use std::fmt::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::annex_b::ClipCodec;
use super::clip::Clip;
use super::fault::Fault;

/// The number of the track with the pictures.
pub(super) const VIDEO: usize = 0;
/// The number of the track with sound.
pub(super) const AUDIO: usize = 1;
/// The number of the track for sound to the camera.
pub(super) const BACK_CHANNEL: usize = 2;

/// The description of `clip` with these faults.
pub(super) fn describe(clip: &Clip, has_audio: bool, faults: &[Fault]) -> String {
    let mut sdp = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=fake camera\r\nc=IN IP4 0.0.0.0\r\nt=0 0\r\n\
                   a=control:*\r\na=range:npt=0-\r\n"
        .to_owned();
    if !faults.contains(&Fault::NoVideo) {
        sdp.push_str(&video(clip, faults));
    }
    if has_audio || faults.contains(&Fault::NoVideo) {
        write!(sdp, "m=audio 0 RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\na=control:track{AUDIO}\r\n").ok();
    }
    if faults.contains(&Fault::BackChannel) {
        write!(
            sdp,
            "m=audio 0 RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\na=sendonly\r\na=control:track{BACK_CHANNEL}\r\n"
        )
        .ok();
    }
    sdp
}

fn video(clip: &Clip, faults: &[Fault]) -> String {
    let payload_type = payload_type(clip.codec);
    let name = match clip.codec {
        _ if faults.contains(&Fault::ForeignCodec) => "MP4V-ES",
        ClipCodec::H264 => "H264",
        ClipCodec::H265 => "H265",
        ClipCodec::Jpeg => "JPEG",
    };
    let mut sdp = format!("m=video 0 RTP/AVP {payload_type}\r\na=rtpmap:{payload_type} {name}/90000\r\n");
    let parameters = parameters(clip, faults.contains(&Fault::NoSprop));
    if !parameters.is_empty() && !faults.contains(&Fault::ForeignCodec) {
        write!(sdp, "a=fmtp:{payload_type} {parameters}\r\n").ok();
    }
    write!(sdp, "a=framerate:{}\r\na=control:track{VIDEO}\r\n", clip.fps).ok();
    sdp
}

/// The number for the pictures in the header of their packets.
pub(super) fn payload_type(codec: ClipCodec) -> u8 {
    if codec == ClipCodec::Jpeg { 26 } else { 96 }
}

/// The parameters of the format, with the parameter sets unless `without_sets`.
fn parameters(clip: &Clip, without_sets: bool) -> String {
    let sets = clip.parameter_sets();
    let coded: Vec<String> = sets.iter().map(|set| STANDARD.encode(set)).collect();
    match clip.codec {
        ClipCodec::H264 if without_sets => "packetization-mode=1".to_owned(),
        ClipCodec::H264 => {
            let level: String = sets[0][1..4].iter().map(|byte| format!("{byte:02x}")).collect();
            format!("packetization-mode=1;profile-level-id={level};sprop-parameter-sets={}", coded.join(","))
        }
        ClipCodec::H265 if !without_sets => {
            format!("sprop-vps={};sprop-sps={};sprop-pps={}", coded[0], coded[1], coded[2])
        }
        ClipCodec::H265 | ClipCodec::Jpeg => String::new(),
    }
}
