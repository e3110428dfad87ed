//! The rules of the house that the compiler does not check: which crate imports which, how long a file is, what is
//! documented. To change a rule, change it here and in ARCHITECTURE.md.
#![allow(clippy::unwrap_used)]
#![warn(clippy::disallowed_methods)]

mod circle;
mod document;
mod feature;
mod import;
mod module;
mod name;
mod once;
mod reference;
mod text;
mod token;
mod wait;
mod way;

use std::fs;
use std::path::{Path, PathBuf};

/// Folders without our own files. Hidden folders count as such too, except the one of the continuous integration.
const FOREIGN: [&str; 5] = ["target", "node_modules", "artifacts", "coverage", "corpus"];

fn is_ours(folder: &str) -> bool {
    folder == ".ci" || !(folder.starts_with('.') || FOREIGN.contains(&folder))
}

/// The root of the repository.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// Text of a file, by its path from the root.
fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// All files whose name ends in one of `extensions`: path from the root, and text.
fn files(extensions: &[&str]) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut folders = vec![root()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap();
            if path.is_dir() && is_ours(name) {
                folders.push(path);
            } else if path.is_file() && extensions.iter().any(|extension| name.ends_with(extension)) {
                let shown = path.strip_prefix(root()).unwrap().to_str().unwrap().to_owned();
                let text = fs::read(&path).unwrap();
                found.push((shown, String::from_utf8_lossy(&text).into_owned()));
            }
        }
    }
    found.sort();
    assert!(!found.is_empty());
    found
}

/// Fails with all findings, one per line.
fn none(rule: &str, findings: &[String]) {
    assert!(findings.is_empty(), "{rule}:\n{}", findings.join("\n"));
}
