//! What to do about a command line that cannot be read.

use clap::Error;
use clap::error::{ContextKind, ContextValue, ErrorKind};

/// What other servers call `--listen`.
const NAMES_OF_LISTEN: [&str; 7] = ["--port", "-p", "-P", "--host", "--bind", "--addr", "--address"];

/// `error` with what `arguments` probably meant.
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
    NAMES_OF_LISTEN
        .contains(&unknown)
        .then(|| "use --listen ADDRESS:PORT, as in --listen 127.0.0.1:8080".to_owned())
}

/// Whether `argument` is a source that runs a program, without any argument for the program.
fn is_bare_program(argument: &str) -> bool {
    let source = argument.split_once('=').map_or(argument, |(_, source)| source);
    [argument, source].iter().any(|text| text.starts_with("exec:")) && !argument.contains(char::is_whitespace)
}
