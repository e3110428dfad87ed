//! Checks for what cameras need but do not have: devices, files, folders and programs, and controls to set. A missing
//! device or file is not an error, because it might appear later. But the user should know of it before the first viewer
//! connects.

use framecast_drivers::Drivers;

use super::{CameraSettings, Settings};

impl Settings {
    /// Checks that the device, file, folder or program of each camera exists, without opening the camera, and that
    /// cameras whose `controls` are set can have controls. Returns one sentence for each thing that is missing, with the
    /// camera's name and what to do. Takes two seconds at most, even if a network share hangs. Must be called within a
    /// Tokio runtime.
    pub async fn missing(&self, drivers: &Drivers) -> Vec<String> {
        missing(&self.cameras, drivers).await
    }
}

/// Returns one sentence for each thing that `cameras` need and that is missing: see [`Settings::missing`].
pub(crate) async fn missing(cameras: &[CameraSettings], drivers: &Drivers) -> Vec<String> {
    let looks: Vec<_> = cameras
        .iter()
        .flat_map(|camera| camera.sources().map(move |source| (camera, source.clone())))
        .map(|(camera, source)| {
            let drivers = drivers.clone();
            (&camera.name, tokio::spawn(async move { drivers.check_available(&source).await }))
        })
        .collect();
    let mut missing: Vec<String> =
        cameras.iter().filter_map(|camera| camera.missing_controls(drivers)).collect();
    for (name, look) in looks {
        if let Ok(Err(error)) = look.await {
            missing.push(format!("camera `{name}`: {error}; the server looks again when someone watches"));
        }
    }
    missing
}

impl CameraSettings {
    /// Returns a warning if values for controls are set, but no camera of this driver has controls.
    fn missing_controls(&self, drivers: &Drivers) -> Option<String> {
        let (first, _) = self.controls.first()?;
        let has_controls = drivers.find(&self.source).is_ok_and(|driver| driver.controls().is_some());
        let scheme = self.source.scheme();
        (!has_controls).then(|| {
            format!(
                "camera `{}`: `{scheme}:` cameras have no controls, so the server cannot set `{first}`; remove the \
                 camera's controls from the file",
                self.name
            )
        })
    }
}
