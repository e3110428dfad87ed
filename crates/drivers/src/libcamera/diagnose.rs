//! Diagnoses the program's last lines and advises what to do. The log has the lines themselves, for people who search
//! for them.
//!
//! The texts are those of rpicam-apps (core/rpicam_app.cpp, core/options.cpp and apps/rpicam_vid.cpp in
//! <https://github.com/raspberrypi/rpicam-apps>) and of libcamera (src/libcamera/camera.cpp); none was seen on a
//! device.

use super::request::CaptureRequest;
use crate::Error;
use crate::program::Launch;

/// The error if neither name of the program exists.
pub(super) fn not_installed_error(launch: &Launch) -> Error {
    launch.not_installed_error(
        "cameras of a Raspberry Pi are read through it: `apt install rpicam-apps` on Raspberry Pi OS Bookworm and later, \
         `apt install libcamera-apps` before. A USB camera is read by v4l2:/dev/video0",
    )
}

/// The diagnosis for each text of the program.
const MEANINGS: [(&str, &str); 9] = [
    (
        "no cameras available",
        "found no camera. Check the ribbon cable at both ends with the power off; in /boot/firmware/config.txt there must \
         be `camera_auto_detect=1`, or `dtoverlay=` and the sensor's name, and not `start_x=1`; then restart",
    ),
    (
        "selected camera is not available",
        "has no camera of this number; `rpicam-hello --list-cameras` shows them",
    ),
    ("in use by another process", IN_USE),
    ("failed to acquire camera", IN_USE),
    (
        "legacy camera stack",
        "finds the camera set up for older programs; in `raspi-config` switch off Legacy Camera, then restart",
    ),
    (
        "only supports the Raspberry Pi platforms",
        "works on a Raspberry Pi alone; elsewhere a camera is read by v4l2:/dev/video0",
    ),
    (
        "failed to allocate",
        "has too little memory for pictures; ask for smaller ones, as in pi:?size=640x480, or give `dtoverlay=vc4-kms-v3d` \
         more: `,cma-256`",
    ),
    ("unrecognised option", "does not know an option; `rpicam-vid --help` shows them"),
    (
        "failed to start camera",
        "cannot start the camera; check the ribbon cable, and that the power supply is strong enough",
    ),
];

const IN_USE: &str = "finds the camera used by another program; end that one: only one can have it at a time, and \
                      `fuser /dev/media*` shows which";

/// The error for a `program` that ended after these lines; `None` if they contain no known text.
pub(super) fn exit_error(request: &CaptureRequest, program: &str, lines: &[String]) -> Option<Error> {
    let (_, meaning) = MEANINGS.iter().find(|(text, _)| lines.iter().any(|line| line.contains(text)))?;
    Some(Error::Unusable {
        what: format!("camera {}", request.camera),
        problem: format!("`{program}` {meaning}. Its last words are in the log"),
    })
}
