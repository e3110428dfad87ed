//! The Cargo features of `framecast`: what the smallest program that embeds it compiles, and where each feature is named.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use super::{none, read, root};

/// The maximum number of crates that the smallest program compiles, itself included.
const MAX_CRATES: usize = 130;

/// The features of the program, from its manifest, without `default`.
fn features() -> BTreeSet<String> {
    let manifest = read("crates/framecast/Cargo.toml");
    let table = manifest.split("[features]").nth(1).unwrap().split("\n[").next().unwrap();
    let names = table.lines().filter_map(|line| line.split_once(" = ").map(|(name, _)| name));
    names.filter(|name| !name.starts_with(['#', ' ']) && *name != "default").map(str::to_owned).collect()
}

/// The crates that a program with one driver of its own and a stream in an axum program compiles. It is a package
/// outside the workspace, so that the features of the workspace's other members do not count.
#[expect(clippy::disallowed_methods, reason = "cargo reads manifests and ends")]
fn crates_of_smallest_program() -> BTreeSet<String> {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    fs::create_dir(path("src")).unwrap();
    fs::write(path("src/main.rs"), "fn main() {}\n").unwrap();
    fs::copy(root().join("Cargo.lock"), path("Cargo.lock")).unwrap();
    let library = root().join("crates/framecast");
    let manifest = format!(
        "[package]\nname = \"smallest\"\nedition = \"2024\"\n\n[workspace]\n\n[dependencies]\n\
         axum = {{ version = \"0.8\", default-features = false, features = [\"http1\", \"tokio\"] }}\n\
         framecast = {{ path = {library:?}, default-features = false }}\n\
         tokio = {{ version = \"1\", features = [\"macros\", \"net\", \"rt-multi-thread\"] }}\n"
    );
    fs::write(path("Cargo.toml"), manifest).unwrap();
    let output = Command::new(env!("CARGO"))
        .args(["tree", "--offline", "--no-dedupe", "-e", "normal,build", "--prefix", "none"])
        .current_dir(folder.path())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let lines = String::from_utf8(output.stdout).unwrap();
    lines.lines().map(|line| line.split(' ').take(2).collect::<Vec<_>>().join(" ")).collect()
}

#[test]
fn the_smallest_program_compiles_few_crates() {
    let crates = crates_of_smallest_program();
    assert!(crates.contains("framecast v0.1.0"), "{crates:?}");
    assert!(crates.len() <= MAX_CRATES, "{} crates, {MAX_CRATES} at most: {crates:?}", crates.len());
}

#[test]
fn each_feature_is_documented_and_checked_alone() {
    let (embedding, library, ci) =
        (read("docs/embedding.md"), read("crates/framecast/src/lib.rs"), read(".ci/run"));
    let features = features();
    assert!(features.len() > 5, "{features:?}");
    let mut missing = Vec::new();
    for feature in features {
        let name = format!("`{feature}`");
        if !embedding.contains(&name) {
            missing.push(format!("docs/embedding.md: {feature}"));
        }
        if !library.contains(&name) {
            missing.push(format!("crates/framecast/src/lib.rs: {feature}"));
        }
        if !ci.split_whitespace().any(|word| word.trim_matches(['(', ')']) == feature) {
            missing.push(format!(".ci/run: {feature}"));
        }
    }
    none("features that a place does not name", &missing);
}
