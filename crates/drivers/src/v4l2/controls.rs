//! Reads and sets the controls of a device, with the names and types of Framecast's API.

use std::path::Path;

use framecast_v4l2::{ControlInfo, ControlType, Device, MenuItem, Value};

use super::diagnose;
use crate::{Control, ControlKind, ControlValue, Error, MenuEntry};

/// A control, in the API's description and in the kernel's.
struct DeviceControl {
    control: Control,
    info: ControlInfo,
}

/// Lists the controls of the device at `path`, without disabled controls and without the headings that group them.
/// Blocks.
pub(super) fn list(path: &Path) -> Result<Vec<Control>, Error> {
    let device = open(path)?;
    Ok(query_controls(&device, path)?.into_iter().map(|entry| entry.control).collect())
}

/// Sets controls of the device at `path`; `None` sets a control to its default. Checks all `changes` before setting the
/// first one. Blocks.
pub(super) fn set(path: &Path, changes: &[(String, Option<ControlValue>)]) -> Result<(), Error> {
    let device = open(path)?;
    let entries = query_controls(&device, path)?;
    let controls: Vec<&Control> = entries.iter().map(|entry| &entry.control).collect();
    let values = changes
        .iter()
        .map(|(id, value)| checked_value(&controls, id, value.as_ref()))
        .collect::<Result<Vec<_>, Error>>()?;
    for ((id, _), value) in changes.iter().zip(values) {
        let entry = entries.iter().find(|entry| entry.control.id == *id).expect("checked above");
        device.set_control(&entry.info, &value).map_err(|error| refused(path, id, error))?;
    }
    Ok(())
}

fn open(path: &Path) -> Result<Device, Error> {
    Device::open(path).map_err(|error| diagnose::open_error(path, error))
}

fn refused(path: &Path, id: &str, error: framecast_v4l2::Error) -> Error {
    if error.is_gone() {
        return diagnose::call_error(path, error);
    }
    let problem = if error.is_busy() {
        "cannot be set while the camera is open".to_owned()
    } else {
        format!("cannot be set: the device refused it: {}", error.io())
    };
    Error::BadControl { control: id.to_owned(), problem }
}

/// Returns the value to set for the control named `id`, as the kernel expects it. A `value` of `None` stands for the
/// control's default.
///
/// # Errors
/// [`Error::NoSuchControl`] lists the available controls; [`Error::BadControl`] says which values the control accepts.
fn checked_value(controls: &[&Control], id: &str, value: Option<&ControlValue>) -> Result<Value, Error> {
    let Some(control) = controls.iter().find(|control| control.id == id) else {
        let known = controls.iter().map(|control| control.id.clone()).collect();
        return Err(Error::NoSuchControl { control: id.to_owned(), known });
    };
    let bad = |problem| Error::BadControl { control: id.to_owned(), problem };
    let is_asked = value.is_some();
    let value = value.or(control.default.as_ref()).ok_or_else(|| bad("has no default".to_owned()))?;
    // The device's own default is valid even if it lies between two steps.
    if is_asked || control.read_only {
        control.check(value).map_err(bad)?;
    }
    Ok(match value {
        _ if control.kind == ControlKind::Button => Value::Integer(1),
        ControlValue::Boolean(on) => Value::Integer(i64::from(*on)),
        ControlValue::Integer(number) => Value::Integer(*number),
        ControlValue::Text(text) => Value::Text(text.clone()),
    })
}

fn query_controls(device: &Device, path: &Path) -> Result<Vec<DeviceControl>, Error> {
    let infos = device.controls().map_err(|error| diagnose::call_error(path, error))?;
    let mut entries: Vec<DeviceControl> = Vec::new();
    let mut group = String::new();
    for info in infos {
        if info.kind == ControlType::Class {
            group = info.name.strip_suffix(" Controls").unwrap_or(&info.name).to_owned();
            continue;
        }
        let Some(kind) = kind(device, &info).filter(|_| !info.is_disabled()) else { continue };
        let control = Control {
            id: unique_id(&info.name, &entries),
            number: Some(info.id),
            name: info.name.clone(),
            group: group.clone(),
            default: default(&info),
            // If one value cannot be read, the other controls of the device are still listed.
            value: (!info.is_write_only())
                .then(|| device.control(&info).ok())
                .flatten()
                .map(|v| api_value(&info, v)),
            read_only: info.is_read_only(),
            inactive: info.is_inactive() || info.is_grabbed(),
            kind,
        };
        entries.push(DeviceControl { control, info });
    }
    Ok(entries)
}

/// Returns the id for a control whose display name is `name`. A number is appended if a control in `taken` already has
/// the same id.
fn unique_id(name: &str, taken: &[DeviceControl]) -> String {
    let id = id(name);
    let is_free = |id: &str| taken.iter().all(|entry| entry.control.id != id);
    if is_free(&id) {
        return id;
    }
    (2..)
        .map(|number| format!("{id}_{number}"))
        .find(|id| is_free(id))
        .expect("there are more numbers than controls")
}

/// Returns the control's display name in lower case, with its words joined by `_`: "White Balance, Automatic" becomes
/// `white_balance_automatic`.
fn id(name: &str) -> String {
    let words = name.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    let id = words.map(str::to_ascii_lowercase).collect::<Vec<_>>().join("_");
    if id.is_empty() { "control".to_owned() } else { id }
}

/// Returns the control's type; `None` for headings and compound controls.
fn kind(device: &Device, info: &ControlInfo) -> Option<ControlKind> {
    Some(match info.kind {
        ControlType::Integer | ControlType::Integer64 => ControlKind::Integer {
            min: info.min,
            max: info.max,
            step: i64::try_from(info.step).unwrap_or(i64::MAX),
        },
        ControlType::Boolean => ControlKind::Boolean,
        ControlType::Menu | ControlType::IntegerMenu => {
            let entry = |(value, entry)| MenuEntry {
                value: i64::from(value),
                name: match entry {
                    MenuItem::Name(name) => name,
                    MenuItem::Number(number) => number.to_string(),
                },
            };
            ControlKind::Menu { menu: device.menu(info).into_iter().map(entry).collect() }
        }
        ControlType::Button => ControlKind::Button,
        ControlType::Text => ControlKind::Text { min: info.min, max: info.max },
        ControlType::Bitmask => ControlKind::Bitmask { max: info.max & i64::from(u32::MAX) },
        _ => return None,
    })
}

fn default(info: &ControlInfo) -> Option<ControlValue> {
    match info.kind {
        ControlType::Button | ControlType::Text => None,
        _ => Some(api_value(info, Value::Integer(info.default))),
    }
}

fn api_value(info: &ControlInfo, value: Value) -> ControlValue {
    match (info.kind, value) {
        (ControlType::Boolean, Value::Integer(number)) => ControlValue::Boolean(number != 0),
        (ControlType::Bitmask, Value::Integer(bits)) => ControlValue::Integer(bits & i64::from(u32::MAX)),
        (_, Value::Integer(number)) => ControlValue::Integer(number),
        (_, Value::Text(text)) => ControlValue::Text(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn control(id: &str, kind: ControlKind, default: Option<ControlValue>) -> Control {
        Control {
            id: id.to_owned(),
            number: None,
            name: id.to_owned(),
            group: String::new(),
            kind,
            default,
            value: None,
            read_only: false,
            inactive: false,
        }
    }

    #[test]
    fn names_become_words_of_the_api() {
        assert_eq!(id("White Balance, Automatic"), "white_balance_automatic");
        assert_eq!(id("Exposure (Absolute)"), "exposure_absolute");
        assert_eq!(id("--"), "control");
    }

    #[test]
    fn a_change_is_checked_against_what_the_device_has() {
        let numbers = ControlKind::Integer { min: 0, max: 255, step: 1 };
        let brightness = control("brightness", numbers, Some(ControlValue::Integer(128)));
        let snap = control("snap", ControlKind::Button, None);
        let check =
            |id: &str, value: Option<ControlValue>| checked_value(&[&brightness, &snap], id, value.as_ref());
        assert_eq!(check("brightness", Some(ControlValue::Integer(7))).unwrap(), Value::Integer(7));
        assert_eq!(check("brightness", None).unwrap(), Value::Integer(128));
        assert_eq!(check("snap", Some(ControlValue::Boolean(false))).unwrap(), Value::Integer(1));
        for (id, value, told) in [
            (
                "brightness",
                Some(ControlValue::Integer(256)),
                "brightness must be a whole number from 0 to 255",
            ),
            ("brihtness", None, "unknown control `brihtness`; known controls: brightness, snap"),
            ("snap", None, "snap has no default"),
        ] {
            assert_eq!(check(id, value).unwrap_err().to_string(), told);
        }
    }

    #[test]
    fn a_default_between_the_steps_can_be_set_again() {
        let numbers = || ControlKind::Integer { min: 0, max: 1000, step: 64 };
        let mut focus = control("focus", numbers(), Some(ControlValue::Integer(100)));
        assert_eq!(checked_value(&[&focus], "focus", None).unwrap(), Value::Integer(100));
        let asked = checked_value(&[&focus], "focus", Some(&ControlValue::Integer(100))).unwrap_err();
        assert!(asked.to_string().ends_with("in steps of 64"), "{asked}");
        focus.read_only = true;
        assert!(checked_value(&[&focus], "focus", None).is_err());
    }
}
