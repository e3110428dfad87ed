//! Any text as a configuration file: it is read or refused, and a refusal points into the text.
#![no_main]

use framecast::config::{ConfigError, File};
use framecast::{Drivers, Settings};
use libfuzzer_sys::fuzz_target;

fn assert_points_into(text: &str, error: &ConfigError) {
    assert!(!error.message.is_empty());
    if let Some((line, column)) = error.position {
        let lines = text.split('\n').collect::<Vec<_>>();
        assert!((1..=lines.len()).contains(&line), "{error}");
        assert!((1..=lines[line - 1].chars().count() + 1).contains(&column), "{error}");
    }
}

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    // The same text twice: as written, then with all that it means. What is no file has no meaning either.
    match (File::parse(text), Settings::from_toml(text, &Drivers::builtin())) {
        (Ok(file), Ok(settings)) => {
            assert_eq!(settings.cameras.len(), file.camera.len());
            assert!(settings.max_connections > 0);
            assert!(!settings.write_timeout.is_zero() && !settings.header_timeout.is_zero());
        }
        (Ok(_), Err(error)) => assert_points_into(text, &error),
        (Err(parsed), Err(error)) => {
            assert_eq!(parsed, error);
            assert_points_into(text, &error);
        }
        (Err(error), Ok(_)) => panic!("settings without a file: {error}"),
    }
});
