//! What a table is written as, and which one a request wants.

use std::cmp::Reverse;

use super::weight::weighted;

/// What a table is written as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    /// A page for people.
    Html,
    /// Comma-separated values (RFC 4180) in UTF-8, with a line of column names.
    Csv,
    /// A JSON object a line.
    Ndjson,
    /// One JSON array of objects.
    Json,
}

/// A format that is not known, or none of which a client takes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no format `{value}`; there are: html, csv, json, ndjson")]
pub struct UnknownFormat {
    /// What was asked for: an extension, the parameter, or the header `Accept`.
    pub value: String,
}

impl Format {
    /// All of them; where a client has no preference, the first that it takes is chosen.
    pub const ALL: [Self; 4] = [Self::Html, Self::Csv, Self::Json, Self::Ndjson];

    /// The format that a request wants: by the extension of its path (`csv`), else by its parameter `?format=`, else by
    /// its header `Accept`, else HTML. A client that takes several equally gets the one that it names most exactly, and
    /// of these the first.
    ///
    /// # Errors
    ///
    /// The extension or the parameter is not known, or `Accept` has none of the formats.
    pub fn choose(
        extension: Option<&str>,
        parameter: Option<&str>,
        accept: Option<&str>,
    ) -> Result<Self, UnknownFormat> {
        if let Some(name) = extension.or(parameter) {
            return Self::from_extension(name).ok_or_else(|| UnknownFormat { value: name.to_owned() });
        }
        let Some(accept) = accept.filter(|accept| weighted(accept).next().is_some()) else {
            return Ok(Self::Html);
        };
        Self::accepted(accept).ok_or_else(|| UnknownFormat { value: accept.to_owned() })
    }

    /// The format that a file's extension stands for, without its dot, in either case.
    pub fn from_extension(extension: &str) -> Option<Self> {
        match extension.to_ascii_lowercase().as_str() {
            "html" | "htm" => Some(Self::Html),
            "csv" => Some(Self::Csv),
            "ndjson" | "jsonl" => Some(Self::Ndjson),
            "json" => Some(Self::Json),
            _ => None,
        }
    }

    /// The extension of a file's name, without its dot.
    pub fn extension(self) -> &'static str {
        match self {
            Self::Html => "html",
            Self::Csv => "csv",
            Self::Ndjson => "ndjson",
            Self::Json => "json",
        }
    }

    /// The value of the header `Content-Type`.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Html => "text/html; charset=utf-8",
            Self::Csv => "text/csv; charset=utf-8",
            Self::Ndjson => "application/x-ndjson",
            Self::Json => "application/json",
        }
    }

    /// Media types that clients name it by.
    fn media_types(self) -> &'static [&'static str] {
        match self {
            Self::Html => &["text/html"],
            Self::Csv => &["text/csv"],
            Self::Ndjson => &["application/x-ndjson", "application/ndjson", "application/jsonl"],
            Self::Json => &["application/json"],
        }
    }

    /// The best of a header `Accept` (RFC 9110, section 12.5.1).
    fn accepted(accept: &str) -> Option<Self> {
        let mut best = None;
        for format in Self::ALL {
            // The most exact range that matches decides on a format, not the one with the highest weight.
            let ranges = weighted(accept).enumerate().filter_map(|(place, (range, weight))| {
                Some((format.exactness(range)?, weight, Reverse(place)))
            });
            if let Some((exactness, weight, place)) = ranges.max()
                && weight > 0
            {
                let rank = (weight, exactness, place);
                if best.is_none_or(|(highest, _)| rank > highest) {
                    best = Some((rank, format));
                }
            }
        }
        best.map(|(_, format)| format)
    }

    /// How exactly a media range stands for this format: 2 for itself, 1 for its kind, 0 for everything.
    fn exactness(self, range: &str) -> Option<u8> {
        if range == "*/*" {
            return Some(0);
        }
        let (kind, sub) = range.split_once('/')?;
        let mut exactness = None;
        for (own_kind, own_sub) in self.media_types().iter().filter_map(|own| own.split_once('/')) {
            if own_kind.eq_ignore_ascii_case(kind) {
                if own_sub.eq_ignore_ascii_case(sub) {
                    return Some(2);
                }
                exactness = (sub == "*").then_some(1);
            }
        }
        exactness
    }
}
