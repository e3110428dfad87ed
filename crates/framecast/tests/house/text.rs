//! The text of files: its size, and what it must not contain.

use crate::{files, none};

const CODE: [&str; 7] = [".rs", ".js", ".mjs", ".css", ".html", ".sh", "run"];
const TEXT: [&str; 12] =
    [".rs", ".js", ".mjs", ".css", ".html", ".sh", ".md", ".toml", ".json", ".py", ".svg", ".service"];

const MAX_LINES: usize = 800;
const MAX_FUNCTION_LINES: usize = 50;

/// Crates that may contain `unsafe` code: safe wrappers of the kernel's and C libraries' interfaces.
const LEAVES: [&str; 3] = ["crates/v4l2/", "crates/turbojpeg/", "crates/sys/"];

/// Rust files, with the lines up to their tests.
fn sources() -> Vec<(String, Vec<String>)> {
    let own = |text: &str| {
        let end = text.find("\n#[cfg(test)]\nmod tests {").unwrap_or(text.len());
        text[..end].lines().map(str::to_owned).collect()
    };
    let is_test = |path: &str| path.contains("/tests/") || path.ends_with("tests.rs");
    let sources = files(&[".rs"]).into_iter().filter(|(path, _)| !is_test(path));
    sources.map(|(path, text)| (path, own(&text))).collect()
}

#[test]
fn no_file_is_longer_than_can_be_read_at_once() {
    let mut findings = Vec::new();
    for (path, text) in files(&CODE) {
        let lines = text.lines().count();
        if lines > MAX_LINES {
            findings.push(format!("{path}: {lines} lines"));
        }
    }
    none("files over 800 lines", &findings);
}

#[test]
fn most_files_are_short() {
    let mut lines: Vec<usize> = sources().iter().map(|(_, lines)| lines.len()).collect();
    lines.sort_unstable();
    let (median, ninth) = (lines[lines.len() / 2], lines[lines.len() * 9 / 10]);
    assert!(median <= 200 && ninth <= 400, "the median has {median} lines, nine of ten have {ninth}");
}

#[test]
fn no_function_is_longer_than_a_screen() {
    let mut findings = Vec::new();
    for (path, lines) in sources() {
        for (start, line) in lines.iter().enumerate() {
            let indent = line.len() - line.trim_start().len();
            let head = line.trim_start().trim_start_matches("pub ").trim_start_matches("pub(crate) ");
            let head = head.trim_start_matches("const ").trim_start_matches("async ");
            if !head.starts_with("fn ") {
                continue;
            }
            // The formatter puts a function's closing brace under its first letter.
            let end = format!("{}}}", " ".repeat(indent));
            let len = lines[start..].iter().position(|line| *line == end).map_or(1, |len| len + 1);
            if len > MAX_FUNCTION_LINES && !line.trim_end().ends_with(['}', ';']) {
                findings.push(format!("{path}:{}: {len} lines", start + 1));
            }
        }
    }
    none("functions over 50 lines", &findings);
}

#[test]
fn unsafe_code_stands_in_leaves_alone() {
    let mut findings = Vec::new();
    for (path, text) in files(&[".rs"]) {
        if LEAVES.iter().any(|leaf| path.starts_with(leaf)) {
            continue;
        }
        for (number, line) in text.lines().enumerate() {
            let code = line.split("//").next().unwrap_or_default();
            let words = code.split(|c: char| !(c.is_alphanumeric() || c == '_' || c == '"'));
            if words.into_iter().any(|word| word == concat!("un", "safe")) {
                findings.push(format!("{path}:{}", number + 1));
            }
        }
    }
    none("code outside of leaf crates that the compiler does not check", &findings);
}

#[test]
fn every_other_crate_forbids_unsafe_code() {
    let (mut findings, mut roots) = (Vec::new(), 0);
    // The fuzz targets are no such roots: the macro that makes them exports a symbol.
    for (path, text) in files(&["lib.rs", "main.rs"]) {
        let is_root = path.ends_with("/src/lib.rs") || path.ends_with("/src/main.rs");
        roots += usize::from(is_root);
        let is_leaf = LEAVES.iter().any(|leaf| path.starts_with(leaf));
        let forbids = text.lines().any(|line| line == concat!("#![forbid(un", "safe_code)]"));
        if is_root && is_leaf == forbids {
            findings.push(path);
        }
    }
    assert!(roots >= 14, "{roots} roots of crates");
    none("crates without the attribute that forbids it, and leaves with it", &findings);
}

/// Tables of measurements, which programs write.
const MEASURED: &str = "bench/runs/";

#[test]
fn no_line_of_a_document_is_longer_than_120_characters() {
    let mut findings = Vec::new();
    for (path, text) in files(&[".md"]).into_iter().filter(|(path, _)| !path.starts_with(MEASURED)) {
        let mut is_code = false;
        for (number, line) in text.lines().enumerate() {
            is_code ^= line.trim_start().starts_with("```");
            if !is_code && line.chars().count() > 120 {
                findings.push(format!("{path}:{}", number + 1));
            }
        }
    }
    none("lines of documents over 120 characters", &findings);
}

#[test]
fn nothing_is_left_to_be_done_later() {
    let marks = [
        concat!("TO", "DO"),
        concat!("FIX", "ME"),
        concat!("XX", "X:"),
        concat!("db", "g!("),
        concat!("to", "do!("),
        concat!("unimple", "mented!("),
    ];
    findings_of("left for later", &marks);
}

#[test]
fn no_path_of_a_developers_machine_is_in_the_repository() {
    findings_of("paths of a machine", &[concat!("/wo", "rk/"), concat!("/ro", "ot/"), concat!("/ho", "me/")]);
}

fn findings_of(rule: &str, marks: &[&str]) {
    let mut findings = Vec::new();
    for (path, text) in files(&TEXT) {
        for (number, line) in text.lines().enumerate() {
            if let Some(mark) = marks.iter().find(|mark| line.contains(**mark)) {
                findings.push(format!("{path}:{}: {mark}", number + 1));
            }
        }
    }
    none(rule, &findings);
}

#[test]
fn every_module_says_what_it_is_for() {
    let mut findings = Vec::new();
    for (path, lines) in sources() {
        if path.starts_with("crates/") && !lines.first().is_some_and(|line| line.starts_with("//! ")) {
            findings.push(path);
        }
    }
    none("modules that do not say what they are for", &findings);
}

#[test]
fn every_crate_says_what_does_not_belong_in_it() {
    let mut findings = Vec::new();
    for (path, text) in files(&["lib.rs"]) {
        let head: Vec<&str> = text.lines().take_while(|line| line.starts_with("//!")).collect();
        if path.starts_with("crates/") && !head.iter().any(|line| line.contains("belong")) {
            findings.push(path);
        }
    }
    none("crates that do not say what belongs in them", &findings);
}
