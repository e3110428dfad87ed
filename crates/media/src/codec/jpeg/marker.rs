//! Marker codes (T.81 table B.1): the byte that follows FF.

use std::fmt;

/// The second byte of a marker.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Marker(pub u8);

impl Marker {
    pub(super) const SOF0: Self = Self(0xC0);
    pub(super) const SOF1: Self = Self(0xC1);
    pub(super) const SOF2: Self = Self(0xC2);
    pub(super) const DHT: Self = Self(0xC4);
    pub(super) const SOI: Self = Self(0xD8);
    pub(super) const EOI: Self = Self(0xD9);
    pub(super) const SOS: Self = Self(0xDA);
    pub(super) const DQT: Self = Self(0xDB);
    pub(super) const DNL: Self = Self(0xDC);
    pub(super) const DRI: Self = Self(0xDD);
    pub(super) const COM: Self = Self(0xFE);

    /// Returns whether the marker is one of RST0 to RST7, which are allowed only inside entropy-coded data.
    pub(super) const fn is_restart(self) -> bool {
        matches!(self.0, 0xD0..=0xD7)
    }

    /// Returns whether no length follows the marker: RST0 to RST7, TEM, and the stuffed zero, which is not a marker.
    /// Decoders skip these bytes where a segment should begin.
    pub(super) const fn is_standalone(self) -> bool {
        self.is_restart() || matches!(self.0, 0x00 | 0x01)
    }

    /// Returns whether the marker is one of APP0 to APP15. A length and application data follow these markers; the data
    /// is not parsed.
    pub(super) const fn is_application(self) -> bool {
        matches!(self.0, 0xE0..=0xEF)
    }

    /// Returns whether the marker begins a frame or a table of a coding process that browsers cannot display: lossless,
    /// arithmetic or hierarchical.
    pub(super) const fn is_unsupported_process(self) -> bool {
        matches!(self.0, 0xC3 | 0xC5..=0xCF | 0xDE | 0xDF)
    }
}

impl fmt::Display for Marker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0xC4 => f.write_str("DHT"),
            0xC8 => f.write_str("JPG"),
            0xCC => f.write_str("DAC"),
            code @ 0xC0..=0xCF => write!(f, "SOF{}", code - 0xC0),
            code @ 0xD0..=0xD7 => write!(f, "RST{}", code - 0xD0),
            0xD8 => f.write_str("SOI"),
            0xD9 => f.write_str("EOI"),
            0xDA => f.write_str("SOS"),
            0xDB => f.write_str("DQT"),
            0xDC => f.write_str("DNL"),
            0xDD => f.write_str("DRI"),
            0xDE => f.write_str("DHP"),
            0xDF => f.write_str("EXP"),
            code @ 0xE0..=0xEF => write!(f, "APP{}", code - 0xE0),
            0xFE => f.write_str("COM"),
            code => write!(f, "FF {code:02X}"),
        }
    }
}

impl fmt::Debug for Marker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
