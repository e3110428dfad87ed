//! Chooses what to request from a device: a pure function of the device's capabilities and the requested mode.
//!
//! JPEG images come first, because they are passed on unchanged; then the raw format with the fewest bytes. If the
//! device does not have what was requested, the nearest capability replaces it, with a [`Lack`] to warn of; if the URL
//! is strict, that is an error.

use std::fmt;

use framecast_v4l2::{FourCc, Fraction};

use super::coding::Coding;
use super::offer::{Offer, Rates};
use super::target::Wish;

/// The default size of JPEG images, for a live page: up to this size they are cheap to pass on.
const JPEG_SIZE: (u32, u32) = (1280, 720);
/// The default size of raw pictures: they have to be encoded, and soon fill a USB 2.0 bus.
const RAW_SIZE: (u32, u32) = (640, 480);
const FPS: f64 = 30.0;
/// The most entries of a list that a message names.
const MAX_LISTED: usize = 24;

/// What to request from the device.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Choice {
    pub(super) fourcc: FourCc,
    pub(super) coding: Coding,
    pub(super) size: (u32, u32),
}

/// A request that the device cannot fulfil.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Lack {
    /// The requested capability: "size 800x600 in mjpeg".
    pub(super) wanted: String,
    /// The capabilities that the device has instead.
    pub(super) known: Vec<String>,
    /// What was chosen.
    pub(super) taken: String,
}

impl Lack {
    /// The capabilities of the device, as a short text.
    pub(super) fn has(&self) -> String {
        let mut listed = self.known.iter().take(MAX_LISTED).cloned().collect::<Vec<_>>().join(", ");
        if self.known.len() > MAX_LISTED {
            listed.push_str(" and more");
        }
        if listed.is_empty() { "nothing else is known of it".to_owned() } else { format!("it has {listed}") }
    }
}

impl fmt::Display for Lack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no {}; {}; {} is taken", self.wanted, self.has(), self.taken)
    }
}

/// Chooses format and size. `fixed` is the size of the signal at a digital input: the device's own.
///
/// # Errors
/// The names of the available formats, if Framecast can show none of them.
pub(super) fn choose(
    offers: &[Offer],
    wish: &Wish,
    fixed: Option<(u32, u32)>,
) -> Result<(Choice, Vec<Lack>), Vec<String>> {
    let mut lacks = Vec::new();
    let usable: Vec<(&Offer, Coding)> =
        offers.iter().filter_map(|offer| Some((offer, offer.coding()?))).collect();
    let wished: Vec<_> =
        usable.iter().filter(|(_, coding)| wish.coding.is_none_or(|wish| wish == *coding)).copied().collect();
    let is_lacking = wished.is_empty();
    let from = if is_lacking { &usable } else { &wished };
    let best = from.iter().flat_map(|&(offer, coding)| candidates(offer, coding, wish, fixed));
    let best = best.min_by(|a, b| a.rank.cmp(&b.rank));
    let Some(Candidate { choice, .. }) = best else {
        return Err(offers.iter().map(Offer::name).collect());
    };
    if let Some(wished) = wish.coding.filter(|_| is_lacking) {
        lacks.push(Lack {
            wanted: format!("format {}", wished.name()),
            known: distinct(usable.iter().map(|(_, coding)| coding.name().to_owned())),
            taken: choice.coding.name().to_owned(),
        });
    }
    if let Some(size) = wish.size.filter(|&size| size != choice.size) {
        lacks.push(no_size(offers, size, &choice));
    }
    Ok((choice, lacks))
}

/// A format and size with its rank: the smallest rank wins.
struct Candidate {
    rank: (u64, usize, bool, bool, u64),
    choice: Choice,
}

fn candidates(offer: &Offer, coding: Coding, wish: &Wish, fixed: Option<(u32, u32)>) -> Vec<Candidate> {
    let usual = if coding == Coding::Jpeg { JPEG_SIZE } else { RAW_SIZE };
    let wanted = wish.size.or(fixed).unwrap_or(usual);
    let is_open = wish.size.is_none() && fixed.is_none();
    let candidate = |size: (u32, u32), rates: Option<&Rates>| {
        let distance = u64::from(size.0.abs_diff(wanted.0)) + u64::from(size.1.abs_diff(wanted.1));
        let is_too_slow = is_open && wish.fps.zip(rates).is_some_and(|(fps, rates)| !rates.reach(fps));
        let is_larger = is_open && (size.0 > wanted.0 || size.1 > wanted.1);
        let asked_distance = if is_open { 0 } else { distance };
        let choice = Choice { fourcc: offer.fourcc, coding, size };
        Candidate { rank: (asked_distance, coding.cost(), is_too_slow, is_larger, distance), choice }
    };
    if offer.sizes.is_empty() {
        // The driver does not list its sizes; the result shows when the size is set.
        return vec![candidate(wanted, None)];
    }
    offer.sizes.iter().map(|extent| candidate(extent.nearest(wanted), Some(&extent.rates))).collect()
}

/// The unmet request for a size, with the sizes of the chosen format.
pub(super) fn no_size(offers: &[Offer], size: (u32, u32), choice: &Choice) -> Lack {
    let shown = |(width, height): (u32, u32)| format!("{width}x{height}");
    let of_choice = offers.iter().filter(|offer| offer.fourcc == choice.fourcc);
    let sizes = of_choice.flat_map(|offer| &offer.sizes).map(|extent| {
        if extent.min == extent.max {
            shown(extent.max)
        } else {
            format!("any from {} to {}", shown(extent.min), shown(extent.max))
        }
    });
    Lack {
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

impl Rates {
    /// Whether a rate of `fps` or more is among them; true if the rates are unknown.
    fn reach(&self, fps: f64) -> bool {
        match self {
            Self::Any(rates) => rates.is_empty() || rates.iter().any(|rate| *rate >= fps * 0.99),
            Self::Between(_, highest) => *highest >= fps * 0.99,
        }
    }
}

/// Chooses the rate at a size; `None` leaves the device's own. The default is 30 or the nearest rate below.
pub(super) fn choose_rate(rates: &Rates, asked: Option<f64>) -> Option<f64> {
    let wanted = asked.unwrap_or(FPS);
    match rates {
        Rates::Any(rates) if rates.is_empty() => asked,
        Rates::Any(rates) => rates.iter().copied().min_by(|a, b| {
            let rank = |fps: f64| (asked.is_none() && fps > wanted * 1.01, (fps - wanted).abs());
            let ((a_over, a), (b_over, b)) = (rank(*a), rank(*b));
            a_over.cmp(&b_over).then(a.total_cmp(&b))
        }),
        Rates::Between(lowest, highest) => Some(wanted.min(*highest).max(*lowest)),
    }
}

/// The unmet request for a rate, if the device set another one.
pub(super) fn no_rate(rates: &Rates, asked: Option<f64>, given: Option<f64>, at: &str) -> Option<Lack> {
    let (asked, given) = asked.zip(given)?;
    // 29.97 instead of 30 is close enough.
    if (asked - given).abs() <= asked * 0.01 {
        return None;
    }
    let known = match rates {
        Rates::Any(rates) => rates.iter().map(|fps| shown_fps(*fps)).collect(),
        Rates::Between(lowest, highest) => {
            vec![format!("any from {} to {}", shown_fps(*lowest), shown_fps(*highest))]
        }
    };
    Some(Lack { wanted: format!("{} fps at {at}", shown_fps(asked)), known, taken: shown_fps(given) })
}

/// A rate with at most two decimals.
pub(super) fn shown_fps(fps: f64) -> String {
    let shown = format!("{fps:.2}");
    shown.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// The interval of a rate, as drivers accept it: whole rates as 1/n, others in thousandths.
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
    use crate::v4l2::offer::recorded;

    const WEBCAM: &str = include_str!("../../../../testdata/v4l2-uvc-webcam-formats.txt");
    const VIVID: &str = include_str!("../../../../testdata/v4l2-vivid-webcam-formats.txt");
    const HDMI: &str = include_str!("../../../../testdata/v4l2-vivid-hdmi-formats.txt");

    const AUTO: Wish =
        Wish { coding: None, size: None, fps: None, range: None, input: None, is_strict: false };

    fn sized(width: u32, height: u32) -> Wish {
        Wish { size: Some((width, height)), ..AUTO }
    }

    fn choice(device: &str, wish: &Wish) -> (&'static str, (u32, u32), Vec<Lack>) {
        let (choice, lacks) = choose(&recorded(device), wish, None).unwrap();
        (choice.coding.name(), choice.size, lacks)
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
        let wish = Wish { coding: Some(Coding::Raw(PixelFormat::Yuyv)), ..sized(1920, 1080) };
        let (name, size, lacks) = choice(WEBCAM, &wish);
        assert_eq!((name, size), ("yuyv", (1280, 720)));
        assert_eq!(
            lacks[0].to_string(),
            "no size 1920x1080 in yuyv; it has 640x480, 320x240, 1280x720; 1280x720 is taken"
        );
    }

    #[test]
    fn a_format_that_the_device_lacks_is_told_with_those_it_has() {
        let wish = Wish { coding: Some(Coding::Raw(PixelFormat::Nv12)), ..AUTO };
        let (name, size, lacks) = choice(WEBCAM, &wish);
        assert_eq!((name, size), ("mjpeg", (1280, 720)));
        assert_eq!(lacks[0].to_string(), "no format nv12; it has mjpeg, yuyv; mjpeg is taken");
        let wish = Wish { coding: Some(Coding::Jpeg), ..AUTO };
        let known = &choice(VIVID, &wish).2[0].known;
        assert_eq!(known.len(), PixelFormat::ALL.len(), "each once, though some have several layouts");
    }

    #[test]
    fn a_device_with_nothing_to_show_is_told_what_it_has() {
        let names = choose(&recorded("H264 1280x720 30\nBA81 640x480 30\n"), &AUTO, None).unwrap_err();
        assert_eq!(names, ["H264", "BA81"]);
        assert!(choose(&[], &AUTO, None).unwrap_err().is_empty());
    }

    #[test]
    fn a_range_of_sizes_is_met_in_its_steps_and_a_digital_input_has_its_own_size() {
        assert_eq!(choice(HDMI, &sized(1001, 700)).1, (1002, 700));
        assert_eq!(choice(HDMI, &sized(1, 16_384)).1, (16, 8640));
        let (choice, lacks) = choose(&recorded(HDMI), &AUTO, Some((1920, 1080))).unwrap();
        assert_eq!((choice.size, lacks.len()), ((1920, 1080), 0));
    }

    #[test]
    fn a_range_of_sizes_without_sense_is_borne() {
        let offers = recorded("YUYV 1x4294967295..4294967295x1/4294967295x2\n");
        for fixed in [(u32::MAX, u32::MAX), (0, 0), (640, 480)] {
            assert!(choose(&offers, &AUTO, Some(fixed)).is_ok());
        }
    }

    #[test]
    fn a_driver_that_tells_no_sizes_is_asked_for_the_wished_one() {
        assert_eq!(choice("YUYV\n", &sized(720, 576)), ("yuyv", (720, 576), vec![]));
    }

    #[test]
    fn without_a_size_the_one_that_reaches_the_asked_rate_is_taken() {
        let wish = Wish { fps: Some(60.0), ..AUTO };
        assert_eq!(choice("MJPG 1280x720 30\nMJPG 640x480 60 30\n", &wish).1, (640, 480));
        assert_eq!(choice(VIVID, &wish).1, (320, 180));
    }

    #[test]
    fn rates_are_thirty_or_less_unless_asked_for() {
        let any = Rates::Any(vec![60.0, 29.97, 15.0]);
        assert_eq!(choose_rate(&any, None), Some(29.97));
        assert_eq!(choose_rate(&any, Some(60.0)), Some(60.0));
        assert_eq!(choose_rate(&any, Some(20.0)), Some(15.0));
        assert_eq!(choose_rate(&Rates::Any(vec![120.0, 60.0]), None), Some(60.0));
        assert_eq!(choose_rate(&Rates::Any(Vec::new()), None), None);
        assert_eq!(choose_rate(&Rates::Between(1.0, 20.0), None), Some(20.0));
        assert_eq!(choose_rate(&Rates::Between(5.0, 60.0), Some(2.0)), Some(5.0));
        assert_eq!(no_rate(&any, Some(30.0), Some(29.97), "640x480"), None);
        let lack = no_rate(&any, Some(20.0), Some(15.0), "640x480").unwrap();
        assert_eq!(lack.to_string(), "no 20 fps at 640x480; it has 60, 29.97, 15; 15 is taken");
    }

    #[test]
    fn a_rate_becomes_an_interval_that_drivers_know() {
        assert_eq!(interval(30.0), Fraction { numerator: 1, denominator: 30 });
        assert_eq!(interval(12.5), Fraction { numerator: 1000, denominator: 12_500 });
        assert_eq!(interval(0.1), Fraction { numerator: 1000, denominator: 100 });
    }
}
