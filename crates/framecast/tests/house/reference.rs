//! Which file of a crate refers to which other file, and by which names.

use std::collections::{BTreeMap, BTreeSet};

use crate::module::Modules;

/// Files that refer to each other: file, other file, and the names of the other file that the file uses.
pub(crate) type References = BTreeMap<(String, String), BTreeSet<String>>;

/// What a path leads to.
enum Target {
    Module(usize),
    /// A name, and the module that defines it.
    Name(usize, String),
}

/// The paths that the search has looked at, by module, so that two globs do not lead it round and round.
type Tried = BTreeSet<(usize, Vec<String>)>;

impl Modules {
    /// Returns which file refers to which. A path that goes through a module which only imports the name leads to the
    /// file that defines it. A module and those above it may refer to each other: these references are left out.
    pub(crate) fn references(&self) -> References {
        let mut references = References::new();
        let mut add = |from: usize, to: usize, name: String| {
            if !self.is_above(from, to) && !self.is_above(to, from) {
                let files = (self.0[from].file.clone(), self.0[to].file.clone());
                references.entry(files).or_default().insert(name);
            }
        };
        for (from, module) in self.0.iter().enumerate() {
            let imported = module.imported.iter().map(|(_, path)| path);
            for path in imported.chain(&module.written) {
                if let Some(Target::Name(to, name)) = self.find(from, path, &mut Tried::new()) {
                    add(from, to, name);
                }
            }
        }
        for (to, method) in self.added_methods() {
            let callers = (0..self.0.len()).filter(|from| self.0[*from].called.contains(&method));
            callers.for_each(|from| add(from, to, format!("{method}()")));
        }
        references
    }

    /// Returns the methods that a file adds to a type of another file. A method whose name the crate gives to another
    /// function too is left out, because the text of a call does not tell which one it calls.
    fn added_methods(&self) -> Vec<(usize, String)> {
        let mut methods = Vec::new();
        for (to, module) in self.0.iter().enumerate() {
            for (path, names) in &module.added {
                let Some(Target::Name(owner, _)) = self.find(to, path, &mut Tried::new()) else { continue };
                if self.0[owner].file != module.file {
                    methods.extend(names.iter().map(|name| (to, name.clone())));
                }
            }
        }
        let count =
            |name: &str| self.0.iter().flat_map(|module| &module.functions).filter(|it| *it == name).count();
        methods.retain(|(_, name)| count(name) == 1);
        methods
    }

    /// Returns whether `upper` is `lower` or a module in which `lower` is.
    fn is_above(&self, upper: usize, lower: usize) -> bool {
        upper == lower || self.0[lower].parent.is_some_and(|parent| self.is_above(upper, parent))
    }

    /// Returns what `path` means in `module`, or `None` if it leads to another crate or a local variable.
    fn find(&self, module: usize, path: &[String], tried: &mut Tried) -> Option<Target> {
        if !tried.insert((module, path.to_vec())) {
            return None;
        }
        let (first, rest) = path.split_first()?;
        match first.as_str() {
            "crate" => self.descend(0, rest, tried),
            "self" => self.descend(module, rest, tried),
            "super" => self.descend(self.0[module].parent?, rest, tried),
            _ => self.find_name(module, first, rest, tried),
        }
    }

    /// Returns what `path` means after a path that leads to `module`.
    fn descend(&self, module: usize, path: &[String], tried: &mut Tried) -> Option<Target> {
        match path.split_first() {
            None => Some(Target::Module(module)),
            Some((first, rest)) if first == "super" => self.descend(self.0[module].parent?, rest, tried),
            Some((first, rest)) => self.find_name(module, first, rest, tried),
        }
    }

    fn find_name(&self, module: usize, name: &str, rest: &[String], tried: &mut Tried) -> Option<Target> {
        let here = &self.0[module];
        let child = here.children.get(name);
        // A module and a function may have the same name: a path that goes on means the module.
        if let Some(child) = child
            && !rest.is_empty()
            && let Some(found) = self.descend(*child, rest, tried)
        {
            return Some(found);
        }
        if here.defined.contains(name) {
            return Some(Target::Name(module, name.to_owned()));
        }
        for (_, path) in here.imported.iter().filter(|(imported, _)| imported == name) {
            match self.find(module, path, tried) {
                Some(Target::Module(target)) => return self.descend(target, rest, tried),
                Some(found) => return Some(found),
                None => {}
            }
        }
        if let Some(child) = child {
            return self.descend(*child, rest, tried);
        }
        here.globs.iter().find_map(|glob| {
            let path: Vec<String> =
                glob.iter().cloned().chain([name.to_owned()]).chain(rest.iter().cloned()).collect();
            self.find(module, &path, tried)
        })
    }
}
