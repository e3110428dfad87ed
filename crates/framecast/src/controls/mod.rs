//! The wanted values of a camera's controls. The saved values override those of the configuration, and the values set
//! since the start override both. The server applies them at every opening of the camera.
//!
//! The driver knows which values a control can have. `http/controls.rs` parses requests.

mod changes;
mod state_file;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use framecast_drivers::{ControlValue, Driver, Error, SourceUrl};
use tokio::sync::OwnedMutexGuard;
use tokio::time::timeout;
use tracing::{debug, warn};

pub(crate) use changes::Changes;
pub(crate) use state_file::{SavedControls, StateError, StateFile};

/// How long the setting of controls may delay the first picture. USB devices hang; the camera then goes on without
/// them.
const APPLY_TIMEOUT: Duration = Duration::from_secs(2);

/// The wanted values of one camera's controls.
#[derive(Debug, Default)]
pub(crate) struct Controls {
    wanted: Mutex<Changes>,
    /// The lock on the device's controls. It keeps hanging calls to one. It also keeps an opening, which has read an
    /// earlier value, from undoing a request.
    device_lock: Arc<tokio::sync::Mutex<()>>,
    /// The last errors by control, so that the log does not repeat them at each opening.
    reported: Mutex<BTreeMap<String, String>>,
}

impl Controls {
    pub(crate) fn new(configured: &[(String, ControlValue)], saved: &Changes) -> Self {
        let mut wanted = Changes::default();
        for (id, value) in configured {
            wanted.set(id, Some(value.clone()));
        }
        wanted.merge(saved);
        Self { wanted: Mutex::new(wanted), ..Self::default() }
    }

    /// Waits for the lock on the device's controls.
    pub(crate) async fn lock_device(&self) -> OwnedMutexGuard<()> {
        Arc::clone(&self.device_lock).lock_owned().await
    }

    /// Remembers the values for the next openings.
    pub(crate) fn remember(&self, changes: &Changes) {
        self.wanted.lock().unwrap_or_else(PoisonError::into_inner).merge(changes);
    }

    fn wanted(&self) -> Changes {
        self.wanted.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Sets all wanted values on a device that was just opened. It tries those that failed once more at the end,
    /// because one control may depend on another (exposure time on manual exposure). It logs those that still fail.
    pub(crate) async fn apply(&self, driver: &dyn Driver, source: &SourceUrl) {
        if self.wanted().is_empty() {
            return;
        }
        let setting = async {
            let _lock = self.lock_device().await;
            let wanted = self.wanted();
            let first = self.set_each(driver, source, wanted.as_slice().iter()).await;
            let second = self.set_each(driver, source, first.iter().map(|(change, _)| *change)).await;
            let of = wanted.as_slice().len();
            debug!(set = of - second.len(), of, "controls");
            self.log_failures(&second);
        };
        if timeout(APPLY_TIMEOUT, setting).await.is_err() {
            warn!(
                "the device did not take all controls within {APPLY_TIMEOUT:?}; the server goes on without the rest"
            );
        }
    }

    /// Sets one value after the other; returns those that failed.
    async fn set_each<'c>(
        &self,
        driver: &dyn Driver,
        source: &SourceUrl,
        changes: impl Iterator<Item = &'c Change>,
    ) -> Vec<(&'c Change, Error)> {
        let mut failed = Vec::new();
        for change in changes {
            if let Err(error) = driver.set_controls(source, std::slice::from_ref(change)).await {
                failed.push((change, error));
            }
        }
        failed
    }

    /// Logs the values that could not be set, as a warning if the error is new.
    fn log_failures(&self, failed: &[(&Change, Error)]) {
        let now: BTreeMap<String, String> =
            failed.iter().map(|((id, _), error)| (id.clone(), error.to_string())).collect();
        let mut reported = self.reported.lock().unwrap_or_else(PoisonError::into_inner);
        for (control, error) in &now {
            if reported.get(control) == Some(error) {
                debug!(%control, %error, "still cannot be set");
            } else {
                warn!(%control, %error, "cannot set a control");
            }
        }
        *reported = now;
    }
}

type Change = (String, Option<ControlValue>);
