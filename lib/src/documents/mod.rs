//! A folder of Markdown, HTML and text files → sections → question/answer rows that say where they come from.
//!
//! [`folder`] finds the files, `markdown` and `html` cut them at their headings, [`section`] keeps the sections below a number of
//! tokens, [`rows`] makes questions of headings, [`ask`] has a model write questions and answers and keeps those that the
//! section supports, which `overlap` measures.
//!
//! Imports: error, util, border, display, data, tokenizer.

pub mod folder;
mod markdown;
mod html;
pub mod overlap;
pub mod section;
pub mod rows;
pub mod ask;
