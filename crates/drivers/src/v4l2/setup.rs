//! Prepares a device for capture: selects the input, sets format and rate, and reports the settings that the device
//! accepted.

use std::path::Path;
use std::time::Duration;

use framecast_media::ColorRange;
use framecast_v4l2::{Device, Input, PictureFormat};
use tracing::warn;

use super::capabilities::{self, SupportedFormat};
use super::coding::{self, Coding};
use super::diagnose;
use super::layout::Layout;
use super::negotiate::{self, ChosenFormat, UnmetRequest};
use super::node;
use super::target::{MAX_SIDE_PX, RequestedMode};
use crate::{Capture, Error, Mode};

/// The maximum plausible frame interval of a device. A larger value from a driver is nonsense, and would delay the
/// detection of a stalled camera.
const MAX_FRAME_INTERVAL: Duration = Duration::from_secs(30);

/// The settings that a device accepted.
#[derive(Debug)]
pub(super) struct Setup {
    /// The memory layout and value range of raw pictures; `None` for JPEG images.
    pub(super) raw: Option<(Layout, ColorRange)>,
    pub(super) capture: Capture,
    /// The time between two frames; zero if it is unknown.
    pub(super) interval: Duration,
}

/// Checks that the device opened at `path` is a camera.
pub(super) fn check_kind(device: &Device, path: &Path) -> Result<(), Error> {
    let capability = device.capability();
    let problem = if capability.capture_api().is_none() {
        format!("this is {}", capability.kind_name())
    } else if capability.needs_media_controller() {
        "libcamera drives this camera; use `libcamera:` in place of `v4l2:`".to_owned()
    } else {
        return Ok(());
    };
    Err(Error::Device { device: path.display().to_string(), problem })
}

/// Sets the device up as requested.
///
/// # Errors
/// The device cannot fulfil the request although the URL has the option `strict`, Framecast can show none of the
/// device's formats, there is no signal, or the kernel returned an error.
pub(super) fn set_up(device: &Device, path: &Path, requested: &RequestedMode) -> Result<Setup, Error> {
    let refused = |error| diagnose::call_error(path, error);
    check_kind(device, path)?;
    let input_size = select_input(device, path, requested)?;
    let formats = capabilities::query(device).map_err(refused)?;
    let (choice, unmet_requests) =
        negotiate::choose_format(&formats, requested, input_size).map_err(|names| {
            let has = if names.is_empty() { "none at all".to_owned() } else { names.join(", ") };
            let problem = format!("the device has no format that Framecast can show; it has {has}");
            Error::Device { device: path.display().to_string(), problem }
        })?;
    unmet_requests.into_iter().try_for_each(|unmet| warn_or_refuse(path, unmet, requested))?;
    let format = device.set_format(choice.fourcc, choice.size.0, choice.size.1).map_err(refused)?;
    let coding = check_format(&format, &formats, &choice, path, requested)?;
    let size = (format.width_px, format.height_px);
    let fps = set_rate(device, &format, path, requested)?;
    let raw = match coding {
        Coding::Jpeg => None,
        Coding::Raw(pixels) => {
            let row_bytes = format.planes.iter().map(|plane| plane.row_bytes).collect();
            let range = requested.range.unwrap_or_else(|| coding::range(pixels, format.colour));
            Some((Layout { format: pixels, size, row_bytes }, range))
        }
    };
    // The rate of a digital input is computed from its pixel clock and has more digits than its precision justifies.
    let shown_fps = fps.map(|fps| (fps * 1000.0).round() / 1000.0);
    let given = Mode {
        format: Some(coding.name().to_owned()),
        width: Some(size.0),
        height: Some(size.1),
        fps: shown_fps,
    };
    let name = node::without_repetition(&device.capability().card);
    let capture = Capture { device: format!("{name} ({})", path.display()), given, asked: requested.mode() };
    let interval =
        fps.map_or(Duration::ZERO, |fps| Duration::from_secs_f64(1.0 / fps).min(MAX_FRAME_INTERVAL));
    Ok(Setup { raw, capture, interval })
}

/// Selects the requested input. If the input is digital, sets the device to the timings of the incoming signal and
/// returns the signal's width and height in pixels; otherwise returns `None`.
fn select_input(
    device: &Device,
    path: &Path,
    requested: &RequestedMode,
) -> Result<Option<(u32, u32)>, Error> {
    let refused = |error| diagnose::call_error(path, error);
    if let Some(wanted) = requested.input {
        let inputs = device.inputs().map_err(refused)?;
        if inputs.iter().all(|input| input.index != wanted) {
            return Err(no_input_error(path, wanted, &inputs));
        }
        device.set_input(wanted).map_err(refused)?;
    }
    let Some(input) = device.input().map_err(refused)? else { return Ok(None) };
    let problem = |problem: &str| Error::Device {
        device: path.display().to_string(),
        problem: format!("{problem} at its input {} ({})", input.index, input.name),
    };
    if let Some(told) = input.problem() {
        return Err(problem(told));
    }
    if !input.has_timings {
        return Ok(None);
    }
    // Subscribes before querying the signal, so that no change is missed.
    device.subscribe_source_changes(input.index).map_err(refused)?;
    match device.query_timings() {
        Ok(timings) => {
            device.set_timings(&timings).map_err(refused)?;
            Ok(Some((timings.width_px(), timings.height_px())))
        }
        Err(error) if error.is_gone() => Err(refused(error)),
        Err(error) if error.is_unsupported() => Ok(None),
        Err(_) => Err(problem("no signal")),
    }
}

fn no_input_error(path: &Path, wanted: u32, inputs: &[Input]) -> Error {
    let known = inputs.iter().map(|input| format!("{} ({})", input.index, input.name)).collect();
    let unmet = UnmetRequest { wanted: format!("input {wanted}"), known, taken: String::new() };
    unsupported_error(path, &unmet)
}

fn unsupported_error(path: &Path, unmet: &UnmetRequest) -> Error {
    Error::Unsupported { device: path.display().to_string(), wanted: unmet.wanted.clone(), has: unmet.has() }
}

/// Logs a warning about a request that the device cannot meet. If the URL has the option `strict`, returns an error
/// instead.
fn warn_or_refuse(path: &Path, unmet: UnmetRequest, requested: &RequestedMode) -> Result<(), Error> {
    if requested.is_strict {
        return Err(unsupported_error(path, &unmet));
    }
    warn!(device = %path.display(), "{unmet}");
    Ok(())
}

/// Checks the format and size that the driver has set in response to the request, and returns the coding of that
/// format.
fn check_format(
    format: &PictureFormat,
    formats: &[SupportedFormat],
    choice: &ChosenFormat,
    path: &Path,
    requested: &RequestedMode,
) -> Result<Coding, Error> {
    let Some(coding) = Coding::of(format.fourcc) else {
        let problem = format!("Framecast asked for {}, and the device set {}", choice.fourcc, format.fourcc);
        return Err(Error::Device { device: path.display().to_string(), problem });
    };
    let size = (format.width_px, format.height_px);
    if size.0.max(size.1) > MAX_SIDE_PX {
        let problem = format!(
            "Framecast asked for {}x{}, and the device set {}x{}",
            choice.size.0, choice.size.1, size.0, size.1
        );
        return Err(Error::Device { device: path.display().to_string(), problem });
    }
    // If the choice itself differs from the request, this has already been reported.
    if size != choice.size && requested.size.is_none_or(|wished| wished == choice.size) {
        let given = ChosenFormat { fourcc: format.fourcc, coding, size };
        let unmet = negotiate::unmet_size(formats, choice.size, &given);
        if requested.size.is_some() {
            warn_or_refuse(path, unmet, requested)?;
        }
    }
    Ok(coding)
}

/// Sets the frame rate. Returns the device's actual rate, if the device reports one.
fn set_rate(
    device: &Device,
    format: &PictureFormat,
    path: &Path,
    requested: &RequestedMode,
) -> Result<Option<f64>, Error> {
    let refused = |error| diagnose::call_error(path, error);
    let rates =
        capabilities::rates(device, format.fourcc, (format.width_px, format.height_px)).map_err(refused)?;
    let given = match negotiate::choose_rate(&rates, requested.fps) {
        Some(fps) => device.set_interval(negotiate::interval(fps)).map_err(refused)?,
        None => None,
    };
    let given = match given {
        Some(interval) => Some(interval),
        None => device.interval().map_err(refused)?,
    };
    let given = given.and_then(|interval| interval.fps());
    let at = format!("{}x{}", format.width_px, format.height_px);
    negotiate::unmet_rate(&rates, requested.fps, given, &at)
        .map_or(Ok(()), |unmet| warn_or_refuse(path, unmet, requested))?;
    Ok(given)
}
