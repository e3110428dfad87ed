//! The size and quality that JPEG frames have after transcoding.

use framecast_media::{Codec, Format};

/// The JPEG quality, from 1 to 100, if none was chosen.
pub const DEFAULT_QUALITY: u8 = 80;

/// The size and quality that JPEG frames have after transcoding. The default keeps pictures as they are: JPEG frames
/// pass unchanged, and raw frames are encoded at their own size with [`DEFAULT_QUALITY`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TargetFormat {
    /// The maximum width in pixels; `None` for no limit.
    pub width_px: Option<u32>,
    /// The maximum height in pixels; `None` for no limit.
    pub height_px: Option<u32>,
    /// The JPEG quality, 1 to 100; other values are clamped. `None` leaves a JPEG frame unchanged if it is within the
    /// maximum width and height.
    pub quality: Option<u8>,
    /// The JPEG quality, 1 to 100, of frames that must be encoded although `quality` is `None`: raw frames, and JPEG
    /// frames that must become smaller.
    pub default_quality: u8,
}

impl Default for TargetFormat {
    fn default() -> Self {
        Self { width_px: None, height_px: None, quality: None, default_quality: DEFAULT_QUALITY }
    }
}

impl TargetFormat {
    /// Returns the width and height that a picture of `width_px` by `height_px` pixels gets. They are within the
    /// maximum width and height, keep the aspect ratio, and are never larger than the picture's own. Neither becomes
    /// zero.
    pub fn fit(&self, width_px: u32, height_px: u32) -> (u32, u32) {
        let (width, height) = (u64::from(width_px), u64::from(height_px));
        let narrow = |limit: &u32| u64::from(*limit) < width;
        let low = |limit: &u32| u64::from(*limit) < height;
        let by_width =
            self.width_px.filter(narrow).map(|limit| (u64::from(limit), rounded(height, limit, width)));
        let by_height =
            self.height_px.filter(low).map(|limit| (rounded(width, limit, height), u64::from(limit)));
        let (width, height) = match (by_width, by_height) {
            (Some(one), Some(other)) => one.min(other),
            (one, other) => one.or(other).unwrap_or((width, height)),
        };
        // Neither side is longer than the picture's own side.
        (width.max(1) as u32, height.max(1) as u32)
    }

    /// Returns whether frames of `format` need no transcoding: they are JPEG, they are within the maximum size, and
    /// `quality` is `None`.
    pub fn accepts(&self, format: &Format) -> bool {
        let size = (format.width_px, format.height_px);
        format.codec == Codec::Jpeg && self.quality.is_none() && self.fit(size.0, size.1) == size
    }

    /// Returns the JPEG quality to encode with, 1 to 100.
    pub(crate) fn quality(&self) -> u8 {
        self.quality.unwrap_or(self.default_quality).clamp(1, 100)
    }
}

/// Returns `side * limit / of`, rounded to the nearest whole number.
fn rounded(side: u64, limit: u32, of: u64) -> u64 {
    (side * u64::from(limit) + of / 2) / of
}

#[cfg(test)]
mod tests {
    use super::*;

    fn within(width_px: u32, height_px: u32) -> TargetFormat {
        let some = |side| (side > 0).then_some(side);
        TargetFormat { width_px: some(width_px), height_px: some(height_px), ..TargetFormat::default() }
    }

    #[test]
    fn the_aspect_is_kept_and_both_sides_fit() {
        for (wished, size, fits) in [
            (within(320, 0), (1280, 720), (320, 180)),
            (within(0, 240), (640, 480), (320, 240)),
            (within(320, 320), (1280, 720), (320, 180)),
            (within(320, 320), (720, 1280), (180, 320)),
            (within(320, 0), (1366, 768), (320, 180)),
            (within(500, 300), (1000, 600), (500, 300)),
        ] {
            assert_eq!(wished.fit(size.0, size.1), fits, "{wished:?} of {size:?}");
        }
    }

    #[test]
    fn nothing_is_enlarged_and_nothing_vanishes() {
        assert_eq!(within(640, 0).fit(320, 240), (320, 240));
        assert_eq!(within(320, 240).fit(320, 240), (320, 240));
        assert_eq!(within(0, 0).fit(5, 3), (5, 3));
        assert_eq!(within(1, 0).fit(60_000, 2), (1, 1));
        assert_eq!(within(0, 1).fit(u32::MAX, u32::MAX), (1, 1));
    }
}
