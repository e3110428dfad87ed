//! Which format and content encoding a request gets.

use framecast_history::table::{Coding, Format};

const BROWSER: &str = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8";

fn accepted(accept: &str) -> Option<Format> {
    Format::choose(None, None, Some(accept)).ok()
}

#[test]
fn the_extension_decides_then_the_parameter_then_accept() {
    assert_eq!(Format::choose(Some("csv"), Some("json"), Some(BROWSER)), Ok(Format::Csv));
    assert_eq!(Format::choose(None, Some("json"), Some(BROWSER)), Ok(Format::Json));
    assert_eq!(Format::choose(None, None, Some(BROWSER)), Ok(Format::Html));
    assert_eq!(Format::choose(None, None, None), Ok(Format::Html));
}

#[test]
fn each_format_is_found_by_its_own_extension_and_content_type() {
    for format in Format::ALL {
        assert_eq!(Format::from_extension(format.extension()), Some(format));
        assert_eq!(Format::from_extension(&format.extension().to_uppercase()), Some(format));
        assert_eq!(accepted(format.content_type()), Some(format));
    }
    assert_eq!(Format::from_extension("jsonl"), Some(Format::Ndjson));
}

#[test]
fn accept_is_read_with_its_weights() {
    for (accept, format) in [
        ("*/*", Format::Html),
        ("", Format::Html),
        (" , ", Format::Html),
        ("text/csv", Format::Csv),
        ("TEXT/CSV", Format::Csv),
        ("application/ndjson", Format::Ndjson),
        ("application/jsonl", Format::Ndjson),
        ("application/x-ndjson;q=0.5, application/json;q=0.4", Format::Ndjson),
        ("application/json;q=0.4, text/csv;q=0.5", Format::Csv),
        ("application/json, text/plain, */*", Format::Json),
        ("application/json, text/csv", Format::Json),
        ("text/csv, application/json", Format::Csv),
        ("application/*", Format::Json),
        ("text/*", Format::Html),
        ("text/*;q=0.5, text/html;q=0", Format::Csv),
        ("text/html;q=0, */*", Format::Csv),
        ("text/html;q=0.2, */*;q=0.9", Format::Csv),
        ("*/*;q=0.1, text/html;level=1;q=0.2", Format::Html),
    ] {
        assert_eq!(accepted(accept), Some(format), "{accept}");
    }
}

#[test]
fn what_is_not_known_is_named_with_what_is() {
    for (extension, parameter, accept, value) in [
        (Some("xml"), None, None, "xml"),
        (None, Some(""), None, ""),
        (None, Some("yaml"), Some("*/*"), "yaml"),
        (None, None, Some("image/png, text/html;q=0"), "image/png, text/html;q=0"),
    ] {
        let unknown = Format::choose(extension, parameter, accept).unwrap_err();
        assert_eq!(unknown.value, value);
        assert_eq!(unknown.to_string(), format!("no format `{value}`; there are: html, csv, json, ndjson"));
        assert!(Format::ALL.iter().all(|format| unknown.to_string().contains(format.extension())));
    }
}

#[test]
fn accept_encoding_is_read_with_its_weights() {
    for (list, coding) in [
        ("gzip, deflate, br, zstd", Coding::Zstd),
        ("gzip, deflate, br", Coding::Gzip),
        ("X-GZIP", Coding::Gzip),
        ("zstd;q=0.5, gzip", Coding::Gzip),
        ("zstd;q=0, gzip", Coding::Gzip),
        ("*", Coding::Zstd),
        ("*, zstd;q=0", Coding::Gzip),
        ("*;q=0", Coding::Identity),
        ("gzip;q=0, zstd;q=0", Coding::Identity),
        ("identity, gzip;q=0.5", Coding::Identity),
        ("identity;q=0.5, gzip;q=0.5", Coding::Gzip),
        ("identity;q=0", Coding::Identity),
        ("br", Coding::Identity),
        ("", Coding::Identity),
        ("gzip;q=nonsense", Coding::Identity),
    ] {
        assert_eq!(Coding::choose(Some(list)), coding, "{list}");
    }
    assert_eq!(Coding::choose(None), Coding::Identity);
}
