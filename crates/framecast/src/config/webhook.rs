//! A `[[webhook]]` of the file: an address that receives events.

use std::fmt;

use framecast_hub::EventKind;
use serde::Deserialize;
use toml::Spanned;
use url::Url;

use super::ConfigError;
use super::config_messages::redacted;

/// One `[[webhook]]` table as written.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WebhookFile {
    /// The address that receives events.
    pub(super) url: Spanned<String>,
    /// The kinds of events to send; all kinds if absent.
    pub(super) kinds: Option<Vec<Spanned<String>>>,
    /// The names of the cameras whose events to send. If absent, the webhook gets the events of all cameras and the
    /// server's own events.
    pub(super) cameras: Option<Vec<Spanned<String>>>,
}

/// The key with which the server signs the requests of webhooks. No log and no output contains it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Creates a secret from `text`.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// The settings of one webhook: a URL that receives events by HTTP POST, and which events it receives.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct WebhookSettings {
    /// The URL, with the scheme `http` or `https`.
    pub url: Url,
    /// The kinds of events to send; all kinds if empty.
    pub kinds: Vec<EventKind>,
    /// The names of the cameras whose events to send. If empty, the webhook gets the events of all cameras and the
    /// server's own events.
    pub cameras: Vec<String>,
}

/// Formats the settings with only the host of the URL, because paths and parameters of webhook URLs are often secrets.
impl fmt::Debug for WebhookSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { url, kinds, cameras } = self;
        let host = url.host_str().unwrap_or_default();
        f.debug_struct("WebhookSettings")
            .field("host", &host)
            .field("kinds", kinds)
            .field("cameras", cameras)
            .finish()
    }
}

impl WebhookSettings {
    /// Creates the settings of a webhook that receives all events.
    pub fn new(url: Url) -> Self {
        Self { url, kinds: Vec::new(), cameras: Vec::new() }
    }

    /// Converts one `[[webhook]]` table into settings. `text` is the whole file, for the positions of errors; `known`
    /// are the names of the cameras.
    pub(super) fn from_file(file: &WebhookFile, text: &str, known: &[&str]) -> Result<Self, ConfigError> {
        let at =
            |place: &Spanned<String>, problem: String| ConfigError::at(text, Some(place.span()), problem);
        let url = parse_url(file.url.get_ref()).map_err(|problem| at(&file.url, problem))?;
        let mut webhook = Self::new(url);
        if file.kinds.as_ref().is_some_and(Vec::is_empty) || file.cameras.as_ref().is_some_and(Vec::is_empty)
        {
            let problem =
                "`kinds` and `cameras` must not be empty; to send all events, leave the key out".to_owned();
            return Err(at(&file.url, problem));
        }
        for kind in file.kinds.iter().flatten() {
            let name = kind.get_ref();
            let known = || EventKind::ALL.map(EventKind::as_str).join(", ");
            let found = EventKind::from_name(name).ok_or_else(|| {
                at(kind, format!("unknown kind of event `{}`; known kinds: {}", redacted(name), known()))
            })?;
            webhook.kinds.push(found);
        }
        for camera in file.cameras.iter().flatten() {
            let name = camera.get_ref();
            if !known.contains(&name.as_str()) {
                return Err(at(camera, format!("no camera in this file is called `{}`", redacted(name))));
            }
            webhook.cameras.push(name.clone());
        }
        Ok(webhook)
    }
}

fn parse_url(text: &str) -> Result<Url, String> {
    let url: Url = text
        .parse()
        .map_err(|error| format!("this is not a URL ({error}); write it like https://example.org/hook"))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(
            "a webhook's URL begins with http:// or https://; write it like https://example.org/hook"
                .to_owned(),
        );
    }
    Ok(url)
}
