//! The lessons: lesson file ↔ cells ↔ notebook.
//!
//! `lessons/NN_name.rs` is the only source; the compiler checks it, and `NN_name.ipynb` and `solutions/NN_name.ipynb` are made from
//! it. `scan` reads the text of Rust code as tokens, for the kernel as well; `marker` reads the line that opens a cell, `contract`
//! what a cell promises, `cells` splits and joins a lesson, `ipynb` reads and writes notebooks (`json`: as Jupyter does), `edition`
//! makes them from a lesson, `file` opens one, `course` knows the folder, `coverage` what of the course no cell has,
//! `numbers` what a text states and no cell shows.
//!
//! Imports: nothing.

pub mod scan;

pub mod marker;
pub mod contract;
pub mod cells;
mod json;
pub mod ipynb;
pub mod file;
pub mod edition;
pub mod course;
pub mod coverage;
pub mod numbers;
#[cfg(test)]
mod damaged;

pub use cells::{Cell, Lesson};
pub use course::LessonFile;
pub use ipynb::{Notebook, NotebookCell};
pub use marker::{Kind, Part};
