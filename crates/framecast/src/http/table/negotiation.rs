//! Chooses the format and the compression of a table for a request, from the request's path, query and headers.

use std::cmp::Reverse;

use framecast_history::table::{Compression, TableFormat};

use super::qvalue::{MAX_QVALUE, parse_qvalues};

/// The error for a request that asks for an unknown format, or whose client accepts none of the formats.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown format `{value}`; known formats: html, csv, json, ndjson")]
pub struct UnknownFormat {
    /// What the request asked for: the extension of its path, its parameter `format`, or its header `Accept`.
    pub value: String,
}

/// Returns the format that a request wants. The extension of the request's path (such as `csv`) decides if there is
/// one, otherwise the parameter `?format=`, otherwise the header `Accept`. Without any of these, the format is
/// HTML. If a client accepts several formats equally, it gets the format that it names most exactly, and of several
/// such formats, the one that it names first.
///
/// # Errors
/// [`UnknownFormat`] if the extension or the parameter is unknown, or if `Accept` contains none of the formats.
pub fn choose_format(
    extension: Option<&str>,
    parameter: Option<&str>,
    accept: Option<&str>,
) -> Result<TableFormat, UnknownFormat> {
    if let Some(name) = extension.or(parameter) {
        return TableFormat::from_extension(name).ok_or_else(|| UnknownFormat { value: name.to_owned() });
    }
    let Some(accept) = accept.filter(|accept| parse_qvalues(accept).next().is_some()) else {
        return Ok(TableFormat::Html);
    };
    accepted(accept).ok_or_else(|| UnknownFormat { value: accept.to_owned() })
}

/// Returns the format that the client prefers according to its header `Accept` (RFC 9110, section 12.5.1). Returns
/// `None` if the client accepts no format.
fn accepted(accept: &str) -> Option<TableFormat> {
    let mut best = None;
    for format in TableFormat::ALL {
        // For each format the most exact matching range decides, and not the one with the highest qvalue.
        let ranges = parse_qvalues(accept).enumerate().filter_map(|(place, (range, qvalue))| {
            Some((specificity(format, range)?, qvalue, Reverse(place)))
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

/// Returns how exactly `range`, a media range of the header `Accept`, matches `format`: 2 for the format's own
/// type, 1 for its main type (`text/*`), 0 for everything (`*/*`). Returns `None` if the range does not match.
fn specificity(format: TableFormat, range: &str) -> Option<u8> {
    if range == "*/*" {
        return Some(0);
    }
    let (kind, sub) = range.split_once('/')?;
    let mut specificity = None;
    for (own_kind, own_sub) in media_types(format).iter().filter_map(|own| own.split_once('/')) {
        if own_kind.eq_ignore_ascii_case(kind) {
            if own_sub.eq_ignore_ascii_case(sub) {
                return Some(2);
            }
            specificity = (sub == "*").then_some(1);
        }
    }
    specificity
}

/// Returns the media types by which clients ask for `format`.
fn media_types(format: TableFormat) -> &'static [&'static str] {
    match format {
        TableFormat::Html => &["text/html"],
        TableFormat::Csv => &["text/csv"],
        TableFormat::Ndjson => &["application/x-ndjson", "application/ndjson", "application/jsonl"],
        TableFormat::Json => &["application/json"],
    }
}

/// Returns the value of the response's header `Content-Type` for a table in `format`.
pub fn content_type(format: TableFormat) -> &'static str {
    match format {
        TableFormat::Html => "text/html; charset=utf-8",
        TableFormat::Csv => "text/csv; charset=utf-8",
        TableFormat::Ndjson => "application/x-ndjson",
        TableFormat::Json => "application/json",
    }
}

/// Returns the compression of a table for a request whose header `Accept-Encoding` (RFC 9110, section 12.5.3) is
/// `accept_encoding`: the one with the highest qvalue, the client's preference. Among equal qvalues, zstd comes
/// before gzip, and gzip before no compression. There is no compression if the request lacks the header, or if the
/// client refuses all compressions.
pub fn choose_compression(accept_encoding: Option<&str>) -> Compression {
    let Some(list) = accept_encoding else { return Compression::None };
    let (mut best, mut highest) = (Compression::None, compression_qvalue(Compression::None, list));
    for compression in [Compression::Gzip, Compression::Zstd] {
        let qvalue = compression_qvalue(compression, list);
        if qvalue > 0 && qvalue >= highest {
            (best, highest) = (compression, qvalue);
        }
    }
    best
}

/// Returns the qvalue of `compression` (the client's preference, in thousandths) in `list`, the value of
/// `Accept-Encoding`. That is the qvalue of the compression's name if the list contains the name, otherwise that of
/// `*`. Returns 0 if the list contains neither, which means that the client refuses the compression. For
/// [`Compression::None`], which is always allowed as the last choice, 0 does not mean refused.
fn compression_qvalue(compression: Compression, list: &str) -> u16 {
    let of = |names: &[&str]| {
        let named = |name: &str| names.iter().any(|own| own.eq_ignore_ascii_case(name));
        parse_qvalues(list).filter(|(name, _)| named(name)).map(|(_, qvalue)| qvalue.min(MAX_QVALUE)).max()
    };
    match compression {
        Compression::None => of(&["identity"]).unwrap_or(0),
        Compression::Gzip => of(&["gzip", "x-gzip"]).or_else(|| of(&["*"])).unwrap_or(0),
        Compression::Zstd => of(&["zstd"]).or_else(|| of(&["*"])).unwrap_or(0),
    }
}

/// Returns the value of the response's header `Content-Encoding` for `compression`; `None` if the response needs no
/// such header.
pub fn content_encoding(compression: Compression) -> Option<&'static str> {
    match compression {
        Compression::None => None,
        Compression::Gzip => Some("gzip"),
        Compression::Zstd => Some("zstd"),
    }
}
