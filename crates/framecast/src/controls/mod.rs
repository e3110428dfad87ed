//! The values that the server sets on a camera's controls each time it opens the camera. Saved values override the
//! values of the configuration. Values that requests have set since the server's start override both.
//!
//! The driver decides which values a control can have. `http/controls.rs` parses requests.

mod changes;
#[cfg(feature = "server")]
mod request;
mod saved;
#[cfg(feature = "server")]
mod state_file;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use framecast_drivers::{ControlValue, Driver, Error, SourceUrl};
use framecast_media::lock;
use tokio::sync::OwnedMutexGuard;
use tokio::time::timeout;
use tracing::{debug, warn};

pub(crate) use changes::Changes;
#[cfg(feature = "server")]
pub(crate) use request::{list, read_saved};
pub(crate) use saved::SavedControls;
#[cfg(feature = "server")]
pub(crate) use state_file::{StateError, StateFile};

/// How long setting the controls can delay the first picture. If a USB device hangs, the server skips the remaining
/// controls.
const APPLY_TIMEOUT: Duration = Duration::from_secs(2);

/// The values that the server sets on one camera's controls.
#[derive(Debug, Default)]
pub(crate) struct Controls {
    wanted: Mutex<Changes>,
    /// The lock that must be held to set the device's controls, so that at most one call to the driver can hang. When
    /// the server opens the camera, it takes the lock before it reads the wanted values, and keeps the lock until it
    /// has set them on the device. So it cannot overwrite the values of a newer request with older values.
    device_lock: Arc<tokio::sync::Mutex<()>>,
    /// The last error of each control, so that the log does not repeat an error each time the camera is opened.
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

    /// Waits for the lock that must be held to set the device's controls.
    pub(crate) async fn lock_device(&self) -> OwnedMutexGuard<()> {
        Arc::clone(&self.device_lock).lock_owned().await
    }

    fn wanted(&self) -> Changes {
        lock(&self.wanted).clone()
    }

    /// Sets the controls of a device that was just opened to the values that this object keeps. Tries each failed value
    /// once more at the end, because one control can depend on another (the exposure time on manual exposure). Logs the
    /// values that fail twice. Gives up after [`APPLY_TIMEOUT`].
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
                "the device did not accept all controls within {APPLY_TIMEOUT:?}; the server continues \
                 without the rest"
            );
        }
    }

    /// Sets the values of `changes` on the device, one after the other. Returns the values that failed, with their
    /// errors.
    async fn set_each<'c>(
        &self,
        driver: &dyn Driver,
        source: &SourceUrl,
        changes: impl Iterator<Item = &'c Change>,
    ) -> Vec<(&'c Change, Error)> {
        let mut failed = Vec::new();
        for change in changes {
            if let Err(error) = set(driver, source, std::slice::from_ref(change)).await {
                failed.push((change, error));
            }
        }
        failed
    }

    /// Logs the values in `failed`, which could not be set: a new error as a warning, a repeated error at debug level.
    fn log_failures(&self, failed: &[(&Change, Error)]) {
        let now: BTreeMap<String, String> =
            failed.iter().map(|((id, _), error)| (id.clone(), error.to_string())).collect();
        let mut reported = lock(&self.reported);
        for (control, error) in &now {
            if reported.get(control) == Some(error) {
                debug!(%control, %error, "the control still cannot be set");
            } else {
                warn!(%control, %error, "cannot set a control");
            }
        }
        *reported = now;
    }
}

/// Sets the values of `changes` on the device of `source`, in their order. If the driver has no controls, any change is
/// an error.
pub(crate) async fn set(driver: &dyn Driver, source: &SourceUrl, changes: &[Change]) -> Result<(), Error> {
    match (driver.controls(), changes.first()) {
        (Some(controls), _) => controls.set(source, changes).await,
        (None, Some((id, _))) => Err(Error::NoSuchControl { control: id.clone(), known: Vec::new() }),
        (None, None) => Ok(()),
    }
}

type Change = (String, Option<ControlValue>);
