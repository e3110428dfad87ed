//! Parses which rendition (size, quality and frame rate) of a camera's pictures a request asks for: `?width=`,
//! `?height=`, `?quality=` and, for streams, `?fps=`.
//!
//! A number out of its range is refused, and the error names the range. A number within its range is rounded to one of
//! the few values that the hub encodes. If the limit on renditions is reached, an existing rendition can replace the
//! requested one.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::str::FromStr;

use framecast_hub::{Feed, QUALITY_RANGE, Rendition, SIDE_RANGE_PX};

use crate::{HttpError, query_parameter};

/// The range of a requested frame rate, in pictures a second.
pub(crate) const FPS: RangeInclusive<f64> = 0.01..=1000.0;

/// Parses the size and the quality that `query` asks for. Ignores the frame rate.
///
/// # Errors
/// If a parameter is not a number, or is out of its range.
pub(crate) fn parse(query: &str) -> Result<Rendition, HttpError> {
    let mut rendition = Rendition::default();
    if let Some(width) = number(query, "width", SIDE_RANGE_PX, "pixels")? {
        rendition = rendition.with_width(width);
    }
    if let Some(height) = number(query, "height", SIDE_RANGE_PX, "pixels")? {
        rendition = rendition.with_height(height);
    }
    if let Some(quality) = number(query, "quality", QUALITY_RANGE, "a whole number")? {
        rendition = rendition.with_quality(quality);
    }
    Ok(rendition)
}

/// Parses the size, quality and frame rate that `query` asks for, for a stream of `feed`. Returns the rendition and the
/// requested maximum number of pictures a second; `None` for the latter if `query` asks for no frame rate.
///
/// # Errors
/// If a parameter is not a number, or is out of its range.
pub(crate) fn parse_with_fps(query: &str, feed: &Feed) -> Result<(Rendition, Option<f64>), HttpError> {
    let rendition = parse(query)?;
    let fps = number(query, "fps", FPS, "a number")?;
    Ok((limit_fps(rendition, fps, feed), fps))
}

/// Returns `rendition` for a viewer that takes at most `fps` pictures a second. If the server must encode pictures for
/// the viewer, the returned rendition is limited to about `fps` too, so that no picture is encoded in vain.
pub(crate) fn limit_fps(rendition: Rendition, fps: Option<f64>, feed: &Feed) -> Rendition {
    // A stream can drop coded pictures for each viewer. But if each picture costs an encoder's work, the encoder should
    // make only those that someone sees.
    let is_encoded = rendition.changes_pictures() || feed.needs_encoder();
    match fps {
        Some(fps) if is_encoded => rendition.with_fps(fps),
        _ => rendition,
    }
}

/// Returns `rendition` in a width of `width_px` pixels, for a viewer that takes at most `fps` pictures a second. The
/// server must encode these pictures, even if those of `rendition` are the camera's own, so their rate is limited too.
pub(crate) fn narrowed(rendition: Rendition, width_px: u32, fps: Option<f64>) -> Rendition {
    let narrow = rendition.with_width(width_px);
    fps.map_or(narrow, |fps| narrow.with_fps(fps))
}

/// Returns the smallest of the existing renditions `made` that is at least as large as `requested` and has at least
/// half the frame rate of `requested`. If there is none, returns the rendition of the camera's own pictures, which
/// always exist.
pub(crate) fn nearest(made: &[Rendition], requested: Rendition) -> Rendition {
    // A value that a rendition does not set is the camera's own, which is the largest.
    let bounds = |rendition: Rendition| {
        let [width, height, fps] = [rendition.width_px(), rendition.height_px(), rendition.fps()];
        [width, height, fps].map(|bound| bound.unwrap_or(u32::MAX))
    };
    let [width, height, fps] = bounds(requested);
    let key = |rendition: &Rendition| {
        let [made_width, made_height, made_fps] = bounds(*rendition);
        let is_enough = made_width >= width && made_height >= height && made_fps >= fps / 2;
        is_enough.then_some((made_width, made_height, made_fps < fps, made_fps))
    };
    let enough = made.iter().filter_map(|rendition| Some((key(rendition)?, *rendition)));
    enough.min_by_key(|(key, _)| *key).map(|(_, rendition)| rendition).unwrap_or_default()
}

fn number<T>(
    query: &str,
    name: &'static str,
    range: RangeInclusive<T>,
    what: &str,
) -> Result<Option<T>, HttpError>
where
    T: FromStr + PartialOrd + Display,
{
    let Some(text) = query_parameter(query, name) else { return Ok(None) };
    match text.parse::<T>() {
        Ok(value) if range.contains(&value) => Ok(Some(value)),
        _ => {
            let expected = format!("must be {what} from {} to {}", range.start(), range.end());
            Err(HttpError::bad_parameter(name, &text, &expected))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::SystemTime;

    use framecast_hub::Hub;
    use framecast_media::{Codec, ColorRange, Format, PixelFormat};
    use framecast_testkit::frame;

    use super::*;
    use crate::publish::Publish;

    fn feed() -> Arc<Feed> {
        Hub::new().add("door", SystemTime::UNIX_EPOCH).unwrap()
    }

    #[test]
    fn a_parameter_may_be_percent_encoded_and_the_last_of_a_name_counts() {
        let width = |query| number::<u32>(query, "width", 16..=4096, "a width");
        assert_eq!(width("width=1&%77idth=6%340").unwrap(), Some(640));
        assert!(width("width=%FF").is_err());
    }

    #[test]
    fn numbers_out_of_range_are_answered_with_the_range() {
        for (query, told) in [
            ("width=0", "width=0: must be pixels from 16 to 8192"),
            ("width=100000", "width=100000: must be pixels from 16 to 8192"),
            ("width=abc", "width=abc: must be pixels from 16 to 8192"),
            ("height=-1", "height=-1: must be pixels from 16 to 8192"),
            ("quality=101", "quality=101: must be a whole number from 1 to 100"),
            ("fps=nan", "fps=nan: must be a number from 0.01 to 1000"),
        ] {
            let refusal = parse_with_fps(query, &feed()).unwrap_err();
            assert_eq!((refusal.status.as_u16(), refusal.message.as_str()), (400, told));
        }
    }

    #[test]
    fn a_rate_alone_needs_no_rendition_of_coded_pictures_but_one_of_raw_ones() {
        let feed = feed();
        feed.publish(frame(1));
        assert_eq!(parse_with_fps("fps=5", &feed).unwrap(), (Rendition::default(), Some(5.0)));
        assert_eq!(parse_with_fps("fps=5&width=320", &feed).unwrap().0.to_string(), "width=320&fps=5");
        let codec = Codec::Raw(PixelFormat::Grey, ColorRange::Full);
        let mut raw = frame(2);
        raw.format = Arc::new(Format::new(codec, 1, 1));
        feed.publish(raw);
        assert_eq!(
            parse_with_fps("fps=4.5", &feed).unwrap(),
            (Rendition::default().with_fps(5.0), Some(4.5))
        );
    }

    #[test]
    fn what_stands_in_for_a_rendition_is_no_smaller_and_hardly_slower() {
        let size = |width, height| Rendition::default().with_width(width).with_height(height);
        let made =
            [size(320, 180), size(1280, 720), size(640, 480).with_fps(10.0), size(640, 480).with_fps(1.0)];
        assert_eq!(nearest(&made, size(480, 360)), made[1], "the others are too slow");
        for fps in [5.0, 10.0, 20.0] {
            assert_eq!(nearest(&made, size(480, 360).with_fps(fps)), made[2], "{fps}");
        }
        assert_eq!(nearest(&made, size(480, 360).with_fps(1.0)), made[3]);
        assert_eq!(nearest(&made, size(160, 720)), made[1]);
        assert_eq!(nearest(&made, size(1920, 1080)), Rendition::default());
        assert_eq!(nearest(&made, Rendition::default().with_fps(5.0)), Rendition::default());
    }
}
