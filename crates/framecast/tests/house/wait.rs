//! Tests wait with a limit, through the testkit: each turns on the lint for functions without one.

use crate::{files, none};

const ATTRIBUTE: &str = "#![warn(clippy::disallowed_methods)]";

/// What a test module that can wait contains.
const WAITS: [&str; 4] = ["#[tokio::test", "thread::", "mpsc", "sleep("];

/// Whether the file at `path` is the root of a test program, whose attributes hold for all its modules.
fn is_root(path: &str) -> bool {
    let Some((_, file)) = path.split_once("/tests/") else { return false };
    path.starts_with("crates/")
        && !path.contains("/src/")
        && (!file.contains('/') || file.ends_with("/main.rs"))
}

/// The tests in a source file: the whole file, or the module at its end.
fn unit_tests<'t>(path: &str, text: &'t str) -> Option<&'t str> {
    if !path.starts_with("crates/") || !path.contains("/src/") {
        return None;
    }
    if path.ends_with("/tests.rs") || path.contains("/tests/") {
        return Some(text);
    }
    text.split_once("\n#[cfg(test)]\nmod tests {").map(|(_, tests)| tests)
}

#[test]
fn tests_turn_on_the_lint_for_waits_without_a_limit() {
    let mut findings = Vec::new();
    let mut count = 0;
    for (path, text) in files(&[".rs"]) {
        let tests = unit_tests(&path, &text).filter(|tests| WAITS.iter().any(|wait| tests.contains(wait)));
        if let Some(tests) = if is_root(&path) { Some(text.as_str()) } else { tests } {
            count += 1;
            if !tests.lines().any(|line| line.trim() == ATTRIBUTE) {
                findings.push(path);
            }
        }
    }
    assert!(count >= 50, "{count} test modules");
    none(&format!("tests without {ATTRIBUTE}"), &findings);
}

#[test]
fn test_programs_share_files_only_as_crates() {
    let attribute = concat!("#[pa", "th = ");
    let findings = files(&[".rs"]).into_iter().filter(|(_, text)| text.contains(attribute));
    none("files included by their path", &findings.map(|(path, _)| path).collect::<Vec<_>>());
}
