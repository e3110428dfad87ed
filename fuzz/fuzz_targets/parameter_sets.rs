//! Any bytes as parameter sets and access units of either codec: records hold the sets, a byte stream holds the units.
//! The first byte of the input chooses the codec, the second one how long each set is.
#![no_main]

use framecast_media::codec::nal::{push_unit, to_annex_b, units};
use framecast_media::codec::{VideoParameters, dependency, unit_kind};
use framecast_media::{Bytes, Codec, Format};
use libfuzzer_sys::fuzz_target;

/// Cuts `data` into sets whose lengths depend on their first bytes, so that the fuzzer can choose them.
fn sets(data: &[u8], step: u8) -> Vec<Bytes> {
    let mut sets = Vec::new();
    let mut rest = data;
    while let Some((&first, after)) = rest.split_first() {
        let (set, tail) = after.split_at(after.len().min(usize::from(first ^ step)));
        sets.push(Bytes::copy_from_slice(set));
        rest = tail;
    }
    sets
}

/// Reads any bytes as an access unit. If all lengths fit, a byte stream has as many bytes and the same units.
fn check_access_unit(codec: Codec, data: &[u8]) {
    let found: Result<Vec<_>, _> = units(data).collect();
    let stream = to_annex_b(data, &[]);
    let format = Format::new(codec, 16, 16);
    assert_eq!((stream.is_ok(), dependency(&format, data).is_ok()), (found.is_ok(), found.is_ok()));
    let Ok(found) = found else { return };
    let stream = stream.expect("all lengths fit");
    assert_eq!(stream.len(), data.len());
    let mut again = Vec::new();
    for unit in found {
        assert_eq!(stream[again.len()..][..4], [0, 0, 0, 1]);
        assert_eq!(stream[again.len() + 4..][..unit.len()], *unit);
        let _ = unit_kind(codec, unit);
        push_unit(&mut again, unit);
    }
    assert_eq!(again, data);
}

fuzz_target!(|data: &[u8]| {
    let [choice, step, rest @ ..] = data else { return };
    let codec = if choice & 1 == 0 { Codec::H264 } else { Codec::H265 };
    check_access_unit(codec, rest);
    let Ok(found) = VideoParameters::parse(codec, &sets(rest, *step)) else { return };
    let format = &found.format;
    assert!((1..=65_535).contains(&format.width_px) && (1..=65_535).contains(&format.height_px));
    assert!(found.reorder_depth <= 16);
    assert!(found.frames_per_second.is_none_or(|rate| rate > 0.0 && rate.is_finite()));
    assert!(found.codec_string.is_ascii() && found.codec_string.len() < 50);
    // The record holds the sets. One of H.264 that says the size may have been rewritten.
    let record = &found.decoder_configuration;
    assert_eq!(record[0], 1);
    for set in format.parameter_sets.iter().filter(|set| codec == Codec::H265 || set[0] & 0x1F == 8).take(3) {
        assert!(record.windows(set.len()).any(|window| window == set));
    }
    // What was read reads again, and says the same.
    let again = VideoParameters::parse(codec, &format.parameter_sets).expect("these sets were read before");
    assert_eq!(again, found);
});
