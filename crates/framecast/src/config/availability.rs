//! What the cameras need and do not find. It is no error, because it may appear later, but the user should know before
//! the first viewer comes.

use framecast_drivers::Drivers;

use super::Settings;

impl Settings {
    /// Checks that the device, file, folder or program of each camera exists, without opening any. Returns one sentence
    /// for each that is missing, with the camera's name and what to do. Takes two seconds at most, even if a network
    /// share hangs. The caller must be within a Tokio runtime.
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
                    "camera `{name}`: {error}; the server looks for it again when someone watches"
                ));
            }
        }
        missing
    }
}
