//! The inputs of a capture card, and the state of the signal at each input.

use std::os::fd::AsFd;

use crate::ioctl::{ENUMINPUT, G_INPUT, S_INPUT, call_flat, enumerate, text};
use crate::sys::{self, Plain};
use crate::{Device, Error};

const MAX_INPUTS: u32 = 64;

const NO_POWER: u32 = 0x1;
const NO_SIGNAL: u32 = 0x2;
const NO_LOCK: u32 = 0x100 | 0x1_0000;
const HAS_DV_TIMINGS: u32 = 0x2;

/// An input of a capture card. A webcam has one input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Input {
    /// The input's number.
    pub index: u32,
    /// The input's name, set by the driver, such as `"HDMI"`.
    pub name: String,
    /// Whether this is a digital input with video timings, where the sender of the signal decides the picture size.
    pub has_timings: bool,
    status: u32,
}

impl Input {
    /// Returns what is wrong with the signal at this input, such as "no signal"; `None` if the driver reports no
    /// problem.
    pub fn problem(&self) -> Option<&'static str> {
        match self.status {
            status if status & NO_POWER != 0 => Some("no power"),
            status if status & NO_SIGNAL != 0 => Some("no signal"),
            status if status & NO_LOCK != 0 => Some("no stable signal"),
            _ => None,
        }
    }
}

impl Device {
    /// Returns the device's inputs.
    ///
    /// # Errors
    /// The kernel's error.
    pub fn inputs(&self) -> Result<Vec<Input>, Error> {
        let ask = |index| sys::V4l2Input { index, ..sys::V4l2Input::zeroed() };
        enumerate(self.as_fd(), ENUMINPUT, MAX_INPUTS, ask, read)
    }

    /// Returns the selected input and its current state, or `None` if the device has no inputs.
    ///
    /// # Errors
    /// The kernel's error.
    pub fn input(&self) -> Result<Option<Input>, Error> {
        let mut index = 0;
        match call_flat(self.as_fd(), G_INPUT, &mut index) {
            Ok(()) => {}
            Err(error) if error.is_unsupported() => return Ok(None),
            Err(error) => return Err(error),
        }
        let mut answer =
            sys::V4l2Input { index: u32::try_from(index).unwrap_or_default(), ..sys::V4l2Input::zeroed() };
        match call_flat(self.as_fd(), ENUMINPUT, &mut answer) {
            Ok(()) => Ok(Some(read(&answer))),
            Err(error) if error.is_unsupported() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Selects an input.
    ///
    /// # Errors
    /// The kernel's error, for example if `index` is not the number of one of the [`inputs`](Self::inputs).
    pub fn set_input(&self, index: u32) -> Result<(), Error> {
        let mut index = i32::try_from(index).unwrap_or(i32::MAX);
        call_flat(self.as_fd(), S_INPUT, &mut index)
    }
}

fn read(answer: &sys::V4l2Input) -> Input {
    Input {
        index: answer.index,
        name: text(&answer.name),
        has_timings: answer.capabilities & HAS_DV_TIMINGS != 0,
        status: answer.status,
    }
}
