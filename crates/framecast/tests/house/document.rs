//! Every feature is documented, and every documented feature exists.

use std::fs;

use framecast::{Drivers, Settings};

use crate::{files, none, read, root};

/// The keys that the table above `key` in a file may have, as the error for an unknown key lists them.
fn keys(table: &str) -> Vec<String> {
    let error = Settings::from_toml(&format!("{table}\nqqqq = 1\n"), &Drivers::builtin()).unwrap_err();
    let known = error.message.split("known keys: ").nth(1).expect("the error names the known keys");
    known.split(", ").map(str::to_owned).collect()
}

fn all_keys() -> Vec<String> {
    let (top, camera, webhook) = (keys(""), keys("[[camera]]"), keys("[[webhook]]"));
    assert!(top.len() >= 8 && camera.len() >= 6 && webhook.len() >= 3, "{top:?} {camera:?} {webhook:?}");
    let top = top.into_iter().filter(|key| key != "camera" && key != "webhook");
    top.chain(camera).chain(webhook).collect()
}

#[test]
fn every_key_of_the_configuration_is_documented() {
    let (document, site) = (read("docs/config.md"), read("examples/site.toml"));
    let mut findings = Vec::new();
    for key in all_keys() {
        if !document.contains(&format!("\n| `{key}` |")) {
            findings.push(format!("docs/config.md: no row for {key}"));
        }
        if !site.lines().any(|line| line.trim_start_matches("# ").starts_with(&format!("{key} = "))) {
            findings.push(format!("examples/site.toml: no {key}"));
        }
    }
    none("keys that are not documented", &findings);
}

#[test]
fn no_key_is_documented_that_does_not_exist() {
    let document = read("docs/config.md");
    let tables = document.split("## Sources").next().unwrap();
    let rows = tables.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next());
    let known = all_keys();
    let unknown: Vec<String> =
        rows.filter(|row| !known.iter().any(|key| key == row)).map(str::to_owned).collect();
    none("keys in docs/config.md that do not exist", &unknown);
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
