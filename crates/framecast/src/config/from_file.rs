//! Converts the file as written into settings. Checks each value; each error has a line and a column.

use std::collections::BTreeMap;
use std::env;
use std::time::Duration;

use framecast_drivers::{Drivers, SourceUrl};
use toml::Spanned;

use super::check::{check_camera_name, check_control_id, parse_host, parse_origin};
use super::file::{CameraFile, File};
use super::network::parse_frame_ancestor;
use super::settings::{
    check_count, check_latency_budget, check_max_fps, check_quality, check_timeout, check_writer_threads,
};
use super::value::DurationValue;
use super::{
    Account, CameraSettings, ConfigError, HistoryStorage, Listen, Settings, TrustedProxies, WebhookSettings,
    state_dir,
};

impl Settings {
    pub(super) fn from_file(
        mut file: File,
        text: &str,
        drivers: &Drivers,
        password: Option<&str>,
    ) -> Result<Self, ConfigError> {
        let (mut settings, mut first) = (Self::default(), FirstError::default());
        first.keep(file.rename_old_keys(text), |warnings| settings.old_key_warnings = warnings);
        let file = &file;
        if let Some(listen) = &file.listen {
            let listen = located(text, listen, |listen| Listen::parse(listen));
            first.keep(listen, |listen| settings.listen = listen);
        }
        for host in file.allowed_hosts.iter().flatten() {
            first
                .keep(located(text, host, |host| parse_host(host)), |host| settings.allowed_hosts.push(host));
        }
        for origin in file.cors_origins.iter().flatten() {
            let origin = located(text, origin, |origin| parse_origin(origin));
            first.keep(origin, |origin| settings.cors_origins.push(origin));
        }
        if let Some(user) = &file.user {
            let account = located(text, user, |user| Account::new(user, password.unwrap_or_default()));
            first.keep(account, |account| settings.account = Some(account));
        }
        first.keep(settings.read_limits(file, text), |()| {});
        first.keep(settings.read_network(file, text), |()| {});
        settings.drop_in = file.drop_in.unwrap_or(settings.drop_in);
        if let Some(folder) = &file.state_dir {
            let folder = located(text, folder, |folder| state_dir::parse(folder, env::var_os("HOME")));
            first.keep(folder, |folder| settings.state_dir = Some(folder));
        }
        first.keep(settings.read_history(file, text), |()| {});
        first.keep(cameras(&file.camera, text, drivers), |cameras| settings.cameras = cameras);
        let known: Vec<&str> =
            file.camera.iter().map(|camera| camera.get_ref().name.get_ref().as_str()).collect();
        for webhook in &file.webhook {
            let webhook = WebhookSettings::from_file(webhook, text, &known);
            first.keep(webhook, |webhook| settings.webhooks.push(webhook));
        }
        first.0.map_or(Ok(settings), Err)
    }

    /// Reads the keys of the history: `history`, `history_max_age`, `history_max_rows`.
    fn read_history(&mut self, file: &File, text: &str) -> Result<(), ConfigError> {
        let (history, mut first) = (&mut self.history, FirstError::default());
        if let Some(place) = &file.history {
            let place = located(text, place, |place| HistoryStorage::parse(place, env::var_os("HOME")));
            first.keep(place, |place| history.storage = place);
        }
        if let Some(max_age) = &file.history_max_age {
            let max_age = located(text, max_age, |max_age| match max_age.0 {
                Some(age) if age.is_zero() => Err("history_max_age must be longer than 0 s".to_owned()),
                age => Ok(age),
            });
            first.keep(max_age, |max_age| history.max_age = max_age);
        }
        if let Some(max_rows) = &file.history_max_rows {
            let max_rows = located(text, max_rows, |max_rows| match max_rows {
                0 => Err("history_max_rows must be at least 1".to_owned()),
                rows => Ok(*rows),
            });
            first.keep(max_rows, |max_rows| history.max_rows = Some(max_rows));
        }
        first.0.map_or(Ok(()), Err)
    }

    /// Reads the keys `trusted_proxies` and `frame_ancestors`.
    fn read_network(&mut self, file: &File, text: &str) -> Result<(), ConfigError> {
        let mut first = FirstError::default();
        if let Some(proxies) = &file.trusted_proxies {
            let mut trusted = TrustedProxies::none();
            for proxy in proxies {
                first.keep(located(text, proxy, |proxy| trusted.add(proxy)), |()| {});
            }
            self.trusted_proxies = trusted;
        }
        if let Some(ancestors) = &file.frame_ancestors {
            self.frame_ancestors.clear();
            let is_alone = ancestors.len() == 1;
            for ancestor in ancestors {
                let ancestor = located(text, ancestor, |ancestor| parse_frame_ancestor(ancestor, is_alone));
                first.keep(ancestor, |ancestor| self.frame_ancestors.push(ancestor));
            }
        }
        first.0.map_or(Ok(()), Err)
    }

    /// Reads the limits on viewers and connections.
    fn read_limits(&mut self, file: &File, text: &str) -> Result<(), ConfigError> {
        let mut first = FirstError::default();
        let write_timeout = positive(text, "write_timeout", file.write_timeout.as_ref(), |v| v.0);
        first.keep(write_timeout, |given| self.write_timeout = given.unwrap_or(self.write_timeout));
        let header_timeout = positive(text, "header_timeout", file.header_timeout.as_ref(), |v| v.0);
        first.keep(header_timeout, |given| self.header_timeout = given.unwrap_or(self.header_timeout));
        let max_connections = limit(text, "max_connections", file.max_connections.as_ref());
        first.keep(max_connections, |given| self.max_connections = given.unwrap_or(self.max_connections));
        let connections =
            limit(text, "max_connections_per_address", file.max_connections_per_address.as_ref());
        first.keep(connections, |given| self.max_connections_per_address = given);
        self.marks_per_minute = file.marks_per_minute.unwrap_or(self.marks_per_minute);
        let max_viewers = limit(text, "max_viewers", file.max_viewers.as_ref());
        first.keep(max_viewers, |given| self.max_viewers = given);
        let per_address = limit(text, "max_viewers_per_address", file.max_viewers_per_address.as_ref());
        first.keep(per_address, |given| self.max_viewers_per_address = given);
        let budget = latency_budget(text, file.latency_budget.as_ref());
        first.keep(budget, |given| self.latency_budget = given.unwrap_or(self.latency_budget));
        if let Some(threads) = &file.writer_threads {
            let threads = located(text, threads, |threads| check_writer_threads(*threads));
            first.keep(threads, |threads| self.writer_threads = Some(threads));
        }
        first.0.map_or(Ok(()), Err)
    }
}

/// The error that stands first in the file, although the checks can find errors in any order.
#[derive(Default)]
struct FirstError(Option<ConfigError>);

impl FirstError {
    /// Calls `take` with the value of `result`. If `result` is an error, keeps this error or the error kept so far,
    /// whichever stands first in the file.
    fn keep<T>(&mut self, result: Result<T, ConfigError>, take: impl FnOnce(T)) {
        match result {
            Ok(value) => take(value),
            Err(error) if self.0.as_ref().is_none_or(|first| error.position < first.position) => {
                self.0 = Some(error);
            }
            Err(_) => {}
        }
    }
}

fn limit(text: &str, key: &str, value: Option<&Spanned<usize>>) -> Result<Option<usize>, ConfigError> {
    value.map(|value| located(text, value, |value| check_count(key, *value))).transpose()
}

fn latency_budget(
    text: &str,
    value: Option<&Spanned<DurationValue>>,
) -> Result<Option<Duration>, ConfigError> {
    value.map(|value| located(text, value, |value| check_latency_budget(value.0))).transpose()
}

/// Parses a value of the file with `parse`. If that fails, the error gets the position of the value.
fn located<T, U>(
    text: &str,
    value: &Spanned<T>,
    parse: impl FnOnce(&T) -> Result<U, String>,
) -> Result<U, ConfigError> {
    parse(value.get_ref()).map_err(|problem| ConfigError::at(text, Some(value.span()), problem))
}

/// Converts all cameras of the file. Returns an error if two cameras have the same name.
fn cameras(
    files: &[Spanned<CameraFile>],
    text: &str,
    drivers: &Drivers,
) -> Result<Vec<CameraSettings>, ConfigError> {
    let mut cameras = Vec::new();
    let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
    for file in files {
        let file = file.get_ref();
        cameras.push(camera_settings(file, text, drivers)?);
        let name = file.name.get_ref();
        if let Some(first) = seen.insert(name, file.name.span().start) {
            let first = text[..first].matches('\n').count() + 1;
            let message = format!("two cameras are called `{name}`; the first is on line {first}");
            return Err(ConfigError::at(text, Some(file.name.span()), message));
        }
    }
    Ok(cameras)
}

fn camera_settings(file: &CameraFile, text: &str, drivers: &Drivers) -> Result<CameraSettings, ConfigError> {
    let name = file.name.get_ref();
    located(text, &file.name, |name| check_camera_name(name))?;
    let at_source =
        |error: framecast_drivers::Error| ConfigError::at(text, Some(file.source.span()), error.to_string());
    let source = SourceUrl::parse(file.source.get_ref()).map_err(at_source)?;
    drivers.find(&source).map_err(at_source)?;
    let mut camera = CameraSettings::new(name, source);
    if let Some(max) = &file.max_picture {
        let bytes = max.get_ref().0;
        if !(1024..=1 << 30).contains(&bytes) {
            let message = "max_picture must be from 1KiB to 1GiB";
            return Err(ConfigError::at(text, Some(max.span()), message));
        }
        camera.max_picture_bytes = bytes;
    }
    if let Some(idle) = &file.idle_timeout {
        camera.idle_timeout = idle.get_ref().0;
    }
    camera.stall_timeout = positive(text, "stall_timeout", file.stall_timeout.as_ref(), |v| v.0)?;
    if let Some(max_fps) = &file.max_fps {
        camera.max_fps = located(text, max_fps, |max_fps| check_max_fps(*max_fps))?;
    }
    if let Some(quality) = &file.quality {
        camera.quality = located(text, quality, |quality| check_quality(*quality))?;
    }
    camera.max_viewers = limit(text, "max_viewers", file.max_viewers.as_ref())?;
    camera.latency_budget = latency_budget(text, file.latency_budget.as_ref())?;
    // The map is sorted by name. This restores the order of the file, because one control can depend on an earlier
    // control.
    let mut controls: Vec<_> = file.controls.iter().flatten().collect();
    controls.sort_by_key(|(id, _)| id.span().start);
    for (id, value) in controls {
        located(text, id, |id| check_control_id(id))?;
        camera.controls.push((id.get_ref().clone(), value.clone()));
    }
    Ok(camera)
}

/// Reads the duration of the key `key`. Returns an error if the duration is zero or too long.
fn positive<T>(
    text: &str,
    key: &str,
    value: Option<&Spanned<T>>,
    get: impl Fn(&T) -> Duration,
) -> Result<Option<Duration>, ConfigError> {
    value.map(|value| located(text, value, |value| check_timeout(key, get(value)))).transpose()
}

#[cfg(test)]
mod tests {
    use framecast_drivers::ControlValue;

    use super::*;

    #[test]
    fn controls_are_set_in_the_order_of_the_file() {
        let text = "[[camera]]\nname = 'a'\nsource = 'emulated'\n[camera.controls]\nzoom = 3\nauto = true\nb = 'x'\n";
        let settings = Settings::from_toml(text, &Drivers::builtin()).unwrap();
        let expected = [
            ("zoom".to_owned(), ControlValue::Integer(3)),
            ("auto".to_owned(), ControlValue::Boolean(true)),
            ("b".to_owned(), ControlValue::Text("x".to_owned())),
        ];
        assert_eq!(settings.cameras[0].controls, expected);
    }

    const SITE: &str = include_str!("../../../../examples/site.toml");

    #[test]
    fn a_damaged_file_is_an_error_with_a_place_and_never_a_panic() {
        let drivers = Drivers::builtin();
        let check = |text: &str| {
            if let Err(error) = Settings::from_toml_with_password(text, &drivers, Some("pw")) {
                let (line, column) = error.position.unwrap_or_else(|| panic!("no place: {error}"));
                assert!(line <= text.lines().count() + 1 && column >= 1, "{error}");
                assert!(!error.message.is_empty() && !error.message.contains('\n'), "{error}");
            }
        };
        check(SITE);
        for (at, _) in SITE.char_indices() {
            check(&SITE[..at]);
            for damage in ["\"", "[", "=", "\n", "\u{0}", "ü", "9"] {
                check(&format!("{}{damage}{}", &SITE[..at], &SITE[at + 1..]));
            }
        }
    }
}
