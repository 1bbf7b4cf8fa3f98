//! What the lessons need on this machine, found or made.
//!
//! In: the folders of the repository. Out: a Python environment with JupyterLab, the companion, kernelspecs, the real model of the
//! lessons, the reader's copies of them, a server that answers; or what is missing and the command that mends it.
//! Imports: failure, kernel, paths, spawn, system.

pub mod steps;

pub mod turn;

pub mod resources;

pub mod archive;
pub mod companion;
pub mod kernelspec;
pub mod papermill;
pub mod python;

pub mod package;

pub mod model;

pub mod copies;

pub mod jupyter;
