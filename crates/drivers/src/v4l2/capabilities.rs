//! The capabilities of a device, queried once: its formats, with their sizes and frame rates.

use framecast_v4l2::{Device, Error, FourCc, Intervals, Sizes};

use super::coding::Coding;
use crate::{DeviceFormat, DeviceSize};

/// A format that a device supports.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct SupportedFormat {
    pub(super) fourcc: FourCc,
    pub(super) sizes: Vec<SizeRange>,
}

/// A picture size or a range of sizes, with its frame rates.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct SizeRange {
    pub(super) min: (u32, u32),
    pub(super) max: (u32, u32),
    pub(super) step: (u32, u32),
    pub(super) rates: FrameRates,
}

/// The frame rates that the device supports, in frames per second.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum FrameRates {
    /// Each of the listed rates. The list is empty if the device does not report its rates.
    Any(Vec<f64>),
    /// All rates from the first value to the second.
    Between(f64, f64),
}

impl SupportedFormat {
    pub(super) fn coding(&self) -> Option<Coding> {
        Coding::of(self.fourcc)
    }

    /// Returns the format's name for display: Framecast's name, or the kernel's code if Framecast cannot show this
    /// format.
    pub(super) fn name(&self) -> String {
        self.coding().map_or_else(|| self.fourcc.to_string(), |coding| coding.name().to_owned())
    }
}

impl SizeRange {
    /// Returns the size in this range that is nearest to `wanted`.
    pub(super) fn nearest(&self, wanted: (u32, u32)) -> (u32, u32) {
        let side = |wanted: u32, min: u32, max: u32, step: u32| {
            let max = max.max(min);
            // The driver can report any numbers, and their sums may exceed 32 bits.
            let beyond = u64::from(wanted.clamp(min, max) - min);
            let step = u64::from(step.max(1));
            let nearest = u64::from(min) + (beyond + step / 2) / step * step;
            u32::try_from(nearest).unwrap_or(max).min(max)
        };
        (
            side(wanted.0, self.min.0, self.max.0, self.step.0),
            side(wanted.1, self.min.1, self.max.1, self.step.1),
        )
    }
}

/// Queries all formats of `device`, with their sizes and frame rates.
pub(super) fn query(device: &Device) -> Result<Vec<SupportedFormat>, Error> {
    let mut formats: Vec<SupportedFormat> = Vec::new();
    for info in device.formats()? {
        if formats.iter().all(|supported| supported.fourcc != info.fourcc) {
            // For formats that Framecast cannot show, only the names are queried, because some devices have eighty
            // formats.
            let is_usable = Coding::of(info.fourcc).is_some();
            let sizes = if is_usable { sizes(device, info.fourcc)? } else { Vec::new() };
            formats.push(SupportedFormat { fourcc: info.fourcc, sizes });
        }
    }
    Ok(formats)
}

fn sizes(device: &Device, fourcc: FourCc) -> Result<Vec<SizeRange>, Error> {
    match device.sizes(fourcc)? {
        Sizes::Discrete(sizes) => {
            let range = |size: (u32, u32)| {
                Ok(SizeRange { min: size, max: size, step: (1, 1), rates: rates(device, fourcc, size)? })
            };
            sizes.into_iter().filter(|size| size.0 > 0 && size.1 > 0).map(range).collect()
        }
        Sizes::Stepwise { min, max, step } => {
            // The kernel lists the rates of one size at a time. Every size has the rates of the largest size.
            Ok(vec![SizeRange { min, max, step, rates: rates(device, fourcc, max)? }])
        }
    }
}

/// Returns the frame rates that the device reports for one format and picture size, highest first.
pub(super) fn rates(device: &Device, fourcc: FourCc, size: (u32, u32)) -> Result<FrameRates, Error> {
    Ok(match device.intervals(fourcc, size.0, size.1)? {
        Intervals::Discrete(intervals) => {
            let mut rates: Vec<f64> = intervals.into_iter().filter_map(|interval| interval.fps()).collect();
            rates.sort_by(|a, b| b.total_cmp(a));
            rates.dedup();
            FrameRates::Any(rates)
        }
        Intervals::Stepwise { min, max } => match (max.fps(), min.fps()) {
            (Some(lowest), Some(highest)) => FrameRates::Between(lowest, highest),
            _ => FrameRates::Any(Vec::new()),
        },
    })
}

/// Returns `formats` in the form of the API, with the largest sizes first. A range of sizes or rates is represented by
/// its two ends.
pub(super) fn device_formats(formats: &[SupportedFormat]) -> Vec<DeviceFormat> {
    let format = |supported: &SupportedFormat| {
        let mut sizes: Vec<DeviceSize> = supported.sizes.iter().flat_map(device_sizes).collect();
        sizes.sort_by_key(|size| {
            std::cmp::Reverse((u64::from(size.width) * u64::from(size.height), size.width))
        });
        DeviceFormat { format: supported.name(), is_usable: supported.coding().is_some(), sizes }
    };
    formats.iter().map(format).collect()
}

fn device_sizes(range: &SizeRange) -> Vec<DeviceSize> {
    let rounded = |fps: f64| (fps * 1000.0).round() / 1000.0;
    let fps: Vec<f64> = match &range.rates {
        FrameRates::Any(rates) => rates.iter().copied().map(rounded).collect(),
        FrameRates::Between(lowest, highest) => vec![rounded(*highest), rounded(*lowest)],
    };
    let size = |(width, height)| DeviceSize { width, height, fps: fps.clone() };
    if range.min == range.max { vec![size(range.max)] } else { vec![size(range.max), size(range.min)] }
}

/// Parses capabilities as `testdata/` records them. Each line is a size with its rates, as in `YUYV 640x480 30 25`. A
/// range of sizes is written `16x16..3840x2160/2x2`, a range of rates `1..60`.
#[cfg(test)]
pub(super) fn recorded(text: &str) -> Vec<SupportedFormat> {
    let size = |text: &str| {
        let (width, height) = text.split_once('x').unwrap();
        (width.parse::<u32>().unwrap(), height.parse::<u32>().unwrap())
    };
    let mut formats: Vec<SupportedFormat> = Vec::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let mut words = line.split_whitespace();
        let mut letters = *b"    ";
        let name = words.next().unwrap().as_bytes();
        letters[..name.len()].copy_from_slice(name);
        let fourcc = FourCc::new(letters);
        if formats.last().is_none_or(|supported| supported.fourcc != fourcc) {
            formats.push(SupportedFormat { fourcc, sizes: Vec::new() });
        }
        let Some(place) = words.next() else { continue };
        let (range, step) = place.split_once('/').unwrap_or((place, "1x1"));
        let (min, max) = range.split_once("..").unwrap_or((range, range));
        let words: Vec<&str> = words.collect();
        let rates = match words.first().and_then(|word| word.split_once("..")) {
            Some((lowest, highest)) => FrameRates::Between(lowest.parse().unwrap(), highest.parse().unwrap()),
            None => {
                let mut rates: Vec<f64> = words.iter().map(|word| word.parse().unwrap()).collect();
                rates.sort_by(|a, b| b.total_cmp(a));
                FrameRates::Any(rates)
            }
        };
        let range = SizeRange { min: size(min), max: size(max), step: size(step), rates };
        formats.last_mut().unwrap().sizes.push(range);
    }
    formats
}
