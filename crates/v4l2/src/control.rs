//! Controls: the settings of a device, such as brightness, exposure and focus.

use std::os::fd::AsFd;

use crate::ioctl::{G_EXT_CTRLS, QUERY_EXT_CTRL, QUERYMENU, S_EXT_CTRLS, call, call_flat, text};
use crate::sys::{ControlUnion, ExtControl, ExtControls, Plain, QueryExtCtrl, QueryMenu};
use crate::{Device, Error};

/// The maximum number of controls that are read, more than any device has.
const MAX_CONTROLS: usize = 1024;
const MAX_MENU_ENTRIES: u32 = 256;
/// The maximum length of the text that is read from a control, in bytes.
const MAX_TEXT_BYTES: u32 = 64 * 1024;

const NEXT_CTRL: u32 = 0x8000_0000;

const DISABLED: u32 = 0x1;
const GRABBED: u32 = 0x2;
const READ_ONLY: u32 = 0x4;
const INACTIVE: u32 = 0x10;
const WRITE_ONLY: u32 = 0x40;
const VOLATILE: u32 = 0x80;

/// The type of a control's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ControlType {
    /// A number within a range.
    Integer,
    /// A switch: 0 or 1.
    Boolean,
    /// The number of an entry of a menu whose entries have names.
    Menu,
    /// A trigger without a value. Setting the control starts an action.
    Button,
    /// A 64-bit number within a range.
    Integer64,
    /// Not a control, but the heading of the controls that follow.
    Class,
    /// Text.
    Text,
    /// A set of bits.
    Bitmask,
    /// The number of an entry of a menu whose entries are numbers.
    IntegerMenu,
    /// A structure or array; the field is the kernel's number of the type. This crate neither reads nor sets such
    /// controls.
    Other(u32),
}

/// The properties of a control.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ControlInfo {
    /// The control's number.
    pub id: u32,
    /// The control's name, set by the driver, such as `"White Balance, Automatic"`.
    pub name: String,
    /// The type of the control's value.
    pub kind: ControlType,
    /// The smallest value, or for a text control the minimum length in characters.
    pub min: i64,
    /// The largest value, or for a text control the maximum length in characters.
    pub max: i64,
    /// The step between values, at least 1.
    pub step: u64,
    /// The default value.
    pub default: i64,
    flags: u32,
    elem_size: u32,
}

/// A control's value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// The value of a number, a boolean (0 or 1), a menu (the number of the entry) or a bitmask.
    Integer(i64),
    /// The value of a text control.
    Text(String),
}

/// The content of a menu entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MenuItem {
    /// The name of an entry in a menu.
    Name(String),
    /// The number that an entry of an integer menu stands for.
    Number(i64),
}

impl ControlInfo {
    fn read(answer: &QueryExtCtrl) -> Self {
        let is_array = answer.dim_count > 0 || answer.elems > 1;
        Self {
            id: answer.id,
            name: text(&answer.name),
            kind: match answer.kind {
                kind if is_array => ControlType::Other(kind),
                1 => ControlType::Integer,
                2 => ControlType::Boolean,
                3 => ControlType::Menu,
                4 => ControlType::Button,
                5 => ControlType::Integer64,
                6 => ControlType::Class,
                7 => ControlType::Text,
                8 => ControlType::Bitmask,
                9 => ControlType::IntegerMenu,
                kind => ControlType::Other(kind),
            },
            min: answer.minimum,
            max: answer.maximum,
            step: answer.step.max(1),
            default: answer.default_value,
            flags: answer.flags,
            elem_size: answer.elem_size,
        }
    }

    /// Returns whether the control is disabled: the driver lists it, but the device does not have it.
    pub fn is_disabled(&self) -> bool {
        self.flags & DISABLED != 0
    }

    /// Returns whether the control can be read but never set.
    pub fn is_read_only(&self) -> bool {
        self.flags & READ_ONLY != 0
    }

    /// Returns whether the control cannot be set now because a capture is running.
    pub fn is_grabbed(&self) -> bool {
        self.flags & GRABBED != 0
    }

    /// Returns whether another control, such as an automatic mode, overrides this one. The control can be set, but the
    /// value has no effect then.
    pub fn is_inactive(&self) -> bool {
        self.flags & INACTIVE != 0
    }

    /// Returns whether the control has no value that can be read.
    pub fn is_write_only(&self) -> bool {
        self.flags & WRITE_ONLY != 0 || self.kind == ControlType::Button
    }

    /// Returns whether the device itself changes the control's value, as an automatic mode does.
    pub fn is_volatile(&self) -> bool {
        self.flags & VOLATILE != 0
    }
}

impl Device {
    /// Returns the controls of all classes in the device's order, together with the headings of the classes. Leaves out
    /// structures and arrays of codec controls.
    ///
    /// # Errors
    /// The kernel's error. If the device has no controls, there is no error and the list is empty.
    pub fn controls(&self) -> Result<Vec<ControlInfo>, Error> {
        let mut found: Vec<ControlInfo> = Vec::new();
        let mut last = 0;
        while found.len() < MAX_CONTROLS {
            let mut query = QueryExtCtrl::zeroed();
            query.id = last | NEXT_CTRL;
            match call_flat(self.as_fd(), QUERY_EXT_CTRL, &mut query) {
                // Stops if the driver does not advance to a larger number, because the loop would never end.
                Ok(()) if query.id <= last => break,
                Ok(()) => {
                    last = query.id;
                    found.push(ControlInfo::read(&query));
                }
                Err(error) if error.is_unsupported() => break,
                Err(error) => return Err(error),
            }
        }
        Ok(found)
    }

    /// Returns the entries of a menu control, each with its number. The sequence of numbers can have gaps.
    pub fn menu(&self, control: &ControlInfo) -> Vec<(u32, MenuItem)> {
        let number = |value: i64| u32::try_from(value).ok();
        let (Some(min), Some(max)) = (number(control.min), number(control.max)) else { return Vec::new() };
        let numbers = min..=max.min(min.saturating_add(MAX_MENU_ENTRIES));
        let entry = |index| {
            let mut query = QueryMenu::zeroed();
            (query.id, query.index) = (control.id, index);
            call_flat(self.as_fd(), QUERYMENU, &mut query).ok()?;
            let bytes = query.name;
            let entry = match control.kind {
                ControlType::IntegerMenu => {
                    let number = bytes.first_chunk().expect("a menu's name has 32 bytes");
                    MenuItem::Number(i64::from_ne_bytes(*number))
                }
                _ => MenuItem::Name(text(&bytes)),
            };
            Some((index, entry))
        };
        numbers.filter_map(entry).collect()
    }

    /// Reads the control's current value.
    ///
    /// # Errors
    /// The kernel's error, such as `EACCES` for a control that cannot be read.
    pub fn control(&self, control: &ControlInfo) -> Result<Value, Error> {
        if control.kind == ControlType::Text {
            let mut bytes = vec![0; control.elem_size.clamp(1, MAX_TEXT_BYTES) as usize];
            self.text_control_call(G_EXT_CTRLS, control.id, &mut bytes)?;
            bytes.truncate(bytes.iter().position(|&b| b == 0).unwrap_or(bytes.len()));
            return Ok(Value::Text(String::from_utf8_lossy(&bytes).into_owned()));
        }
        if matches!(control.kind, ControlType::Other(_) | ControlType::Class) {
            return Err(Error::invalid(G_EXT_CTRLS.name(), "this control does not hold a single value"));
        }
        let mut one = ExtControl::zeroed();
        one.id = control.id;
        // SAFETY: its size is 0, so whatever the control is, the kernel has no memory for a payload.
        unsafe { self.single_control_call(G_EXT_CTRLS, &mut one)? };
        let value = one.value;
        // SAFETY: all bytes are initialised and any bits are a valid number; the kernel fills the member that belongs
        // to the type of the control.
        Ok(Value::Integer(unsafe {
            match control.kind {
                ControlType::Integer64 => value.value64,
                // The highest bit of a bitmask is not a sign.
                ControlType::Bitmask => i64::from(value.value.cast_unsigned()),
                _ => i64::from(value.value),
            }
        }))
    }

    /// Sets a control.
    ///
    /// # Errors
    /// The kernel's error: `ERANGE` or `EINVAL` for a value that the control does not accept, `EACCES` for a read-only
    /// control, and `EBUSY` for a control that cannot be changed now.
    pub fn set_control(&self, control: &ControlInfo, value: &Value) -> Result<(), Error> {
        match value {
            Value::Text(new) => {
                if control.kind != ControlType::Text {
                    return Err(Error::invalid(
                        S_EXT_CTRLS.name(),
                        "a text value was given for a numeric control",
                    ));
                }
                let mut bytes: Vec<u8> = new.bytes().take(MAX_TEXT_BYTES as usize - 1).collect();
                bytes.push(0);
                self.text_control_call(S_EXT_CTRLS, control.id, &mut bytes)
            }
            Value::Integer(new) => {
                if matches!(control.kind, ControlType::Text | ControlType::Other(_) | ControlType::Class) {
                    return Err(Error::invalid(
                        S_EXT_CTRLS.name(),
                        "a number was given for a control that is not numeric",
                    ));
                }
                let mut one = ExtControl::zeroed();
                one.id = control.id;
                one.value = match control.kind {
                    ControlType::Integer64 => ControlUnion { value64: *new },
                    // The kernel checks the range; the bits of a mask keep their positions.
                    _ => ControlUnion { value: *new as i32 },
                };
                // SAFETY: its size is 0, so whatever the control is, the kernel has no memory for a payload.
                unsafe { self.single_control_call(S_EXT_CTRLS, &mut one) }
            }
        }
    }

    /// Makes the ioctl call `number` about one control.
    ///
    /// # Safety
    /// If the control has a payload, the pointer and the size in `one` must describe memory that the kernel is allowed
    /// to use.
    unsafe fn single_control_call(
        &self,
        number: crate::ioctl::Call<ExtControls>,
        one: &mut ExtControl,
    ) -> Result<(), Error> {
        let mut controls = ExtControls::zeroed();
        controls.count = 1;
        controls.controls = std::ptr::from_mut(one);
        // SAFETY: `one` outlives the call and is one control; the caller guarantees its inner pointer.
        unsafe { call(self.as_fd(), number, &mut controls) }
    }

    /// Makes the ioctl call `number` about one text control. Depending on the call, the kernel reads the control's new
    /// text from `bytes` or writes the current text there.
    fn text_control_call(
        &self,
        number: crate::ioctl::Call<ExtControls>,
        id: u32,
        bytes: &mut [u8],
    ) -> Result<(), Error> {
        let mut one = ExtControl::zeroed();
        one.id = id;
        one.size = u32::try_from(bytes.len()).expect("bounded by MAX_TEXT_BYTES");
        one.value = ControlUnion { string: bytes.as_mut_ptr() };
        // SAFETY: pointer and size are those of `bytes`, which outlives the call.
        unsafe { self.single_control_call(number, &mut one) }
    }
}
