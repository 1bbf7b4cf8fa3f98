//! Rules, word lists and hand-written facts → the corpus, rows, model and adapters that ship with the repository.
//!
//! `cargo run -p finetuning --example recipe -- <stage>`: `stories` writes a corpus by rules, and `base [steps]` makes `builtin:base` from it;
//! `rows` writes `builtin:lab_docs`; `adapter guide|desk [seed]` needs `builtin:smol` and no other stage.
//! Each stage is a call of the public crate; the cards in `notebooks/models` say with which figures it ran.

mod adapter;
mod base;
mod rows;
mod stories;
mod vocabulary;

use std::path::{Path, PathBuf};

use finetuning::compute::memory::keep_memory;
use finetuning::*;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../notebooks")
}

/// Runs on the way that do not ship.
fn scratch(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/recipe").join(name)
}

/// The number that is said behind a stage, else the usual one.
fn number<T: std::str::FromStr>(word: Option<&str>, usual: T) -> Result<T> {
    let bad =
        |word: &str| Error::new(ErrorKind::Name, format!("`{word}` is no number of steps and no seed")).hint("leave it out, or say 500");
    word.map_or(Ok(usual), |word| word.parse().map_err(|_| bad(word)))
}

fn main() -> Result<()> {
    keep_memory(true);
    let words: Vec<String> = std::env::args().skip(1).collect();
    match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["stories"] => stories::write_stories(&root()),
        ["base", ref rest @ ..] if rest.len() < 2 => {
            let steps = number(rest.first().copied(), base::STEPS)?;
            base::train_base(&root(), &scratch(&format!("base-{steps}")), steps)
        }
        ["rows"] => rows::write_rows(&root()),
        ["adapter", name, ref rest @ ..] if rest.len() < 2 => {
            adapter::train(name, number(rest.first().copied(), adapter::SHIPPED)?, &root())
        }
        _ => Err(Error::new(ErrorKind::Name, "say `stories`, `base [steps]`, `rows` or `adapter guide|desk [seed]`")),
    }
}
