//! What ships for the lessons: its size, its names, its cards, and the teacher's table of minutes.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use finetuning::*;

use crate::support::root;

const MOST: u64 = 30_000_000;
/// Names that stand in a program's own tests.
const MADE_UP: [&str; 1] = ["other"];

/// The files below a folder of the repository.
fn files(folder: &str) -> Vec<PathBuf> {
    let mut open = vec![root().join(folder)];
    let mut found = Vec::new();
    while let Some(path) = open.pop() {
        match path.is_dir() {
            true => open.extend(std::fs::read_dir(&path).unwrap().flatten().map(|entry| entry.path())),
            false => found.push(path),
        }
    }
    found
}

fn text(path: impl AsRef<Path>) -> String {
    let path = root().join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The words behind `builtin:` in a text.
fn builtins(text: &str) -> Vec<&str> {
    let word = |rest: &str| rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
    text.split("builtin:").skip(1).map(|rest| &rest[..word(rest)]).filter(|name| !name.is_empty()).collect()
}

/// The names of a folder's entries that end so, without that end.
fn names(folder: &str, end: &str) -> Vec<String> {
    let entries = std::fs::read_dir(root().join(folder)).unwrap().flatten();
    let names = entries.filter_map(|entry| entry.file_name().to_str()?.strip_suffix(end).map(String::from));
    names.filter(|name| name != "README.md").collect()
}

#[test]
fn what_ships_for_the_lessons_is_at_most_30_megabytes() {
    let sizes = ["models", "data", "pictures", "recipe"].map(|folder| {
        let sizes = files(&format!("notebooks/{folder}")).into_iter().map(|path| std::fs::metadata(path).unwrap().len());
        (folder, sizes.sum::<u64>())
    });
    let all: u64 = sizes.iter().map(|(_, size)| size).sum();
    println!("{all} bytes: {sizes:?}");
    assert!(all <= MOST && sizes.iter().all(|(_, size)| *size > 1000), "{all} bytes, {MOST} are allowed: {sizes:?}");
}

#[test]
fn every_builtin_name_that_is_written_exists() {
    let fetched: serde_json::Value = serde_json::from_str(&text("lib/src/source/fetched.json")).unwrap();
    let mut known: Vec<String> = fetched.as_array().unwrap().iter().map(|model| model["name"].as_str().unwrap().to_string()).collect();
    known.extend([names("notebooks/models", ""), names("notebooks/data", ".jsonl")].concat());
    known.extend(MADE_UP.map(String::from));
    let unknown = |text: &str| builtins(text).into_iter().filter(|name| !known.iter().any(|own| own == name)).map(String::from).collect();
    let mut looked = 0;
    let folders = ["lib/src", "lib/examples", "kernels/src", "notebooks/lessons", "notebooks/data", "notebooks/models", "notebooks/recipe"];
    let documents = ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "notebooks/recipes.md", "notebooks/teaching.md"];
    for path in folders.into_iter().flat_map(files).chain(documents.map(|name| root().join(name))) {
        let Ok(text) = std::fs::read_to_string(&path) else { continue };
        let wrong: Vec<String> = unknown(&text);
        assert!(wrong.is_empty(), "{}: there is no {wrong:?}", path.display());
        looked += builtins(&text).len();
    }
    assert!(looked > 200, "{looked}");
    assert_eq!(unknown("`builtin:smol`, builtin:{name}, \"builtin:story\""), ["story"]);
}

#[test]
fn the_cards_name_what_is_there_with_its_rows() {
    let card = text("notebooks/data/README.md");
    let mut rows: BTreeMap<String, usize> = BTreeMap::new();
    for cells in card.lines().map(|line| line.split('|').map(str::trim).collect::<Vec<_>>()) {
        if let [_, name, count, ..] = cells[..]
            && let Some(name) = name.strip_prefix('`').and_then(|name| name.strip_suffix(".jsonl`"))
        {
            rows.insert(name.into(), count.replace(',', "").parse().unwrap());
        }
    }
    let there = names("notebooks/data", ".jsonl").into_iter().map(|name| {
        let count = load_dataset(&format!("builtin:{name}")).unwrap().len();
        (name, count)
    });
    assert_eq!(there.collect::<BTreeMap<_, _>>(), rows);
    let mut models = names("notebooks/models", "");
    models.sort();
    let models_card = text("notebooks/models/README.md");
    let heads = models_card.lines().filter(|line| line.starts_with("## ")).collect::<Vec<_>>().join("\n");
    let mut named = builtins(&heads);
    named.sort();
    assert_eq!(models, named);
}

/// The first number before `minutes`, or behind `**Minutes.**`, of a lesson's first lines.
fn minutes(lesson: &str) -> Option<usize> {
    let head: String = lesson.lines().take(16).collect::<Vec<_>>().join("\n");
    let (before, behind) = (head.split(" minutes").next()?, head.split("**Minutes.** ").nth(1));
    let word = behind.and_then(|rest| rest.split(' ').next()).or_else(|| before.rsplit([' ', '*']).next())?;
    word.parse().ok()
}

#[test]
fn the_teachers_table_has_the_minutes_of_the_lessons() {
    let guide = text("notebooks/teaching.md");
    let mut all = 0;
    for name in names("notebooks/lessons", ".rs").into_iter().filter(|name| name != "all") {
        let lesson = text(format!("notebooks/lessons/{name}.rs"));
        let own = minutes(&lesson).unwrap_or_else(|| panic!("{name} says no minutes in its head"));
        let start = format!("| {}. ", name.split('_').next().unwrap().trim_start_matches('0'));
        let row = guide.lines().find(|line| line.starts_with(&start)).unwrap_or_else(|| panic!("{name} has no row"));
        assert_eq!(row.split(" | ").nth(1), Some(own.to_string().as_str()), "{name}: {row}");
        all += own;
    }
    assert!(guide.contains(&format!("Eight lessons of {all} minutes in all")), "{all} minutes");
    assert_eq!(minutes("// *45 minutes, of which about 3 are computing.*"), Some(45));
    assert_eq!(minutes("// **Minutes.** 40 to read and to try; about 3 of them two cores compute."), Some(40));
}
