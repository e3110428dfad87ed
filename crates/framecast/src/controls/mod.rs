//! The values that are wanted of a camera's controls: those of the configuration, over these the ones that were kept
//! across restarts, over these what was set since. They are applied at every opening of the camera.
//!
//! What a control can be set to is for the driver to say; requests are read in `http/controls.rs`.

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
pub(crate) use state_file::{Kept, StateError, StateFile};

/// How long setting controls may hold up the first picture. USB devices hang; the camera goes on without.
const APPLY_TIMEOUT: Duration = Duration::from_secs(2);

/// What is wanted of one camera's controls.
#[derive(Debug, Default)]
pub(crate) struct Controls {
    wanted: Mutex<Changes>,
    /// Held while the device is asked or told: at most one call hangs, and a request that sets a value is not
    /// undone by an opening that read the earlier one.
    turn: Arc<tokio::sync::Mutex<()>>,
    /// What was last said of the controls that could not be set, so that each opening does not say it again.
    told: Mutex<BTreeMap<String, String>>,
}

impl Controls {
    pub(crate) fn new(configured: &[(String, ControlValue)], kept: &Changes) -> Self {
        let mut wanted = Changes::default();
        for (id, value) in configured {
            wanted.set(id, Some(value.clone()));
        }
        wanted.merge(kept);
        Self { wanted: Mutex::new(wanted), ..Self::default() }
    }

    /// Waits for one's turn with the device's controls.
    pub(crate) async fn turn(&self) -> OwnedMutexGuard<()> {
        Arc::clone(&self.turn).lock_owned().await
    }

    /// Keeps what was set for the next openings.
    pub(crate) fn remember(&self, changes: &Changes) {
        self.wanted.lock().unwrap_or_else(PoisonError::into_inner).merge(changes);
    }

    fn wanted(&self) -> Changes {
        self.wanted.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Sets all that is wanted on a device that was just opened. What fails is tried once more at the end, because one
    /// control may need another one before it (exposure time, manual exposure); what still fails is logged.
    pub(crate) async fn apply(&self, driver: &dyn Driver, source: &SourceUrl) {
        if self.wanted().is_empty() {
            return;
        }
        let setting = async {
            let _turn = self.turn().await;
            let wanted = self.wanted();
            let first = self.set_each(driver, source, wanted.as_slice().iter()).await;
            let second = self.set_each(driver, source, first.iter().map(|(change, _)| *change)).await;
            let of = wanted.as_slice().len();
            debug!(set = of - second.len(), of, "controls");
            self.tell(&second);
        };
        if timeout(APPLY_TIMEOUT, setting).await.is_err() {
            warn!("setting controls takes longer than {APPLY_TIMEOUT:?}; going on without");
        }
    }

    /// Sets one after the other; returns those that failed.
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

    /// Logs what could not be set: as a warning when it is new.
    fn tell(&self, failed: &[(&Change, Error)]) {
        let now: BTreeMap<String, String> =
            failed.iter().map(|((id, _), error)| (id.clone(), error.to_string())).collect();
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        for (control, error) in &now {
            if told.get(control) == Some(error) {
                debug!(%control, %error, "still cannot be set");
            } else {
                warn!(%control, %error, "a control could not be set");
            }
        }
        *told = now;
    }
}

type Change = (String, Option<ControlValue>);
