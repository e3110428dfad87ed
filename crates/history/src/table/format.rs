//! The formats in which a table can be written, and which of them a request wants.

use std::cmp::Reverse;

use super::qvalue::parse_qvalues;

/// The format of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TableFormat {
    /// An HTML page for people.
    Html,
    /// Comma-separated values (RFC 4180) in UTF-8. The first line has the column names.
    Csv,
    /// One JSON object per line.
    Ndjson,
    /// One JSON array of objects.
    Json,
}

/// The error for a request that asks for an unknown format, or whose client accepts none of the formats.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown format `{value}`; known formats: html, csv, json, ndjson")]
pub struct UnknownFormat {
    /// What the request asked for: the extension of its path, its parameter `format`, or its header `Accept`.
    pub value: String,
}

impl TableFormat {
    /// All formats. A client that accepts several without a preference gets the first of them.
    pub const ALL: [Self; 4] = [Self::Html, Self::Csv, Self::Json, Self::Ndjson];

    /// Returns the format that a request wants. The extension of the request's path (such as `csv`) decides if there is
    /// one, otherwise the parameter `?format=`, otherwise the header `Accept`. Without any of these, the format is
    /// HTML. If a client accepts several formats equally, it gets the format that it names most exactly, and of several
    /// such formats, the one that it names first.
    ///
    /// # Errors
    /// [`UnknownFormat`] if the extension or the parameter is unknown, or if `Accept` contains none of the formats.
    pub fn choose(
        extension: Option<&str>,
        parameter: Option<&str>,
        accept: Option<&str>,
    ) -> Result<Self, UnknownFormat> {
        if let Some(name) = extension.or(parameter) {
            return Self::from_extension(name).ok_or_else(|| UnknownFormat { value: name.to_owned() });
        }
        let Some(accept) = accept.filter(|accept| parse_qvalues(accept).next().is_some()) else {
            return Ok(Self::Html);
        };
        Self::accepted(accept).ok_or_else(|| UnknownFormat { value: accept.to_owned() })
    }

    /// Returns the format for the file extension `extension`, which has no dot; `None` for an unknown extension. The
    /// case of `extension` does not matter.
    pub fn from_extension(extension: &str) -> Option<Self> {
        match extension.to_ascii_lowercase().as_str() {
            "html" | "htm" => Some(Self::Html),
            "csv" => Some(Self::Csv),
            "ndjson" | "jsonl" => Some(Self::Ndjson),
            "json" => Some(Self::Json),
            _ => None,
        }
    }

    /// Returns the extension for the name of a file in this format, without a dot.
    pub fn extension(self) -> &'static str {
        match self {
            Self::Html => "html",
            Self::Csv => "csv",
            Self::Ndjson => "ndjson",
            Self::Json => "json",
        }
    }

    /// Returns the value of the response's header `Content-Type` for this format.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Html => "text/html; charset=utf-8",
            Self::Csv => "text/csv; charset=utf-8",
            Self::Ndjson => "application/x-ndjson",
            Self::Json => "application/json",
        }
    }

    /// Returns the media types by which clients ask for this format.
    fn media_types(self) -> &'static [&'static str] {
        match self {
            Self::Html => &["text/html"],
            Self::Csv => &["text/csv"],
            Self::Ndjson => &["application/x-ndjson", "application/ndjson", "application/jsonl"],
            Self::Json => &["application/json"],
        }
    }

    /// Returns the format that the client prefers according to its header `Accept` (RFC 9110, section 12.5.1). Returns
    /// `None` if the client accepts no format.
    fn accepted(accept: &str) -> Option<Self> {
        let mut best = None;
        for format in Self::ALL {
            // For each format the most exact matching range decides, and not the one with the highest qvalue.
            let ranges = parse_qvalues(accept).enumerate().filter_map(|(place, (range, qvalue))| {
                Some((format.specificity(range)?, qvalue, Reverse(place)))
            });
            if let Some((specificity, qvalue, place)) = ranges.max()
                && qvalue > 0
            {
                let rank = (qvalue, specificity, place);
                if best.is_none_or(|(highest, _)| rank > highest) {
                    best = Some((rank, format));
                }
            }
        }
        best.map(|(_, format)| format)
    }

    /// Returns how exactly `range`, a media range of the header `Accept`, matches this format: 2 for the format's own
    /// type, 1 for its main type (`text/*`), 0 for everything (`*/*`). Returns `None` if the range does not match.
    fn specificity(self, range: &str) -> Option<u8> {
        if range == "*/*" {
            return Some(0);
        }
        let (kind, sub) = range.split_once('/')?;
        let mut specificity = None;
        for (own_kind, own_sub) in self.media_types().iter().filter_map(|own| own.split_once('/')) {
            if own_kind.eq_ignore_ascii_case(kind) {
                if own_sub.eq_ignore_ascii_case(sub) {
                    return Some(2);
                }
                specificity = (sub == "*").then_some(1);
            }
        }
        specificity
    }
}
