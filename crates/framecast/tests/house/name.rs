//! One word, one thing: the names of types.

use std::collections::BTreeMap;

use crate::{files, none, read};

/// Names of roles, which read with their module, as in `mjpeg::Config`: by crate, the names that several modules may
/// define.
const ROLES: [(&str, &[&str]); 6] = [
    // Each command of the program has its own.
    ("bench", &["Options", "Outcome", "Run"]),
    // `V4l2` is the driver, and on systems without V4L2 what says so.
    ("crates/drivers", &["Error", "V4l2"]),
    // One for each database, and what stands in for PostgreSQL in builds without it.
    ("crates/history", &["Address", "Postgres", "Removed"]),
    ("crates/media", &["Problem"]),
    ("crates/outputs", &["Config"]),
    // One for async code, one for blocking code.
    ("crates/testkit", &["Response"]),
];

/// Words so wide that the glossary does not explain them. Each names a type in one crate at most, too.
const WIDE: [&str; 3] = ["Client", "Counts", "Settings"];

/// The program's central words, as types. Each names a type in one crate at most; the glossary explains each.
const CENTRAL: [&str; 15] = [
    "Camera",
    "Control",
    "Delivery",
    "Driver",
    "Event",
    "Feed",
    "Format",
    "Frame",
    "Hub",
    "Output",
    "Rendition",
    "Snapshot",
    "Source",
    "Stream",
    "Viewer",
];

const KEYWORDS: [&str; 5] = ["struct ", "enum ", "trait ", "union ", "type "];

/// The name of the type that `line` defines, if it does. An indented `type` belongs to a trait.
fn defined(line: &str) -> Option<&str> {
    let code = line.trim_start();
    let is_indented = code.len() < line.len();
    let code = match code.strip_prefix("pub(") {
        Some(rest) => rest.split_once(") ")?.1,
        None => code.strip_prefix("pub ").unwrap_or(code),
    };
    let keyword = KEYWORDS.iter().find(|keyword| code.starts_with(**keyword))?;
    if is_indented && *keyword == "type " {
        return None;
    }
    let name = code[keyword.len()..].split(|c: char| !(c.is_alphanumeric() || c == '_')).next()?;
    name.starts_with(char::is_uppercase).then_some(name)
}

/// The types that each crate defines outside of its tests: crate, name, files.
fn types() -> BTreeMap<(String, String), Vec<String>> {
    let mut types: BTreeMap<(String, String), Vec<String>> = BTreeMap::new();
    for (path, text) in files(&[".rs"]) {
        let folder = path.split("/src/").next().unwrap_or_default();
        if folder == path || path.ends_with("tests.rs") {
            continue;
        }
        let own = text.split("\n#[cfg(test)]\nmod tests {").next().unwrap_or_default();
        for name in own.lines().filter_map(defined) {
            types.entry((folder.to_owned(), name.to_owned())).or_default().push(path.clone());
        }
    }
    assert!(types.len() > 500, "{} types", types.len());
    types
}

#[test]
fn no_type_name_stands_for_two_things_in_one_crate() {
    let may_repeat =
        |folder: &str, name: &str| ROLES.iter().any(|(of, names)| *of == folder && names.contains(&name));
    let twice = types().into_iter().filter(|((folder, name), at)| at.len() > 1 && !may_repeat(folder, name));
    let findings: Vec<String> = twice.map(|((_, name), at)| format!("{name}: {}", at.join(", "))).collect();
    none("type names that stand for two things", &findings);
}

#[test]
fn a_name_of_a_role_is_one_that_several_modules_define() {
    let types = types();
    let mut findings = Vec::new();
    for (folder, names) in ROLES {
        for name in names {
            if types.get(&(folder.to_owned(), (*name).to_owned())).is_none_or(|at| at.len() < 2) {
                findings.push(format!("{folder}: {name}"));
            }
        }
    }
    none("names that need no exception", &findings);
}

#[test]
fn a_central_word_names_a_type_in_one_crate() {
    let (types, glossary) = (types(), read("docs/glossary.md"));
    let mut findings = Vec::new();
    for word in CENTRAL.iter().chain(&WIDE).copied() {
        let named = types.keys().filter(|(folder, name)| name == word && !is_outside(folder));
        let crates: Vec<&str> = named.map(|(folder, _)| folder.as_str()).collect();
        if crates.len() > 1 {
            findings.push(format!("{word}: {}", crates.join(", ")));
        }
        if CENTRAL.contains(&word) && !glossary.contains(&format!("\n| **{}** |", word.to_lowercase())) {
            findings.push(format!("{word}: not in docs/glossary.md"));
        }
    }
    none("central words that name types of several crates, or that the glossary lacks", &findings);
}

/// The bench measures any server from outside, so its viewers are not those of the server. Nor are the cameras of tests
/// those of the server.
fn is_outside(folder: &str) -> bool {
    ["bench", "crates/testkit-server"].contains(&folder)
}
