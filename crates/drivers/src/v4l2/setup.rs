//! Prepares a device: selects the input, sets format and rate, and reports the result.

use std::path::Path;
use std::time::Duration;

use framecast_media::Range;
use framecast_v4l2::{Device, Input, PictureFormat};
use tracing::warn;

use super::coding::{self, Coding};
use super::negotiate::{self, Choice, Lack};
use super::node;
use super::offer::{self, Offer};
use super::target::{MAX_SIDE_PX, Wish};
use super::trouble;
use super::unpadded::Layout;
use crate::{Capture, Error, Mode};

/// The longest frame interval that is believed of a device. A nonsense value from a driver must not delay the stall
/// timer of a camera by an hour.
const SLOWEST: Duration = Duration::from_secs(30);

/// The settings that a device accepted.
#[derive(Debug)]
pub(super) struct Setup {
    /// The layout of the samples and their range; `None` for JPEG images.
    pub(super) raw: Option<(Layout, Range)>,
    pub(super) capture: Capture,
    /// The time between frames, if known.
    pub(super) interval: Duration,
}

/// Checks that the node at `path` is a camera.
pub(super) fn check_kind(device: &Device, path: &Path) -> Result<(), Error> {
    let capability = device.capability();
    let problem = if capability.planes().is_none() {
        format!("is {}", capability.what())
    } else if capability.needs_media_controller() {
        "is a camera that libcamera drives: use `libcamera:` in its place".to_owned()
    } else {
        return Ok(());
    };
    Err(Error::Device { device: path.display().to_string(), problem })
}

/// Sets the device up as requested.
///
/// # Errors
/// Which request the device cannot fulfil if the URL is strict, that Framecast can show none of its formats, that there
/// is no signal, or the kernel's error.
pub(super) fn set_up(device: &Device, path: &Path, wish: &Wish) -> Result<Setup, Error> {
    let refused = |error| trouble::refused(path, error);
    check_kind(device, path)?;
    let fixed = select_input(device, path, wish)?;
    let offers = offer::ask(device).map_err(refused)?;
    let (choice, lacks) = negotiate::choose(&offers, wish, fixed).map_err(|names| {
        let has = if names.is_empty() { "none at all".to_owned() } else { names.join(", ") };
        let problem = format!("has no format that can be shown; it has {has}");
        Error::Device { device: path.display().to_string(), problem }
    })?;
    lacks.into_iter().try_for_each(|lack| tell(path, lack, wish))?;
    let format = device.set_format(choice.fourcc, choice.size.0, choice.size.1).map_err(refused)?;
    let coding = check_format(&format, &offers, &choice, path, wish)?;
    let size = (format.width_px, format.height_px);
    let fps = set_rate(device, &format, path, wish)?;
    let raw = match coding {
        Coding::Jpeg => None,
        Coding::Raw(pixels) => {
            let row_bytes = format.planes.iter().map(|plane| plane.row_bytes).collect();
            let range = wish.range.unwrap_or_else(|| coding::range(pixels, format.colour));
            Some((Layout { format: pixels, size, row_bytes }, range))
        }
    };
    // The rate of a digital input, computed from its pixel clock, has more digits than it is exact.
    let shown_fps = fps.map(|fps| (fps * 1000.0).round() / 1000.0);
    let given = Mode {
        format: Some(coding.name().to_owned()),
        width: Some(size.0),
        height: Some(size.1),
        fps: shown_fps,
    };
    let name = node::without_echo(&device.capability().card);
    let capture = Capture { device: format!("{name} ({})", path.display()), given, asked: wish.mode() };
    let interval = fps.map_or(Duration::ZERO, |fps| Duration::from_secs_f64(1.0 / fps).min(SLOWEST));
    Ok(Setup { raw, capture, interval })
}

/// Selects the input; a digital one then adopts the incoming signal, whose size is returned.
fn select_input(device: &Device, path: &Path, wish: &Wish) -> Result<Option<(u32, u32)>, Error> {
    let refused = |error| trouble::refused(path, error);
    if let Some(wanted) = wish.input {
        let inputs = device.inputs().map_err(refused)?;
        if inputs.iter().all(|input| input.index != wanted) {
            return Err(no_input(path, wanted, &inputs));
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
    // Subscribes before it queries the signal, so that no change is missed.
    device.watch_source(input.index).map_err(refused)?;
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

fn no_input(path: &Path, wanted: u32, inputs: &[Input]) -> Error {
    let known = inputs.iter().map(|input| format!("{} ({})", input.index, input.name)).collect();
    let lack = Lack { wanted: format!("input {wanted}"), known, taken: String::new() };
    lacking(path, &lack)
}

fn lacking(path: &Path, lack: &Lack) -> Error {
    Error::Lacking { device: path.display().to_string(), wanted: lack.wanted.clone(), has: lack.has() }
}

/// Warns of an unmet request, or returns it as an error.
fn tell(path: &Path, lack: Lack, wish: &Wish) -> Result<(), Error> {
    if wish.is_strict {
        return Err(lacking(path, &lack));
    }
    warn!(device = %path.display(), "{lack}");
    Ok(())
}

/// Checks the format and size that the driver set on request.
fn check_format(
    format: &PictureFormat,
    offers: &[Offer],
    choice: &Choice,
    path: &Path,
    wish: &Wish,
) -> Result<Coding, Error> {
    let Some(coding) = Coding::of(format.fourcc) else {
        let problem = format!("was asked for {} and set itself to {}", choice.fourcc, format.fourcc);
        return Err(Error::Device { device: path.display().to_string(), problem });
    };
    let size = (format.width_px, format.height_px);
    if size.0.max(size.1) > MAX_SIDE_PX {
        let problem =
            format!("was asked for {}x{} and answers {}x{}", choice.size.0, choice.size.1, size.0, size.1);
        return Err(Error::Device { device: path.display().to_string(), problem });
    }
    // If the choice itself differs from the request, that was already reported.
    if size != choice.size && wish.size.is_none_or(|wished| wished == choice.size) {
        let given = Choice { fourcc: format.fourcc, coding, size };
        let lack = negotiate::no_size(offers, choice.size, &given);
        if wish.size.is_some() {
            tell(path, lack, wish)?;
        }
    }
    Ok(coding)
}

/// Sets the rate. Returns the device's rate, if the device reports one.
fn set_rate(device: &Device, format: &PictureFormat, path: &Path, wish: &Wish) -> Result<Option<f64>, Error> {
    let refused = |error| trouble::refused(path, error);
    let rates = offer::rates(device, format.fourcc, (format.width_px, format.height_px)).map_err(refused)?;
    let given = match negotiate::choose_rate(&rates, wish.fps) {
        Some(fps) => device.set_interval(negotiate::interval(fps)).map_err(refused)?,
        None => None,
    };
    let given = match given {
        Some(interval) => Some(interval),
        None => device.interval().map_err(refused)?,
    };
    let given = given.and_then(|interval| interval.fps());
    let at = format!("{}x{}", format.width_px, format.height_px);
    negotiate::no_rate(&rates, wish.fps, given, &at).map_or(Ok(()), |lack| tell(path, lack, wish))?;
    Ok(given)
}
