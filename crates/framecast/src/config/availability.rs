//! Checks for devices, files, folders and programs that cameras need but that do not exist. A missing device or file is
//! not an error, because it might appear later. But the user should know of it before the first viewer connects.

use framecast_drivers::Drivers;

use super::Settings;

impl Settings {
    /// Checks that the device, file, folder or program of each camera exists, without opening the camera. Returns one
    /// sentence for each missing device, file, folder or program, with the camera's name and what to do. Takes two
    /// seconds at most, even if a network share hangs. Must be called within a Tokio runtime.
    pub async fn missing(&self, drivers: &Drivers) -> Vec<String> {
        let looks: Vec<_> = self
            .cameras
            .iter()
            .map(|camera| {
                let (drivers, source) = (drivers.clone(), camera.source.clone());
                (&camera.name, tokio::spawn(async move { drivers.check_available(&source).await }))
            })
            .collect();
        let mut missing = Vec::new();
        for (name, look) in looks {
            if let Ok(Err(error)) = look.await {
                missing.push(format!(
                    "camera `{name}`: {error}; the server looks for the camera again when someone watches"
                ));
            }
        }
        missing
    }
}
