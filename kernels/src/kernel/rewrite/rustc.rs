//! The call of rustc that cargo makes for the crate of a cell → the same on the rewritten source.
//!
//! The kernel's own program, which cargo runs in the place of rustc. Whatever goes wrong here, the source as evcxr wrote it
//! is compiled.

use std::ffi::{OsStr, OsString};
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::process::{Command, Output};

use crate::kernel::rewrite::callers;
use crate::kernel::rewrite::dependencies;
use crate::kernel::rewrite::libraries::Libraries;
use crate::kernel::rewrite::record::{Living, Record};
use crate::kernel::rewrite::source::{Build, Candidate, candidates};
use crate::kernel::rewrite::statics;
use crate::system::process;

/// Set in the environment of cargo: this program is to act as rustc.
pub const WRAPPER: &str = "FINETUNING_WRAPPER";

/// Set there as well when evcxr asks for a wrapper of its own, as after `:cache 200`.
const OF_EVCXR: &str = "EVCXR_RUSTC_WRAPPER";
/// Set there for those crates that evcxr is to keep.
const CACHES: &str = "EVCXR_CACHE_ENABLED";

/// The number of the cell, for its code to know.
const NUMBER: &str = "FINETUNING_CELL";

/// The crate that evcxr makes of a cell.
const CRATE: &str = "ctx";
const SOURCE: &str = "src/lib.rs";
/// Messages and panics name the file as evcxr wrote it.
const FOLDER: &str = "rw";
/// The parser calls itself for each level of nesting.
const STACK: usize = 256 << 20;

/// How often statics are found that a constant reads: one may be made of another.
const ROUNDS: usize = 4;

/// Acts as the compiler that the first argument names; comes back when evcxr's own wrapper is to do it, which keeps what
/// dependencies were compiled to.
pub fn run() {
    let words: Vec<OsString> = std::env::args_os().skip(1).collect();
    // In the place of evcxr's wrapper, this program is called with itself as the compiler of a cell.
    let twice = words.first().is_some_and(|first| std::env::current_exe().is_ok_and(|program| program == Path::new(first)));
    let Some((program, words)) = words[usize::from(twice)..].split_first() else {
        eprintln!("a compiler and its arguments are expected");
        std::process::exit(1)
    };
    let is_cell = words.windows(2).any(|pair| pair[0] == "--crate-name" && pair[1] == CRATE);
    if !is_cell && std::env::var_os(OF_EVCXR).is_some() {
        // evcxr knows a crate again by the words of this call alone, whatever was written into its files.
        let is_published = |word: &str| word.contains("/registry/src/") || word.contains("/git/checkouts/");
        if !words.iter().filter_map(|word| word.to_str()).any(|word| word.ends_with(".rs") && is_published(word)) {
            process::forget_variables(&[CACHES]);
        }
        return;
    }
    if !is_cell {
        let error = Command::new(program).args(words).exec();
        eprintln!("{}: {error}", program.display());
        std::process::exit(1)
    }
    let call = Call { program, words, links: emits_library(words) };
    let record = Record::of_environment();
    if let Some(record) = record.as_ref().filter(|_| call.links) {
        // What an earlier build proposed was not loaded.
        record.propose(&Living::default());
        record.set_moves(&[]);
    }
    let build = |record: &Record| {
        let source = std::fs::read_to_string(SOURCE).ok()?;
        let build = Build {
            links: call.links,
            cell: record.cell(),
            replaced: record.replaced(),
            living: record.living(),
            dependencies: dependencies::dependencies(words),
            cells: record.sources(),
        };
        let work = move || catch_unwind(AssertUnwindSafe(|| candidates(&source, build))).ok();
        std::thread::Builder::new().stack_size(STACK).spawn(work).ok()?.join().ok()?
    };
    let sources = || record.as_ref().and_then(build).unwrap_or_default();
    let output = call.first_accepted(&sources, record.as_ref()).unwrap_or_else(|| call.run(SOURCE.as_ref(), &[]));
    let output = output.unwrap_or_else(|error| {
        eprintln!("{}: {error}", program.display());
        std::process::exit(1)
    });
    if let Some(record) = record.as_ref().filter(|_| call.links) {
        record.set_messages(&output.stderr);
    }
    let _ = std::io::stdout().write_all(&output.stdout);
    let _ = std::io::stderr().write_all(&output.stderr);
    std::process::exit(output.status.code().unwrap_or(1))
}

/// Whether this build ends in a library; the others only look for mistakes.
fn emits_library(words: &[OsString]) -> bool {
    words.iter().filter_map(|word| word.to_str()).any(|word| word.starts_with("--emit") && word.contains("link"))
}

struct Call<'a> {
    program: &'a OsStr,
    words: &'a [OsString],
    links: bool,
}

impl Call<'_> {
    /// Compiles the sources one after the other until one is accepted; the messages are those of the last.
    fn first_accepted(&self, sources: &dyn Fn() -> Vec<Candidate>, record: Option<&Record>) -> Option<std::io::Result<Output>> {
        let shares = self.links && cfg!(target_os = "linux");
        let mut libraries = record.filter(|_| shares).and_then(|record| Libraries::of(record.folder(), self.program, self.words));
        let (mut last, mut candidates, mut place, mut again) = (None, sources(), 0, ROUNDS);
        while let Some(candidate) = candidates.get(place) {
            let mut output = self.try_one(candidate, record, libraries.as_ref())?;
            let blamed = |libraries: &Libraries| {
                output.as_ref().is_ok_and(|output| !output.status.success() && libraries.are_blamed(&output.stderr))
            };
            if libraries.as_ref().is_some_and(blamed) {
                libraries.take().iter().for_each(Libraries::give_up);
                output = self.try_one(candidate, record, None)?;
            }
            // A compiler that was killed shall not begin again.
            let ended = output.as_ref().map_or(true, |output| output.status.success() || output.status.code().is_none());
            let read = output.as_ref().map(|output| statics::read_by_constants(&output.stderr)).unwrap_or_default();
            last = Some(output);
            if ended {
                break;
            }
            if read.is_empty() || again == 0 {
                place += 1;
                continue;
            }
            again -= 1;
            record?.copy(&read);
            candidates = sources();
        }
        last
    }

    /// None when the source cannot be written.
    fn try_one(&self, candidate: &Candidate, record: Option<&Record>, libraries: Option<&Libraries>) -> Option<std::io::Result<Output>> {
        let path = Path::new(FOLDER).join("lib.rs");
        let declarations = libraries.map(Libraries::declarations).unwrap_or_default();
        // Cargo compiles again when the file of evcxr changes.
        let whole = format!("{}\nconst _: &str = include_str!(\"../{SOURCE}\");\n{declarations}", candidate.source);
        std::fs::create_dir_all(FOLDER).and_then(|()| std::fs::write(&path, whole)).ok()?;
        let mut more = libraries.map(Libraries::arguments).unwrap_or_default();
        let folder = Path::new(FOLDER).join(callers::FOLDER);
        for file in &candidate.files {
            std::fs::create_dir_all(&folder).and_then(|()| std::fs::write(folder.join(&file.name), &file.text)).ok()?;
        }
        if !candidate.files.is_empty() {
            more.push(format!("--remap-path-prefix={}=", folder.display()).into());
        }
        record?.set_moves(&candidate.moves);
        if self.links {
            record?.propose(&candidate.new);
            record?.lose(&candidate.lost);
        }
        Some(self.run(path.as_os_str(), &more))
    }

    fn run(&self, source: &OsStr, more: &[OsString]) -> std::io::Result<Output> {
        let mut command = Command::new(self.program);
        if let Some(record) = Record::of_environment() {
            command.env(NUMBER, record.cell().0.to_string());
        }
        for word in self.words {
            match word.to_str() {
                Some(SOURCE) => command.arg(source),
                // Cargo changes it with every dependency, and with it the identity of all types of the cells.
                Some(word) if word.starts_with("metadata=") => command.arg("metadata=cells"),
                _ => command.arg(word),
            };
        }
        // Of two folders that a file is in, the later one counts.
        command.arg(format!("--remap-path-prefix={FOLDER}=src")).args(more);
        if !self.links {
            // evcxr takes every message of such a build for the error of the cell.
            command.arg("--cap-lints=allow");
        } else {
            // A panic names the lines that led to it.
            command.args(["-Cdebuginfo=1", "-Cstrip=none"]);
            if cfg!(target_os = "linux") {
                // A cell finds the statics of earlier cells, and nothing else of them.
                command.arg("-Clink-arg=-Wl,-Bsymbolic");
            }
        }
        command.output()
    }
}
