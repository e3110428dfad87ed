//! The controls of a device: brightness, focus, exposure.

use std::fmt;

use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

/// One control, as the device describes it.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Control {
    /// The name in the API, the configuration and the state file: `brightness`, `white_balance_automatic`. Unique
    /// within the device.
    pub id: String,
    /// The control's number in the device's own interface (in V4L2, the control id); `None` if that interface does not
    /// number its controls.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub number: Option<u32>,
    /// The device's own name for the control, for display: "White Balance, Automatic".
    pub name: String,
    /// The group under which user interfaces show the control: "User", "Camera".
    pub group: String,
    /// The control's type and the values that it accepts.
    #[serde(flatten)]
    pub kind: ControlKind,
    /// The device's default value; `None` for controls without one (buttons).
    pub default: Option<ControlValue>,
    /// The current value; `None` for controls that cannot be read (buttons).
    pub value: Option<ControlValue>,
    /// Whether only the device itself can change the value.
    pub read_only: bool,
    /// Whether another control currently makes this one ineffective: the exposure time, while automatic exposure is on.
    pub inactive: bool,
}

/// A control's type and accepted values.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(tag = "type", rename_all = "snake_case")]
#[non_exhaustive]
pub enum ControlKind {
    /// A whole number from `min` to `max` that differs from `min` by a multiple of `step`.
    Integer {
        /// The smallest value.
        min: i64,
        /// The largest value.
        max: i64,
        /// The distance between neighbouring values, at least 1.
        step: i64,
    },
    /// On or off.
    Boolean,
    /// One entry of a list, selected by the entry's number.
    Menu {
        /// The selectable entries.
        menu: Vec<MenuEntry>,
    },
    /// An action without a value: setting it to any value triggers it.
    Button,
    /// Text.
    Text {
        /// The minimum length in bytes.
        min: i64,
        /// The maximum length in bytes.
        max: i64,
    },
    /// A set of bits, written as a number.
    Bitmask {
        /// A mask of all the bits that can be set.
        max: i64,
    },
}

/// One entry of a control's menu.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct MenuEntry {
    /// The control value that selects this entry.
    pub value: i64,
    /// The entry's label. In a menu of numbers, the number that the entry stands for.
    pub name: String,
}

/// A control's value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(untagged)]
pub enum ControlValue {
    /// On or off.
    Boolean(bool),
    /// A number: an integer, the number of a menu entry, or bits.
    Integer(i64),
    /// Text.
    Text(String),
}

impl<'de> Deserialize<'de> for ControlValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyValue)
    }
}

/// A serde visitor that accepts every type of control value. Its error says what was expected, which a derived
/// deserializer's error would not.
struct AnyValue;

impl Visitor<'_> for AnyValue {
    type Value = ControlValue;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("true, false, a whole number or text")
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<ControlValue, E> {
        Ok(ControlValue::Boolean(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<ControlValue, E> {
        Ok(ControlValue::Integer(value))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<ControlValue, E> {
        let value = i64::try_from(value).map_err(|_| E::custom(format!("{value} is too large a number")))?;
        Ok(ControlValue::Integer(value))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<ControlValue, E> {
        Ok(ControlValue::Text(value.to_owned()))
    }
}

impl Control {
    /// Checks whether the control accepts `value`. An on/off control also accepts the numbers 1 and 0.
    ///
    /// # Errors
    /// What is wrong and the allowed range, phrased to follow the control's name in a sentence.
    pub fn check(&self, value: &ControlValue) -> Result<(), String> {
        if self.read_only {
            return Err("cannot be set: only the device changes it".to_owned());
        }
        match (&self.kind, value) {
            (ControlKind::Button, _)
            | (ControlKind::Boolean, ControlValue::Boolean(_) | ControlValue::Integer(0 | 1)) => Ok(()),
            (ControlKind::Boolean, _) => Err("must be true or false".to_owned()),
            (ControlKind::Integer { min, max, step }, ControlValue::Integer(number)) => {
                let is_on_step = *step <= 1 || number.abs_diff(*min).is_multiple_of(step.unsigned_abs());
                if (min..=max).contains(&number) && is_on_step { Ok(()) } else { Err(self.expected()) }
            }
            (ControlKind::Menu { menu }, ControlValue::Integer(number))
                if menu.iter().any(|entry| entry.value == *number) =>
            {
                Ok(())
            }
            (ControlKind::Bitmask { max }, ControlValue::Integer(bits)) if bits & !max == 0 => Ok(()),
            (ControlKind::Text { min, max }, ControlValue::Text(text))
                if i64::try_from(text.len()).is_ok_and(|len| (*min..=*max).contains(&len)) =>
            {
                Ok(())
            }
            _ => Err(self.expected()),
        }
    }

    /// Returns a description of the accepted values, as the end of a sentence that begins with the control's name.
    fn expected(&self) -> String {
        match &self.kind {
            ControlKind::Integer { min, max, step: 1 } => {
                format!("must be a whole number from {min} to {max}")
            }
            ControlKind::Integer { min, max, step } => {
                format!("must be a whole number from {min} to {max} in steps of {step}")
            }
            ControlKind::Boolean => "must be true or false".to_owned(),
            ControlKind::Menu { menu } => {
                let entries: Vec<String> =
                    menu.iter().map(|entry| format!("{} ({})", entry.value, entry.name)).collect();
                format!("must be one of {}", entries.join(", "))
            }
            ControlKind::Button => "accepts any value".to_owned(),
            ControlKind::Text { min, max } => format!("must be text of {min} to {max} bytes"),
            ControlKind::Bitmask { max } => format!("must be a number whose bits are all in {max:#x}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn control(kind: ControlKind) -> Control {
        Control {
            id: "x".to_owned(),
            number: None,
            name: "X".to_owned(),
            group: "User".to_owned(),
            kind,
            default: None,
            value: None,
            read_only: false,
            inactive: false,
        }
    }

    fn told(kind: ControlKind, value: ControlValue) -> String {
        control(kind).check(&value).err().unwrap_or_default()
    }

    #[test]
    fn a_value_out_of_range_is_answered_with_the_range() {
        use ControlValue::{Boolean, Integer, Text};
        let numbers = || ControlKind::Integer { min: -10, max: 20, step: 5 };
        for (value, is_good) in [(-10, true), (20, true), (5, true), (6, false), (-11, false), (25, false)] {
            assert_eq!(told(numbers(), Integer(value)).is_empty(), is_good, "{value}");
        }
        assert_eq!(told(numbers(), Boolean(true)), "must be a whole number from -10 to 20 in steps of 5");
        let extreme = ControlKind::Integer { min: i64::MIN, max: i64::MAX, step: i64::MAX };
        assert_eq!(told(extreme, Integer(i64::MIN)), "");
        assert_eq!(told(ControlKind::Boolean, Integer(1)), "");
        assert_eq!(told(ControlKind::Boolean, Integer(2)), "must be true or false");
        let entry = |value, name: &str| MenuEntry { value, name: name.to_owned() };
        let menu = || ControlKind::Menu { menu: vec![entry(1, "Manual"), entry(3, "Aperture")] };
        assert_eq!(told(menu(), Integer(3)), "");
        assert_eq!(told(menu(), Integer(2)), "must be one of 1 (Manual), 3 (Aperture)");
        assert_eq!(
            told(ControlKind::Bitmask { max: 6 }, Integer(1)),
            "must be a number whose bits are all in 0x6"
        );
        assert_eq!(
            told(ControlKind::Text { min: 0, max: 3 }, Text("four".to_owned())),
            "must be text of 0 to 3 bytes"
        );
        assert_eq!(told(ControlKind::Button, Integer(7)), "");
    }

    #[test]
    fn what_the_device_alone_changes_cannot_be_set() {
        let control = Control { read_only: true, ..control(ControlKind::Boolean) };
        assert!(control.check(&ControlValue::Boolean(true)).unwrap_err().contains("only the device"));
    }
}
