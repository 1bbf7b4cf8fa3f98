//! What `cargo lab` does, a file for each command.
//!
//! In: the folders of the repository and what the words of the command line ask for. Out: lines on the terminal, files; or
//! what went wrong and what to type.
//! Imports: client, failure, grading, kernel, machine, paths, project, repository, spawn, system.

pub mod bench;
pub mod book;
pub mod build;
pub mod bundle;
pub mod check;
pub mod clean;
pub mod doctor;
pub mod export;
pub mod grade;
pub mod kernel;
pub mod reset;
pub mod run;
pub mod serve;
pub mod setup;
pub mod wheel;

pub mod open;
