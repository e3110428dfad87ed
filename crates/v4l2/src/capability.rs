//! The kind of a device node, and what the node is capable of.

use crate::ioctl::text;
use crate::sys;

const VIDEO_CAPTURE: u32 = 0x1;
const VIDEO_OUTPUT: u32 = 0x2;
const VIDEO_OVERLAY: u32 = 0x4;
const VBI: u32 = 0x10 | 0x20 | 0x40 | 0x80;
const VIDEO_CAPTURE_MPLANE: u32 = 0x1000;
const VIDEO_OUTPUT_MPLANE: u32 = 0x2000;
const VIDEO_M2M_MPLANE: u32 = 0x4000;
const VIDEO_M2M: u32 = 0x8000;
const RADIO: u32 = 0x4_0000 | 0x8_0000 | 0x100 | 0x800;
const SDR: u32 = 0x10_0000 | 0x40_0000;
const META: u32 = 0x80_0000 | 0x800_0000;
const STREAMING: u32 = 0x400_0000;
const TOUCH: u32 = 0x1000_0000;
const IO_MC: u32 = 0x2000_0000;
const DEVICE_CAPS: u32 = 0x8000_0000;

/// The kernel's description of a device node (`VIDIOC_QUERYCAP`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Capability {
    /// The name of the kernel driver, such as `"uvcvideo"`.
    pub driver: String,
    /// The device's name, such as `"HD Webcam: HD Webcam"`.
    pub card: String,
    /// The position of the device on its bus, such as `"usb-0000:00:14.0-1"`.
    pub bus: String,
    /// The capabilities of this node, as the kernel's `V4L2_CAP_` bits. Another node of the same device can have other
    /// capabilities.
    pub bits: u32,
}

/// How the planes of a picture are laid out in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PlanarApi {
    /// All planes are in one memory area.
    Single,
    /// The planes are in one or more memory areas, each mapped separately.
    Multi,
}

impl Capability {
    pub(crate) fn read(answer: &sys::V4l2Capability) -> Self {
        let is_per_node = answer.capabilities & DEVICE_CAPS != 0;
        Self {
            driver: text(&answer.driver),
            card: text(&answer.card),
            bus: text(&answer.bus_info),
            bits: if is_per_node { answer.device_caps } else { answer.capabilities },
        }
    }

    /// Returns the memory layout of captured pictures, or `None` if the node is not a camera. Memory-to-memory
    /// converters can capture too, but are not cameras.
    pub fn capture_api(&self) -> Option<PlanarApi> {
        let has = |bits| self.bits & bits != 0;
        if has(VIDEO_M2M | VIDEO_M2M_MPLANE) || !has(STREAMING) {
            None
        } else if has(VIDEO_CAPTURE) && !has(TOUCH) {
            Some(PlanarApi::Single)
        } else if has(VIDEO_CAPTURE_MPLANE) && !has(TOUCH) {
            Some(PlanarApi::Multi)
        } else {
            None
        }
    }

    /// Returns whether the node can capture only after a program has connected the parts of the device (sensor, image
    /// processor) through the media controller. The devices that libcamera drives are of this kind.
    pub fn needs_media_controller(&self) -> bool {
        self.bits & IO_MC != 0
    }

    /// Returns the kind of this node, as text that completes the sentence "it is …".
    pub fn kind_name(&self) -> &'static str {
        let has = |bits| self.bits & bits != 0;
        match () {
            () if has(VIDEO_M2M | VIDEO_M2M_MPLANE) => "a codec or converter from memory to memory",
            () if self.capture_api().is_some() => "a capture device",
            () if has(TOUCH) => "a touch sensor",
            () if has(VIDEO_CAPTURE | VIDEO_CAPTURE_MPLANE) => "a capture device that cannot stream",
            () if has(META) => "a node for metadata; the webcam has another node for pictures",
            () if has(VIDEO_OUTPUT | VIDEO_OUTPUT_MPLANE) => "an output, which shows pictures",
            () if has(VIDEO_OVERLAY) => "an overlay",
            () if has(VBI) => "a node for teletext and the like (VBI)",
            () if has(SDR) => "a software-defined radio",
            () if has(RADIO) => "a radio",
            () => "a device without pictures",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(bits: u32) -> Capability {
        Capability { driver: "d".into(), card: "c".into(), bus: "b".into(), bits }
    }

    #[test]
    fn cameras_are_told_from_what_else_has_a_video_node() {
        for (bits, capture_api, what) in [
            (0x0520_0001, Some(PlanarApi::Single), "a capture device"),
            (0x0420_1000, Some(PlanarApi::Multi), "a capture device"),
            (0x04a0_0000, None, "a node for metadata"),
            (0x0420_8000, None, "a codec or converter"),
            (0x0420_4000, None, "a codec or converter"),
            (0x0520_0002, None, "an output"),
            (0x0005_0000, None, "a radio"),
            (0x1520_0001, None, "a touch sensor"),
            (0x0100_0001, None, "a capture device that cannot stream"),
            (0x0530_0000, None, "a software-defined radio"),
            (0, None, "a device without"),
        ] {
            assert_eq!(node(bits).capture_api(), capture_api, "{bits:x}");
            assert!(node(bits).kind_name().starts_with(what), "{bits:x}: {}", node(bits).kind_name());
        }
    }

    #[test]
    fn the_bits_of_the_node_count_and_not_those_of_the_whole_device() {
        use crate::sys::Plain;
        let mut answer = sys::V4l2Capability::zeroed();
        answer.capabilities = DEVICE_CAPS | VIDEO_CAPTURE | META;
        answer.device_caps = META | STREAMING;
        answer.card[..4].copy_from_slice(b"Cam ");
        let capability = Capability::read(&answer);
        assert_eq!(capability.capture_api(), None);
        assert_eq!(capability.card, "Cam");
        answer.capabilities = VIDEO_CAPTURE | STREAMING;
        assert_eq!(Capability::read(&answer).capture_api(), Some(PlanarApi::Single));
    }
}
