//! What all crates need is written once, in `media`.

use crate::{files, none};

/// A word, and the only file that may use it. Examples show what others would write.
const ONCE: [(&str, &str); 2] = [
    (concat!("Poison", "Error"), "crates/media/src/lock.rs"),
    (concat!("Secret", "String"), "crates/media/src/secret.rs"),
];

#[test]
fn what_all_crates_need_is_written_once() {
    let sources = files(&[".rs"]);
    for (word, place) in ONCE {
        let is_used = |path: &str| sources.iter().any(|(file, text)| file == path && text.contains(word));
        assert!(is_used(place), "{place} uses {word}");
        let findings = sources
            .iter()
            .map(|(path, _)| path)
            .filter(|path| *path != place && !path.contains("/examples/"));
        none(
            &format!("{word} outside of {place}"),
            &findings.filter(|path| is_used(path)).cloned().collect::<Vec<_>>(),
        );
    }
}
