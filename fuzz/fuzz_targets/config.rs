//! Any text as a configuration file: it is accepted or rejected, and an error points into the text.
#![no_main]

use framecast::{ConfigError, Drivers, Settings};
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
    let drivers = Drivers::builtin();
    match Settings::from_toml(text, &drivers) {
        // The server accepts every setting that the file check accepts.
        Ok(settings) => settings.validate(&drivers).unwrap(),
        Err(error) => assert_points_into(text, &error),
    }
});
