//! Renditions: versions of a camera's pictures with a different size, quality or rate. The server makes each rendition
//! once for all viewers that ask for it.
//!
//! Each requested value is rounded to a value in a short list, so that clients cannot ask for a thousand different
//! renditions. This module only describes renditions; encoders make the pictures.

use std::fmt;
use std::ops::RangeInclusive;

/// The range of the width or height that a client can request, in pixels.
pub const SIDE_RANGE_PX: RangeInclusive<u32> = 16..=8192;

/// The range of the JPEG quality that a client can request.
pub const QUALITY_RANGE: RangeInclusive<u8> = 1..=100;

const WIDTHS_PX: &[u32] = &[160, 240, 320, 480, 640, 800, 960, 1280, 1600, 1920, 2560, 3840];
const HEIGHTS_PX: &[u32] = &[120, 180, 240, 360, 480, 600, 720, 900, 1080, 1440, 2160];
const QUALITIES: &[u8] = &[30, 40, 50, 60, 70, 80, 90, 95];
const FRAME_RATES: &[u32] = &[1, 2, 5, 10, 15, 20, 25, 30, 60];

/// A rendition, which is a version of a camera's pictures: the limits on their size and rate, and their JPEG quality. A
/// value of `None` stands for the camera's own width, height, rate or quality.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Rendition {
    width_px: Option<u32>,
    height_px: Option<u32>,
    quality: Option<u8>,
    fps: Option<u32>,
}

impl Rendition {
    /// Limits the width to `width_px`, rounded up to the next width in a fixed list, or to the largest in the list. If
    /// the [height](Self::with_height) is limited too, the picture fits within both limits. The aspect ratio does not
    /// change, and no picture is enlarged.
    #[must_use]
    pub fn with_width(self, width_px: u32) -> Self {
        Self { width_px: Some(round_up(WIDTHS_PX, width_px)), ..self }
    }

    /// Limits the height to `height_px`, rounded up to the next height in a fixed list, or to the largest in the list.
    /// The aspect ratio does not change, and no picture is enlarged.
    #[must_use]
    pub fn with_height(self, height_px: u32) -> Self {
        Self { height_px: Some(round_up(HEIGHTS_PX, height_px)), ..self }
    }

    /// Sets the JPEG quality to `quality`, 1 to 100, rounded to the nearest value in a fixed list.
    #[must_use]
    pub fn with_quality(self, quality: u8) -> Self {
        let nearest = QUALITIES.iter().copied().min_by_key(|known| known.abs_diff(quality));
        Self { quality: nearest, ..self }
    }

    /// Limits the rate to `fps` pictures per second, rounded up to the next rate in a fixed list. If `fps` is above the
    /// highest rate in the list, there is no limit.
    #[must_use]
    pub fn with_fps(self, fps: f64) -> Self {
        Self { fps: FRAME_RATES.iter().copied().find(|rate| f64::from(*rate) >= fps), ..self }
    }

    /// Returns the maximum width in pixels; `None` for the camera's own width.
    pub fn width_px(&self) -> Option<u32> {
        self.width_px
    }

    /// Returns the maximum height in pixels; `None` for the camera's own height.
    pub fn height_px(&self) -> Option<u32> {
        self.height_px
    }

    /// Returns the JPEG quality; `None` for the camera's own quality.
    pub fn quality(&self) -> Option<u8> {
        self.quality
    }

    /// Returns the maximum number of pictures per second; `None` for the camera's own rate.
    pub fn fps(&self) -> Option<u32> {
        self.fps
    }

    /// Returns whether the rendition limits the size or sets the quality, so that pictures must be encoded. A rendition
    /// that only limits the rate does not change the pictures.
    pub fn changes_pictures(&self) -> bool {
        self.width_px.is_some() || self.height_px.is_some() || self.quality.is_some()
    }

    /// Returns whether the rendition changes nothing, so that viewers get the camera's own pictures at their own rate.
    pub fn is_original(&self) -> bool {
        *self == Self::default()
    }
}

/// Returns the smallest value of the ascending `list` that is at least `wanted`. If there is no such value, returns the
/// last value.
fn round_up(list: &[u32], wanted: u32) -> u32 {
    list.iter().copied().find(|known| *known >= wanted).unwrap_or(list[list.len() - 1])
}

impl fmt::Display for Rendition {
    /// Writes the rendition in the form of a URL's query, such as `width=640&quality=60`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = [
            ("width", self.width_px),
            ("height", self.height_px),
            ("quality", self.quality.map(u32::from)),
            ("fps", self.fps),
        ];
        let mut separator = "";
        for (name, value) in parts {
            if let Some(value) = value {
                write!(f, "{separator}{name}={value}")?;
                separator = "&";
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_is_snapped_to_the_lists() {
        let snapped = |width: u32, quality: u8, fps: f64| {
            Rendition::default().with_width(width).with_quality(quality).with_fps(fps).to_string()
        };
        assert_eq!(snapped(320, 60, 5.0), "width=320&quality=60&fps=5");
        assert_eq!(snapped(321, 64, 4.1), "width=480&quality=60&fps=5");
        assert_eq!(snapped(1, 1, 0.01), "width=160&quality=30&fps=1");
        assert_eq!(snapped(8192, 100, 25.5), "width=3840&quality=95&fps=30");
        assert_eq!(snapped(640, 80, 1000.0), "width=640&quality=80");
        assert_eq!(Rendition::default().with_height(300).to_string(), "height=360");
    }

    #[test]
    fn the_same_wish_is_the_same_rendition() {
        let wish = |width| Rendition::default().with_width(width);
        assert_eq!(wish(300), wish(320));
        assert_ne!(wish(320), wish(330));
        assert!(Rendition::default().is_original() && !wish(320).is_original());
        assert!(wish(320).changes_pictures() && !Rendition::default().with_fps(5.0).changes_pictures());
    }
}
