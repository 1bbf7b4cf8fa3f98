//! The source that evcxr generated → what rustc shall compile, the best first.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use crate::kernel::messages::places::{Move, Places, Source};
use crate::kernel::rewrite::callers::{self, Named};
use crate::kernel::rewrite::dependencies::Dependency;
use crate::kernel::rewrite::edits::Edits;
use crate::kernel::rewrite::items::{Crate, Items};
use crate::kernel::rewrite::record::{CRATE, Living};
use crate::kernel::rewrite::variables::{self, Variables};
use crate::kernel::rewrite::{calls, catches, displays, impls, lines, macros, polls, statics, tokens, types};

/// What a build is about.
pub struct Build {
    /// Whether a library comes of it that is loaded; evcxr also builds to learn what is wrong.
    pub links: bool,
    /// The number and the text of the cell.
    pub cell: (u64, String),
    /// The number of the cell that it takes the place of.
    pub replaced: Option<u64>,
    pub living: Living,
    pub dependencies: Vec<Dependency>,
    /// The cells whose items live, the running one last.
    pub cells: Vec<Source>,
}

/// A source to compile.
#[derive(Default)]
pub struct Candidate {
    pub source: String,
    /// What its library defines.
    pub new: Living,
    /// The variables that it will not read, each with its type.
    pub lost: Vec<(String, String)>,
    /// Where its columns are not those of evcxr's source.
    pub moves: Vec<Move>,
    /// Files beside it.
    pub files: Vec<Named>,
}

impl Candidate {
    fn of(source: &str, edits: &Edits) -> Candidate {
        Candidate { source: edits.apply(source), moves: edits.moves(source), ..Candidate::default() }
    }
}

/// The sources to try one after the other: all changes, then without those that change a line of the user, so that a
/// message has its place.
pub fn candidates(source: &str, build: Build) -> Vec<Candidate> {
    let Build { links, cell: (number, cell), replaced, living, dependencies, cells } = build;
    let (file, cell) = (tokens::parse(source), tokens::items_of_cell(&cell).or_else(|| tokens::items_of_cell("")));
    let (mut edits, mut new) = (macros::edits(&file), Living::default());
    if let Some(cell) = &cell {
        impls::note(number, cell, &mut new);
        replaced.iter().for_each(|earlier| impls::replace(*earlier, &living, &mut new));
    }
    edits.add(&calls::edits(source, &file));
    edits.add(&impls::edits(&file, &living, &new));
    if !links {
        return vec![Candidate::of(source, &edits)];
    }
    let items = Items::of(&file, crates(&dependencies, &living, &mut new));
    let Variables { edits: of_variables, untouched, mut lost } = variables::variables(source, &file, &items, &living, &mut new);
    edits.add(&of_variables);
    lost.sort();
    lost.dedup();
    let mut found = vec![Candidate { new: new.clone(), lost: lost.clone(), ..Candidate::of(source, &edits) }];
    // Where a library finds what another one has by its name.
    if let Some(cell) = cell.filter(|_| cfg!(target_os = "linux")) {
        let mut all = polls::edits(&file);
        all.add(&untouched);
        all.add(&catches::edits(source));
        all.add(&displays::edits(&file));
        if lines::are_named(source) {
            all.add(&lines::edits(&file, source, cells.clone()));
        }
        let asks = callers::are_asked(source);
        if asks {
            all.add(&callers::edits(&file));
        }
        all.add(&types::edits(&file, &items, &living, &mut new));
        all.add(&statics::edits(&file, &statics::Known { items: &items, number, cell: &cell, living: &living }, &mut new));
        if !all.is_empty() {
            all.add(&edits);
            let mut best = Candidate { new, lost, ..Candidate::of(source, &all) };
            if asks {
                let places = Places::new(source, cells).moved(best.moves.clone());
                let (module, files) = callers::module(&file, &best.source, &places);
                (best.source, best.files) = (format!("{}\n{module}", best.source), files);
            }
            found.insert(0, best);
        }
    }
    found
}

/// What is known of the dependencies, by name; notes those that are seen for the first time.
fn crates(dependencies: &[Dependency], living: &Living, new: &mut Living) -> HashMap<String, Crate> {
    let crates = dependencies.iter().map(|Dependency { name, path, made }| {
        let mut hasher = DefaultHasher::new();
        (path, made).hash(&mut hasher);
        let changed = living.get(CRATE, path).is_some_and(|first| first != made);
        if living.get(CRATE, path).is_none() {
            new.set(CRATE, path, made);
        }
        (name.clone(), Crate { id: hasher.finish(), changed })
    });
    crates.collect()
}
