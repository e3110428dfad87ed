//! Reads a file into settings. Each error has a line and a column.
//!
//! [`parse`] reads the syntax; then the keys of each table set the settings, as declared beside these. This module
//! knows which tables there are, and what is said of a key that a table does not have.

use std::collections::BTreeMap;

use framecast_drivers::{Drivers, SourceUrl, nearest};
use serde::de::IgnoredAny;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

#[cfg(feature = "history")]
use super::HistorySettings;
#[cfg(feature = "webhook")]
use super::WebhookSettings;
use super::config_messages::{self, ConfigTable, KnownKeys};
use super::key::{KeyInfo, Keyed, read_keys};
use super::reader::{FileReader, ReadContext};
use super::{CameraSettings, ConfigError, Settings};

/// The keys of parts that this build lacks, each with the Cargo feature that brings the part.
const ABSENT: &[(&str, &str)] = &[
    #[cfg(not(feature = "history"))]
    ("history", "history"),
    #[cfg(not(feature = "history"))]
    ("history_max_age", "history"),
    #[cfg(not(feature = "history"))]
    ("history_max_rows", "history"),
    #[cfg(not(feature = "webhook"))]
    ("webhook", "webhook"),
];

/// Returns what is to be known about each key of the file, in the order of `docs/config.md`.
pub fn keys() -> Vec<KeyInfo> {
    let keys = infos::<Settings>();
    #[cfg(feature = "history")]
    let keys = keys.chain(infos::<HistorySettings>());
    let keys = keys.chain(infos::<CameraSettings>());
    #[cfg(feature = "webhook")]
    let keys = keys.chain(infos::<WebhookSettings>());
    keys.collect()
}

fn infos<S: Keyed>() -> impl Iterator<Item = KeyInfo> {
    S::KEYS.iter().map(|key| (key.info)())
}

impl Settings {
    /// Parses `text`, the content of a `framecast.toml`. Checks that the `drivers` accept the sources, but opens no
    /// source.
    ///
    /// If the file names a `user`, the account also needs a password: see
    /// [`from_toml_with_password`](Self::from_toml_with_password).
    ///
    /// # Errors
    /// The first error, with line and column.
    pub fn from_toml(text: &str, drivers: &Drivers) -> Result<Self, ConfigError> {
        Self::from_toml_with_password(text, drivers, None)
    }

    /// Parses `text` like [`from_toml`](Self::from_toml), with the password of the account that the file names. If the
    /// file names no account, the password is ignored.
    ///
    /// # Errors
    /// The first error, with line and column. A `user` without a password is also an error.
    pub fn from_toml_with_password(
        text: &str,
        drivers: &Drivers,
        password: Option<&str>,
    ) -> Result<Self, ConfigError> {
        Self::check_toml(text, drivers, password)
            .map_err(|errors| errors.into_iter().next().expect("a refusal has an error"))
    }

    /// Reads only `listen` and `user` from `text`, the content of a `framecast.toml`. Ignores whatever is wrong there.
    pub fn listener_of_toml(text: &str, password: Option<&str>) -> Self {
        let mut table = DeTable::new();
        for (key, value) in DeTable::parse_recoverable(text).0.into_inner() {
            if ["listen", "user"].contains(&key.get_ref().as_ref()) {
                table.insert(key, value);
            }
        }
        let drivers = Drivers::default();
        let context = ReadContext {
            drivers: &drivers,
            password,
            #[cfg(feature = "webhook")]
            cameras: names(None),
        };
        let mut settings = Self::default();
        read_keys(table, &mut settings, &mut FileReader::new(text, context));
        settings
    }

    /// Parses `text` like [`from_toml_with_password`](Self::from_toml_with_password), but tells more than the first
    /// error.
    ///
    /// # Errors
    /// All values that mean nothing or are out of range, in the order of the file. If the text is not TOML, or a key
    /// does not exist, is missing, or has a value of the wrong type: only the first such error. Never empty.
    pub fn check_toml(
        text: &str,
        drivers: &Drivers,
        password: Option<&str>,
    ) -> Result<Self, Vec<ConfigError>> {
        let mut table = parse(text).map_err(|error| vec![error])?;
        let cameras = table.remove("camera");
        let context = ReadContext {
            drivers,
            password,
            #[cfg(feature = "webhook")]
            cameras: names(cameras.as_ref()),
        };
        let mut reader = FileReader::new(text, context);
        let mut settings = Self::default();
        let rest = read_keys(table, &mut settings, &mut reader);
        #[cfg(feature = "history")]
        let rest = read_keys(rest, &mut settings.history, &mut reader);
        #[cfg(feature = "webhook")]
        let (rest, webhooks) = without(rest, "webhook");
        refuse(rest, ConfigTable::Top, &mut reader);
        settings.cameras = tables(cameras, "camera", &mut reader, camera);
        #[cfg(feature = "webhook")]
        {
            settings.webhooks = tables(webhooks, "webhook", &mut reader, webhook);
        }
        settings.old_key_warnings = reader.finish()?;
        Ok(settings)
    }
}

/// Parses the syntax of a file.
///
/// # Errors
/// The first error, with line and column.
fn parse(text: &str) -> Result<DeTable<'_>, ConfigError> {
    let table = DeTable::parse(text).map_err(|error| {
        let unquoted = error.span().and_then(|span| config_messages::unquoted(text, span.start));
        let is_about_value = config_messages::is_syntax_error(error.message());
        let message = unquoted.filter(|_| is_about_value);
        let message = message.unwrap_or_else(|| config_messages::explain(error.message()));
        let message = match error.span() {
            Some(span) => config_messages::with_key(text, span, message),
            None => message,
        };
        ConfigError::at(text, error.span(), message)
    })?;
    Ok(table.into_inner())
}

/// Returns the names of the cameras in the list `cameras`. Leaves out what is not a camera with a name.
#[cfg(feature = "webhook")]
fn names(cameras: Option<&Spanned<DeValue<'_>>>) -> Vec<String> {
    let cameras = cameras.and_then(|cameras| cameras.get_ref().as_array()).into_iter().flatten();
    let name = |camera: &Spanned<DeValue<'_>>| {
        Some(camera.get_ref().as_table()?.get("name")?.get_ref().as_str()?.to_owned())
    };
    cameras.filter_map(name).collect()
}

/// Reads a list of tables, each of which begins with `[[key]]`.
fn tables<'de, S>(
    value: Option<Spanned<DeValue<'de>>>,
    key: &str,
    reader: &mut FileReader<'_>,
    read: impl Fn(Vec<Spanned<DeTable<'de>>>, &mut FileReader<'_>) -> Vec<S>,
) -> Vec<S> {
    let Some(value) = value else { return Vec::new() };
    let span = value.span();
    let entries = match value.into_inner() {
        DeValue::Array(entries) => entries,
        DeValue::Table(_) => {
            let message =
                format!("found one table, expected a list; a {key} begins with [[{key}]], in two brackets");
            reader.wrong_type(span, message);
            return Vec::new();
        }
        other => {
            reader.read::<Vec<IgnoredAny>>(Spanned::new(span, other));
            return Vec::new();
        }
    };
    let mut tables = Vec::new();
    for entry in entries {
        let span = entry.span();
        match entry.into_inner() {
            DeValue::Table(table) => tables.push(Spanned::new(span, table)),
            other => {
                reader.read::<BTreeMap<String, IgnoredAny>>(Spanned::new(span, other));
            }
        }
    }
    read(tables, reader)
}

/// Reads the cameras of the file. Two cameras of the same name are an error.
fn camera(tables: Vec<Spanned<DeTable<'_>>>, reader: &mut FileReader<'_>) -> Vec<CameraSettings> {
    let mut cameras = Vec::new();
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    for table in tables {
        let name =
            table.get_ref().get("name").map(|name| (name.span(), name.get_ref().as_str().map(str::to_owned)));
        if let Some((span, Some(name))) = name {
            let message = |first| format!("two cameras are called `{name}`; the first is on line {first}");
            match seen.get(&name) {
                Some(first) => reader.wrong_value(span, message(*first)),
                None => {
                    seen.insert(name, reader.line(span.start));
                }
            }
        }
        // A camera without a name and a source is an error, so these are never used.
        let nowhere = SourceUrl::parse("emulated").expect("the name of a driver is a source");
        cameras.push(read_table(table, CameraSettings::new("camera", nowhere), ConfigTable::Camera, reader));
    }
    cameras
}

/// Takes the value of `key` out of `table`.
#[cfg(feature = "webhook")]
fn without<'de>(mut table: DeTable<'de>, key: &str) -> (DeTable<'de>, Option<Spanned<DeValue<'de>>>) {
    let value = table.remove(key);
    (table, value)
}

/// Reads the webhooks of the file.
#[cfg(feature = "webhook")]
fn webhook(tables: Vec<Spanned<DeTable<'_>>>, reader: &mut FileReader<'_>) -> Vec<WebhookSettings> {
    let read = |table| {
        // A webhook without a URL is an error, so this is never used.
        let nowhere = url::Url::parse("http://localhost/").expect("this is a URL");
        read_table(table, WebhookSettings::new(nowhere), ConfigTable::Webhook, reader)
    };
    tables.into_iter().map(read).collect()
}

/// Reads a table in place of the values in `settings`. Keys that are missing or not known are errors.
fn read_table<S: Keyed>(
    table: Spanned<DeTable<'_>>,
    mut settings: S,
    kind: ConfigTable,
    reader: &mut FileReader<'_>,
) -> S {
    let span = table.span();
    let table = table.into_inner();
    let names: Vec<&str> = names_of::<S>().collect();
    let is_mistyped = |name: &str| {
        let mut unknown = table.keys().map(|key| key.get_ref().as_ref()).filter(|key| !names.contains(key));
        unknown.any(|key| nearest(key, &names) == Some(name))
    };
    let missing = S::KEYS.iter().filter(|key| key.is_required && !table.contains_key(key.name));
    // For a mistyped key, the message about the unknown key says more.
    for key in missing.filter(|key| !is_mistyped(key.name)) {
        reader.wrong_type(span.clone(), format!("this {} has no `{}`", kind.name(), key.name));
    }
    let rest = read_keys(table, &mut settings, reader);
    refuse(rest, kind, reader);
    settings
}

/// Adds an error for each key of `rest`, which the table of the kind `kind` does not have.
fn refuse(rest: DeTable<'_>, kind: ConfigTable, reader: &mut FileReader<'_>) {
    let top = names_of::<Settings>().chain(["camera"]);
    #[cfg(feature = "history")]
    let top = top.chain(names_of::<HistorySettings>());
    #[cfg(feature = "webhook")]
    let top = top.chain(["webhook"]);
    let known = KnownKeys {
        top: top.collect(),
        camera: names_of::<CameraSettings>().collect(),
        #[cfg(feature = "webhook")]
        webhook: names_of::<WebhookSettings>().collect(),
        #[cfg(not(feature = "webhook"))]
        webhook: Vec::new(),
        old: old_names::<Settings>().chain(old_names::<CameraSettings>()).collect(),
    };
    for key in rest.keys() {
        let absent = ABSENT.iter().find(|(name, _)| name == key.get_ref() && kind == ConfigTable::Top);
        let message = match absent {
            Some((name, feature)) => {
                format!("`{name}` needs the Cargo feature `{feature}`, which this build of Framecast lacks")
            }
            None => known.explain_unknown(key.get_ref(), kind),
        };
        reader.wrong_type(key.span(), message);
    }
}

fn names_of<S: Keyed>() -> impl Iterator<Item = &'static str> {
    S::KEYS.iter().map(|key| key.name)
}

fn old_names<S: Keyed>() -> impl Iterator<Item = (&'static str, &'static str)> {
    S::KEYS.iter().filter_map(|key| Some((key.formerly?, key.name)))
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
