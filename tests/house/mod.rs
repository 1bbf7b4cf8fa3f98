//! The house itself: its layout, its words, its documents.

pub mod architecture;
