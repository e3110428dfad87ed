//! A `[[webhook]]` of the file: an address that receives events.

use std::fmt;

use framecast_hub::EventKind;
use toml::Spanned;
use toml::de::DeValue;
use url::Url;

use super::config_messages::redacted;
use super::key::settings;
use super::kind::{Text, Texts, ValueKind};
use super::reader::FileReader;

settings! {
    /// The settings of one webhook: a URL that receives events by HTTP POST, and which events it receives.
    #[derive(Clone, PartialEq, Eq)]
    #[non_exhaustive]
    pub struct WebhookSettings {
        required "webhook" {
            /// The URL, with the scheme `http` or `https`.
            url: Url,
                Text::new(|url, _| parse_url(url)), NeedsRestart,
                "an `http:` or `https:` address";
        }
        section "webhook" {
            /// The kinds of events to send; all kinds if empty.
            kinds: Vec<EventKind> = Vec::new(),
                Selected(Texts(|name, _| parse_kind(name))), NeedsRestart,
                "the kinds of events to send, as in [history.md](history.md)", default "all";
            /// The names of the cameras whose events to send. If empty, the webhook gets the events of all cameras and
            /// the server's own events.
            cameras: Vec<String> = Vec::new(),
                Selected(Texts(|name, file| known_camera(name, &file.cameras))), NeedsRestart,
                "the names of the cameras whose events to send", default "all cameras, and the server itself";
        }
    }
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
        Self::with_defaults(url)
    }
}

/// A list of the events to send, which is not empty.
struct Selected<T>(Texts<T>);

impl<T> ValueKind for Selected<T> {
    type Value = Vec<T>;

    fn read(&self, value: Spanned<DeValue<'_>>, reader: &mut FileReader<'_>) -> Option<Vec<T>> {
        let span = value.span();
        let read = self.0.read(value, reader)?;
        if read.is_empty() {
            reader.wrong_value(span, "this list must not be empty; to send all events, leave the key out");
        }
        Some(read)
    }
}

fn parse_kind(name: &str) -> Result<EventKind, String> {
    EventKind::from_name(name).ok_or_else(|| {
        let known = EventKind::ALL.map(EventKind::as_str).join(", ");
        format!("unknown kind of event `{}`; known kinds: {known}", redacted(name))
    })
}

fn known_camera(name: &str, cameras: &[String]) -> Result<String, String> {
    match cameras.iter().any(|camera| camera == name) {
        true => Ok(name.to_owned()),
        false => Err(format!("no camera in this file is called `{}`", redacted(name))),
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
