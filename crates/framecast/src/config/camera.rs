//! The settings of one camera: the keys of a `[[camera]]` table.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::time::Duration;

use framecast_drivers::{ControlValue, OpenContext, SourceUrl};
use framecast_hub::QUALITY_RANGE;
use toml::Spanned;
use toml::de::DeValue;

use super::check::{check_camera_name, check_control_id};
use super::key::settings;
use super::kind::{Number, OrNever, Size, Switch, Text, Time, ValueKind};
use super::reader::{FileReader, ReadContext};

/// The range of `max_fps`. The limits keep the time between two pictures above zero and finite.
const MAX_FPS: RangeInclusive<f64> = 0.01..=10_000.0;

settings! {
    /// The settings of one camera.
    #[derive(Debug, Clone, PartialEq)]
    #[non_exhaustive]
    pub struct CameraSettings {
        required "camera" {
            /// The camera's name, which is part of its URLs.
            name: String,
                Text::new(|name, _| Ok(name.to_owned())).checked(|name| check_camera_name(name)), Applies,
                "letters, digits, `-`, `_` and `.`; part of the camera's URLs";
            /// The source of the camera's pictures.
            source: SourceUrl,
                Text::new(read_source), Applies,
                "where the pictures come from: see [Sources](#sources)";
        }
        section "camera" {
            /// The source of the camera's sub stream: a smaller version of its coded video, which the camera makes too.
            /// Small tiles and slow links get it. It opens only while somebody watches it.
            sub: Option<SourceUrl> = None,
                Text::new(read_source), Applies,
                "a smaller stream of the same camera, for small tiles and slow links †";
            /// How long the camera stays open without a viewer; with `None` the camera never closes.
            idle_timeout: Option<Duration> = Some(Duration::from_secs(10)),
                OrNever(Time::any()), Applies,
                "how long the camera stays open without a viewer †";
            /// How often the server opens the camera for one picture while nobody watches, to learn whether it works;
            /// `Some(None)` means never. With `None`, the server's [`probe`](super::Settings::probe) applies if the
            /// camera is a network camera, and each minute if it is `required` and the server has no interval.
            probe: Option<Option<Duration>> = None,
                OrNever(Time::probe_interval()), Applies,
                "how often Framecast probes the camera while nobody watches †", default "the server's";
            /// Whether `/readyz` reports that the server is not ready while this camera is lost or was not checked yet.
            required: bool = false,
                Switch, Applies,
                "whether this camera must work for [`/readyz`](monitoring.md#is-the-server-ready) to succeed †";
            /// How long the camera can deliver no picture before it counts as lost. `None` adapts this time to the
            /// camera: 30 s until three pictures have arrived; then 5 s or, if that is longer, four times the camera's
            /// usual interval, at most ten minutes.
            stall_timeout: Option<Duration> = None,
                Time::positive(), Applies,
                "how long the camera may send no picture before it counts as lost †", default "see below";
            /// The maximum number of frames per second that the server accepts from the camera.
            max_fps: f64 = 120.0,
                Number::between(&MAX_FPS), Applies,
                "the most frames per second †";
            /// The JPEG quality, from 1 to 100, at which the server encodes the camera's raw pictures, and its
            /// renditions: versions of the pictures in another size, quality or frame rate.
            quality: u8 = 80,
                Number::between(&QUALITY_RANGE), Applies,
                "the quality of the JPEG pictures that Framecast encodes †";
            /// How long a request waits for the device to list or set its controls.
            controls_timeout: Duration = Duration::from_secs(5),
                Time::positive(), Applies,
                "how long a request waits for the device to list or set its controls";
            /// The maximum number of the camera's viewers at once; `None` for no limit.
            max_viewers: Option<usize> = None,
                Number::at_least(1_usize), Applies,
                "the most viewers of this camera", default "any number";
            /// The latency budget of this camera's viewers; with `None` the server's
            /// [`latency_budget`](super::Settings::latency_budget) applies.
            latency_budget: Option<Duration> = None,
                Time::latency_budget(), Applies,
                "the latency budget of this camera's viewers", default "the server's", formerly "freshness";
            /// The maximum size, in bytes, of one coded picture of the camera.
            max_picture_bytes as max_picture: usize = OpenContext::default().max_picture_bytes(),
                Size(1 << 10..=1 << 30), Applies,
                "the largest encoded picture that Framecast accepts †";
            /// The values that the server sets on the camera's controls each time it opens the camera, in the order of
            /// this list. If the device lacks a control, the server logs a warning.
            controls: Vec<(String, ControlValue)> = Vec::new(),
                ControlValues, Applies,
                "values for the device's controls, set in this order †";
        }
    }
}

/// Reads the URL of a source that one of the drivers accepts.
fn read_source(source: &str, file: &ReadContext<'_>) -> Result<SourceUrl, String> {
    let source = SourceUrl::parse(source).map_err(|error| error.to_string())?;
    file.drivers.find(&source).map_err(|error| error.to_string())?;
    Ok(source)
}

impl CameraSettings {
    /// Creates the settings of a camera called `name` with the source `source`, and defaults for the rest.
    pub fn new(name: impl Into<String>, source: SourceUrl) -> Self {
        Self::with_defaults(name.into(), source)
    }

    /// Returns the sources of the camera: of its pictures, and of its sub stream if it has one.
    pub(crate) fn sources(&self) -> impl Iterator<Item = &SourceUrl> {
        std::iter::once(&self.source).chain(&self.sub)
    }

    /// Returns the settings with which the camera's sub stream is opened; `None` if the camera has none. A sub stream is
    /// never open without a viewer, and never probed.
    pub(crate) fn of_sub(&self) -> Option<Self> {
        let source = self.sub.clone()?;
        let Self { stall_timeout, max_fps, max_picture_bytes, .. } = *self;
        let defaults = Self::new(&self.name, source);
        let (idle_timeout, probe) = (self.idle_timeout.or(defaults.idle_timeout), Some(None));
        Some(Self { idle_timeout, probe, stall_timeout, max_fps, max_picture_bytes, ..defaults })
    }
}

/// A table of controls by name, each with its value.
struct ControlValues;

impl ValueKind for ControlValues {
    type Value = Vec<(String, ControlValue)>;

    fn read(&self, value: Spanned<DeValue<'_>>, reader: &mut FileReader<'_>) -> Option<Self::Value> {
        let controls: BTreeMap<Spanned<String>, ControlValue> = reader.read(value)?;
        // The map is sorted by name. This restores the order of the file, because one control can depend on an earlier
        // control.
        let mut controls: Vec<_> = controls.into_iter().collect();
        controls.sort_by_key(|(id, _)| id.span().start);
        let mut checked = Vec::new();
        for (id, value) in controls {
            let is_good = check_control_id(id.get_ref());
            checked.push(reader.keep(id.span(), is_good).map(|()| (id.into_inner(), value)));
        }
        checked.into_iter().collect()
    }

    fn check(&self, _key: &str, controls: &Self::Value) -> Result<(), String> {
        controls.iter().try_for_each(|(id, _)| check_control_id(id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sub_stream_closes_and_is_neither_probed_nor_required_whatever_the_camera_is() {
        let [source, sub] = ["rtsp://cam/1", "rtsp://cam/2"].map(|url| SourceUrl::parse(url).unwrap());
        let camera = CameraSettings {
            sub: Some(sub.clone()),
            idle_timeout: None,
            probe: Some(Some(Duration::from_secs(60))),
            required: true,
            stall_timeout: Some(Duration::from_secs(7)),
            controls: vec![("brightness".to_owned(), ControlValue::Integer(1))],
            ..CameraSettings::new("front", source)
        };
        let expected = CameraSettings {
            probe: Some(None),
            stall_timeout: camera.stall_timeout,
            ..CameraSettings::new("front", sub)
        };
        assert_eq!(camera.of_sub(), Some(expected));
        assert_eq!(camera.of_sub().unwrap().of_sub(), None);
    }
}
