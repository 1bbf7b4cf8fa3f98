//! The lessons: lesson file ↔ cells ↔ notebook.
//!
//! `lessons/NN_name.rs` is the only source; the compiler checks it, and `NN_name.ipynb` is made from it. `scan` reads the
//! text of Rust code as tokens, for the kernel as well; `cells` splits and joins a lesson, `ipynb` reads and writes
//! notebooks, `file` opens one, `course` knows the folder.
//!
//! Imports: nothing.

pub mod scan;

pub mod cells;
pub mod course;
pub mod ipynb;
pub mod file;
#[cfg(test)]
mod damaged;

pub use cells::{Cell, Kind, Lesson};
pub use course::LessonFile;
pub use ipynb::{Notebook, NotebookCell};
