//! The lessons: lesson file ↔ cells ↔ notebook.
//!
//! `lessons/NN_name.rs` is the only source; the compiler checks it, and `NN_name.ipynb` is made from it. `strings` finds
//! the lines that belong to a string, `cells` splits and joins a lesson, `ipynb` reads and writes notebooks, `course`
//! knows the folder.

pub mod cells;
pub mod course;
pub mod ipynb;
mod strings;

pub use cells::{Cell, Kind, Lesson};
pub use course::LessonFile;
pub use ipynb::{Notebook, NotebookCell};
