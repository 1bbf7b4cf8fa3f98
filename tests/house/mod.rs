//! The house itself: its layout, its words, its documents.

pub mod architecture;
pub mod assets;
pub mod documents;
pub mod roads;
pub mod rust;
pub mod tree;
