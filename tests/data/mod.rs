//! Rows: the files of a data set, every format that is read, rows that cannot be, and what is written.

pub mod bad_rows;
pub mod files;
pub mod formats;
pub mod save;
