//! `/api/devices`: the connected devices of all drivers.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use framecast::{
    BoxFuture, Device, DeviceFormat, DeviceSize, Driver, DriverError, Drivers, OpenContext, Settings, Source,
    SourceUrl,
};
use serde_json::{Value, json};

use crate::Server;

/// A custom driver with one device.
struct OneDeviceDriver;

impl Driver for OneDeviceDriver {
    fn scheme(&self) -> &'static str {
        "shelf"
    }

    fn open<'a>(
        &'a self,
        _: &'a OpenContext,
        _: &'a SourceUrl,
    ) -> BoxFuture<'a, Result<Box<dyn Source>, DriverError>> {
        Box::pin(async { Err(DriverError::transient("nobody opens it here")) })
    }

    fn devices(&self) -> BoxFuture<'_, Vec<Device>> {
        let sizes = vec![DeviceSize { width: 640, height: 480, fps: vec![30.0, 15.0] }];
        let device = Device {
            name: "A box on the shelf".to_owned(),
            source: "shelf:3".to_owned(),
            path: None,
            driver: "shelf".to_owned(),
            in_use_by: Some("ffmpeg (4711)".to_owned()),
            problem: None,
            formats: vec![DeviceFormat { format: "mjpeg".to_owned(), is_usable: true, sizes }],
        };
        Box::pin(async { vec![device] })
    }
}

#[test]
fn devices_of_all_drivers_are_told_with_the_source_to_paste() {
    let settings = Settings::with_cameras([("front", "emulated")]).unwrap();
    let server = Server::start(settings, Drivers::builtin().with(OneDeviceDriver));
    let answer = server.get("/api/devices");
    assert_eq!((answer.status, answer.header("cache-control")), (200, Some("no-store")));
    let answer: Value = serde_json::from_slice(&answer.body).unwrap();
    // The list may also have cameras of this machine.
    let device =
        answer["devices"].as_array().unwrap().iter().find(|device| device["driver"] == "shelf").unwrap();
    assert_eq!(
        *device,
        json!({
            "name": "A box on the shelf", "source": "shelf:3", "path": null, "driver": "shelf",
            "in_use_by": "ffmpeg (4711)", "problem": null,
            "formats": [{
                "format": "mjpeg", "is_usable": true, "sizes": [{"width": 640, "height": 480, "fps": [30.0, 15.0]}]
            }]
        })
    );
    let documentation = include_str!("../../../../docs/api.md");
    for key in device.as_object().unwrap().keys() {
        assert!(documentation.contains(&format!("\"{key}\"")), "{key} is not in docs/api.md");
    }
}

/// A driver whose devices may be probed only once.
#[derive(Default)]
struct AskedOnceDriver(AtomicUsize);

impl Driver for AskedOnceDriver {
    fn scheme(&self) -> &'static str {
        "shy"
    }

    fn open<'a>(
        &'a self,
        _: &'a OpenContext,
        _: &'a SourceUrl,
    ) -> BoxFuture<'a, Result<Box<dyn Source>, DriverError>> {
        Box::pin(async { Err(DriverError::transient("nobody opens it here")) })
    }

    fn devices(&self) -> BoxFuture<'_, Vec<Device>> {
        Box::pin(async {
            assert_eq!(self.0.fetch_add(1, Ordering::SeqCst), 0, "asked twice");
            framecast_testkit::pause(Duration::from_millis(50)).await;
            Vec::new()
        })
    }
}

#[test]
fn devices_are_asked_once_however_many_calls_there_are_in_ten_seconds() {
    let settings = Settings::with_cameras([("front", "emulated")]).unwrap();
    let server = Server::start(settings, Drivers::builtin().with(AskedOnceDriver::default()));
    std::thread::scope(|scope| {
        let calls: Vec<_> = (0..4).map(|_| scope.spawn(|| server.get("/api/devices").status)).collect();
        for call in calls {
            assert_eq!(call.join().unwrap(), 200);
        }
    });
}
