//! The video timings of a digital input, where the sender of the signal decides the picture size.

use std::os::fd::AsFd;

use crate::ioctl::{QUERY_DV_TIMINGS, S_DV_TIMINGS, call_flat};
use crate::sys::{DvTimings, Plain};
use crate::{Device, Error};

/// The timings of the signal at a digital input.
#[derive(Clone, Copy)]
pub struct Timings(DvTimings);

impl Timings {
    /// Returns the width of the picture in pixels.
    pub fn width_px(&self) -> u32 {
        self.0.width
    }

    /// Returns the height of the picture in pixels.
    pub fn height_px(&self) -> u32 {
        self.0.height
    }

    /// Returns the pictures per second (for an interlaced signal, two fields are one picture). Returns `None` if the
    /// driver reports no pixel clock.
    pub fn fps(&self) -> Option<f64> {
        let blanking = self.0.blanking;
        let sum = |part: &[u32]| part.iter().map(|&px| u64::from(px)).sum::<u64>();
        let columns = u64::from(self.0.width) + sum(&blanking[..3]);
        let is_interlaced = self.0.interlaced != 0;
        let rows = u64::from(self.0.height)
            + sum(&blanking[3..6])
            + if is_interlaced { sum(&blanking[6..]) } else { 0 };
        let pixels = columns.checked_mul(rows).filter(|&pixels| pixels > 0)?;
        let clock = self.0.pixel_clock;
        (clock > 0).then(|| clock as f64 / pixels as f64)
    }
}

impl std::fmt::Debug for Timings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Timings({}x{}, {:?} fps)", self.width_px(), self.height_px(), self.fps())
    }
}

impl Device {
    /// Measures the timings of the signal that arrives at the selected input.
    ///
    /// # Errors
    /// `ENOLINK` if there is no signal, `ENOLCK` if the signal is unstable, and an error for which
    /// [`Error::is_unsupported`] is true for inputs without timings.
    pub fn query_timings(&self) -> Result<Timings, Error> {
        let mut timings = DvTimings::zeroed();
        call_flat(self.as_fd(), QUERY_DV_TIMINGS, &mut timings)?;
        Ok(Timings(timings))
    }

    /// Sets the timings that the device uses for capture.
    ///
    /// # Errors
    /// An error for which [`Error::is_busy`] is true, while pictures are captured with other timings.
    pub fn set_timings(&self, timings: &Timings) -> Result<(), Error> {
        let mut timings = timings.0;
        call_flat(self.as_fd(), S_DV_TIMINGS, &mut timings)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_follows_from_clock_and_blanking() {
        let mut timings = DvTimings::zeroed();
        assert_eq!(Timings(timings).fps(), None);
        // CTA-861: 1280x720p60 is 1650 by 750 with blanking, at 74.25 MHz.
        (timings.width, timings.height, timings.pixel_clock) = (1280, 720, 74_250_000);
        timings.blanking = [110, 40, 220, 5, 5, 20, 7, 7, 7];
        assert_eq!(Timings(timings).fps(), Some(60.0));
        timings.blanking = [u32::MAX; 9];
        (timings.width, timings.height) = (u32::MAX, u32::MAX);
        assert!(Timings(timings).fps().is_none_or(|fps| fps < 1.0));
    }
}
