//! The way of a frame through the code stays short enough to be read.

use std::collections::BTreeSet;

use crate::token::{tokens, without_tests};
use crate::{none, read};

/// The maximum number of files on the way.
const MAX_FILES: usize = 20;

/// One file on the way: its path below `crates/`, and its functions that pass the frame on.
struct Station {
    path: String,
    functions: Vec<String>,
}

/// The rows of the table in docs/internals.md.
fn stations() -> Vec<Station> {
    let document = read("docs/internals.md");
    let section = document.split("\n## ").find(|section| section.starts_with("The way of a frame\n"));
    let rows = section.expect("the document has the section").lines().filter(|line| line.starts_with("| `"));
    let quoted = |cell: &str| cell.split('`').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>();
    let stations = rows.map(|row| {
        let cells: Vec<&str> = row.split('|').collect();
        Station { path: quoted(cells[1]).concat(), functions: quoted(cells[2]) }
    });
    stations.collect()
}

/// The words of a file of `crates/` outside of its tests, and the functions that it defines.
fn words(path: &str) -> (BTreeSet<String>, BTreeSet<String>) {
    let text = read(&format!("crates/{path}"));
    let tokens = without_tests(&tokens(&text));
    let defined = tokens.windows(2).filter(|pair| pair[0] == "fn").map(|pair| pair[1].to_owned()).collect();
    (tokens.into_iter().map(str::to_owned).collect(), defined)
}

#[test]
fn the_way_of_a_frame_leads_through_few_files() {
    let stations = stations();
    assert!((10..=MAX_FILES).contains(&stations.len()), "{} files", stations.len());
    let words: Vec<_> = stations.iter().map(|station| words(&station.path)).collect();
    let mut findings = Vec::new();
    for (station, (_, defined)) in stations.iter().zip(&words) {
        let missing = station.functions.iter().filter(|function| !defined.contains(*function));
        findings.extend(missing.map(|function| format!("{} has no function `{function}`", station.path)));
    }
    // No file stands apart: from the first one, calls lead to all others, in one direction or the other. Only names
    // tell which function a call means, so a gap next to a common name stays hidden.
    let calls =
        |from: usize, to: usize| stations[to].functions.iter().any(|name| words[from].0.contains(name));
    let (mut reached, mut next) = (BTreeSet::from([0]), vec![0]);
    while let Some(at) = next.pop() {
        let others = (0..stations.len()).filter(|other| calls(at, *other) || calls(*other, at));
        next.extend(others.filter(|other| reached.insert(*other)));
    }
    let apart = (0..stations.len()).filter(|at| !reached.contains(at));
    findings.extend(apart.map(|at| format!("{}: no other file on the way calls it", stations[at].path)));
    none("the way of a frame in docs/internals.md", &findings);
}
