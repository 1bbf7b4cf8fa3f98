//! The house itself: its layout, its words, its documents.

pub mod architecture;
pub mod rust;
pub mod tree;
