//! An ordered list of values for controls: the values that a request sets, the values in the state file, or the values
//! that the server sets when it opens a camera.

use std::fmt;

use framecast_drivers::ControlValue;
use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Values to set, each with the id of its control. The value `None` resets the control to its default. Each control
/// occurs once. The JSON form is an object in which the order of the controls matters.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Changes(pub(super) Vec<(String, Option<ControlValue>)>);

impl Changes {
    pub(crate) fn as_slice(&self) -> &[(String, Option<ControlValue>)] {
        &self.0
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Sets the value of one control. Replaces the control's earlier value; if there is none, appends the new value at
    /// the end.
    pub(crate) fn set(&mut self, id: &str, value: Option<ControlValue>) {
        match self.0.iter_mut().find(|(known, _)| known == id) {
            Some((_, known)) => *known = value,
            None => self.0.push((id.to_owned(), value)),
        }
    }

    /// Adds all values of `newer`. These values replace earlier values of the same controls.
    pub(crate) fn merge(&mut self, newer: &Self) {
        for (id, value) in &newer.0 {
            self.set(id, value.clone());
        }
    }
}

/// Formats the values for people: `brightness 128, gain default`.
impl fmt::Display for Changes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, (id, value)) in self.0.iter().enumerate() {
            let comma = if n > 0 { ", " } else { "" };
            let value = value.as_ref().map(serde_json::to_string);
            let value = value.and_then(Result::ok).unwrap_or_else(|| "default".to_owned());
            write!(f, "{comma}{id} {value}")?;
        }
        Ok(())
    }
}

impl Serialize for Changes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(id, value)| (id, value)))
    }
}

impl<'de> Deserialize<'de> for Changes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ChangesVisitor)
    }
}

struct ChangesVisitor;

impl<'de> Visitor<'de> for ChangesVisitor {
    type Value = Changes;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(r#"an object of controls, as in {"brightness": 128, "gain": null}"#)
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Changes, M::Error> {
        let mut changes = Changes::default();
        while let Some(id) = map.next_key::<String>()? {
            let shown: String = id.chars().take(64).collect();
            let value = map
                .next_value::<Option<ControlValue>>()
                .map_err(|error| M::Error::custom(format!("{shown}: {error}")))?;
            if changes.0.iter().any(|(known, _)| *known == id) {
                return Err(M::Error::custom(format!("{shown} is set twice")));
            }
            changes.0.push((id, value));
        }
        Ok(changes)
    }
}
