//! Diagnoses a failure of `rpicam-vid` from the last lines of its error output and says what to do. The log contains
//! the lines themselves, for people who search for them.
//!
//! The known texts come from the source code of rpicam-apps (core/rpicam_app.cpp, core/options.cpp and
//! apps/rpicam_vid.cpp in <https://github.com/raspberrypi/rpicam-apps>) and of libcamera (src/libcamera/camera.cpp).
//! None of these texts was seen on a device.

use super::request::CaptureRequest;
use crate::Error;
use crate::program::Launch;

/// Creates the error for a system that has `rpicam-vid` under neither its current nor its old name.
pub(super) fn not_installed_error(launch: &Launch) -> Error {
    launch.not_installed_error(
        "Framecast reads Raspberry Pi cameras through it: `apt install rpicam-apps` on Raspberry Pi OS Bookworm and \
         later, `apt install libcamera-apps` before. For a USB camera write v4l2:/dev/video0",
    )
}

/// The texts that `rpicam-vid` prints, each with its diagnosis for the user.
const MEANINGS: [(&str, &str); 9] = [
    (
        "no cameras available",
        "found no camera. Check the ribbon cable at both ends with the power off. /boot/firmware/config.txt must have \
         `camera_auto_detect=1`, or `dtoverlay=` and the sensor's name, and must not have `start_x=1`. Then restart",
    ),
    (
        "selected camera is not available",
        "found no camera with this number; `rpicam-hello --list-cameras` shows them",
    ),
    ("in use by another process", IN_USE),
    ("failed to acquire camera", IN_USE),
    (
        "legacy camera stack",
        "finds the camera set up for older programs; in `raspi-config` switch off Legacy Camera, then restart",
    ),
    (
        "only supports the Raspberry Pi platforms",
        "works only on a Raspberry Pi; on other machines write v4l2:/dev/video0",
    ),
    (
        "failed to allocate",
        "has too little memory for pictures; request smaller pictures, as in pi:?size=640x480, or add \
         `,cma-256` to `dtoverlay=vc4-kms-v3d`",
    ),
    ("unrecognised option", "does not know an option; `rpicam-vid --help` shows them"),
    (
        "failed to start camera",
        "cannot start the camera; check the ribbon cable, and that the power supply is strong enough",
    ),
];

const IN_USE: &str = "cannot use the camera: another program uses it, and only one can at a time. Stop that program; \
                      `fuser /dev/media*` shows it";

/// Returns the error for a `program` that ended after printing `lines`; `None` if `lines` contains no known text.
pub(super) fn exit_error(request: &CaptureRequest, program: &str, lines: &[String]) -> Option<Error> {
    let (_, meaning) = MEANINGS.iter().find(|(text, _)| lines.iter().any(|line| line.contains(text)))?;
    Some(Error::Unusable {
        what: format!("camera {}", request.camera),
        problem: format!("`{program}` {meaning}. Its error output is in the log"),
    })
}
