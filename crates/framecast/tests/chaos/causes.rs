//! What the program's log may say, and which act of the chaos is the cause.

use std::collections::BTreeMap;

use crate::Act;

/// The warnings and errors that an act causes.
struct Cause {
    act: Act,
    /// What a line of the log contains, all of it: whose line it is, and what it says.
    texts: &'static [&'static str],
}

const fn cause(act: Act, texts: &'static [&'static str]) -> Cause {
    Cause { act, texts }
}

/// All that the log may say. A camera of the driver `test` or `emulated` has no line here: nothing that the test does
/// makes it fail.
const CAUSES: [Cause; 29] = [
    cause(Act::BadFile, &["the configuration was not reloaded, and nothing has changed: ", "site.toml:"]),
    cause(
        Act::BadFile,
        &["the configuration was not reloaded, and nothing has changed: ", "site.toml is empty"],
    ),
    cause(
        Act::BadFile,
        &["the configuration was not reloaded, and nothing has changed: ", "no longer names a camera"],
    ),
    // An empty file, or half of one, applies if somebody asks for it, and so the defaults of its missing keys do.
    cause(Act::BadFile, &["restart the server to apply the change of "]),
    cause(Act::HalfFile, &["the configuration was not reloaded, and nothing has changed: ", "site.toml:"]),
    cause(Act::RemovedFile, &["is gone; the server goes on with the configuration that it has"]),
    cause(
        Act::RemovedFile,
        &["the configuration was not reloaded, and nothing has changed: ", "No such file or directory"],
    ),
    cause(Act::Upset, &["lost source=\"http://", "the server answered 500 Internal Server Error"]),
    cause(Act::Upset, &["lost source=\"http://", "the server answered 401 Unauthorized"]),
    cause(Act::Upset, &["lost source=\"http://", "the server reset the connection"]),
    cause(Act::Upset, &["lost source=\"http://", "the server ended the stream before its first picture"]),
    cause(
        Act::Upset,
        &["lost source=\"http://", "the server closed the connection in the middle of its answer"],
    ),
    cause(Act::Upset, &["lost source=\"http://", "no JPEG pictures here"]),
    cause(Act::Upset, &["lost source=\"http://", "no picture for "]),
    cause(Act::Upset, &["lost source=\"http://", "no complete picture within ", "broken pictures: "]),
    cause(Act::Upset, &["the camera sent no picture; asking again", "error=http://"]),
    cause(Act::Upset, &["a picture is broken", "error=picture "]),
    cause(Act::Strike, &["lost source=\"exec:", "ended: signal: "]),
    // So ffmpeg ends after SIGTERM.
    cause(Act::Strike, &["lost source=\"exec:ffmpeg\"", "ended: exit status: 255"]),
    cause(Act::Strike, &["lost source=\"exec:", "no picture for "]),
    // The shell ends after the program that it waited for.
    cause(Act::Strike, &["lost source=\"exec:sh\"", "`sh` ended: exit status: 0, without a picture"]),
    cause(Act::File, &["camera `guest-", "the server looks again when someone watches"]),
    cause(Act::File, &["camera{id=\"guest-", "lost source=\"http://", "connection refused"]),
    cause(Act::File, &["camera{id=\"guest-", "lost source=\"exec:framecast-no-such-program\"", "cannot run"]),
    cause(Act::File, &["camera{id=\"guest-", "lost source=\"exec:false\"", "`false` ended: exit status: 1"]),
    cause(Act::File, &["camera{id=\"guest-", "lost source=\"exec:sh\"", "no JPEG pictures here"]),
    cause(Act::File, &["camera{id=\"guest-", "lost source=\"exec:sh\"", "`sh` ended: exit status: 3"]),
    // The program that writes nothing, and ignores SIGTERM.
    cause(Act::File, &["camera{id=\"guest-", "lost source=\"exec:sh\"", "no picture for 3s"]),
    cause(Act::File, &["camera{id=\"guest-", "lost source=\"images:", "cannot find "]),
];

/// The number of warnings and errors by cause, and the lines that no act of `acts` explains.
pub(crate) fn of_lines<'l>(
    lines: &'l [String],
    acts: &BTreeMap<Act, usize>,
) -> (BTreeMap<String, usize>, Vec<&'l str>) {
    let (mut counts, mut unexplained) = (BTreeMap::new(), Vec::new());
    for line in lines.iter().filter(|line| is_serious(line)) {
        let explains = |cause: &&Cause| {
            acts.contains_key(&cause.act) && cause.texts.iter().all(|text| line.contains(text))
        };
        match CAUSES.iter().find(explains) {
            Some(cause) => *counts.entry(format!("{:?}: {:?}", cause.act, cause.texts)).or_default() += 1,
            None => unexplained.push(line.as_str()),
        }
    }
    (counts, unexplained)
}

/// Whether a line is a warning or an error, or no line of the log at all.
fn is_serious(line: &str) -> bool {
    line.contains("panicked") || !(line.contains(" INFO ") || line.contains(" DEBUG "))
}

/// Whether a line tells of a reload that changed or removed the first camera.
pub(crate) fn touches_yard(line: &str) -> bool {
    let Some((_, told)) = line.split_once("reloaded the configuration: ") else { return false };
    let touched =
        told.split("; ").filter_map(|part| part.strip_prefix("changed ").or(part.strip_prefix("removed ")));
    touched.flat_map(|names| names.split(", ")).any(|name| name == "yard")
}
