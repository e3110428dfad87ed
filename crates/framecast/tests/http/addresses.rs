//! `docs/api.md` names each path of the router with its methods, and no others.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use framecast::{Cameras, Drivers, Settings};
use framecast_testkit::blocking::{read_head, request_head, send};

use crate::{QUICK, Server};

pub(crate) const METHODS: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];

fn document(name: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs").join(name)).unwrap()
}

/// The rows of the table of paths: each path with its methods.
fn documented() -> BTreeMap<String, BTreeSet<String>> {
    let text = document("api.md");
    let table = text.split("## Addresses").nth(1).unwrap().split("\n## ").next().unwrap();
    let rows = table.lines().filter(|line| line.starts_with("| `/")).flat_map(|line| {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let methods: BTreeSet<String> = cells[2].split(", ").map(str::to_owned).collect();
        cells[1].split(", ").map(move |address| (address.trim_matches('`').to_owned(), methods.clone()))
    });
    rows.collect()
}

/// The paths of the router. axum shows them only by `Debug`.
pub(crate) fn routed(drop_in: bool) -> BTreeSet<String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let shown = runtime.block_on(async {
        let mut settings = Settings::with_cameras([("front", QUICK)]).unwrap();
        settings.drop_in = drop_in;
        let cameras = Cameras::start(settings, Drivers::builtin()).await.unwrap();
        let shown = format!("{:?}", cameras.router());
        cameras.close().await;
        shown
    });
    let addresses: BTreeSet<String> = shown
        .split('"')
        .filter(|text| text.starts_with('/') && !text.contains("__private"))
        .map(str::to_owned)
        .collect();
    assert!(addresses.contains("/video_feed"), "the router shows its addresses otherwise: {shown}");
    addresses
}

#[test]
fn every_address_is_documented_and_every_documented_one_is_there() {
    let documented: BTreeSet<String> = documented().into_keys().collect();
    let in_document = |address: &String| address.replace("{name}", "NAME").replace("{file}", "FILE");
    let routed: BTreeSet<String> = routed(false).iter().map(in_document).collect();
    assert_eq!(documented.difference(&routed).collect::<Vec<_>>(), [""; 0], "documented, but not there");
    assert_eq!(routed.difference(&documented).collect::<Vec<_>>(), [""; 0], "there, but not documented");
}

#[test]
fn each_address_takes_the_methods_that_are_documented_and_no_others() {
    let server = Server::with(|settings| settings.drop_in = false);
    for (address, methods) in documented() {
        let path = address.replace("NAME", "front").replace("FILE", "app.js");
        for method in METHODS {
            let request =
                request_head(server.address, &format!("{method} {path}"), &[("Content-Length", "0")], "1.1");
            let answer = read_head(&mut send(server.address, &request));
            let is_taken = answer.status != 405;
            assert_eq!(is_taken, methods.contains(method), "{method} {address}: {}", answer.status);
            if method == "OPTIONS" {
                let allowed: BTreeSet<String> =
                    answer.header("allow").unwrap_or_default().split(", ").map(str::to_owned).collect();
                assert_eq!(allowed, methods, "{address}: what OPTIONS allows");
            }
        }
    }
}
