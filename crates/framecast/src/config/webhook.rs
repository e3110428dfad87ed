//! A `[[webhook]]` of the file: an address that receives events.

use std::fmt;

use framecast_hub::EventKind;
use serde::Deserialize;
use toml::Spanned;
use url::Url;

use super::ConfigError;
use super::config_messages::redacted;

/// One webhook as written.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WebhookFile {
    /// The address that receives events.
    pub(super) url: Spanned<String>,
    /// The kinds of events to send; all if absent.
    pub(super) kinds: Option<Vec<Spanned<String>>>,
    /// The cameras whose events to send; if absent, all cameras' and the server's own.
    pub(super) cameras: Option<Vec<Spanned<String>>>,
}

/// The key that signs webhooks; no output shows it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// The secret `text`.
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

/// An address that receives events by POST.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct WebhookSettings {
    /// The address: `http:` or `https:`.
    pub url: Url,
    /// The kinds of events to send; all if empty.
    pub kinds: Vec<EventKind>,
    /// The cameras whose events to send; if empty, all cameras' and the server's own.
    pub cameras: Vec<String>,
}

/// Shows the host alone, because paths and parameters of such addresses are often secrets.
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
    /// A webhook that receives all events.
    pub fn new(url: Url) -> Self {
        Self { url, kinds: Vec::new(), cameras: Vec::new() }
    }

    /// Converts `file`, a part of `text`; `known` are the names of the cameras.
    pub(super) fn from_file(file: &WebhookFile, text: &str, known: &[&str]) -> Result<Self, ConfigError> {
        let at =
            |place: &Spanned<String>, problem: String| ConfigError::at(text, Some(place.span()), problem);
        let url = parse_url(file.url.get_ref()).map_err(|problem| at(&file.url, problem))?;
        let mut webhook = Self::new(url);
        if file.kinds.as_ref().is_some_and(Vec::is_empty) || file.cameras.as_ref().is_some_and(Vec::is_empty)
        {
            let problem =
                "kinds and cameras must not be empty; to send all events, leave the key out".to_owned();
            return Err(at(&file.url, problem));
        }
        for kind in file.kinds.iter().flatten() {
            let name = kind.get_ref();
            let known = || EventKind::ALL.map(EventKind::as_str).join(", ");
            let found = EventKind::from_name(name).ok_or_else(|| {
                at(kind, format!("there is no kind of event `{}`; known kinds: {}", redacted(name), known()))
            })?;
            webhook.kinds.push(found);
        }
        for camera in file.cameras.iter().flatten() {
            let name = camera.get_ref();
            if !known.contains(&name.as_str()) {
                return Err(at(camera, format!("there is no camera `{}` in this file", redacted(name))));
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
