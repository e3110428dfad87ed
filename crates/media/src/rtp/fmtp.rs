//! The parameter sets that an SDP names in the attribute `fmtp` (RFC 6184, section 8.1; RFC 7798, section 7.1).

use bytes::Bytes;

use super::nal::{Role, Syntax};
use super::start_code;

/// The number of parameter sets that are read.
const MAX_SETS: usize = 32;
/// The size of a parameter set that is kept, in bytes. Cameras' have 10 to 200.
pub(super) const MAX_SET_BYTES: usize = 4096;

/// Returns the parameter sets of H.264 that the value of an attribute `fmtp` names in `sprop-parameter-sets`. What is
/// not a parameter set is left out: cameras send empty and broken ones.
pub fn h264_parameter_sets(fmtp: &str) -> Vec<Bytes> {
    parameter_sets(Syntax::H264, &["sprop-parameter-sets"], fmtp)
}

/// Returns the parameter sets of H.265 that the value of an attribute `fmtp` names in `sprop-vps`, `sprop-sps` and
/// `sprop-pps`. What is not a parameter set is left out.
pub fn h265_parameter_sets(fmtp: &str) -> Vec<Bytes> {
    parameter_sets(Syntax::H265, &["sprop-vps", "sprop-sps", "sprop-pps"], fmtp)
}

fn parameter_sets(syntax: Syntax, keys: &[&str], fmtp: &str) -> Vec<Bytes> {
    let mut sets = Vec::new();
    for parameter in fmtp.split(';') {
        let Some((key, value)) = parameter.split_once('=') else { continue };
        // The payload type stands before the first key.
        let key = key.split_ascii_whitespace().next_back().unwrap_or_default();
        if !keys.iter().any(|wanted| wanted.eq_ignore_ascii_case(key)) {
            continue;
        }
        for stream in value.trim_matches('"').split(',').filter_map(decoded) {
            let is_set =
                |nal: &&[u8]| matches!(syntax.role(nal), Role::ParameterSet(_)) && nal.len() <= MAX_SET_BYTES;
            sets.extend(start_code::split(&stream).filter(is_set).map(Bytes::copy_from_slice));
        }
    }
    sets.truncate(MAX_SETS);
    sets
}

/// Decodes base64, with or without padding, up to the size of a few parameter sets.
fn decoded(base64: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let (mut bits, mut count) = (0_u32, 0);
    for digit in base64.bytes().filter(|byte| !byte.is_ascii_whitespace()) {
        let value = match digit {
            b'A'..=b'Z' => digit - b'A',
            b'a'..=b'z' => digit - b'a' + 26,
            b'0'..=b'9' => digit - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            b'=' => break,
            _ => return None,
        };
        (bits, count) = (bits << 6 | u32::from(value), count + 6);
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count) as u8);
        }
        if bytes.len() > 4 * MAX_SET_BYTES {
            return None;
        }
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sets_of_h264_are_read_from_what_cameras_send() {
        let sps = [0x67, 0x42, 0xC0, 0x1E, 0xDA];
        let pps = [0x68, 0xCE, 0x3C, 0x80];
        for fmtp in [
            "96 packetization-mode=1;profile-level-id=42C01E;sprop-parameter-sets=Z0LAHto=,aM48gA==",
            "96 sprop-parameter-sets=Z0LAHto,aM48gA",
            "96 packetization-mode=1; Sprop-Parameter-Sets=\"Z0LAHto=,,aM48gA==,\" ; x=y",
            // A broken entry, a slice, and both sets in one entry with start codes.
            "sprop-parameter-sets=Z0L*,ZYiE,AAAAAWdCwB7aAAAAAWjOPIA=",
        ] {
            assert_eq!(h264_parameter_sets(fmtp), [&sps[..], &pps], "{fmtp}");
        }
        assert_eq!(h264_parameter_sets("96 packetization-mode=1"), [""; 0]);
        assert_eq!(h264_parameter_sets("96 sprop-parameter-sets"), [""; 0]);
    }

    #[test]
    fn the_sets_of_h265_are_read_in_any_order() {
        let fmtp = "97 profile-id=1;sprop-sps=QgEB;sprop-vps=QAEM,;sprop-pps=RAHA;sprop-sei=TgEF";
        assert_eq!(h265_parameter_sets(fmtp), [&[0x42, 1, 1][..], &[0x40, 1, 0x0C], &[0x44, 1, 0xC0]]);
    }

    #[test]
    fn the_sets_are_bounded_in_number_and_size() {
        assert_eq!(h264_parameter_sets(&format!("sprop-parameter-sets={}", "aM48,".repeat(100))).len(), 32);
        let of_bytes = |len: usize| format!("sprop-parameter-sets=aM48{}", "AAAB".repeat(len / 3 - 1));
        assert_eq!(h264_parameter_sets(&of_bytes(4095))[0].len(), 3, "ends at the first start code");
        let of_bytes = |len: usize| format!("sprop-parameter-sets=aM48{}", "zzzz".repeat(len / 3 - 1));
        assert_eq!(h264_parameter_sets(&of_bytes(4095))[0].len(), 4095);
        assert_eq!(h264_parameter_sets(&of_bytes(4098)), [""; 0]);
        assert_eq!(h264_parameter_sets(&of_bytes(1 << 20)), [""; 0]);
    }
}
