//! Rows: the files of a data set, every format that is read, rows that cannot be, what is written; rows of every shape, under
//! the operations of Python's `datasets`, and out of documents.

mod bad_rows;
mod dataset;
mod dialogues;
mod documents;
mod files;
mod formats;
mod pairs;
mod save;
mod shapes;
mod sizes;
mod whole_files;
