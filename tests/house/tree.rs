//! Folders of the repository → the texts of their Rust files, by path, and which file names which.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::house::rust::{self, declared, named};
use crate::support::root;

/// Texts by their paths from the repository, `/` between folders.
pub type Tree = BTreeMap<String, String>;

/// The Rust files of these folders of the repository.
pub fn read(folders: &[&str]) -> Tree {
    let mut tree = Tree::new();
    folders.iter().for_each(|folder| collect(&root().join(folder), folder, &mut tree));
    assert!(!tree.is_empty(), "{folders:?} hold no Rust");
    tree
}

fn collect(folder: &Path, name: &str, tree: &mut Tree) {
    for entry in std::fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())).flatten() {
        let (path, name) = (entry.path(), format!("{name}/{}", entry.file_name().display()));
        if path.is_dir() {
            collect(&path, &name, tree);
        } else if name.ends_with(".rs") {
            tree.insert(name, std::fs::read_to_string(&path).unwrap());
        }
    }
}

/// A small tree of made-up files.
pub fn made_up(files: &[(&str, &str)]) -> Tree {
    files.iter().map(|(path, text)| (path.to_string(), text.to_string())).collect()
}

/// One crate's files as modules.
pub struct Modules<'a> {
    /// File and module of each, programs left out: `crate::nn::linear` is `[nn, linear]`.
    pub files: BTreeMap<&'a str, rust::Path>,
    tree: &'a Tree,
}

impl<'a> Modules<'a> {
    /// The modules below a folder with a `lib.rs`.
    pub fn new(tree: &'a Tree, source: &'a str) -> Self {
        let mut files = BTreeMap::new();
        for path in tree.keys() {
            let Some(inner) = path.strip_prefix(source).and_then(|rest| rest.strip_prefix('/')) else { continue };
            if inner.starts_with("bin/") || inner == "main.rs" {
                continue;
            }
            let mut module: rust::Path = inner.trim_end_matches(".rs").split('/').map(String::from).collect();
            if matches!(module.last().map(String::as_str), Some("mod" | "lib")) {
                module.pop();
            }
            files.insert(path.as_str(), module);
        }
        Self { files, tree }
    }

    /// The rooms inside of a module in the order of its `lib.rs` or `mod.rs`, the lowest floor first.
    pub fn floors(&self, within: &[String]) -> rust::Path {
        self.files.iter().find(|(_, module)| module.as_slice() == within).map_or_else(Vec::new, |(file, _)| declared(&self.tree[*file]))
    }

    /// What a file names.
    pub fn named(&self, file: &str) -> rust::Named {
        named(&self.tree[file], &self.files[file])
    }

    /// The file that a path leads into: that of the longest module it begins with.
    pub fn file_of(&self, path: &[String]) -> Option<&'a str> {
        (0..=path.len()).rev().find_map(|length| self.files.iter().find(|(_, module)| ***module == path[..length]).map(|(file, _)| *file))
    }

    /// The other files that each file names.
    pub fn edges(&self) -> BTreeMap<&'a str, BTreeSet<&'a str>> {
        let targets = |file: &'a str| {
            let named = self.named(file);
            named.own.iter().filter_map(|path| self.file_of(path)).filter(|target| *target != file).collect()
        };
        self.files.keys().map(|file| (*file, targets(file))).collect()
    }
}
