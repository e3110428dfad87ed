//! The modules of a crate: which names each defines and imports, and which paths it writes.

use std::collections::{BTreeMap, BTreeSet};

use crate::token::{group_len, tokens, without_tests};

const ITEMS: [&str; 8] = ["fn", "struct", "enum", "trait", "union", "type", "const", "static"];

/// The modules of one crate. A module is known by its number; the root of the crate is 0.
pub(crate) struct Modules(pub(crate) Vec<Module>);

#[derive(Default)]
pub(crate) struct Module {
    pub(crate) file: String,
    pub(crate) parent: Option<usize>,
    pub(crate) children: BTreeMap<String, usize>,
    /// The names of the items that the module defines.
    pub(crate) defined: BTreeSet<String>,
    /// The names that the module imports, with their paths.
    pub(crate) imported: Vec<(String, Vec<String>)>,
    /// The paths before each `::*`.
    pub(crate) globs: Vec<Vec<String>>,
    /// All other paths that the module writes, single words included.
    pub(crate) written: BTreeSet<Vec<String>>,
    /// The path of each type to which the module adds methods, with the names of these methods.
    pub(crate) added: Vec<(Vec<String>, Vec<String>)>,
    /// The methods that the module calls, and the words after each `::`, which might be methods too.
    pub(crate) called: BTreeSet<String>,
    /// The name of each function and method, as often as the module defines it.
    pub(crate) functions: Vec<String>,
}

/// Returns the text of a file, if there is such a file.
type ReadFile<'a> = &'a dyn Fn(&str) -> Option<String>;

impl Modules {
    /// Reads the modules of the crate whose root is the file `root`.
    pub(crate) fn read(root: &str, read: ReadFile<'_>) -> Self {
        let mut modules = Self(Vec::new());
        let folder = root.rsplit_once('/').expect("sources are in a folder").0;
        modules.read_file(None, root, folder, read);
        modules
    }

    /// Reads `file`, whose child modules are in `folder`.
    fn read_file(&mut self, parent: Option<usize>, file: &str, folder: &str, read: ReadFile<'_>) -> usize {
        let text = read(file).unwrap_or_else(|| panic!("{file} is missing"));
        let module = self.add(parent, file);
        self.read_items(module, &without_tests(&tokens(&text)), folder, read);
        module
    }

    fn add(&mut self, parent: Option<usize>, file: &str) -> usize {
        self.0.push(Module { file: file.to_owned(), parent, ..Module::default() });
        self.0.len() - 1
    }

    /// Reads the items of a module. Imports in a function's body count as imports of the module.
    fn read_items(&mut self, module: usize, tokens: &[&str], folder: &str, read: ReadFile<'_>) {
        let (mut at, mut depth) = (0, 0);
        while at < tokens.len() {
            let rest = &tokens[at..];
            match *rest {
                ["(" | "[" | "{", ..] => depth += 1,
                [")" | "]" | "}", ..] => depth -= 1,
                ["mod", name, ";", ..] => {
                    let (flat, nested) = (format!("{folder}/{name}.rs"), format!("{folder}/{name}/mod.rs"));
                    let file = if read(&flat).is_some() { flat } else { nested };
                    let child = self.read_file(Some(module), &file, &format!("{folder}/{name}"), read);
                    self.0[module].children.insert(name.to_owned(), child);
                    at += 2;
                }
                ["mod", name, "{", ..] => {
                    let end = 2 + group_len(&rest[2..]);
                    let child = self.add(Some(module), &self.0[module].file.clone());
                    self.read_items(child, &rest[3..end - 1], &format!("{folder}/{name}"), read);
                    self.0[module].children.insert(name.to_owned(), child);
                    at += end - 1;
                }
                ["use", ..] => {
                    let end = rest.iter().position(|token| *token == ";").expect("an import ends");
                    self.0[module].read_import(&rest[1..end], &[]);
                    at += end;
                }
                _ => at += self.0[module].read_code(&tokens[..at], rest, depth),
            }
            at += 1;
        }
    }
}

impl Module {
    /// Reads the first token of `code`, which is at `depth` in brackets and comes after `before`, and what belongs to
    /// this token. Returns how many further tokens it has read.
    fn read_code(&mut self, before: &[&str], code: &[&str], depth: i32) -> usize {
        match *code {
            ["macro_rules", "!", name, ..] => {
                // A macro is taken to be called in its own file, so the types that it declares are in this file.
                let types = code[3..3 + group_len(&code[3..])].windows(2);
                let types = types.filter(|pair| ["struct", "enum"].contains(&pair[0]) && is_name(pair[1]));
                self.defined.extend(types.map(|pair| pair[1]).chain([name]).map(str::to_owned));
                2
            }
            ["impl", ..] if depth == 0 => {
                self.read_methods(code);
                0
            }
            [item, name, ..] if ITEMS.contains(&item) && is_name(name) && !ITEMS.contains(&name) => {
                if item == "fn" {
                    self.functions.push(name.to_owned());
                }
                if depth == 0 {
                    self.defined.insert(name.to_owned());
                }
                1
            }
            [word, ref after @ ..] if is_name(word) && before.ends_with(&["."]) => {
                // Without brackets it is a field.
                if matches!(after, ["(", ..] | ["::", "<", ..]) {
                    self.called.insert(word.to_owned());
                }
                0
            }
            [word, ..] if is_name(word) => {
                let segments = code[1..].chunks_exact(2);
                let segments = segments.take_while(|pair| pair[0] == "::" && is_name(pair[1]));
                let path: Vec<String> =
                    [word].into_iter().chain(segments.map(|pair| pair[1])).map(str::to_owned).collect();
                self.called.extend(path[1..].iter().cloned());
                let len = path.len();
                self.written.insert(path);
                2 * (len - 1)
            }
            _ => 0,
        }
    }

    /// Reads which methods `code`, which begins with `impl`, adds to a type outside of a trait.
    fn read_methods(&mut self, code: &[&str]) {
        let Some(open) = code.iter().position(|token| *token == "{") else { return };
        let mut head = &code[1..open];
        if head.first() == Some(&"<") {
            head = &head[angles_len(head)..];
        }
        let path: Vec<&str> =
            head.iter().copied().take_while(|token| is_name(token) || *token == "::").collect();
        if head.contains(&"for") || path.is_empty() {
            return;
        }
        let body = &code[open + 1..open + group_len(&code[open..])];
        let methods = body.windows(2).filter(|pair| pair[0] == "fn").map(|pair| pair[1].to_owned());
        let path = path.into_iter().filter(|token| *token != "::" && *token != "where").map(str::to_owned);
        self.added.push((path.collect(), methods.collect()));
    }

    /// Reads the tree of an import, whose paths begin with `prefix`.
    fn read_import(&mut self, tree: &[&str], prefix: &[String]) {
        let mut path = prefix.to_vec();
        for (at, token) in tree.iter().enumerate() {
            match *token {
                "::" => {}
                "*" => return self.globs.push(path),
                "as" => return self.imported.push((tree[at + 1].to_owned(), path)),
                "{" => {
                    let branches = branches(&tree[at + 1..tree.len() - 1]);
                    return branches.into_iter().for_each(|branch| self.read_import(branch, &path));
                }
                "self" if !path.is_empty() => {}
                segment => path.push(segment.to_owned()),
            }
        }
        if let Some(last) = path.last() {
            self.imported.push((last.clone(), path.clone()));
        }
    }
}

fn is_name(token: &str) -> bool {
    token.starts_with(|c: char| c.is_alphabetic() || c == '_')
}

/// How many of `tokens`, which begin with `<`, there are up to its counterpart.
fn angles_len(tokens: &[&str]) -> usize {
    let mut depth = 0;
    for (at, token) in tokens.iter().enumerate() {
        match *token {
            "<" => depth += 1,
            ">" if at > 0 && tokens[at - 1] != "-" => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return at + 1;
        }
    }
    tokens.len()
}

/// The parts between the commas of an import's braces.
fn branches<'a>(mut tree: &'a [&'a str]) -> Vec<&'a [&'a str]> {
    let mut branches = Vec::new();
    while !tree.is_empty() {
        let mut len = 0;
        while len < tree.len() && tree[len] != "," {
            len += if tree[len] == "{" { group_len(&tree[len..]) } else { 1 };
        }
        branches.push(&tree[..len]);
        tree = &tree[(len + 1).min(tree.len())..];
    }
    branches
}
