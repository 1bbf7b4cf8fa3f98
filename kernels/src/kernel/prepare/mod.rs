//! What a kernel needs ready before its first cell; the launcher makes it ahead.
//!
//! In: the repository and the installed toolchain. Out: the companion as a dynamic library, the support library, the source
//! of std for type inference, manifests for rust-analyzer, and the folder of a session. All but the session are made once
//! and shared by all kernels.
//! Imports: marks, spawn, system.

pub mod fresh;
pub mod package;
pub mod path;
pub mod unpack;

pub mod companion;
pub mod support;

pub mod analysis;
pub mod private;
pub mod settings;

pub mod session;
