//! The names of all files of a data set → which belong to which split of which config, by the rules of Python's `datasets`.
//!
//! In this order: patterns that the caller gives; the `configs` of the card; `data/SPLIT-00000-of-00005.*`; a split's keyword
//! as a folder; as a word of a file's name; else all files are the split `train`. Of what fits, the most frequent kind of file
//! is taken. Beside `datasets`: where no keyword is found, it counts in any case (`Train.jsonl`); upper-case suffixes count, a file that fits two patterns of a split is taken once, and kinds
//! of files that are no rows here (pictures, `.eval`, `task.toml`) are never preferred; a folder of nothing but Excel's tables is read.

use std::collections::{HashMap, HashSet};

use crate::error::{Error, ErrorKind, Result};
use crate::source::configs::Config;
use crate::source::doubts::doubts;
use crate::source::glob::{has_magic, literal, matches, prefix};
use crate::util::names::{near, quoted};

/// The splits that have keywords, in this order.
const KEYWORDS: [(&str, &[&str]); 3] = [
    ("train", &["train", "training"]),
    ("validation", &["validation", "valid", "dev", "val"]),
    ("test", &["test", "testing", "eval", "evaluation"]),
];
/// What `datasets` writes beside the rows.
const NO_ROWS: [&str; 6] = ["README.md", "config.json", "dataset_info.json", "dataset_infos.json", "dummy_data.zip", "dataset_dict.json"];
const DIGITS: &str = "[0-9][0-9][0-9][0-9][0-9]";

/// A kind of file with rows, by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    Json,
    Csv,
    Parquet,
    Text,
    /// A table of Excel, which `datasets` does not read: beside other kinds it is not taken.
    Excel,
    /// Text as well, but beside other kinds it is a description.
    Markdown,
}

/// The suffixes that count, with their kinds; where two are as frequent the first is taken, those behind `.csv` by alphabet.
const SUFFIXES: [(&str, Kind); 12] = [
    ("parquet", Kind::Parquet),
    ("jsonl", Kind::Json),
    ("json", Kind::Json),
    ("csv", Kind::Csv),
    ("txt", Kind::Text),
    ("tsv", Kind::Csv),
    ("ndjson", Kind::Json),
    ("gpq", Kind::Parquet),
    ("geoparquet", Kind::Parquet),
    ("xlsx", Kind::Excel),
    ("xlsm", Kind::Excel),
    ("md", Kind::Markdown),
];

/// What is asked for.
#[derive(Debug, Clone, Default)]
pub(crate) struct Wanted {
    pub(crate) config: Option<String>,
    pub(crate) data_dir: Option<String>,
    /// Patterns of splits; an empty list: by the rules.
    pub(crate) data_files: Vec<(String, Vec<String>)>,
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Layout {
    /// Split → files, in order.
    pub(crate) splits: Vec<(String, Vec<String>)>,
    /// What was chosen without being asked, a sentence each.
    pub(crate) notes: Vec<String>,
}

fn suffixes(name: &str) -> impl Iterator<Item = String> {
    let base = name.rsplit('/').next().unwrap_or(name);
    base.split('.').skip(1).map(str::to_lowercase)
}

fn place(suffix: &str) -> Option<usize> {
    SUFFIXES.iter().position(|(known, _)| *known == suffix)
}

/// All names that a pattern fits, in order; `names` are sorted.
fn resolve(pattern: &str, names: &[String]) -> Vec<String> {
    let base = |name: &str| name.rsplit('/').next().unwrap_or(name).to_string();
    let ignored = |name: &String| NO_ROWS.contains(&base(name).as_str()) && base(name) != base(pattern);
    // A card may list each of many files: only those that could fit are looked at.
    let (prefix, literal) = (prefix(pattern), literal(pattern));
    let first = names.partition_point(|name| *name < prefix);
    let near = names[first..].iter().take_while(|name| name.starts_with(&prefix)).filter(|name| name.contains(&literal));
    near.filter(|name| !ignored(name) && matches(pattern, name)).cloned().collect()
}

/// What is said of files that are not read.
pub(crate) fn left_out(place: &str, left: &[String]) -> String {
    let more = if left.len() > 5 { ", …" } else { "" };
    format!("{place}: left out, of another kind or of no split: {}{more}", quoted(&left[..left.len().min(5)]))
}

/// The files of the most frequent kind, and the others; all where none is of a kind that is known by its name.
pub(crate) fn of_one_kind(names: Vec<String>) -> (Vec<String>, Vec<String>) {
    match frequent(&names) {
        None => (names, Vec::new()),
        Some(kind) => names.into_iter().partition(|name| has_kind(name, kind)),
    }
}

fn has_kind(name: &str, kind: Kind) -> bool {
    suffixes(name).filter_map(|suffix| place(&suffix)).any(|at| SUFFIXES[at].1 == kind)
}

fn below(folder: &str, pattern: &str) -> String {
    let folder = folder.trim_start_matches("./").trim_matches('/');
    if folder.is_empty() { pattern.to_string() } else { format!("{folder}/{pattern}") }
}

/// Which files belong to which split.
///
/// # Errors
/// [`ErrorKind::Name`] when a config, a file or any file with rows is missing, or splits are of different kinds.
pub(crate) fn layout(place: &str, names: &[String], configs: &[Config], wanted: &Wanted) -> Result<Layout> {
    let mut names = names.to_vec();
    names.sort();
    let mut found = Layout::default();
    let folder = wanted.data_dir.clone().unwrap_or_default();
    let (patterns, folder) = if !wanted.data_files.is_empty() {
        (wanted.data_files.clone(), folder)
    } else if !configs.is_empty() && wanted.data_dir.is_none() {
        let config = choose(place, configs, wanted.config.as_deref())?;
        if !config.other.is_empty() {
            found.notes.push(format!("{place}: of the config `{}` these keys are not heeded: {}", config.name, quoted(&config.other)));
        }
        let folder = config.data_dir.clone().unwrap_or_default();
        (config.data_files.clone().map_or_else(|| by_name(place, &folder, &names), Ok)?, folder)
    } else {
        let named = wanted.config.as_deref().filter(|name| *name != "default");
        let folder = match named {
            None => folder,
            // Without a card the folders are what could be meant by a config.
            Some(name) if folder.is_empty() && names.iter().any(|file| file.starts_with(&format!("{name}/"))) => name.to_string(),
            Some(name) => {
                return Err(Error::new(ErrorKind::Name, format!("{place} has no config `{name}`: its card names none"))
                    .hint("leave the config out, or name a folder by `DataOptions::with_data_dir`"));
            }
        };
        (by_name(place, &folder, &names)?, folder)
    };
    for (split, patterns) in patterns {
        let (mut files, mut taken): (Vec<String>, HashSet<String>) = (Vec::new(), HashSet::new());
        for pattern in &patterns {
            let pattern = below(&folder, pattern);
            let fit = resolve(&pattern, &names);
            // A name that is given as it is may have any suffix: the content tells.
            let known = |name: &String| !has_magic(&pattern) || suffixes(name).any(|suffix| self::place(&suffix).is_some());
            let fresh: Vec<String> = fit.into_iter().filter(|name| known(name) && taken.insert(name.clone())).collect();
            if fresh.is_empty() && !has_magic(&pattern) && !taken.contains(&pattern) {
                return Err(Error::new(ErrorKind::Name, format!("{place} has no file `{pattern}`; nearest: {}", near(&pattern, &names)))
                    .hint("name one of those, or a pattern such as `data/train-*`"));
            }
            files.extend(fresh);
        }
        found.splits.push((split, files));
    }
    let before: Vec<String> = found.splits.iter().flat_map(|(_, files)| files.clone()).collect();
    one_kind(place, &mut found, wanted.data_files.iter().flat_map(|(_, patterns)| patterns).all(|pattern| has_magic(pattern)))?;
    if !wanted.data_files.is_empty() {
        let kept: HashSet<&String> = found.splits.iter().flat_map(|(_, files)| files).collect();
        let left: Vec<String> = before.into_iter().filter(|name| !kept.contains(name)).collect();
        if !left.is_empty() {
            found.notes.push(left_out(place, &left));
        }
    } else {
        let patterns = configs.iter().flat_map(|config| config.data_files.iter().flatten()).flat_map(|(_, patterns)| patterns);
        let other_config: HashSet<String> = patterns.flat_map(|pattern| resolve(pattern, &names)).collect();
        let kept: HashSet<&String> = found.splits.iter().flat_map(|(_, files)| files).collect();
        let is_row = |name: &String| !NO_ROWS.iter().any(|other| name.ends_with(other)) && kind(name).is_some_and(|k| k != Kind::Markdown);
        let left: Vec<String> =
            names.iter().filter(|name| is_row(name) && !kept.contains(*name) && !other_config.contains(*name)).cloned().collect();
        if !left.is_empty() && folder.is_empty() {
            found.notes.push(left_out(place, &left));
        }
        mixed(place, &mut found);
        if configs.is_empty() {
            found.notes.extend(doubts(place, &found.splits, &KEYWORDS));
        }
    }
    Ok(found)
}

/// The config of this name, or the one that is meant without a name.
fn choose<'c>(place: &str, configs: &'c [Config], wanted: Option<&str>) -> Result<&'c Config> {
    let names: Vec<String> = configs.iter().map(|config| config.name.clone()).collect();
    let none = |what: String| {
        Err(Error::new(ErrorKind::Name, what)
            .hint(format!("choose one: `DataOptions::new().with_config({:?})`", names.first().unwrap_or(&"".into()))))
    };
    let default: Vec<&Config> = match wanted {
        Some(name) => configs.iter().filter(|config| config.name == name).collect(),
        None => configs.iter().filter(|config| configs.len() == 1 || config.default || config.name == "default").collect(),
    };
    match (default[..].as_ref(), wanted) {
        ([config], _) => Ok(config),
        (_, Some(name)) => none(format!("{place} has no config `{name}`; it has {}", quoted(&names))),
        ([], None) => none(format!("{place} has the configs {}, none of them the default", quoted(&names))),
        (_, None) => none(format!("{place} has several default configs among {}", quoted(&names))),
    }
}

/// The patterns of each split by the names of files.
fn by_name(place: &str, folder: &str, names: &[String]) -> Result<Vec<(String, Vec<String>)>> {
    let sharded = |split: &str| format!("data/{split}-{DIGITS}-of-{DIGITS}*.*");
    let files = resolve(&below(folder, &sharded("*")), names);
    if !files.is_empty() {
        let mut splits: Vec<String> = Vec::new();
        for file in &files {
            let split = split_of_shard(file);
            let word = |part: &str| !part.is_empty() && part.chars().all(|c| c.is_alphanumeric() || c == '_');
            if !split.split('.').all(word) {
                return Err(Error::new(ErrorKind::Name, format!("{place}: `{split}` of `{file}` is no name of a split"))
                    .hint("a split has letters, digits, `_` and `.`; name the files by `DataOptions::with_data_files`"));
            }
            if !splits.iter().any(|old| old == split) {
                splits.push(split.to_string());
            }
        }
        splits.sort_by_key(|split| (KEYWORDS.iter().position(|(known, _)| known == split).unwrap_or(KEYWORDS.len()), split.clone()));
        return Ok(splits.into_iter().map(|split| (split.clone(), vec![sharded(&split)])).collect());
    }
    let folders = ["**/{}/**", "**/{}[-._ 0-9]*/**", "**/*[-._ 0-9]{}/**", "**/*[-._ 0-9]{}[-._ 0-9]*/**"];
    let in_names = ["**/{}[-._ 0-9]*", "**/*[-._ 0-9]{}[-._ 0-9]*"];
    let any_case = |keyword: &str| keyword.chars().map(|letter| format!("[{letter}{}]", letter.to_uppercase())).collect::<String>();
    for (forms, in_any_case) in [(&folders[..], false), (&in_names[..], false), (&folders[..], true), (&in_names[..], true)] {
        let written = |keyword: &str| if in_any_case { any_case(keyword) } else { keyword.to_string() };
        let patterns = KEYWORDS.map(|(split, keywords)| {
            let of = |keyword: &&str| forms.iter().map(|form| form.replace("{}", &written(keyword))).collect::<Vec<_>>();
            (split.to_string(), keywords.iter().flat_map(of).collect::<Vec<_>>())
        });
        let some =
            |(_, patterns): &(String, Vec<String>)| patterns.iter().any(|pattern| !resolve(&below(folder, pattern), names).is_empty());
        let found: Vec<_> = patterns.into_iter().filter(some).collect();
        if !found.is_empty() {
            return Ok(found);
        }
    }
    Ok(vec![("train".to_string(), vec!["**".to_string()])])
}

/// `train` of `data/train-00000-of-00005.parquet`: all before the last number of that form.
fn split_of_shard(file: &str) -> &str {
    let base = file.rsplit('/').next().unwrap_or(file);
    let is_number = |text: &str| text.len() >= 5 && text.bytes().take(5).all(|byte| byte.is_ascii_digit());
    let mut ends = base.match_indices('-').map(|(at, _)| at).collect::<Vec<_>>();
    ends.reverse();
    let fits = |at: &usize| {
        let rest = &base[at + 1..];
        is_number(rest) && rest[5..].strip_prefix("-of-").is_some_and(is_number)
    };
    ends.into_iter().find(fits).map_or(base, |at| &base[..at])
}

fn kind(name: &str) -> Option<Kind> {
    suffixes(name).filter_map(|suffix| place(&suffix)).map(|at| SUFFIXES[at].1).last()
}

/// The most frequent kind of a split's files.
fn frequent(files: &[String]) -> Option<Kind> {
    let mut counts = [0; SUFFIXES.len()];
    files.iter().flat_map(|name| suffixes(name)).filter_map(|suffix| place(&suffix)).for_each(|at| counts[at] += 1);
    let rank = |kind: Kind| match kind {
        Kind::Markdown => 0,
        Kind::Excel => 1,
        _ => 2,
    };
    let order = |at: &usize| (rank(SUFFIXES[*at].1), counts[*at], SUFFIXES.len() - at);
    (0..SUFFIXES.len()).filter(|&at| counts[at] > 0).max_by_key(order).map(|at| SUFFIXES[at].1)
}

/// Keeps the files of one kind, the same for all splits.
fn one_kind(place: &str, found: &mut Layout, by_rule: bool) -> Result<()> {
    let kinds: Vec<(String, Option<Kind>)> = found.splits.iter().map(|(split, files)| (split.clone(), frequent(files))).collect();
    let known: Vec<Kind> = kinds.iter().filter_map(|(_, kind)| *kind).collect();
    if known.is_empty() && (by_rule || found.splits.iter().all(|(_, files)| files.is_empty())) {
        return Err(Error::new(ErrorKind::Name, format!("{place} has no file with rows")).hint(
            "rows are read from .jsonl, .json, .csv, .tsv, .parquet, .xlsx and .txt, those of text also packed as .gz and .zst; convert it to one of them",
        ));
    }
    let Some(&first) = known.first() else { return Ok(()) };
    if known.iter().any(|kind| *kind != first) {
        return Err(Error::new(ErrorKind::Name, format!("{place}: the splits are files of different kinds: {kinds:?}"))
            .hint("name the files of one kind by `DataOptions::with_data_files`"));
    }
    for (_, files) in &mut found.splits {
        files.retain(|name| !by_rule || has_kind(name, first));
    }
    found.splits.retain(|(_, files)| !files.is_empty());
    Ok(())
}

/// Says that files of one name in several folders are read as one split: they may be what others call configs.
fn mixed(place: &str, found: &mut Layout) {
    for (split, files) in &found.splits {
        let parts: Vec<(&str, &str)> = files.iter().filter_map(|file| file.rsplit_once('/')).collect();
        let mut folders: HashMap<&str, HashSet<&str>> = HashMap::new();
        parts.iter().for_each(|(folder, name)| {
            folders.entry(name).or_default().insert(folder);
        });
        let twice = parts.iter().find(|(_, name)| folders[name].len() > 1);
        if let Some((folder, name)) = twice {
            let note = format!(
                "{place}: the split `{split}` is `{name}` of several folders, one after the other; `DataOptions::with_data_dir({folder:?})` chooses one"
            );
            found.notes.push(note);
        }
    }
}

/// The first part of a `…-00000-of-00002…` series that isn't there; a cache may hold but some.
pub(crate) fn missing_shard(names: &[String]) -> Option<String> {
    let (here, mut series): (HashSet<&String>, HashSet<(&str, usize, &str)>) = (names.iter().collect(), HashSet::new());
    names.iter().find_map(|name| {
        let (before, after) = name.split_once("-of-")?;
        let (stem, number) = before.rsplit_once('-')?;
        let (width, count) = (number.len(), after.split('.').next()?.parse::<usize>().ok()?);
        // `a-history-of-3.txt` is no part of anything.
        number.parse::<usize>().ok()?;
        if !series.insert((stem, width, after)) {
            return None;
        }
        // A number that no repository has is not counted up to.
        let mut parts = (0..count.min(names.len() + 1)).map(|part| format!("{stem}-{part:0width$}-of-{after}"));
        parts.find(|part| !here.contains(part))
    })
}
