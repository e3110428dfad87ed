//! The control values that were saved, for each camera.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Changes;

/// The content of `controls.json`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SavedControls {
    pub(super) cameras: BTreeMap<String, Changes>,
}

impl SavedControls {
    /// Returns the values that are saved for the camera called `name`; an empty list if there are none.
    pub(crate) fn of_camera(&self, name: &str) -> Changes {
        self.cameras.get(name).cloned().unwrap_or_default()
    }
}
