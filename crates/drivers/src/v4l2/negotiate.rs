//! Chooses the format, size and rate to request from a device: a pure function of the device's capabilities and the
//! requested mode.
//!
//! JPEG images are preferred, because they are passed on unchanged. The second choice is the raw format with the fewest
//! bytes per picture. If the device does not have the format, size or rate that the URL requests, the nearest one is
//! used, and an [`UnmetRequest`] is logged as a warning. If the URL has the option `strict`, an unmet request is an
//! error.

use std::fmt;

use framecast_v4l2::{FourCc, Fraction};

use super::capabilities::{FrameRates, SupportedFormat};
use super::coding::Coding;
use super::target::RequestedMode;

/// The width and height of JPEG images, in pixels, if the URL requests no size. They suit a live page, and images up to
/// this size are cheap to pass on.
const JPEG_SIZE: (u32, u32) = (1280, 720);
/// The width and height of raw pictures, in pixels, if the URL requests no size. They are small because raw pictures
/// have to be encoded, and larger ones soon fill a USB 2.0 bus.
const RAW_SIZE: (u32, u32) = (640, 480);
const FPS: f64 = 30.0;
/// The maximum number of formats, sizes or rates that a message lists.
const MAX_LISTED: usize = 24;

/// The format and size to request from the device.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct ChosenFormat {
    pub(super) fourcc: FourCc,
    pub(super) coding: Coding,
    pub(super) size: (u32, u32),
}

/// A format, size, rate or input that the URL requests and the device does not have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct UnmetRequest {
    /// What the URL requests: "size 800x600 in mjpeg".
    pub(super) wanted: String,
    /// What the device has of the requested kind: its formats, sizes, rates or inputs.
    pub(super) known: Vec<String>,
    /// The format, size or rate that is used instead; empty for an input.
    pub(super) taken: String,
}

impl UnmetRequest {
    /// Returns a short text that lists what the device has instead: "it has 640x480, 1280x720".
    pub(super) fn has(&self) -> String {
        let mut listed = self.known.iter().take(MAX_LISTED).cloned().collect::<Vec<_>>().join(", ");
        if self.known.len() > MAX_LISTED {
            listed.push_str(" and more");
        }
        if listed.is_empty() {
            "the device does not list its choices".to_owned()
        } else {
            format!("it has {listed}")
        }
    }
}

impl fmt::Display for UnmetRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the device has no {}; {}; using {}", self.wanted, self.has(), self.taken)
    }
}

/// Chooses format and size. `input_size` is the size of the signal at a digital input, which is used if the URL
/// requests no size. Also returns the requests that cannot be met.
///
/// # Errors
/// The names of the device's formats, if Framecast can show none of them.
pub(super) fn choose_format(
    formats: &[SupportedFormat],
    requested: &RequestedMode,
    input_size: Option<(u32, u32)>,
) -> Result<(ChosenFormat, Vec<UnmetRequest>), Vec<String>> {
    let mut unmet_requests = Vec::new();
    let usable: Vec<(&SupportedFormat, Coding)> =
        formats.iter().filter_map(|supported| Some((supported, supported.coding()?))).collect();
    let matching: Vec<_> = usable
        .iter()
        .filter(|(_, coding)| requested.coding.is_none_or(|requested| requested == *coding))
        .copied()
        .collect();
    let is_lacking = matching.is_empty();
    let from = if is_lacking { &usable } else { &matching };
    let best =
        from.iter().flat_map(|&(supported, coding)| candidates(supported, coding, requested, input_size));
    let best = best.min_by(|a, b| a.rank.cmp(&b.rank));
    let Some(Candidate { choice, .. }) = best else {
        return Err(formats.iter().map(SupportedFormat::name).collect());
    };
    if let Some(wished) = requested.coding.filter(|_| is_lacking) {
        unmet_requests.push(UnmetRequest {
            wanted: format!("format {}", wished.name()),
            known: distinct(usable.iter().map(|(_, coding)| coding.name().to_owned())),
            taken: choice.coding.name().to_owned(),
        });
    }
    if let Some(size) = requested.size.filter(|&size| size != choice.size) {
        unmet_requests.push(unmet_size(formats, size, &choice));
    }
    Ok((choice, unmet_requests))
}

/// A possible format and size, with a rank. The candidate with the smallest rank is chosen.
struct Candidate {
    rank: (u64, usize, bool, bool, u64),
    choice: ChosenFormat,
}

fn candidates(
    supported: &SupportedFormat,
    coding: Coding,
    requested: &RequestedMode,
    input_size: Option<(u32, u32)>,
) -> Vec<Candidate> {
    let usual = if coding == Coding::Jpeg { JPEG_SIZE } else { RAW_SIZE };
    let wanted = requested.size.or(input_size).unwrap_or(usual);
    let is_open = requested.size.is_none() && input_size.is_none();
    let candidate = |size: (u32, u32), rates: Option<&FrameRates>| {
        let distance = u64::from(size.0.abs_diff(wanted.0)) + u64::from(size.1.abs_diff(wanted.1));
        let is_too_slow = is_open && requested.fps.zip(rates).is_some_and(|(fps, rates)| !rates.reach(fps));
        let is_larger = is_open && (size.0 > wanted.0 || size.1 > wanted.1);
        let asked_distance = if is_open { 0 } else { distance };
        let choice = ChosenFormat { fourcc: supported.fourcc, coding, size };
        Candidate { rank: (asked_distance, coding.cost(), is_too_slow, is_larger, distance), choice }
    };
    if supported.sizes.is_empty() {
        // The driver does not list its sizes. The actual size is not known before this one is set.
        return vec![candidate(wanted, None)];
    }
    supported.sizes.iter().map(|range| candidate(range.nearest(wanted), Some(&range.rates))).collect()
}

/// Creates the unmet request for the requested `size`. Lists the sizes that the device has in the format of `choice`.
pub(super) fn unmet_size(
    formats: &[SupportedFormat],
    size: (u32, u32),
    choice: &ChosenFormat,
) -> UnmetRequest {
    let shown = |(width, height): (u32, u32)| format!("{width}x{height}");
    let of_choice = formats.iter().filter(|supported| supported.fourcc == choice.fourcc);
    let sizes = of_choice.flat_map(|supported| &supported.sizes).map(|range| {
        if range.min == range.max {
            shown(range.max)
        } else {
            format!("any from {} to {}", shown(range.min), shown(range.max))
        }
    });
    UnmetRequest {
        wanted: format!("size {} in {}", shown(size), choice.coding.name()),
        known: distinct(sizes),
        taken: shown(choice.size),
    }
}

fn distinct(names: impl Iterator<Item = String>) -> Vec<String> {
    let mut known = Vec::new();
    for name in names {
        if !known.contains(&name) {
            known.push(name);
        }
    }
    known
}

impl FrameRates {
    /// Returns whether one of the rates is `fps` or more, or the rates are unknown.
    fn reach(&self, fps: f64) -> bool {
        match self {
            Self::Any(rates) => rates.is_empty() || rates.iter().any(|rate| *rate >= fps * 0.99),
            Self::Between(_, highest) => *highest >= fps * 0.99,
        }
    }
}

/// Chooses the frame rate from `rates`: the nearest to `asked`. Without `asked`, chooses 30 or the nearest rate below
/// 30 or, if there is none, the lowest rate. Returns `None` to keep the device's current rate.
pub(super) fn choose_rate(rates: &FrameRates, asked: Option<f64>) -> Option<f64> {
    let wanted = asked.unwrap_or(FPS);
    match rates {
        FrameRates::Any(rates) if rates.is_empty() => asked,
        FrameRates::Any(rates) => rates.iter().copied().min_by(|a, b| {
            let rank = |fps: f64| (asked.is_none() && fps > wanted * 1.01, (fps - wanted).abs());
            let ((a_over, a), (b_over, b)) = (rank(*a), rank(*b));
            a_over.cmp(&b_over).then(a.total_cmp(&b))
        }),
        FrameRates::Between(lowest, highest) => Some(wanted.min(*highest).max(*lowest)),
    }
}

/// Returns the unmet request for the frame rate `asked`, if the device has set a clearly different rate `given`;
/// otherwise `None`.
pub(super) fn unmet_rate(
    rates: &FrameRates,
    asked: Option<f64>,
    given: Option<f64>,
    at: &str,
) -> Option<UnmetRequest> {
    let (asked, given) = asked.zip(given)?;
    // 29.97 instead of 30 is close enough.
    if (asked - given).abs() <= asked * 0.01 {
        return None;
    }
    let known = match rates {
        FrameRates::Any(rates) => rates.iter().map(|fps| shown_fps(*fps)).collect(),
        FrameRates::Between(lowest, highest) => {
            vec![format!("any from {} to {}", shown_fps(*lowest), shown_fps(*highest))]
        }
    };
    Some(UnmetRequest { wanted: format!("{} fps at {at}", shown_fps(asked)), known, taken: shown_fps(given) })
}

/// Formats a frame rate with at most two decimals.
pub(super) fn shown_fps(fps: f64) -> String {
    let shown = format!("{fps:.2}");
    shown.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// Returns the frame interval for a rate, as a fraction of a second that drivers accept: 1/n for a whole rate n;
/// otherwise 1000/m, where m is the rate in thousandths of a frame per second.
pub(super) fn interval(fps: f64) -> Fraction {
    let whole = fps.round();
    if whole >= 1.0 && (fps - whole).abs() < 1e-6 {
        return Fraction { numerator: 1, denominator: whole as u32 };
    }
    Fraction { numerator: 1000, denominator: ((fps * 1000.0).round() as u32).max(1) }
}

#[cfg(test)]
mod tests {
    use framecast_media::PixelFormat;

    use super::*;
    use crate::v4l2::capabilities::recorded;

    const WEBCAM: &str = include_str!("../../../../testdata/v4l2-uvc-webcam-formats.txt");
    const VIVID: &str = include_str!("../../../../testdata/v4l2-vivid-webcam-formats.txt");
    const HDMI: &str = include_str!("../../../../testdata/v4l2-vivid-hdmi-formats.txt");

    const AUTO: RequestedMode =
        RequestedMode { coding: None, size: None, fps: None, range: None, input: None, is_strict: false };

    fn sized(width: u32, height: u32) -> RequestedMode {
        RequestedMode { size: Some((width, height)), ..AUTO }
    }

    fn choice(device: &str, requested: &RequestedMode) -> (&'static str, (u32, u32), Vec<UnmetRequest>) {
        let (choice, unmet_requests) = choose_format(&recorded(device), requested, None).unwrap();
        (choice.coding.name(), choice.size, unmet_requests)
    }

    #[test]
    fn without_a_wish_a_webcam_gives_jpeg_images_for_a_live_page() {
        assert_eq!(choice(WEBCAM, &AUTO), ("mjpeg", (1280, 720), vec![]));
        assert_eq!(choice("MJPG 1920x1080 30\nMJPG 800x600 30\n", &AUTO).1, (800, 600));
        assert_eq!(choice("MJPG 1920x1080 30\n", &AUTO).1, (1920, 1080));
    }

    #[test]
    fn without_jpeg_the_cheapest_raw_format_is_taken_at_a_small_size() {
        assert_eq!(
            choice(VIVID, &AUTO),
            ("i420", (640, 480), vec![]),
            "the first of three that cost the same"
        );
        assert_eq!(choice("GREY 640x480 30\nRGB3 640x480 30\nYUYV 640x480 30\n", &AUTO).0, "yuyv");
        assert_eq!(choice("GREY 640x480 30\n", &AUTO).0, "grey");
    }

    #[test]
    fn jpeg_at_the_asked_size_comes_first_and_raw_where_only_that_has_it() {
        assert_eq!(choice(WEBCAM, &sized(640, 480)), ("mjpeg", (640, 480), vec![]));
        assert_eq!(choice(WEBCAM, &sized(1920, 1080)), ("mjpeg", (1920, 1080), vec![]));
        assert_eq!(choice(WEBCAM, &sized(320, 240)), ("yuyv", (320, 240), vec![]));
    }

    #[test]
    fn an_asked_format_is_taken_at_its_nearest_size() {
        let requested = RequestedMode { coding: Some(Coding::Raw(PixelFormat::Yuyv)), ..sized(1920, 1080) };
        let (name, size, unmet_requests) = choice(WEBCAM, &requested);
        assert_eq!((name, size), ("yuyv", (1280, 720)));
        assert_eq!(
            unmet_requests[0].to_string(),
            "the device has no size 1920x1080 in yuyv; it has 640x480, 320x240, 1280x720; using 1280x720"
        );
    }

    #[test]
    fn a_format_that_the_device_lacks_is_told_with_those_it_has() {
        let requested = RequestedMode { coding: Some(Coding::Raw(PixelFormat::Nv12)), ..AUTO };
        let (name, size, unmet_requests) = choice(WEBCAM, &requested);
        assert_eq!((name, size), ("mjpeg", (1280, 720)));
        assert_eq!(
            unmet_requests[0].to_string(),
            "the device has no format nv12; it has mjpeg, yuyv; using mjpeg"
        );
        let requested = RequestedMode { coding: Some(Coding::Jpeg), ..AUTO };
        let known = &choice(VIVID, &requested).2[0].known;
        assert_eq!(known.len(), PixelFormat::ALL.len(), "each once, though some have several layouts");
    }

    #[test]
    fn a_device_with_nothing_to_show_is_told_what_it_has() {
        let names = choose_format(&recorded("H264 1280x720 30\nBA81 640x480 30\n"), &AUTO, None).unwrap_err();
        assert_eq!(names, ["H264", "BA81"]);
        assert!(choose_format(&[], &AUTO, None).unwrap_err().is_empty());
    }

    #[test]
    fn a_range_of_sizes_is_met_in_its_steps_and_a_digital_input_has_its_own_size() {
        assert_eq!(choice(HDMI, &sized(1001, 700)).1, (1002, 700));
        assert_eq!(choice(HDMI, &sized(1, 16_384)).1, (16, 8640));
        let (choice, unmet_requests) = choose_format(&recorded(HDMI), &AUTO, Some((1920, 1080))).unwrap();
        assert_eq!((choice.size, unmet_requests.len()), ((1920, 1080), 0));
    }

    #[test]
    fn a_range_of_sizes_without_sense_is_borne() {
        let formats = recorded("YUYV 1x4294967295..4294967295x1/4294967295x2\n");
        for input_size in [(u32::MAX, u32::MAX), (0, 0), (640, 480)] {
            assert!(choose_format(&formats, &AUTO, Some(input_size)).is_ok());
        }
    }

    #[test]
    fn a_driver_that_tells_no_sizes_is_asked_for_the_wished_one() {
        assert_eq!(choice("YUYV\n", &sized(720, 576)), ("yuyv", (720, 576), vec![]));
    }

    #[test]
    fn without_a_size_the_one_that_reaches_the_asked_rate_is_taken() {
        let requested = RequestedMode { fps: Some(60.0), ..AUTO };
        assert_eq!(choice("MJPG 1280x720 30\nMJPG 640x480 60 30\n", &requested).1, (640, 480));
        assert_eq!(choice(VIVID, &requested).1, (320, 180));
    }

    #[test]
    fn rates_are_thirty_or_less_unless_asked_for() {
        let any = FrameRates::Any(vec![60.0, 29.97, 15.0]);
        assert_eq!(choose_rate(&any, None), Some(29.97));
        assert_eq!(choose_rate(&any, Some(60.0)), Some(60.0));
        assert_eq!(choose_rate(&any, Some(20.0)), Some(15.0));
        assert_eq!(choose_rate(&FrameRates::Any(vec![120.0, 60.0]), None), Some(60.0));
        assert_eq!(choose_rate(&FrameRates::Any(Vec::new()), None), None);
        assert_eq!(choose_rate(&FrameRates::Between(1.0, 20.0), None), Some(20.0));
        assert_eq!(choose_rate(&FrameRates::Between(5.0, 60.0), Some(2.0)), Some(5.0));
        assert_eq!(unmet_rate(&any, Some(30.0), Some(29.97), "640x480"), None);
        let unmet = unmet_rate(&any, Some(20.0), Some(15.0), "640x480").unwrap();
        assert_eq!(unmet.to_string(), "the device has no 20 fps at 640x480; it has 60, 29.97, 15; using 15");
    }

    #[test]
    fn a_rate_becomes_an_interval_that_drivers_know() {
        assert_eq!(interval(30.0), Fraction { numerator: 1, denominator: 30 });
        assert_eq!(interval(12.5), Fraction { numerator: 1000, denominator: 12_500 });
        assert_eq!(interval(0.1), Fraction { numerator: 1000, denominator: 100 });
    }
}
