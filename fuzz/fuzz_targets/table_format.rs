//! Any text as the formats and codings that a client accepts: a format is chosen or refused by name, a coding is always
//! chosen, and neither is one that the client has not named.
#![no_main]

use framecast::table::{Compression, TableFormat, choose_compression, choose_format, content_encoding};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let lower = text.to_ascii_lowercase();

    match choose_format(None, None, Some(text)) {
        Ok(TableFormat::Html) => {}
        Ok(format) => {
            let sub = if format == TableFormat::Ndjson { "json" } else { format.extension() };
            assert!(lower.contains(sub) || lower.contains('*'), "{format:?}");
        }
        Err(unknown) => assert_eq!(unknown.value, text),
    }
    if let Ok(format) = choose_format(Some(text), None, None) {
        assert_eq!(choose_format(None, Some(text), Some("image/png")), Ok(format));
        assert_eq!(TableFormat::from_extension(format.extension()), Some(format));
    }

    if let Some(name) = content_encoding(choose_compression(Some(text))) {
        assert!(lower.contains(name) || lower.contains('*'), "{name}");
    }
    // A coding that is refused at the end of the list is never chosen, whatever comes before; unless that end is within
    // quotes.
    if !text.contains('"') {
        let refusing = format!("{text},gzip;q=0,x-gzip;q=0,zstd;q=0");
        let takes = |name: &str| lower.contains(name);
        assert!(choose_compression(Some(&refusing)) == Compression::None || takes("gzip") || takes("zstd"));
    }
});
