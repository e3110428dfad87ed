//! The methods that are measured within this process; the module `tool` runs external programs. Each method encodes,
//! transcodes or decodes one picture.

use std::{sync::Arc, time::SystemTime};

use anyhow::{Result, bail};
use framecast_media::{
    Bytes, Codec, Format, Frame, Timestamp,
    codec::{
        RgbImage, jpeg,
        raw::{ColorRange, PixelFormat, pack},
    },
};
use framecast_transcode::{Backend, Decoder, Encoder, TargetFormat, Transcoder};
use framecast_turbojpeg::{
    Compressor, Decompressor, Library, PackedFormat as Packed, Plane, PlaneMut, Subsampling, Yuv,
};

/// The name of the table row for libjpeg-turbo without our code: the library encodes a picture whose colour planes are
/// already prepared. The row shows which part of our encoder's time the library uses.
pub(crate) const LIBRARY_ALONE: &str = "the library alone, planes ready";

/// One method that is measured: a way to encode, transcode or decode one picture.
pub(super) struct Case {
    name: String,
    run: Box<dyn FnMut() -> Result<usize>>,
}

impl Case {
    fn new(name: impl Into<String>, run: impl FnMut() -> Result<usize> + 'static) -> Self {
        Self { name: name.into(), run: Box::new(run) }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Runs the method once on its picture. Returns the number of bytes of the result.
    pub(super) fn run(&mut self) -> Result<usize> {
        (self.run)()
    }
}

/// Creates all methods that are measured. `hd` is a picture of 1280x720, `full_hd` one of 1920x1080, and `best` the
/// codec that Framecast itself would choose on this machine.
///
/// # Errors
///
/// A codec cannot be created, or a picture cannot be prepared for it.
pub(super) fn all(best: Backend, hd: &RgbImage, full_hd: &RgbImage, quality: u8) -> Result<Vec<Case>> {
    let mut cases = Vec::new();
    if let Backend::Turbo(library) = best {
        cases.push(library_alone(library, hd, quality)?);
    }
    for format in [PixelFormat::I420, PixelFormat::Nv12, PixelFormat::Yuyv, PixelFormat::Rgb24] {
        for range in [ColorRange::Full, ColorRange::Limited] {
            if format.is_yuv() || range == ColorRange::Full {
                cases.push(encode(best, raw(hd, format, range), quality)?);
            }
        }
    }
    cases.push(encode(best, raw(full_hd, PixelFormat::Yuyv, ColorRange::Full), quality)?);
    if let Backend::Turbo(library) = best {
        for format in [PixelFormat::I420, PixelFormat::Yuyv] {
            cases.push(detour(library, raw(hd, format, ColorRange::Full), quality)?);
        }
    }
    let pure = Backend::pure_rust();
    for format in [PixelFormat::I420, PixelFormat::Nv12, PixelFormat::Yuyv] {
        cases.push(encode(pure, raw(hd, format, ColorRange::Full), quality)?);
    }
    let coded = frame(hd, Codec::Jpeg, jpeg::encode(hd, quality)?);
    for backend in [best, pure] {
        cases.push(rendition(backend, coded.clone())?);
        cases.push(luma(backend, coded.clone())?);
    }
    Ok(cases)
}

fn frame(picture: &RgbImage, codec: Codec, data: impl Into<Bytes>) -> Frame {
    let format = Format::new(codec, picture.width_px(), picture.height_px());
    Frame::new(data.into(), Timestamp::default(), SystemTime::UNIX_EPOCH, Arc::new(format))
}

fn raw(picture: &RgbImage, format: PixelFormat, range: ColorRange) -> Frame {
    frame(picture, Codec::Raw(format, range), pack(picture, format, range))
}

fn encode(backend: Backend, frame: Frame, quality: u8) -> Result<Case> {
    let mut encoder = Encoder::new(backend)?;
    let Codec::Raw(format, range) = frame.format.codec else { bail!("not a raw picture") };
    let size = if frame.format.height_px == 1080 { " 1920x1080" } else { "" };
    let range = if range == ColorRange::Limited { ", limited range" } else { "" };
    let name = format!("{}: {format}{size}{range}", backend.name());
    Ok(Case::new(name, move || Ok(encoder.encode(&frame, quality)?.len())))
}

/// Returns the three colour planes of an I420 picture. Width and height must be even.
fn planes(frame: &Frame) -> [Plane<'_>; 3] {
    let (width, height) = (frame.format.width_px as usize, frame.format.height_px as usize);
    let (luma, chroma) = frame.data.split_at(width * height);
    let (cb, cr) = chroma.split_at(chroma.len() / 2);
    [
        Plane { data: luma, stride: width },
        Plane { data: cb, stride: width / 2 },
        Plane { data: cr, stride: width / 2 },
    ]
}

fn yuv<'a>(frame: &Frame, planes: &'a [Plane<'a>]) -> Yuv<'a> {
    let (width, height) = (frame.format.width_px as usize, frame.format.height_px as usize);
    Yuv { planes, width, height, subsampling: Subsampling::S420 }
}

fn library_alone(library: &'static Library, picture: &RgbImage, quality: u8) -> Result<Case> {
    let frame = raw(picture, PixelFormat::I420, ColorRange::Full);
    let mut compressor = Compressor::new(library)?;
    let mut out = vec![0; worst_case(library, &frame)?];
    Ok(Case::new(LIBRARY_ALONE, move || {
        Ok(compressor.planes(&yuv(&frame, &planes(&frame)), quality, &mut out)?)
    }))
}

fn worst_case(library: &Library, frame: &Frame) -> Result<usize> {
    let (width, height) = (frame.format.width_px as usize, frame.format.height_px as usize);
    Ok(library.max_jpeg_bytes(width, height, Subsampling::S420)?)
}

/// Creates a method that converts YUV pixels to RGB and then encodes the RGB pixels. libjpeg-turbo does both steps with
/// vector instructions. YUYV is first split into planes by a loop like that in our encoder, because the library reads
/// only planes.
fn detour(library: &'static Library, frame: Frame, quality: u8) -> Result<Case> {
    let Codec::Raw(format, _) = frame.format.codec else { bail!("not a raw picture") };
    let (width, height) = (frame.format.width_px as usize, frame.format.height_px as usize);
    let (mut compressor, mut decompressor) = (Compressor::new(library)?, Decompressor::new(library)?);
    let mut out = vec![0; worst_case(library, &frame)?];
    let mut rgb = vec![0; width * height * 3];
    let mut apart = [vec![0; width * height], vec![0; width * height / 2], vec![0; width * height / 2]];
    Ok(Case::new(format!("libjpeg-turbo: {format} by way of RGB"), move || {
        let target = PlaneMut { data: &mut rgb, stride: width * 3 };
        if format == PixelFormat::I420 {
            decompressor.convert(&yuv(&frame, &planes(&frame)), Packed::Rgb, target)?;
        } else {
            pulp::Arch::new().dispatch(SplitYuyv(&frame.data, &mut apart));
            let [luma, cb, cr] = &apart;
            let planes = [
                Plane { data: luma, stride: width },
                Plane { data: cb, stride: width / 2 },
                Plane { data: cr, stride: width / 2 },
            ];
            let yuv = Yuv { planes: &planes, width, height, subsampling: Subsampling::S422 };
            decompressor.convert(&yuv, Packed::Rgb, target)?;
        }
        let pixels = Plane { data: &rgb, stride: width * 3 };
        let size = (width, height, Packed::Rgb);
        Ok(compressor.pixels(pixels, size, Subsampling::S420, quality, &mut out)?)
    }))
}

/// The task of splitting YUYV pixels (the first field) into three 4:2:2 planes (the second field). The crate `pulp`
/// compiles the task for several vector instruction sets and runs the fastest.
struct SplitYuyv<'a>(&'a [u8], &'a mut [Vec<u8>; 3]);

impl pulp::NullaryFnOnce for SplitYuyv<'_> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let Self(yuyv, [luma, cb, cr]) = self;
        for (luma, pair) in luma.iter_mut().zip(yuyv.as_chunks::<2>().0) {
            *luma = pair[0];
        }
        let quads = yuyv.as_chunks::<4>().0;
        for ((cb, cr), quad) in cb.iter_mut().zip(cr).zip(quads) {
            (*cb, *cr) = (quad[1], quad[3]);
        }
    }
}

fn rendition(backend: Backend, coded: Frame) -> Result<Case> {
    let mut transcoder = Transcoder::new(backend)?;
    let target_format = TargetFormat { width_px: Some(320), ..TargetFormat::default() };
    let name = format!("{}: JPEG to a rendition 320 wide", backend.name());
    Ok(Case::new(name, move || Ok(transcoder.transcode(&coded, &target_format)?.data.len())))
}

fn luma(backend: Backend, coded: Frame) -> Result<Case> {
    let mut decoder = Decoder::new(backend)?;
    let name = format!("{}: JPEG to luma 320 wide", backend.name());
    Ok(Case::new(name, move || {
        let planar = decoder.decode_luma_scaled(&coded.data, 1 << 24, (320, 180))?;
        Ok(planar.planes().map(|plane| plane.data.len()).sum())
    }))
}
