//! Coded video, H.264 or H.265: what its parameter sets say, and how its frames depend on each other.

use bytes::Bytes;

use super::nal::{UnitKind, units};
use super::{h264, h265};
use crate::{Codec, Dependency, Error, Format};

/// The longest parameter set for which a decoder configuration record has room.
const MAX_SET_BYTES: usize = u16::MAX as usize;

/// The greatest width and height for which the containers have room.
const MAX_SIDE_PX: u32 = u16::MAX as u32;

/// What parameter sets say about the video.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct VideoParameters {
    /// The format, with the parameter sets in the order VPS, SPS, PPS. Width and height are those after cropping.
    pub format: Format,
    /// What MIME types call the coding (RFC 6381), such as `avc1.64001F` or `hvc1.1.6.L93.B0`.
    pub codec_string: String,
    /// The name of the profile, such as "High".
    pub profile: String,
    /// The level, such as "4.1".
    pub level: String,
    /// The frame rate, if the sets say it. It is what the encoder was told, and need not be true.
    pub frames_per_second: Option<f64>,
    /// How many frames can come before a frame in decoding order and after it in the order in which they are shown, at
    /// most 16. With 0, frames are shown in the order in which they come.
    pub reorder_depth: usize,
    /// Whether the sets state this depth. Otherwise it is the greatest that they allow, and most encoders of cameras do
    /// not reorder at all.
    pub is_reorder_depth_stated: bool,
    /// The decoder configuration record of MP4 (ISO/IEC 14496-15): the content of the box `avcC` or `hvcC`.
    pub decoder_configuration: Bytes,
}

impl VideoParameters {
    /// Reads `parameter_sets`, NAL units without start codes in any order. Other NAL units are left out, and so are
    /// copies. Size, profile and reorder depth are those of the first sequence parameter set.
    ///
    /// # Errors
    /// [`Error::NoParameterSet`] if a kind of set is missing, also for a codec that is not coded video;
    /// [`Error::ParameterSet`] for a sequence parameter set that cannot be read, [`Error::PictureSize`] for one with
    /// an impossible size, and [`Error::ParameterSetLength`] for any set that is too long.
    pub fn parse(codec: Codec, parameter_sets: &[Bytes]) -> Result<Self, Error> {
        let sets = Sets::sorted(codec, parameter_sets)?;
        if codec == Codec::H265 { Self::h265(&sets) } else { Self::h264(&sets) }
    }

    fn h264(sets: &Sets) -> Result<Self, Error> {
        let sps_unit = first(&sets.sps, "SPS")?;
        first(&sets.pps, "PPS")?;
        let sps =
            h264::H264Sps::parse(sps_unit).map_err(|field| Error::ParameterSet { set: "SPS", field })?;
        let [profile_idc, constraints, level_idc] = [sps.profile_idc, sps.constraint_flags, sps.level_idc];
        Ok(Self {
            format: sets.format(Codec::H264, sps.width_px, sps.height_px)?,
            codec_string: format!("avc1.{profile_idc:02X}{constraints:02X}{level_idc:02X}"),
            profile: sps.profile(),
            level: sps.level(),
            frames_per_second: plausible(sps.frames_per_second),
            reorder_depth: sps.reorder_depth,
            is_reorder_depth_stated: sps.is_reorder_depth_stated,
            decoder_configuration: h264::record(&sps, &sets.sps, &sets.pps),
        })
    }

    fn h265(sets: &Sets) -> Result<Self, Error> {
        first(&sets.vps, "VPS")?;
        let sps_unit = first(&sets.sps, "SPS")?;
        first(&sets.pps, "PPS")?;
        let sps =
            h265::H265Sps::parse(sps_unit).map_err(|field| Error::ParameterSet { set: "SPS", field })?;
        Ok(Self {
            format: sets.format(Codec::H265, sps.width_px, sps.height_px)?,
            codec_string: sps.profile.codec_string(),
            profile: sps.profile.profile(),
            level: sps.profile.level(),
            frames_per_second: plausible(sps.frames_per_second),
            reorder_depth: sps.reorder_depth,
            is_reorder_depth_stated: true,
            decoder_configuration: h265::record(&sps, [&sets.vps, &sets.sps, &sets.pps]),
        })
    }
}

/// The parameter sets of each kind, without copies.
#[derive(Debug, Default)]
struct Sets {
    vps: Vec<Bytes>,
    sps: Vec<Bytes>,
    pps: Vec<Bytes>,
}

impl Sets {
    fn sorted(codec: Codec, parameter_sets: &[Bytes]) -> Result<Self, Error> {
        let mut sets = Self::default();
        for unit in parameter_sets {
            let (list, set) = match unit_kind(codec, unit) {
                UnitKind::Vps => (&mut sets.vps, "VPS"),
                UnitKind::Sps => (&mut sets.sps, "SPS"),
                UnitKind::Pps => (&mut sets.pps, "PPS"),
                _ => continue,
            };
            if unit.len() > MAX_SET_BYTES {
                return Err(Error::ParameterSetLength {
                    set,
                    len_bytes: unit.len(),
                    limit_bytes: MAX_SET_BYTES,
                });
            }
            if !list.contains(unit) {
                list.push(unit.clone());
            }
        }
        Ok(sets)
    }

    fn format(&self, codec: Codec, width_px: u32, height_px: u32) -> Result<Format, Error> {
        let is_possible = |side_px| (1..=MAX_SIDE_PX).contains(&side_px);
        if !is_possible(width_px) || !is_possible(height_px) {
            return Err(Error::PictureSize { width_px, height_px });
        }
        let all = [&self.vps[..], &self.sps[..], &self.pps[..]].concat();
        Ok(Format::new(codec, width_px, height_px).with_parameter_sets(all))
    }
}

fn first<'a>(sets: &'a [Bytes], set: &'static str) -> Result<&'a Bytes, Error> {
    sets.first().ok_or(Error::NoParameterSet { set })
}

fn plausible(frames_per_second: Option<f64>) -> Option<f64> {
    frames_per_second.filter(|rate| rate.is_finite() && *rate > 0.0)
}

/// Returns the kind of the NAL unit `unit`; [`UnitKind::Other`] if `codec` has no NAL units.
///
/// In H.265, the slices of a picture that no other of its temporal sub-layer needs are
/// [disposable](Dependency::Disposable) here; [`dependency`] says whether the picture is.
pub fn unit_kind(codec: Codec, unit: &[u8]) -> UnitKind {
    match codec {
        Codec::H264 => h264::unit_kind(unit),
        Codec::H265 => h265::unit_kind(unit),
        Codec::Jpeg | Codec::Raw(..) => UnitKind::Other,
    }
}

/// Returns how the frame whose access unit is `access_unit` depends on others. An access unit without a slice counts as
/// a [`Reference`](Dependency::Reference).
///
/// # Errors
/// [`Error::NalLength`] for a length that points beyond the end.
pub fn dependency(format: &Format, access_unit: &[u8]) -> Result<Dependency, Error> {
    let mut of_slices = None;
    for unit in units(access_unit) {
        let unit = unit?;
        let UnitKind::Slice { mut dependency, .. } = unit_kind(format.codec, unit) else { continue };
        if dependency == Dependency::Disposable && is_below_highest_sub_layer(format, unit) {
            dependency = Dependency::Reference;
        }
        of_slices = match of_slices {
            Some(before) if before != dependency => Some(Dependency::Reference),
            _ => Some(dependency),
        };
    }
    Ok(of_slices.unwrap_or(Dependency::Reference))
}

/// Returns whether the frame whose access unit is `access_unit` shows that frames of this format come in another order
/// than they are shown. `reorder_depth` is that of the format's [`VideoParameters`].
///
/// Parameter sets of H.264 often allow what the encoder never does, so there only a B slice shows it.
pub fn is_reordered(codec: Codec, reorder_depth: usize, access_unit: &[u8]) -> bool {
    let is_first_slice =
        |unit: &&[u8]| matches!(unit_kind(codec, unit), UnitKind::Slice { is_first: true, .. });
    reorder_depth > 0
        && (codec == Codec::H265
            || units(access_unit).flatten().find(is_first_slice).is_some_and(h264::is_bidirectional))
}

fn is_below_highest_sub_layer(format: &Format, slice: &[u8]) -> bool {
    let is_sps = |unit: &&Bytes| h265::unit_kind(unit) == UnitKind::Sps;
    format.codec == Codec::H265
        && format
            .parameter_sets
            .iter()
            .find(is_sps)
            .is_some_and(|sps| h265::is_below_highest_sub_layer(slice, sps))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::samples::{
        BASELINE, CROPPED, H265_10_BIT_CROPPED, H265_WITH_B_FRAMES, HIGH_444, HIGH_INTERLACED, INTRA_REFRESH,
        MAIN_WITH_B_FRAMES, SLICES, units_of,
    };

    fn parameters(codec: Codec, stream: &[u8]) -> VideoParameters {
        VideoParameters::parse(codec, &units_of(stream)).unwrap()
    }

    /// Joins units to an access unit.
    fn access_unit<'a>(units: impl IntoIterator<Item = &'a [u8]>) -> Vec<u8> {
        let mut joined = Vec::new();
        units.into_iter().for_each(|unit| crate::codec::nal::push_unit(&mut joined, unit));
        joined
    }

    #[test]
    fn the_parameter_sets_of_x264_say_size_profile_rate_and_order() {
        // Profile, level and size are what ffprobe says of the same files.
        for (stream, size, codec_string, profile, reorder_depth) in [
            (BASELINE, (96, 64), "avc1.42C00A", "Constrained Baseline", 0),
            (MAIN_WITH_B_FRAMES, (96, 64), "avc1.4D400A", "Main", 2),
            (HIGH_INTERLACED, (96, 64), "avc1.640015", "High", 2),
            (HIGH_444, (96, 64), "avc1.F4000A", "High 4:4:4 Predictive", 2),
            (SLICES, (96, 64), "avc1.64000A", "High", 0),
            (INTRA_REFRESH, (96, 64), "avc1.64000A", "High", 0),
            (CROPPED, (100, 50), "avc1.64000A", "High", 0),
        ] {
            let found = parameters(Codec::H264, stream);
            assert_eq!((found.format.width_px, found.format.height_px), size, "{codec_string}");
            assert_eq!((&*found.codec_string, &*found.profile), (codec_string, profile));
            assert_eq!(
                (found.frames_per_second, found.reorder_depth),
                (Some(25.0), reorder_depth),
                "{profile}"
            );
            assert_eq!(found.format.parameter_sets.len(), 2);
        }
        assert_eq!(parameters(Codec::H264, HIGH_INTERLACED).level, "2.1");
    }

    #[test]
    fn the_parameter_sets_of_x265_say_size_profile_rate_and_order() {
        for (stream, size, codec_string, profile, rate, reorder_depth) in [
            (H265_WITH_B_FRAMES, (96, 64), "hvc1.1.6.L30.90", "Main", 25.0, 2),
            (H265_10_BIT_CROPPED, (100, 50), "hvc1.2.4.L30.90", "Main 10", 30.0, 0),
        ] {
            let found = parameters(Codec::H265, stream);
            assert_eq!((found.format.width_px, found.format.height_px), size, "{codec_string}");
            assert_eq!((&*found.codec_string, &*found.profile), (codec_string, profile));
            assert_eq!((found.frames_per_second, found.reorder_depth), (Some(rate), reorder_depth));
            assert_eq!((found.format.parameter_sets.len(), &*found.level), (3, "1.0"));
        }
    }

    #[test]
    fn without_a_word_on_the_order_as_many_frames_are_reordered_as_are_referred_to_at_most() {
        // Main, 96x64, four reference frames, no VUI.
        let sps = Bytes::from_static(&[0x67, 0x4D, 0x40, 0x0A, 0xF2, 0x8C, 0x4C, 0x80]);
        let pps = Bytes::from_static(&[0x68, 0xCB, 0x83, 0xCB, 0x20]);
        let found = VideoParameters::parse(Codec::H264, &[sps, pps]).unwrap();
        assert_eq!((found.reorder_depth, found.is_reorder_depth_stated), (4, false));
        for stream in [BASELINE, MAIN_WITH_B_FRAMES] {
            assert!(parameters(Codec::H264, stream).is_reorder_depth_stated);
        }
        assert!(parameters(Codec::H265, H265_WITH_B_FRAMES).is_reorder_depth_stated);
    }

    #[test]
    fn the_decoder_configuration_holds_the_sets() {
        let found = parameters(Codec::H264, HIGH_444);
        let [sps, pps] = &found.format.parameter_sets[..] else { panic!("two sets") };
        let expected = [
            &[1, 0xF4, 0, 10, 0xFF, 0xE1, 0, sps.len() as u8],
            &sps[..],
            &[1, 0, pps.len() as u8],
            pps,
            &[0xFF, 0xF8, 0xF8, 0],
        ]
        .concat();
        assert_eq!(found.decoder_configuration, expected);

        let found = parameters(Codec::H265, H265_10_BIT_CROPPED);
        let [vps, sps, pps] = &found.format.parameter_sets[..] else { panic!("three sets") };
        let profile = [2, 0x20, 0, 0, 0, 0x90, 0, 0, 0, 0, 0, 30];
        let expected = [
            &[1][..],
            &profile,
            &[0xF0, 0, 0xFC, 0xFD, 0xFA, 0xFA, 0, 0, 0x0F, 3],
            &[0xA0, 0, 1, 0, vps.len() as u8],
            vps,
            &[0xA1, 0, 1, 0, sps.len() as u8],
            sps,
            &[0xA2, 0, 1, 0, pps.len() as u8],
            pps,
        ]
        .concat();
        assert_eq!(found.decoder_configuration, expected);
    }

    #[test]
    fn a_set_that_is_missing_broken_or_too_long_is_named() {
        let units = units_of(BASELINE);
        let without = |unit_type| {
            let kept = units.iter().filter(|unit| unit[0] & 0x1F != unit_type).cloned().collect::<Vec<_>>();
            VideoParameters::parse(Codec::H264, &kept).unwrap_err()
        };
        assert_eq!(without(7), Error::NoParameterSet { set: "SPS" });
        assert_eq!(without(8), Error::NoParameterSet { set: "PPS" });
        assert_eq!(
            VideoParameters::parse(Codec::H265, &units),
            Err(Error::NoParameterSet { set: "VPS" }),
            "sets of the other codec do not count"
        );
        assert_eq!(VideoParameters::parse(Codec::Jpeg, &units), Err(Error::NoParameterSet { set: "SPS" }));
        let cut = [units[0].slice(..6), units[1].clone()];
        let broken = Error::ParameterSet { set: "SPS", field: "pic_height_in_map_units_minus1" };
        assert_eq!(VideoParameters::parse(Codec::H264, &cut), Err(broken));
        let long = [Bytes::from(vec![0x67; 65_536])];
        let too_long = Error::ParameterSetLength { set: "SPS", len_bytes: 65_536, limit_bytes: 65_535 };
        assert_eq!(VideoParameters::parse(Codec::H264, &long), Err(too_long));
    }

    #[test]
    fn a_frame_is_a_keyframe_a_reference_or_disposable() {
        let format = Format::new(Codec::H264, 96, 64);
        let of = |units: &[&[u8]]| dependency(&format, &access_unit(units.iter().copied())).unwrap();
        let (idr, reference, disposable) = ([0x65, 0x88], [0x41, 0x9A], [0x01, 0x9E]);
        assert_eq!(of(&[&[6, 5, 1], &idr, &idr]), Dependency::Keyframe);
        assert_eq!(of(&[&reference]), Dependency::Reference);
        assert_eq!(of(&[&disposable, &disposable]), Dependency::Disposable);
        assert_eq!(of(&[&disposable, &reference]), Dependency::Reference);
        assert_eq!(of(&[&[6, 5, 1]]), Dependency::Reference, "no slice at all");
        assert!(dependency(&format, &[0, 0, 0, 9, 1]).is_err());
    }

    #[test]
    fn frames_that_are_not_in_order_are_noticed() {
        for (codec, stream, expected) in [
            (Codec::H264, BASELINE, "------"),
            (Codec::H264, MAIN_WITH_B_FRAMES, "--BBB-BBB-BB"),
            (Codec::H264, INTRA_REFRESH, "------"),
            (Codec::H265, H265_WITH_B_FRAMES, "BBBBBBBBBBBB"),
            (Codec::H265, H265_10_BIT_CROPPED, "---"),
        ] {
            let depth = parameters(codec, stream).reorder_depth;
            let slices = units_of(stream)
                .into_iter()
                .filter(|unit| matches!(unit_kind(codec, unit), UnitKind::Slice { is_first: true, .. }));
            let letter =
                |unit: &Bytes| if is_reordered(codec, depth, &access_unit([&unit[..]])) { 'B' } else { '-' };
            let found: Vec<_> = slices.collect();
            assert_eq!(found.iter().map(letter).collect::<String>(), expected);
            assert!(!found.iter().any(|unit| is_reordered(codec, 0, &access_unit([&unit[..]]))));
        }
    }

    #[test]
    fn only_the_highest_sub_layer_of_h265_is_disposable() {
        let mut sps = units_of(H265_WITH_B_FRAMES)[1].to_vec();
        let unit = |unit_type: u8, sub_layer: u8| access_unit([&[unit_type << 1, sub_layer + 1, 0x80][..]]);
        for (sub_layers_below, expected) in [(0, Dependency::Disposable), (1, Dependency::Reference)] {
            sps[2] = sps[2] & 0xF1 | sub_layers_below << 1;
            let format = Format::new(Codec::H265, 96, 64).with_parameter_sets(vec![sps.clone().into()]);
            assert_eq!(dependency(&format, &unit(0, 0)), Ok(expected));
            assert_eq!(dependency(&format, &unit(2, 1)), Ok(Dependency::Disposable));
            assert_eq!(dependency(&format, &unit(1, 1)), Ok(Dependency::Reference));
            for keyframe in [16, 19, 20, 21] {
                assert_eq!(dependency(&format, &unit(keyframe, 0)), Ok(Dependency::Keyframe));
            }
        }
    }
}
