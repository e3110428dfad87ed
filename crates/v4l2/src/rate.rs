//! Frame intervals (the time from one frame to the next): those that a device supports, and the current one.

use std::os::fd::AsFd;

use crate::ioctl::{ENUM_FRAMEINTERVALS, G_PARM, S_PARM, call_flat, enumerate};
use crate::sys::{FrmIvalEnum, Plain, StreamParm};
use crate::{Device, Error, FourCc};

const MAX_INTERVALS: u32 = 256;

/// The kernel's flag for a device whose frame interval can be set (`V4L2_CAP_TIMEPERFRAME`).
const CAN_SET_RATE: u32 = 0x1000;

/// A time in seconds as a fraction, such as 1/30 of a second.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fraction {
    /// The numerator.
    pub numerator: u32,
    /// The denominator.
    pub denominator: u32,
}

impl Fraction {
    /// Returns the frames per second if this fraction is a frame interval; `None` if the interval is zero or infinite.
    pub fn fps(self) -> Option<f64> {
        (self.numerator > 0 && self.denominator > 0)
            .then(|| f64::from(self.denominator) / f64::from(self.numerator))
    }
}

/// The frame intervals that a device supports at one format and size.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Intervals {
    /// Only these intervals.
    Discrete(Vec<Fraction>),
    /// All intervals from the shortest to the longest.
    Stepwise {
        /// The shortest interval, which gives the highest rate.
        min: Fraction,
        /// The longest interval, which gives the lowest rate.
        max: Fraction,
    },
}

impl Device {
    /// Returns the frame intervals that the device supports at this format and size. The result is an empty
    /// [`Intervals::Discrete`] if the driver does not list intervals.
    ///
    /// # Errors
    /// The kernel's error.
    pub fn intervals(&self, format: FourCc, width_px: u32, height_px: u32) -> Result<Intervals, Error> {
        let ask = |index| FrmIvalEnum {
            index,
            pixel_format: format.0,
            width: width_px,
            height: height_px,
            ..FrmIvalEnum::zeroed()
        };
        let answers = enumerate(self.as_fd(), ENUM_FRAMEINTERVALS, MAX_INTERVALS, ask, |answer| *answer)?;
        let fraction = |[numerator, denominator]: [u32; 2]| Fraction { numerator, denominator };
        Ok(match answers.first() {
            Some(FrmIvalEnum { kind: 2 | 3, interval: [min_n, min_d, max_n, max_d, ..], .. }) => {
                Intervals::Stepwise { min: fraction([*min_n, *min_d]), max: fraction([*max_n, *max_d]) }
            }
            _ => Intervals::Discrete(
                answers.iter().map(|a| fraction([a.interval[0], a.interval[1]])).collect(),
            ),
        })
    }

    /// Returns the current frame interval, or `None` if the device has no setting for the interval.
    ///
    /// # Errors
    /// The kernel's error.
    pub fn interval(&self) -> Result<Option<Fraction>, Error> {
        self.rate_call(None)
    }

    /// Sets the frame interval. Returns the interval that the driver chose, or `None` if the device has no setting for
    /// the interval.
    ///
    /// # Errors
    /// An error for which [`Error::is_busy`] is true, while pictures are captured.
    pub fn set_interval(&self, interval: Fraction) -> Result<Option<Fraction>, Error> {
        self.rate_call(Some(interval))
    }

    fn rate_call(&self, set: Option<Fraction>) -> Result<Option<Fraction>, Error> {
        let mut parm = StreamParm::zeroed();
        parm.buf_type = self.buffer_type();
        let number = match set {
            Some(Fraction { numerator, denominator }) => {
                (parm.numerator, parm.denominator) = (numerator, denominator);
                S_PARM
            }
            None => G_PARM,
        };
        match call_flat(self.as_fd(), number, &mut parm) {
            Ok(()) if set.is_some() && parm.capability & CAN_SET_RATE == 0 => Ok(None),
            Ok(()) => {
                let answer = Fraction { numerator: parm.numerator, denominator: parm.denominator };
                Ok(answer.fps().map(|_| answer))
            }
            Err(error) if error.is_unsupported() => Ok(None),
            Err(error) => Err(error),
        }
    }
}
