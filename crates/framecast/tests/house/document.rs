//! Every feature is documented, and every documented feature exists.

use std::collections::BTreeSet;
use std::fs;

use framecast::{Drivers, Settings, config};

use crate::{files, none, read, root};

/// A table of `docs/config.md` between the lines `<!-- keys of SECTION -->` and `<!-- end -->`.
fn table(section: &str) -> String {
    let keys = config::keys().into_iter().filter(|key| key.section == section);
    let rows = keys.map(|key| {
        let default = match key.default {
            None => "–".to_owned(),
            // Words are not written in the file.
            Some(default) if is_value(&default) => format!("`{default}`"),
            Some(default) => default,
        };
        let range = key.range.map(|(low, high)| match low.starts_with('"') {
            true => format!(", `{low}` to `{high}`"),
            false => format!(", {low} to {high}"),
        });
        let (text, more) = match key.text.strip_suffix(" †") {
            Some(text) => (text, " †"),
            None => (key.text, ""),
        };
        format!("| `{}` | {default} | {text}{}{more} |\n", key.name, range.unwrap_or_default())
    });
    let rows: String = rows.collect();
    format!("| key | default | meaning |\n|---|---|---|\n{rows}")
}

fn is_value(default: &str) -> bool {
    Settings::from_toml(&format!("x = {default}"), &Drivers::builtin())
        .is_err_and(|error| error.message.starts_with("unknown key"))
}

#[test]
fn the_tables_of_keys_are_those_of_the_declarations() {
    let path = root().join("docs/config.md");
    let document = fs::read_to_string(&path).unwrap();
    let mut sections = BTreeSet::new();
    let mut parts = document.split("<!-- keys of ");
    let mut made = parts.next().unwrap().to_owned();
    for part in parts {
        let (section, rest) = part.split_once(" -->\n").expect("the section ends its line");
        let (_, rest) = rest.split_once("<!-- end -->").expect("the table has an end");
        made.push_str(&format!("<!-- keys of {section} -->\n{}<!-- end -->{rest}", table(section)));
        sections.insert(section);
    }
    let declared: BTreeSet<&str> = config::keys().iter().map(|key| key.section).collect();
    assert_eq!(sections, declared);
    if made != document {
        fs::write(&path, made).unwrap();
        panic!("the tables in docs/config.md were out of date; this test has written them anew: commit them");
    }
}

#[test]
fn a_default_that_is_documented_is_the_one_that_applies() {
    // The default of `history` is more than the file of that name: see `HistoryStorage::Default`.
    let keys = config::keys().into_iter().filter(|key| key.name != "history");
    let mut checked = 0;
    for key in keys {
        let Some(default) = key.default.filter(|default| is_value(default)) else { continue };
        let camera = "[[camera]]\nname = 'front'\nsource = 'emulated'";
        let table = if key.section == "camera" { camera } else { "" };
        let read =
            |line: &str| Settings::from_toml(&format!("{table}\n{line}\n"), &Drivers::builtin()).unwrap();
        assert_eq!(read(&format!("{} = {default}", key.name)), read(""), "{}", key.name);
        checked += 1;
    }
    assert!(checked > 10, "{checked}");
}

#[test]
fn the_example_names_only_keys_that_exist() {
    let site = read("examples/site.toml");
    let commented = site.lines().filter_map(|line| line.strip_prefix("# ")?.split_once(" = "));
    let is_key = |name: &str| name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
    let keys = config::keys();
    let unknown: Vec<&str> = commented
        .map(|(name, _)| name)
        .filter(|name| is_key(name) && !keys.iter().any(|key| key.name == *name))
        .collect();
    assert!(unknown.is_empty(), "examples/site.toml: {unknown:?}");
}

#[test]
fn every_driver_is_in_the_tables() {
    let (readme, config) = (read("README.md"), read("docs/config.md"));
    let mut findings = Vec::new();
    for scheme in Drivers::builtin().schemes() {
        for (name, text) in [("README.md", &readme), ("docs/config.md", &config)] {
            if !text.contains(&format!("`{scheme}:")) {
                findings.push(format!("{name}: no {scheme}:"));
            }
        }
    }
    none("drivers that are not documented", &findings);
}

#[test]
fn every_example_is_named_in_the_readme() {
    let readme = read("README.md");
    let mut findings = Vec::new();
    for entry in fs::read_dir(root().join("crates/framecast/examples")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        if !readme.contains(&format!("crates/framecast/examples/{name}")) {
            findings.push(name);
        }
    }
    none("examples that the readme does not name", &findings);
}

#[test]
fn links_between_documents_lead_somewhere() {
    let mut findings = Vec::new();
    for (path, text) in files(&[".md"]) {
        let folder = root().join(&path).parent().unwrap().to_owned();
        for target in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let file = target.split('#').next().unwrap();
            if !file.is_empty() && !file.contains("://") && !folder.join(file).exists() {
                findings.push(format!("{path}: {target}"));
            }
        }
    }
    none("links that lead nowhere", &findings);
}
