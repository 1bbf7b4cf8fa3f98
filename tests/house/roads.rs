//! The roads of ARCHITECTURE.md → each stop is a function that exists, and the stop above it calls it.
//!
//! A road is a nested list under a title with its limit, `### … (at most 14 files)`. A line is a call of the nearest line above
//! it that stands further left:
//!
//! ```text
//! - [`Owner::function`](path/file.rs) → `Type`: what it does
//!   - [`function`](path/file.rs), through `word`: what it does
//! ```
//!
//! `→ Type` stands at the left margin: this line or one below it names the type, and so does the next line at the margin or
//! one below it. `through` says how a call that has no name is made: by a `for` or `collect` of an iterator, by a crate outside
//! that is named in the caller's file, or by a value of a type that both functions name.

use std::collections::BTreeSet;

use crate::house::rust::{Function, functions, named};
use crate::house::tree::{Tree, made_up, read};
use crate::support::root;

/// What stands between two functions that do not name each other.
const CALLERS: [&str; 2] = ["for", "collect"];
const CRATES: [&str; 3] = ["evcxr", "axum", "tokio"];

#[derive(Debug, Clone, PartialEq, Eq)]
struct Stop {
    depth: usize,
    function: String,
    file: String,
    /// The type that goes on to the next line at the margin.
    gives: Option<String>,
    through: Option<String>,
}

#[derive(Debug)]
struct Road {
    title: String,
    limit: usize,
    stops: Vec<Stop>,
}

/// The roads of a text, or the line that has another form.
fn roads(text: &str) -> Result<Vec<Road>, String> {
    let mut roads: Vec<Road> = Vec::new();
    let mut open = false;
    for line in text.lines() {
        if line.starts_with('#') {
            let limit = line.strip_suffix(" files)").and_then(|rest| rest.rsplit_once("(at most ")).map(|(_, limit)| limit.parse());
            open = limit.is_some();
            if let Some(limit) = limit {
                let limit = limit.map_err(|_| format!("no limit: {line}"))?;
                roads.push(Road { title: line.into(), limit, stops: Vec::new() });
            }
        } else if open && line.trim_start().starts_with("- ") {
            let stop = stop(line).ok_or_else(|| format!("not of the form - [`function`](file)…: …: {line}"))?;
            roads.last_mut().ok_or("a stop before the first road")?.stops.push(stop);
        }
    }
    Ok(roads)
}

fn stop(line: &str) -> Option<Stop> {
    let rest = line.trim_start();
    let depth = (line.len() - rest.len()) / 2;
    let (function, rest) = rest.strip_prefix("- [`")?.split_once("`](")?;
    let (file, rest) = rest.split_once(')')?;
    let (links, _) = rest.split_once(": ")?;
    let quoted = |start: &str| Some(links.split_once(start)?.1.split_once('`')?.0.to_string());
    let (gives, through) = (quoted("→ `"), quoted("through `"));
    let known = usize::from(gives.is_some()) + usize::from(through.is_some());
    // What is not understood is refused.
    (links.matches('`').count() == 2 * known).then(|| Stop { depth, function: function.into(), file: file.into(), gives, through })
}

/// Where a road leaves the code.
fn lost(road: &Road, tree: &Tree) -> Vec<String> {
    let mut found = Vec::new();
    let files: BTreeSet<&String> = road.stops.iter().map(|stop| &stop.file).collect();
    if files.len() > road.limit || road.stops.len() < 2 {
        found.push(format!("{}: {} stops in {} files", road.title, road.stops.len(), files.len()));
    }
    let functions: Vec<Option<Function>> = road.stops.iter().map(|stop| find(stop, tree)).collect();
    for (index, (stop, function)) in road.stops.iter().zip(&functions).enumerate() {
        let Some(function) = function else {
            found.push(format!("{} has no function `{}`", stop.file, stop.function));
            continue;
        };
        let Some(above) = road.stops[..index].iter().rposition(|above| above.depth < stop.depth) else { continue };
        let (caller, Some(calling)) = (&road.stops[above], &functions[above]) else { continue };
        if !leads(caller, calling, stop, function, tree) {
            found.push(format!("`{}` ({}) does not call `{}`", caller.function, caller.file, stop.function));
        }
    }
    let margin: Vec<usize> = (0..road.stops.len()).filter(|&index| road.stops[index].depth == 0).chain([road.stops.len()]).collect();
    let names = |from: usize, to: usize, word: &str| functions[from..to].iter().flatten().any(|function| function.names(word));
    for (one, next) in margin.windows(2).map(|pair| (pair[0], pair[1])).zip(margin.windows(2).skip(1).map(|pair| pair[1])) {
        let stop = &road.stops[one.0];
        let handed = stop.gives.as_ref().is_some_and(|word| names(one.0, one.1, word) && names(one.1, next, word));
        if !handed {
            found.push(format!("`{}` hands nothing to `{}`: {:?}", stop.function, road.stops[one.1].function, stop.gives));
        }
    }
    found
}

fn find(stop: &Stop, tree: &Tree) -> Option<Function> {
    functions(tree.get(&stop.file)?).into_iter().find(|function| function.is(&stop.function))
}

/// Whether one function calls another, or gets to it as the line says.
fn leads(caller: &Stop, calling: &Function, stop: &Stop, function: &Function, tree: &Tree) -> bool {
    match stop.through.as_deref() {
        None => calling.calls(&stop.function),
        Some(word) if CALLERS.contains(&word) => function.is("Iterator::next") && calling.names(word),
        Some(word) if CRATES.contains(&word) => named(&tree[&caller.file], &[]).crates.contains(word),
        Some(word) => calling.names(word) && function.names(word),
    }
}

#[test]
fn the_roads_of_the_architecture_lead_through_the_code() {
    let text = std::fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    let (roads, tree) = (roads(&text).unwrap(), read(&["lib", "kernels/src"]));
    assert_eq!(roads.iter().map(|road| road.limit).collect::<Vec<_>>(), [14, 8, 7]);
    let found: Vec<String> = roads.iter().flat_map(|road| lost(road, &tree)).collect();
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn a_road_that_leaves_the_code_is_found() {
    let code = "//! In.\nuse evcxr::X;\nimpl Rows { fn read() -> Table { for row in lines {} } }
        impl Iterator for Lines { fn next(&mut self) { self.other() } } fn train(table: &Table) { Step::go(1); send(Job) } fn work(job: Job) {}
        impl Step { fn go() {} }";
    let tree = made_up(&[("a.rs", code)]);
    let check =
        |lines: &str, limit: usize| lost(&roads(&format!("### R (at most {limit} files)\n{lines}\n## Next\n- other")).unwrap()[0], &tree);
    let good = "- [`Rows::read`](a.rs) → `Table`: reads\n  - [`Lines::next`](a.rs), through `for`: a line\n- [`train`](a.rs): trains\n  \
        - [`Step::go`](a.rs): a step\n    - [`work`](a.rs), through `evcxr`: x\n  - [`work`](a.rs), through `Job`: works";
    assert_eq!(check(good, 1), [""; 0]);
    for (from, to, why) in [
        ("`Rows::read`", "`Rows::write`", "has no function `Rows::write`"),
        ("`Rows::read`", "`read`", "has no function `read`"),
        ("(a.rs), through `Job`", "(b.rs), through `Job`", "b.rs has no function `work`"),
        ("through `for`", "through `collect`", "does not call `Lines::next`"),
        ("through `Job`", "through `Task`", "does not call `work`"),
        (", through `Job`", "", "does not call `work`"),
        ("through `evcxr`", "through `axum`", "does not call `work`"),
        ("  - [`Step::go`]", "    - [`Step::go`]", ""),
        ("→ `Table`", "→ `Step`", "hands nothing to `train`"),
        (" → `Table`", "", "hands nothing to `train`"),
    ] {
        assert!(good.contains(from), "{from}");
        let found = check(&good.replacen(from, to, 1), 2).join("\n");
        assert!(found.contains(why) && found.is_empty() == why.is_empty(), "{from}: {found}");
    }
    assert_eq!(check(good, 0), ["### R (at most 0 files): 6 stops in 1 files"]);
    for wrong in ["- `Rows::read` in a.rs: reads", "- [`Rows::read`](a.rs) reads", "- [`Rows::read`](a.rs), with `word`: reads"] {
        assert!(roads(&format!("# R (at most 1 files)\n{wrong}")).is_err(), "{wrong}");
    }
}
