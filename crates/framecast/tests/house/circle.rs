//! Files of a crate never refer to each other in a circle. A circle is one part in several files: nobody can read,
//! change or test one of them without the others.
//!
//! A file refers to the files that define the names in its imports and paths, however many modules pass a name on, and
//! to the files that add the methods it calls to a type of another file. A file and its child modules may refer to each
//! other, because a parent knows its parts. Code that only tests have does not count.

use std::collections::{BTreeMap, BTreeSet};

use crate::module::Modules;
use crate::reference::References;
use crate::{files, none};

/// The circles in `references`: each with all files that are in a circle with each other.
fn circles(references: &References) -> Vec<Vec<&str>> {
    let from: BTreeSet<&str> = references.keys().map(|(from, _)| from.as_str()).collect();
    let reached: BTreeMap<&str, BTreeSet<&str>> =
        from.iter().map(|from| (*from, reached(from, references))).collect();
    let is_behind = |one: &str, other: &str| reached.get(one).is_some_and(|files| files.contains(other));
    let circles = from.iter().filter(|file| is_behind(file, file)).map(|file| {
        from.iter().copied().filter(|other| is_behind(file, other) && is_behind(other, file)).collect()
    });
    circles.collect::<BTreeSet<_>>().into_iter().collect()
}

/// The files to which references lead from `file`, directly or through other files.
fn reached<'a>(file: &'a str, references: &'a References) -> BTreeSet<&'a str> {
    let (mut reached, mut next) = (BTreeSet::new(), vec![file]);
    while let Some(file) = next.pop() {
        let targets = references.keys().filter(|(from, _)| from == file).map(|(_, to)| to.as_str());
        next.extend(targets.filter(|to| reached.insert(*to)));
    }
    reached
}

/// The references between the files of `circle`, one per line.
fn shown(circle: &[&str], references: &References) -> String {
    let is_in = |file: &String| circle.contains(&file.as_str());
    let inner = references.iter().filter(|((from, to), _)| is_in(from) && is_in(to));
    let lines = inner.map(|((from, to), names)| {
        format!("    {from} -> {to}: {}", names.iter().cloned().collect::<Vec<_>>().join(", "))
    });
    format!("a circle of {} files:\n{}", circle.len(), lines.collect::<Vec<_>>().join("\n"))
}

#[test]
fn no_files_of_a_crate_refer_to_each_other_in_a_circle() {
    let sources: BTreeMap<String, String> = files(&[".rs"]).into_iter().collect();
    let is_root = |path: &&String| path.ends_with("/src/lib.rs") || path.ends_with("/src/main.rs");
    let (mut findings, mut count) = (Vec::new(), 0);
    for root in sources.keys().filter(is_root) {
        let references = Modules::read(root, &|path| sources.get(path).cloned()).references();
        count += references.len();
        findings.extend(circles(&references).iter().map(|circle| shown(circle, &references)));
    }
    assert!(count > 700, "{count} references");
    none("circles of files", &findings);
}

/// The circles of a crate with these files, each shown with the names that make it.
fn found(sources: &[(&str, &str)]) -> Vec<String> {
    let read =
        |path: &str| sources.iter().find(|(file, _)| *file == path).map(|(_, text)| (*text).to_owned());
    let references = Modules::read("src/lib.rs", &read).references();
    circles(&references).iter().map(|circle| shown(circle, &references)).collect()
}

#[test]
fn a_circle_is_found_however_it_is_written() {
    let root = ("src/lib.rs", "mod a; mod b; mod c; pub use b::{B, Other as Renamed};");
    let b = ("src/b.rs", "use crate::a::A; pub struct B(A); pub struct Other; pub fn help() {}");
    let c = ("src/c.rs", "use crate::b::*; pub fn c(_: B) {}");
    for a in [
        "use crate::b::B; pub struct A; fn f(_: B) {}",
        "use crate::B; pub struct A; fn f(_: B) {}",
        "use super::{b::{self}}; pub struct A; fn f(_: b::B) {}",
        "use crate::Renamed; pub struct A; fn f(_: Renamed) {}",
        "pub struct A; fn f<'a>(b: &'a crate::b::B) -> char { '\"' }",
        "pub struct A; fn f() { use super::b; b::help() }",
        "use crate::b::*; pub struct A; fn f(_: B) {}",
        "pub struct A; mod inner { fn f(_: crate::b::B) {} }",
        // Through a third file.
        "pub struct A; fn f() { crate::c::c() }",
    ] {
        let circles = found(&[root, ("src/a.rs", a), b, c]);
        assert!(circles.len() == 1 && circles[0].contains("src/b.rs -> src/a.rs: A"), "{a}: {circles:?}");
    }
}

#[test]
fn a_circle_of_methods_is_found() {
    let root = ("src/lib.rs", "mod a; mod b;");
    let a = ("src/a.rs", "pub struct A; impl A { fn f(&self) { self.twice(); } }");
    let b = ("src/b.rs", "use crate::a::A; impl A { pub fn twice(&self) {} }");
    let expected = "a circle of 2 files:\n    src/a.rs -> src/b.rs: twice()\n    src/b.rs -> src/a.rs: A";
    assert_eq!(found(&[root, a, b]), [expected]);
}

#[test]
fn what_is_no_circle_is_not_taken_for_one() {
    let root = ("src/lib.rs", "mod a; mod b; pub fn shared() { a::f() }");
    let b = ("src/b.rs", "use crate::a::A; pub struct B(A);");
    for a in [
        "pub struct A; // crate::b::B",
        "pub struct A; /* /* */ crate::b::B */ const TEXT: &str = r#\"crate::b::B\"#;",
        "pub struct A; #[cfg(test)] mod tests { use crate::b::B; }",
        "pub struct A; #[cfg(test)] use crate::b::{B};",
        "use other::b::B; pub struct A(B);",
        "use super::shared; pub struct A; pub fn f() { shared() }",
        "use super::b; pub struct A;",
    ] {
        assert_eq!(found(&[root, ("src/a.rs", a), b]), [""; 0], "{a}");
    }
}
