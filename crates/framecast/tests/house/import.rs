//! The allowed imports between crates.

use std::collections::BTreeMap;

use cargo_metadata::{DependencyKind, MetadataCommand};

use crate::{none, root};

/// The crates that each crate of the workspace may import, as in the picture in ARCHITECTURE.md.
const TABLE: [(&str, &[&str]); 14] = [
    ("framecast-media", &[]),
    ("framecast-hub", &["framecast-media"]),
    ("framecast-drivers", &["framecast-media", "framecast-tls", "framecast-v4l2"]),
    ("framecast-outputs", &["framecast-media", "framecast-hub", "framecast-sys"]),
    (
        "framecast",
        &[
            "framecast-media",
            "framecast-hub",
            "framecast-drivers",
            "framecast-outputs",
            "framecast-sys",
            "framecast-tls",
            "framecast-transcode",
            "framecast-history",
        ],
    ),
    ("framecast-history", &["framecast-hub", "framecast-media", "framecast-tls"]),
    ("framecast-testkit", &["framecast-media"]),
    ("framecast-testkit-server", &["framecast", "framecast-testkit", "framecast-tls"]),
    ("framecast-transcode", &["framecast-media", "framecast-turbojpeg"]),
    // Leaves: `tls`, and safe wrappers of foreign interfaces, with the only `unsafe` code.
    ("framecast-sys", &[]),
    ("framecast-tls", &[]),
    ("framecast-turbojpeg", &[]),
    ("framecast-v4l2", &[]),
    // A separate program that measures Framecast from outside.
    (
        "framecast-bench",
        &[
            "framecast",
            "framecast-history",
            "framecast-hub",
            "framecast-media",
            "framecast-testkit",
            "framecast-transcode",
            "framecast-turbojpeg",
        ],
    ),
];

/// For tests only.
const TESTKITS: [&str; 2] = ["framecast-testkit", "framecast-testkit-server"];

/// Modules that crates must not use: they get bytes and time as arguments.
const NEVER: [(&str, &[&str]); 7] = [
    (
        "framecast-media",
        &["tokio", "futures-util", "axum", "hyper", "reqwest", "rustix", "socket2", "tracing"],
    ),
    ("framecast-hub", &["axum", "hyper", "reqwest", "rustix", "socket2"]),
    ("framecast-drivers", &["axum", "clap", "toml"]),
    ("framecast-outputs", &["clap", "toml", "reqwest"]),
    (
        "framecast-history",
        &[
            "axum",
            "base64",
            "clap",
            "form_urlencoded",
            "http",
            "http-body",
            "http-body-util",
            "hyper",
            "hyper-util",
            "percent-encoding",
            "reqwest",
            "socket2",
            "toml",
            "tower",
        ],
    ),
    ("framecast-tls", &["tokio", "tokio-rustls", "axum", "clap", "toml", "reqwest", "rustix", "url"]),
    ("framecast-transcode", &["tokio", "axum", "clap", "toml", "reqwest", "rustix", "tracing"]),
];

/// The imports of each crate, by its name, without those of its tests.
fn imports() -> BTreeMap<String, Vec<String>> {
    let metadata = MetadataCommand::new()
        .manifest_path(root().join("Cargo.toml"))
        .no_deps()
        .exec()
        .expect("cargo metadata");
    let crates = metadata.packages.iter().map(|package| {
        let imported =
            package.dependencies.iter().filter(|import| import.kind != DependencyKind::Development);
        (package.name.to_string(), imported.map(|import| import.name.clone()).collect())
    });
    crates.collect()
}

#[test]
fn crates_import_what_the_table_allows() {
    let imports = imports();
    let table: BTreeMap<&str, &[&str]> = TABLE.into_iter().collect();
    let mut findings = Vec::new();
    for (name, imported) in &imports {
        let Some(allowed) = table.get(name.as_str()) else {
            findings.push(format!("{name} is not in the table"));
            continue;
        };
        for import in imported.iter().filter(|import| imports.contains_key(*import)) {
            if !allowed.contains(&import.as_str()) {
                findings.push(format!("{name} imports {import}"));
            }
        }
    }
    for (name, _) in TABLE {
        if !imports.contains_key(name) {
            findings.push(format!("{name} is in the table and nowhere else"));
        }
    }
    none("imports beside the table", &findings);
}

#[test]
fn nothing_that_ships_imports_a_testkit() {
    let imports = imports();
    // The bench measures, and is not shipped.
    let is_shipped = |name: &str| name != "framecast-bench" && !TESTKITS.contains(&name);
    let shipped = imports.iter().filter(|(name, _)| is_shipped(name));
    let users =
        shipped.filter(|(_, imported)| imported.iter().any(|import| TESTKITS.contains(&import.as_str())));
    none("imports of a testkit", &users.map(|(name, _)| name.clone()).collect::<Vec<_>>());
}

#[test]
fn lower_crates_know_no_sockets_and_no_configuration() {
    let imports = imports();
    let mut findings = Vec::new();
    for (name, never) in NEVER {
        for import in imports[name].iter().filter(|import| never.contains(&import.as_str())) {
            findings.push(format!("{name} imports {import}"));
        }
    }
    none("imports that do not belong there", &findings);
}
