//! Advice for a command line that clap cannot parse.

use clap::Error;
use clap::error::{ContextKind, ContextValue, ErrorKind};

/// Options of other servers, with advice on the Framecast option for the same purpose.
const FOREIGN_OPTIONS: [(&[&str], &str); 6] = [
    (
        &["--port", "-p", "-P", "--host", "--bind", "--addr", "--address", "-o"],
        "use --listen ADDRESS:PORT, as in --listen 127.0.0.1:8080",
    ),
    (
        &["--device", "-d", "--input", "-i", "--camera", "--source", "--url"],
        "write a source without an option: framecast /dev/video0, and framecast http://ADDRESS",
    ),
    (
        &["--resolution", "-r", "--size", "--width", "--height", "-x", "-y"],
        "the size is part of the source: framecast '/dev/video0?size=1280x720'",
    ),
    (
        &["--fps", "-f", "--framerate", "--frame-rate", "--desired-fps"],
        "the rate is part of the source: framecast '/dev/video0?fps=15', and framecast 'http://ADDRESS#fps=5'",
    ),
    (
        &["--password", "--passwd", "--pass"],
        "a list of processes would show a password here: put the server's password into FRAMECAST_PASSWORD, \
         and add --user NAME; put a camera's password into the source, in a file for --config: source = \
         \"http://USER:PASSWORD@HOST/…\"",
    ),
    (&["--username"], "use --user NAME, with the password in FRAMECAST_PASSWORD"),
];

/// The name of mjpg-streamer's input plug-in for webcams.
const WEBCAM_PLUGIN: &str = "input_uvc";

/// Adds advice to `error`: what the user who wrote `arguments` probably meant.
pub(super) fn add(mut error: Error, arguments: &[String]) -> Error {
    if error.kind() != ErrorKind::UnknownArgument {
        return error;
    }
    let Some(ContextValue::String(unknown)) = error.get(ContextKind::InvalidArg) else { return error };
    let Some(tip) = tip(unknown, arguments) else { return error };
    error.remove(ContextKind::SuggestedArg);
    error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![tip.into()]));
    error
}

fn tip(unknown: &str, arguments: &[String]) -> Option<String> {
    let at = arguments.iter().position(|argument| is_bare_program(argument));
    if let Some(at) = at
        && arguments[at..].iter().any(|argument| argument.starts_with(unknown))
    {
        let program = &arguments[at];
        return Some(format!("put a source with spaces in quotes: '{program} {unknown} …'"));
    }
    if unknown == "-i" && arguments.iter().any(|argument| argument.contains(WEBCAM_PLUGIN)) {
        let tip = "a webcam needs no plug-in here: framecast '/dev/video0?size=1280x720&fps=30', with --listen in place of \
                   output_http.so";
        return Some(tip.to_owned());
    }
    let (_, tip) = FOREIGN_OPTIONS.iter().find(|(names, _)| names.contains(&unknown))?;
    Some((*tip).to_owned())
}

/// Returns whether `argument` is a source that runs a program without arguments.
fn is_bare_program(argument: &str) -> bool {
    let source = argument.split_once('=').map_or(argument, |(_, source)| source);
    [argument, source].iter().any(|text| text.starts_with("exec:")) && !argument.contains(char::is_whitespace)
}
