//! The house rules that a machine can check: form of files, floors, circles, `unsafe`, operations without a gradient.
//!
//! A rule is a function of a tree of files to the places that break it; each is shown to fail on a made-up tree.

use std::collections::{BTreeMap, BTreeSet};

use crate::house::rust::{declared, has_keyword};
use crate::house::tree::{Modules, Tree, made_up, read};

/// Every folder with code of ours.
const CODE: [&str; 4] = ["lib", "kernels", "notebooks/src", "tests"];
/// The sources that are modules of one crate each.
const CRATES: [&str; 4] = ["lib/src", "lib/compute/src", "kernels/src", "notebooks/src"];
/// Texts that become a part of another program, which has its own header.
const ASSETS: &str = "kernels/assets/";
/// Where `unsafe` may stand: numeric code, the kernel's calls to the system, and the same in the text that its children compile.
const UNSAFE: [&str; 3] = ["lib/compute/", "kernels/src/system/", "kernels/assets/child/"];
/// Operations of candle that return no gradient and no error.
const GRADIENT_FREE: [&str; 5] = ["softmax_last_dim", "candle_nn::LayerNorm", "candle_nn::layer_norm", "rotary_emb::rope(", "RmsNorm"];

/// Files over 400 lines or without a header.
fn misshapen(tree: &Tree) -> Vec<String> {
    let wrong = |(path, text): (&String, &String)| match text.lines().count() {
        lines if lines > 400 => Some(format!("{path}: {lines} lines, 400 are allowed")),
        _ if !text.starts_with("//!") => Some(format!("{path}: the first line is no header, `//! in → out`")),
        _ => None,
    };
    tree.iter().filter(|(path, _)| !path.starts_with(ASSETS)).filter_map(wrong).collect()
}

/// Files that no `mod name;` of the module above them declares, so that nothing compiles them.
fn undeclared(tree: &Tree, source: &str) -> Vec<String> {
    let modules = Modules::new(tree, source);
    let lost = |(file, module): (&&str, &Vec<String>)| {
        let (name, above) = module.split_last()?;
        let parent = modules.files.iter().find(|(_, module)| *module == above).map(|(parent, _)| *parent);
        let declared = parent.is_some_and(|parent| declared(&tree[parent]).contains(name));
        (!declared).then(|| format!("{file}: no module above it declares `mod {name};`"))
    };
    modules.files.iter().filter_map(lost).collect()
}

/// Tests that stand beside the rooms and in none of them.
fn loose(tree: &Tree) -> Vec<String> {
    let files = tree.keys().filter_map(|path| path.strip_prefix("tests/"));
    let loose = files.filter(|file| !file.contains('/') && !["main.rs", "process.rs"].contains(file));
    loose.map(|file| format!("tests/{file}: move it into the folder of its room")).collect()
}

/// The modules whose `lib.rs` or `mod.rs` lists their rooms from the lowest floor up.
const FLOORS: [(&str, &[&str]); 4] = [("lib/src", &[]), ("kernels/src", &[]), ("kernels/src", &["kernel"]), ("kernels/src", &["lab"])];

fn path(words: &[&str]) -> Vec<String> {
    words.iter().map(ToString::to_string).collect()
}

/// Imports inside of a module that point up: to a room that it declares later, or to a name that it only passes on.
fn upward(tree: &Tree, source: &str, within: &[&str]) -> Vec<String> {
    let (modules, within) = (Modules::new(tree, source), path(within));
    let floors = modules.floors(&within);
    let floor = |path: &[String]| path.get(within.len()).and_then(|room| floors.iter().position(|name| name == room));
    let mut found = Vec::new();
    for (file, module) in modules.files.iter().filter(|(_, module)| module.starts_with(&within)) {
        let Some(own) = floor(module) else { continue };
        for path in modules.named(file).own.iter().filter(|path| path.starts_with(&within)) {
            match floor(path) {
                Some(other) if other <= own => {}
                Some(_) => found.push(format!("{file}: `{}` stands above `{}`", path.join("::"), floors[own])),
                None => found.push(format!("{file}: `crate::{}` is a name passed on; name its room", path.join("::"))),
            }
        }
    }
    found
}

/// What a folder's `mod.rs` says that its files may import; `None` where it says nothing.
fn allowed(text: &str) -> Option<BTreeSet<String>> {
    let line = text.lines().take_while(|line| line.starts_with("//!")).last()?;
    let names = line.strip_prefix("//! Imports: ")?.strip_suffix('.')?;
    Some(names.split(", ").filter(|name| *name != "nothing").map(String::from).collect())
}

/// Imports of a room inside of a module that the header of their folder does not list, and folders whose header lists none.
fn unlisted(tree: &Tree, source: &str, within: &[&str]) -> Vec<String> {
    let (modules, within) = (Modules::new(tree, source), path(within));
    let (root, floors) = (modules.floors(&[]), modules.floors(&within));
    let base = [source].into_iter().chain(within.iter().map(String::as_str)).collect::<Vec<_>>().join("/");
    let mut found = Vec::new();
    for (file, module) in modules.files.iter().filter(|(_, module)| module.starts_with(&within)) {
        let Some((folder, _)) = file.rsplit_once('/').filter(|(folder, _)| *folder != base) else { continue };
        let header = format!("{folder}/mod.rs");
        let Some(listed) = tree.get(&header).and_then(|text| allowed(text)) else {
            if *file == header || !tree.contains_key(&header) {
                found.push(format!("{header}: the header's last line is not `//! Imports: a, b, c.`"));
            }
            continue;
        };
        let named = modules.named(file);
        let room = |path: &&Vec<String>| match path.strip_prefix(within.as_slice()) {
            Some(inner) => inner.first().filter(|room| floors.contains(room)).cloned(),
            None => path.first().filter(|room| root.contains(room)).cloned(),
        };
        let own = &module[within.len()];
        let rooms: BTreeSet<String> = named.own.iter().filter_map(|path| room(&path)).chain(named.crates.get("compute").cloned()).collect();
        let missing = rooms.iter().filter(|room| *room != own && !listed.contains(*room));
        found.extend(missing.map(|room| format!("{file}: `{room}` is not listed in {header}")));
    }
    found
}

/// All files that one leads to, in any number of steps.
fn reach<'a>(edges: &BTreeMap<&'a str, BTreeSet<&'a str>>, start: &'a str) -> BTreeSet<&'a str> {
    let (mut seen, mut open) = (BTreeSet::new(), vec![start]);
    while let Some(file) = open.pop() {
        open.extend(edges[file].iter().filter(|next| seen.insert(**next)));
    }
    seen
}

/// Groups of files that name each other, in any number of steps.
fn circles(tree: &Tree, source: &str) -> Vec<String> {
    let modules = Modules::new(tree, source);
    let edges = modules.edges();
    let reached: Vec<(&str, BTreeSet<&str>)> = edges.keys().map(|file| (*file, reach(&edges, file))).collect();
    let circle = |(file, seen): &(&str, BTreeSet<&str>)| {
        let back = reached.iter().filter(|(other, theirs)| seen.contains(other) && theirs.contains(file));
        back.map(|(other, _)| other.to_string()).collect::<Vec<_>>()
    };
    let groups: BTreeSet<Vec<String>> = reached.iter().map(circle).filter(|group| !group.is_empty()).collect();
    groups.into_iter().map(|group| format!("circle: {}", group.join(" ↔ "))).collect()
}

/// Files with `unsafe` that are not below one of these folders.
fn unsafe_outside(tree: &Tree, folders: &[&str]) -> Vec<String> {
    let outside = |path: &&String| !folders.iter().any(|folder| path.starts_with(folder));
    tree.keys().filter(outside).filter(|path| has_keyword(&tree[*path], "unsafe")).map(|path| format!("{path}: `unsafe`")).collect()
}

/// Lines with an operation of candle that has no backward pass.
fn gradient_free(tree: &Tree) -> Vec<String> {
    let lines = tree.iter().flat_map(|(path, text)| text.lines().map(move |line| (path, line)));
    let code = lines.filter(|(_, line)| !line.trim_start().starts_with("//"));
    let wrong = code.filter(|(_, line)| GRADIENT_FREE.iter().any(|operation| line.contains(operation)));
    wrong.map(|(path, line)| format!("{path}: no backward pass: {}", line.trim())).collect()
}

#[track_caller]
fn none(found: Vec<String>) {
    assert!(found.is_empty(), "{} places break the rule:\n{}", found.len(), found.join("\n"));
}

#[test]
fn files_are_short_and_open_with_a_header() {
    let tree = read(&CODE);
    assert!(tree.len() > 200, "{}", tree.len());
    none(misshapen(&tree));
    let long = format!("//! In → out.\n{}", "\n".repeat(400));
    let found = misshapen(&made_up(&[("long.rs", &long), ("bare.rs", "use a;"), ("good.rs", "//! In → out.")]));
    assert_eq!(found, ["bare.rs: the first line is no header, `//! in → out`", "long.rs: 401 lines, 400 are allowed"]);
}

#[test]
fn every_file_is_a_module() {
    none(CRATES.iter().flat_map(|source| undeclared(&read(&[source]), source)).collect());
    let tree = made_up(&[("s/lib.rs", "mod a;"), ("s/a/mod.rs", "// mod c;\nmod b;"), ("s/a/b.rs", ""), ("s/a/c.rs", ""), ("s/d.rs", "")]);
    assert_eq!(undeclared(&tree, "s"), ["s/a/c.rs: no module above it declares `mod c;`", "s/d.rs: no module above it declares `mod d;`"]);
}

#[test]
fn tests_stand_in_rooms() {
    none(loose(&read(&["tests"])));
    let tree = made_up(&[("tests/main.rs", ""), ("tests/train/labels.rs", ""), ("tests/labels.rs", ""), ("lib/a.rs", "")]);
    assert_eq!(loose(&tree), ["tests/labels.rs: move it into the folder of its room"]);
}

#[test]
fn imports_point_down() {
    none(FLOORS.iter().flat_map(|(source, within)| upward(&read(&[source]), source, within)).collect());
    let lib = ("s/lib.rs", "#[cfg(feature = \"x\")]\npub mod low;\nmod high;\npub use low::Thing;");
    let good = ("s/high/mod.rs", "pub mod file;\nuse crate::low::Thing;");
    assert_eq!(upward(&made_up(&[lib, good, ("s/high/file.rs", ""), ("s/low.rs", "")]), "s", &[]), [""; 0]);
    for bad in [
        "use crate::high::file;",
        "use crate::{high::{self, file}};",
        "fn f() { vec![crate::high::file::g()] }",
        "type A = super::high::A;",
    ] {
        let found = upward(&made_up(&[lib, good, ("s/high/file.rs", ""), ("s/low.rs", bad)]), "s", &[]);
        assert!(!found.is_empty() && found.iter().all(|line| line.ends_with("stands above `low`")), "{bad}: {found:?}");
    }
    // Inside of a module the same.
    let inner = ("s/high/mod.rs", "mod one;\nmod two;");
    let (one, two) = (("s/high/one.rs", "use super::two::A;"), ("s/high/two.rs", "use crate::high::one::A;\nuse crate::low;"));
    let found = upward(&made_up(&[lib, inner, one, two, ("s/low.rs", "")]), "s", &["high"]);
    assert_eq!(found, ["s/high/one.rs: `high::two::A` stands above `one`"]);
    let root = upward(&made_up(&[lib, ("s/low.rs", "use crate::Thing;")]), "s", &[]);
    assert_eq!(root, ["s/low.rs: `crate::Thing` is a name passed on; name its room"]);
}

#[test]
fn rooms_import_what_their_header_lists() {
    none(FLOORS.iter().flat_map(|(source, within)| unlisted(&read(&[source]), source, within)).collect());
    let lib = ("s/lib.rs", "mod low;\nmod mid;\nmod high;");
    let tree = |header, text| made_up(&[lib, ("s/low.rs", ""), ("s/mid.rs", ""), ("s/high/mod.rs", header), ("s/high/file.rs", text)]);
    let text = "use compute::cpu;\nuse crate::{low, high::other};";
    assert_eq!(unlisted(&tree("//! In.\n//! Imports: compute, low.\nmod file;", text), "s", &[]), [""; 0]);
    assert_eq!(
        unlisted(&tree("//! In.\n//! Imports: mid.\nmod file;", text), "s", &[]),
        ["s/high/file.rs: `compute` is not listed in s/high/mod.rs", "s/high/file.rs: `low` is not listed in s/high/mod.rs",]
    );
    assert_eq!(unlisted(&tree("//! Imports: nothing.\nmod file;", "fn f() { crate::mid::g() }"), "s", &[]).len(), 1);
    assert_eq!(
        unlisted(&tree("//! In.\nmod file;", ""), "s", &[]),
        ["s/high/mod.rs: the header's last line is not `//! Imports: a, b, c.`"]
    );
}

#[test]
fn files_form_no_circles() {
    let found = CRATES.iter().flat_map(|source| circles(&read(&[source]), source));
    none(found.collect());
    let ring = |back| {
        made_up(&[
            ("s/lib.rs", "mod a;\nmod b;\nmod c;"),
            ("s/a.rs", "use crate::b::B;"),
            ("s/b.rs", "fn f() { super::c::g() }"),
            ("s/c.rs", back),
        ])
    };
    assert_eq!(circles(&ring(""), "s"), [""; 0]);
    assert_eq!(circles(&ring("use crate::{a::A};"), "s"), ["circle: s/a.rs ↔ s/b.rs ↔ s/c.rs"]);
    // A re-export is a way back as well.
    let through = made_up(&[("s/lib.rs", "mod a;\npub use a::A;"), ("s/a.rs", "use crate::A;")]);
    assert_eq!(circles(&through, "s"), ["circle: s/a.rs ↔ s/lib.rs"]);
}

#[test]
fn unsafe_code_stays_in_its_places() {
    none(unsafe_outside(&read(&CODE), &UNSAFE));
    let code = "//! Not unsafe.\nfn f() { unsafe { g() } }";
    let tree = made_up(&[("a/in.rs", code), ("b/out.rs", code), ("b/text.rs", "//! unsafe\nconst A: &str = \"unsafe {\";")]);
    assert_eq!(unsafe_outside(&tree, &["a/"]), ["b/out.rs: `unsafe`"]);
}

#[test]
fn no_operation_without_a_gradient() {
    none(gradient_free(&read(&["lib/src"])));
    let found = gradient_free(&made_up(&[("a.rs", "// softmax_last_dim\nlet y = candle_nn::ops::softmax_last_dim(&x)?;")]));
    assert_eq!(found, ["a.rs: no backward pass: let y = candle_nn::ops::softmax_last_dim(&x)?;"]);
}
