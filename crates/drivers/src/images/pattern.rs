//! File name patterns, split at their slashes to decide for each folder whether it may contain matching files.

use std::path::{Component, Path, PathBuf};

use glob::{MatchOptions, Pattern, PatternError};

/// The options for matching names with a pattern, so that patterns mean what they mean in a shell.
pub(super) const OPTIONS: MatchOptions =
    MatchOptions { case_sensitive: true, require_literal_separator: true, require_literal_leading_dot: true };

/// A parsed pattern: the common parent folder of all matching files, and one pattern for each path component below it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PathPattern {
    base: PathBuf,
    parts: Vec<PatternPart>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum PatternPart {
    Name(Pattern),
    /// `**`: any number of folders, or none.
    AnyDepth,
}

impl PathPattern {
    /// Parses the pattern in `text`.
    ///
    /// # Errors
    /// What is wrong with the pattern.
    pub(super) fn parse(text: &str) -> Result<Self, PatternError> {
        Pattern::new(text)?;
        let (mut base, mut parts) = (PathBuf::new(), Vec::new());
        for component in Path::new(text).components() {
            let name = component.as_os_str().to_string_lossy();
            match component {
                Component::Normal(_) if name == "**" => parts.push(PatternPart::AnyDepth),
                Component::Normal(_) if !parts.is_empty() || name.contains(['*', '[', '?']) => {
                    parts.push(PatternPart::Name(Pattern::new(&name)?));
                }
                component => base.push(component),
            }
        }
        if base.as_os_str().is_empty() {
            base.push(".");
        }
        // The system reports absolute paths only.
        let base = std::path::absolute(&base).unwrap_or(base);
        Ok(Self { base, parts })
    }

    /// Returns the common parent folder of all matching files, as an absolute path.
    pub(super) fn base(&self) -> &Path {
        &self.base
    }

    /// Returns whether the file at `path` matches the pattern. `path` must begin with the base folder.
    pub(super) fn matches(&self, path: &Path) -> bool {
        self.names(path).is_some_and(|names| matches_parts(&names, &self.parts, MatchTarget::File))
    }

    /// Returns whether files below the folder at `path` may match the pattern. The result is false if `path` is the
    /// base folder itself.
    pub(super) fn may_contain_matches(&self, path: &Path) -> bool {
        self.names(path).is_some_and(|names| {
            !names.is_empty() && matches_parts(&names, &self.parts, MatchTarget::ParentFolder)
        })
    }

    /// Returns the path components from the base folder to `path`; `None` if `path` is not below the base folder or is
    /// not UTF-8.
    fn names<'a>(&self, path: &'a Path) -> Option<Vec<&'a str>> {
        path.strip_prefix(&self.base).ok()?.iter().map(|name| name.to_str()).collect()
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum MatchTarget {
    File,
    ParentFolder,
}

/// Returns whether `names` is a path of the kind `wanted`: either that of a file that matches `parts`, or that of a
/// folder that may contain a match.
fn matches_parts(names: &[&str], parts: &[PatternPart], wanted: MatchTarget) -> bool {
    match (names.split_first(), parts.split_first()) {
        (None, _) => parts.is_empty() == (wanted == MatchTarget::File),
        (Some(_), None) => false,
        (Some((name, rest)), Some((PatternPart::AnyDepth, after))) => {
            matches_parts(names, after, wanted)
                || (!name.starts_with('.') && matches_parts(rest, parts, wanted))
        }
        (Some((name, rest)), Some((PatternPart::Name(pattern), after))) => {
            pattern.matches_with(name, OPTIONS) && matches_parts(rest, after, wanted)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_match_and_folders_lead_to_them() {
        for (pattern, base, files, folders, others) in [
            ("/t/**/*.jpg", "/t", "a.jpg x/a.jpg x/y/a.jpg", "x x/y", "a.png .x/a.jpg x/.a.jpg .x"),
            ("/t/2*/cam/*.jpg", "/t", "24/cam/a.jpg", "24 24/cam", "24/a.jpg 3/cam/a.jpg 24/x 24/cam/x/y 3"),
            ("/t/cam-*.jpg", "/t", "cam-1.jpg", "", "x/cam-1.jpg x"),
        ] {
            let tree = PathPattern::parse(pattern).unwrap();
            assert_eq!(tree.base(), Path::new(base));
            let path = |name: &str| tree.base().join(name);
            assert!(files.split_whitespace().all(|name| tree.matches(&path(name))), "{pattern}");
            assert!(
                folders.split_whitespace().all(|name| tree.may_contain_matches(&path(name))),
                "{pattern}"
            );
            for name in others.split_whitespace() {
                assert!(!tree.matches(&path(name)), "{pattern} {name}");
            }
            assert!(!tree.may_contain_matches(&path("3/x")) || pattern.contains("**"), "{pattern}");
        }
        assert_eq!(PathPattern::parse("*/a.jpg").unwrap().base(), std::env::current_dir().unwrap());
        assert!(PathPattern::parse("/t/[a/b].jpg").is_err());
    }
}
