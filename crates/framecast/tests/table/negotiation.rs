//! Which format and compression a request gets.

use framecast::table::{Compression, TableFormat, choose_compression, choose_format, content_type};

const BROWSER: &str = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8";

fn accepted(accept: &str) -> Option<TableFormat> {
    choose_format(None, None, Some(accept)).ok()
}

#[test]
fn the_extension_decides_then_the_parameter_then_accept() {
    assert_eq!(choose_format(Some("csv"), Some("json"), Some(BROWSER)), Ok(TableFormat::Csv));
    assert_eq!(choose_format(None, Some("json"), Some(BROWSER)), Ok(TableFormat::Json));
    assert_eq!(choose_format(None, None, Some(BROWSER)), Ok(TableFormat::Html));
    assert_eq!(choose_format(None, None, None), Ok(TableFormat::Html));
}

#[test]
fn each_format_is_found_by_its_own_extension_and_content_type() {
    for format in TableFormat::ALL {
        assert_eq!(TableFormat::from_extension(format.extension()), Some(format));
        assert_eq!(TableFormat::from_extension(&format.extension().to_uppercase()), Some(format));
        assert_eq!(accepted(content_type(format)), Some(format));
    }
    assert_eq!(TableFormat::from_extension("jsonl"), Some(TableFormat::Ndjson));
}

#[test]
fn accept_is_read_with_its_weights() {
    for (accept, format) in [
        ("*/*", TableFormat::Html),
        ("", TableFormat::Html),
        (" , ", TableFormat::Html),
        ("text/csv", TableFormat::Csv),
        ("TEXT/CSV", TableFormat::Csv),
        ("application/ndjson", TableFormat::Ndjson),
        ("application/jsonl", TableFormat::Ndjson),
        ("application/x-ndjson;q=0.5, application/json;q=0.4", TableFormat::Ndjson),
        ("application/json;q=0.4, text/csv;q=0.5", TableFormat::Csv),
        ("application/json, text/plain, */*", TableFormat::Json),
        ("application/json, text/csv", TableFormat::Json),
        ("text/csv, application/json", TableFormat::Csv),
        ("application/*", TableFormat::Json),
        ("text/*", TableFormat::Html),
        ("text/*;q=0.5, text/html;q=0", TableFormat::Csv),
        ("text/html;q=0, */*", TableFormat::Csv),
        ("text/html;q=0.2, */*;q=0.9", TableFormat::Csv),
        ("*/*;q=0.1, text/html;level=1;q=0.2", TableFormat::Html),
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
        let unknown = choose_format(extension, parameter, accept).unwrap_err();
        assert_eq!(unknown.value, value);
        let told = format!("unknown format `{value}`; known formats: html, csv, json, ndjson");
        assert_eq!(unknown.to_string(), told);
        assert!(TableFormat::ALL.iter().all(|format| unknown.to_string().contains(format.extension())));
    }
}

#[test]
fn accept_encoding_is_read_with_its_weights() {
    for (list, compression) in [
        ("gzip, deflate, br, zstd", Compression::Zstd),
        ("gzip, deflate, br", Compression::Gzip),
        ("X-GZIP", Compression::Gzip),
        ("zstd;q=0.5, gzip", Compression::Gzip),
        ("zstd;q=0, gzip", Compression::Gzip),
        ("*", Compression::Zstd),
        ("*, zstd;q=0", Compression::Gzip),
        ("*;q=0", Compression::None),
        ("gzip;q=0, zstd;q=0", Compression::None),
        ("identity, gzip;q=0.5", Compression::None),
        ("identity;q=0.5, gzip;q=0.5", Compression::Gzip),
        ("identity;q=0", Compression::None),
        ("br", Compression::None),
        ("", Compression::None),
        ("gzip;q=nonsense", Compression::None),
    ] {
        assert_eq!(choose_compression(Some(list)), compression, "{list}");
    }
    assert_eq!(choose_compression(None), Compression::None);
}
