//! Writes the init segment: `ftyp` and a `moov` that describes one video track and has no samples.
//!
//! There is no `mehd` and all durations are 0, so that browsers take the stream as live and show its first frame at
//! once.

use bytes::Bytes;
use mp4_atom::{
    Atom, Avc1, Avcc, Codec as SampleEntry, Dinf, Dref, DrefEntry, Encode, FixedPoint, Ftyp, Hdlr, Hvc1,
    Hvcc, Mdhd, Mdia, Minf, Moov, Mvex, Mvhd, Stbl, Stco, Stsd, Tkhd, Trak, Trex, Url, Visual, Vmhd,
};

use super::TRACK_ID;
use crate::codec::VideoParameters;
use crate::{Codec, Error, Format, Timestamp};

/// The ticks per second of the track: those of [`Timestamp`].
const TIMESCALE: u32 = Timestamp::TICKS_PER_SECOND as u32;

/// Returns the MIME type of a stream whose frames have `format`, such as `video/mp4; codecs="avc1.640028"`.
///
/// # Errors
/// [`Error::NotInMp4`] if frames of this codec do not go into fragmented MP4, and the errors of
/// [`VideoParameters::parse`].
pub fn content_type(format: &Format) -> Result<String, Error> {
    Ok(format!("video/mp4; codecs=\"{}\"", parameters(format)?.codec_string))
}

/// Writes the init segment of a stream whose frames have `format`.
///
/// # Errors
/// [`Error::NotInMp4`] if frames of this codec do not go into fragmented MP4, and the errors of
/// [`VideoParameters::parse`].
pub fn init_segment(format: &Format) -> Result<Bytes, Error> {
    let codec = format.codec;
    let VideoParameters { decoder_configuration, format, .. } = parameters(format)?;
    let visual = visual(&format)?;
    let mut record = &decoder_configuration[..];
    let entry = match codec {
        Codec::H265 => {
            let hvcc = Hvcc::decode_body(&mut record).expect("the record is one of ours");
            SampleEntry::Hvc1(Hvc1 { visual, hvcc, ..Hvc1::default() })
        }
        _ => {
            let avcc = Avcc::decode_body(&mut record).expect("the record is one of ours");
            SampleEntry::Avc1(Avc1 { visual, avcc, ..Avc1::default() })
        }
    };
    let mut segment = Vec::with_capacity(700 + decoder_configuration.len());
    file_type().encode(&mut segment).expect("no field of the box is out of range");
    movie(&format, entry).encode(&mut segment).expect("no field of the boxes is out of range");
    Ok(segment.into())
}

fn parameters(format: &Format) -> Result<VideoParameters, Error> {
    match format.codec {
        codec @ (Codec::H264 | Codec::H265) => VideoParameters::parse(codec, &format.parameter_sets),
        codec @ (Codec::Jpeg | Codec::Raw(..)) => Err(Error::NotInMp4 { codec }),
    }
}

fn file_type() -> Ftyp {
    let brands = [b"iso5", b"iso6", b"mp41"];
    Ftyp { major_brand: b"iso5".into(), minor_version: 0, compatible_brands: brands.map(Into::into).to_vec() }
}

/// Describes the picture in the sample entry. The field for the width has two bytes, as that for the height.
fn visual(format: &Format) -> Result<Visual, Error> {
    let &Format { width_px, height_px, .. } = format;
    let side = |px| u16::try_from(px).map_err(|_| Error::PictureSize { width_px, height_px });
    Ok(Visual {
        data_reference_index: 1,
        width: side(width_px)?,
        height: side(height_px)?,
        ..Visual::default()
    })
}

fn movie(format: &Format, entry: SampleEntry) -> Moov {
    let mvhd = Mvhd {
        timescale: TIMESCALE,
        rate: 1.into(),
        volume: 1.into(),
        next_track_id: TRACK_ID + 1,
        ..Mvhd::default()
    };
    let trex = Trex { track_id: TRACK_ID, default_sample_description_index: 1, ..Trex::default() };
    Moov {
        mvhd,
        trak: vec![track(format, entry)],
        mvex: Some(Mvex { mehd: None, trex: vec![trex] }),
        ..Moov::default()
    }
}

fn track(format: &Format, entry: SampleEntry) -> Trak {
    let side = |px| FixedPoint::from(u16::try_from(px).unwrap_or(u16::MAX));
    let tkhd = Tkhd {
        track_id: TRACK_ID,
        enabled: true,
        in_movie: true,
        width: side(format.width_px),
        height: side(format.height_px),
        ..Tkhd::default()
    };
    let stbl = Stbl { stsd: Stsd { codecs: vec![entry] }, stco: Some(Stco::default()), ..Stbl::default() };
    let dref = Dref { entries: vec![DrefEntry::Url(Url::default())] };
    let minf = Minf { vmhd: Some(Vmhd::default()), dinf: Dinf { dref }, stbl, ..Minf::default() };
    let mdhd = Mdhd { timescale: TIMESCALE, language: "und".into(), ..Mdhd::default() };
    let hdlr = Hdlr { handler: b"vide".into(), name: "video".into() };
    Trak { tkhd, mdia: Mdia { mdhd, hdlr, minf }, ..Trak::default() }
}

#[cfg(test)]
mod tests {
    use mp4_atom::Decode;

    use super::*;
    use crate::codec::samples::{BASELINE, H265_10_BIT_CROPPED, units_of};
    use crate::{ColorRange, PixelFormat};

    fn format(codec: Codec, stream: &[u8]) -> Format {
        VideoParameters::parse(codec, &units_of(stream)).unwrap().format
    }

    fn parse(format: &Format) -> (Ftyp, Moov) {
        let segment = init_segment(format).unwrap();
        let mut rest = &segment[..];
        let boxes = (Ftyp::decode(&mut rest).unwrap(), Moov::decode(&mut rest).unwrap());
        assert!(rest.is_empty());
        let record =
            VideoParameters::parse(format.codec, &format.parameter_sets).unwrap().decoder_configuration;
        assert!(memchr::memmem::find(&segment, &record).is_some(), "the record is written as it is");
        boxes
    }

    #[test]
    fn the_segment_describes_one_track_without_samples() {
        let (ftyp, moov) = parse(&format(Codec::H264, BASELINE));
        assert_eq!((ftyp.major_brand, ftyp.compatible_brands.len()), (b"iso5".into(), 3));
        assert_eq!((moov.mvhd.timescale, moov.mvhd.duration), (90_000, 0));
        let mvex = moov.mvex.unwrap();
        assert_eq!((mvex.mehd, mvex.trex.len(), mvex.trex[0].track_id), (None, 1, TRACK_ID));
        let [track] = &moov.trak[..] else { panic!("{:?}", moov.trak) };
        assert_eq!((track.tkhd.track_id, track.tkhd.duration), (TRACK_ID, 0));
        assert_eq!((track.mdia.mdhd.timescale, track.mdia.mdhd.duration), (90_000, 0));
        let stbl = &track.mdia.minf.stbl;
        assert!(stbl.stts.entries.is_empty() && stbl.stsc.entries.is_empty());
        assert!(stbl.stco.as_ref().unwrap().entries.is_empty());
        let visual = stbl.stsd.codecs[0].visual().unwrap();
        assert_eq!((visual.width, visual.height, visual.data_reference_index), (96, 64, 1));
    }

    #[test]
    fn the_sample_entry_says_that_parameter_sets_are_only_there() {
        let entry = |format: Format| parse(&format).1.trak[0].mdia.minf.stbl.stsd.codecs[0].clone();
        assert!(matches!(entry(format(Codec::H264, BASELINE)), SampleEntry::Avc1(_)));
        let SampleEntry::Hvc1(entry) = entry(format(Codec::H265, H265_10_BIT_CROPPED)) else { panic!() };
        assert_eq!((entry.visual.width, entry.visual.height), (100, 50));
        assert!(entry.hvcc.arrays.iter().all(|array| array.completeness));
    }

    #[test]
    fn the_content_type_names_the_codec() {
        let content_type = |codec, stream| content_type(&format(codec, stream)).unwrap();
        assert_eq!(content_type(Codec::H264, BASELINE), "video/mp4; codecs=\"avc1.42C00A\"");
        assert_eq!(content_type(Codec::H265, H265_10_BIT_CROPPED), "video/mp4; codecs=\"hvc1.2.4.L30.90\"");
    }

    #[test]
    fn what_does_not_go_into_the_segment_is_named() {
        for codec in [Codec::Jpeg, Codec::Raw(PixelFormat::Nv12, ColorRange::Full)] {
            let format = Format::new(codec, 96, 64);
            assert_eq!(init_segment(&format), Err(Error::NotInMp4 { codec }));
            assert_eq!(content_type(&format), Err(Error::NotInMp4 { codec }));
        }
        let without_sets = Format::new(Codec::H264, 96, 64);
        assert_eq!(init_segment(&without_sets), Err(Error::NoParameterSet { set: "SPS" }));
    }
}
