//! What the documents name exists: rooms, files behind links, types of the glossary, commands' files.

use std::path::Path;

use crate::house::rust::declared;
use crate::house::tree::{Modules, Tree, made_up, read};
use crate::support::root;

const DOCUMENTS: [&str; 5] = ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md", "lib/src/glossary.md"];

fn document(name: &str) -> String {
    std::fs::read_to_string(root().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// The cells of all lines of tables, but their heads and rules.
fn rows(text: &str) -> Vec<Vec<&str>> {
    let lines: Vec<&str> = text.lines().collect();
    let is_body = |index: &usize| lines[*index].starts_with('|') && !lines[*index].starts_with("|-");
    let is_head = |index: &usize| lines.get(index + 1).is_some_and(|next| next.starts_with("|-"));
    let body = (0..lines.len()).filter(|index| is_body(index) && !is_head(index));
    body.map(|index| lines[index].trim_matches('|').split('|').map(str::trim).collect()).collect()
}

/// Texts between backticks.
fn quoted(text: &str) -> Vec<&str> {
    text.split('`').skip(1).step_by(2).collect()
}

/// The files behind links of a text.
fn links(text: &str) -> Vec<&str> {
    let targets = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    targets.filter(|target| !target.contains("://") && !target.starts_with('#')).collect()
}

/// The carriers of a glossary that no file of the crates defines.
fn undefined(glossary: &str, tree: &Tree) -> Vec<String> {
    let carriers = rows(glossary).into_iter().flat_map(|row| quoted(row.last().copied().unwrap_or_default()));
    carriers.filter(|carrier| !is_defined(carrier, tree)).map(String::from).collect()
}

fn is_defined(carrier: &str, tree: &Tree) -> bool {
    let path: Vec<String> = carrier.split("::").map(String::from).collect();
    let (source, path) = match path.split_first() {
        Some((first, rest)) if first == "compute" => ("lib/compute/src", rest),
        _ => ("lib/src", path.as_slice()),
    };
    let Some((name, module)) = path.split_last() else { return false };
    let modules = Modules::new(tree, source);
    let Some((file, _)) = modules.files.iter().find(|(_, own)| own.as_slice() == module) else { return false };
    let words: Vec<&str> = tree[*file].split(|c: char| !c.is_alphanumeric() && c != '_').filter(|word| !word.is_empty()).collect();
    words.windows(2).any(|pair| ["struct", "enum", "trait", "type", "fn", "union"].contains(&pair[0]) && pair[1] == name)
}

#[test]
fn every_type_of_the_glossary_exists() {
    let (glossary, tree) = (document("lib/src/glossary.md"), read(&["lib"]));
    assert!(rows(&glossary).len() > 30);
    let missing = undefined(&glossary, &tree);
    assert!(missing.is_empty(), "{missing:?}");
    let made_up = made_up(&[("lib/src/a/b.rs", "pub struct Batch<T>(T);"), ("lib/compute/src/c.rs", "pub fn gemm() {}")]);
    let text =
        "|word|meaning|carried by|\n|---|---|---|\n|a|b|`a::b::Batch`|\n|c|`x`|`compute::c::gemm`|\n|d|e|`a::b::Bat`, `c::gemm`|\n|f|g|—|";
    assert_eq!(undefined(text, &made_up), ["a::b::Bat", "c::gemm"]);
}

#[test]
fn a_word_of_the_glossary_stands_once() {
    let glossary = document("lib/src/glossary.md");
    let mut words: Vec<String> = rows(&glossary).iter().flat_map(|row| row[0].split(", ")).map(String::from).collect();
    words.sort();
    let twice: Vec<_> = words.windows(2).filter(|pair| pair[0] == pair[1]).collect();
    assert!(twice.is_empty(), "{twice:?}");
    for needed in ["grad", "loss", "logits", "batch", "example", "step", "hidden state", "key/value cache", "microkernel", "kernel"] {
        assert!(words.iter().any(|word| word == needed), "{needed}");
    }
}

#[test]
fn the_table_of_rooms_is_that_of_the_crate() {
    let text = document("ARCHITECTURE.md");
    let section = text.split("\n## ").find(|section| section.starts_with("The rooms")).unwrap();
    let rooms: Vec<&str> = rows(section).iter().flat_map(|row| quoted(row[0])).collect();
    assert_eq!(rooms, declared(&document("lib/src/lib.rs")));
}

/// Members of the workspace, as its manifest lists them.
fn members(manifest: &str) -> Vec<&str> {
    let list = manifest.split("members = [").nth(1).and_then(|rest| rest.split(']').next()).unwrap_or_default();
    list.split('"').skip(1).step_by(2).collect()
}

#[test]
fn the_readme_names_every_member_of_the_workspace() {
    let (readme, manifest) = (document("README.md"), document("Cargo.toml"));
    let section = readme.split("\n## ").find(|section| section.starts_with("What is where")).unwrap();
    let folders: Vec<&str> = rows(section).iter().flat_map(|row| quoted(row[0])).collect();
    assert_eq!(folders, members(&manifest));
    assert_eq!(members("[workspace]\nmembers = [\"a\", \"b/c\"]\n"), ["a", "b/c"]);
}

#[test]
fn links_lead_to_files() {
    for name in DOCUMENTS {
        let (text, folder) = (document(name), root().join(name));
        for link in links(&text) {
            let target = folder.parent().unwrap_or(Path::new(".")).join(link.split('#').next().unwrap_or(link));
            assert!(target.exists(), "{name}: {link}");
        }
    }
    assert_eq!(links("[a](b.md) [c](https://d.e) ![f](g/h.png) [i](#j)"), ["b.md", "g/h.png"]);
}

#[test]
fn files_that_the_documents_name_exist() {
    let folders = ["lib/", "kernels/", "notebooks/", "tests/", ".ci/"];
    for name in DOCUMENTS {
        let text = document(name);
        for path in quoted(&text).into_iter().filter(|word| folders.iter().any(|folder| word.starts_with(folder))) {
            // `notebooks/lessons/NN_name.rs` is a pattern.
            let path = path.split_whitespace().next().unwrap_or(path);
            assert!(path.contains("NN") || root().join(path).exists(), "{name}: `{path}`");
        }
    }
}

#[test]
fn both_licences_are_there_in_full() {
    let manifest = document("Cargo.toml");
    assert!(manifest.contains("license = \"MIT OR Apache-2.0\""));
    let (mit, apache) = (document("LICENSE-MIT"), document("LICENSE-APACHE"));
    assert!(mit.contains("Permission is hereby granted, free of charge") && mit.trim_end().ends_with("DEALINGS IN THE SOFTWARE."));
    assert!(apache.contains("Version 2.0, January 2004") && apache.contains("APPENDIX") && apache.lines().count() > 200);
}
