//! What a server needs besides: the controls of a device, the values that requests set, and those that were saved.

use std::sync::Arc;

use framecast_drivers::{Control, ControlValue, Driver, Error, SourceUrl};
use framecast_media::lock;
use tracing::warn;

use super::state_file::StateFile;
use super::{Changes, Controls, SavedControls};

impl Controls {
    /// Keeps the values of `changes` in memory, so that the server sets them each time it opens the camera from now on.
    pub(crate) fn remember(&self, changes: &Changes) {
        lock(&self.wanted).merge(changes);
    }
}

impl Changes {
    /// Returns the value to set for the control `id`: `None` if the list does not contain the control, `Some(None)` for
    /// the control's default.
    pub(crate) fn get(&self, id: &str) -> Option<&Option<ControlValue>> {
        self.0.iter().find(|(known, _)| known == id).map(|(_, value)| value)
    }

    /// Keeps only the values for which `is_kept` returns true.
    pub(crate) fn filtered(mut self, is_kept: impl Fn(&str, &Option<ControlValue>) -> bool) -> Self {
        self.0.retain(|(id, value)| is_kept(id, value));
        self
    }
}

/// Returns the controls of the device of `source`; an empty list if its driver has no controls.
pub(crate) async fn list(driver: &dyn Driver, source: &SourceUrl) -> Result<Vec<Control>, Error> {
    match driver.controls() {
        Some(controls) => controls.list(source).await,
        None => Ok(Vec::new()),
    }
}

/// Reads the saved controls of all cameras, off the threads that serve viewers.
pub(crate) async fn read_saved(state: Arc<StateFile>) -> SavedControls {
    match tokio::task::spawn_blocking(move || state.saved()).await {
        Ok(Ok(saved)) => saved,
        Ok(Err(problem)) => {
            warn!("cannot read the saved controls: {problem}; the server does not apply them");
            SavedControls::default()
        }
        Err(_) => SavedControls::default(),
    }
}
