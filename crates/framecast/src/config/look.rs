//! What the cameras need and is not there: not wrong, since it may come, but better said before anybody watches.

use framecast_drivers::Drivers;

use super::Settings;

impl Settings {
    /// Looks for the device, file, folder or program of each camera, without opening any: a sentence for each that is
    /// missing, with the camera's name and what to do. Takes two seconds at most, also where a network share hangs. Must be
    /// called within a Tokio runtime.
    pub async fn missing(&self, drivers: &Drivers) -> Vec<String> {
        let looks: Vec<_> = self
            .cameras
            .iter()
            .map(|camera| {
                let (drivers, source) = (drivers.clone(), camera.source.clone());
                (&camera.name, tokio::spawn(async move { drivers.look(&source).await }))
            })
            .collect();
        let mut missing = Vec::new();
        for (name, look) in looks {
            if let Ok(Err(error)) = look.await {
                missing
                    .push(format!("camera `{name}`: {error}; it is looked for again when someone watches"));
            }
        }
        missing
    }
}
