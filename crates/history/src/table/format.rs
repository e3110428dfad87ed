//! The formats of a table, and which one a request wants.

use std::cmp::Reverse;

use super::qvalue::parse_qvalues;

/// The format of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TableFormat {
    /// A page for people.
    Html,
    /// Comma-separated values (RFC 4180) in UTF-8, with a line of column names.
    Csv,
    /// A JSON object a line.
    Ndjson,
    /// One JSON array of objects.
    Json,
}

/// A format that is not known, or a client that accepts none of them.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no format `{value}`; there are: html, csv, json, ndjson")]
pub struct UnknownFormat {
    /// The extension, the parameter, or the header `Accept` of the request.
    pub value: String,
}

impl TableFormat {
    /// All formats. If a client has no preference, it gets the first that it accepts.
    pub const ALL: [Self; 4] = [Self::Html, Self::Csv, Self::Json, Self::Ndjson];

    /// The format that a request wants: by the extension of its path (`csv`), else by its parameter `?format=`, else by
    /// its header `Accept`, else HTML. Of formats that a client accepts equally, it gets the one that it names most
    /// exactly; of these, the first.
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
        let Some(accept) = accept.filter(|accept| parse_qvalues(accept).next().is_some()) else {
            return Ok(Self::Html);
        };
        Self::accepted(accept).ok_or_else(|| UnknownFormat { value: accept.to_owned() })
    }

    /// The format of a file extension without its dot, in either case.
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

    /// Media types by which clients ask for it.
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

    /// How exactly a media range matches this format: 2 for its own type, 1 for its main type, 0 for everything.
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
