//! Rows: from files, of every shape, under the operations of Python's `datasets`, and out of documents.

mod dataset;
mod documents;
mod shapes;
