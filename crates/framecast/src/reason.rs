//! Why something failed, in the words of whoever knows.

use std::error::Error;

/// An error with all that caused it, as one line.
pub(crate) fn one_line(error: &(dyn Error + 'static)) -> String {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(source) = cause {
        let text = source.to_string();
        // Most messages contain their cause's already.
        if !line.contains(&text) {
            line = format!("{line}: {text}");
        }
        cause = source.source();
    }
    line.replace(['\r', '\n'], " ")
}
