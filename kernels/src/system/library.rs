//! The path of a dynamic library → functions in it, which live as long as the process.

use std::ffi::{OsStr, c_void};
use std::sync::atomic::{AtomicPtr, Ordering};

use libloading::Library;
use libloading::os::unix;

/// A library that is never unloaded: its thread locals and hooks may be used until the end.
#[derive(Clone, Copy)]
pub struct Loaded(&'static Library);

impl Loaded {
    /// Loads a library that this project or evcxr has compiled.
    ///
    /// # Errors
    /// The file is missing or no library.
    pub fn open(path: impl AsRef<OsStr>) -> Result<Loaded, libloading::Error> {
        // SAFETY: the initialisers of a library that rustc compiled are those of the Rust runtime.
        let library = unsafe { Library::new(path.as_ref()) }?;
        Ok(Loaded(Box::leak(Box::new(library))))
    }

    /// Loads a library of which those that are loaded later find what it exports: the statics of a cell.
    ///
    /// # Errors
    /// The file is missing, is no library, or needs a static that no loaded library has.
    pub fn open_for_all(path: impl AsRef<OsStr>) -> Result<Loaded, libloading::Error> {
        // SAFETY: as in `open`; what the library takes from earlier ones is a static of the same type, which its symbol names.
        let library = unsafe { unix::Library::open(Some(path.as_ref()), unix::RTLD_LAZY | unix::RTLD_GLOBAL) }?;
        Ok(Loaded(Box::leak(Box::new(library.into()))))
    }

    /// The function of the support library with this name; none when there is no such function.
    pub fn hook(self, name: &str) -> Option<extern "C" fn()> {
        // SAFETY: every function that the support library exports has this type (`assets/child/support.rs`).
        unsafe { self.0.get::<extern "C" fn()>(name.as_bytes()).ok() }.map(|hook| *hook)
    }

    /// The compiled cell with this name.
    ///
    /// # Errors
    /// The library has no such function.
    pub fn cell(self, name: &str) -> Result<Cell, libloading::Error> {
        // SAFETY: evcxr has generated the function, with this type.
        unsafe { Ok(Cell(*self.0.get::<extern "C" fn(*mut c_void) -> *mut c_void>(name.as_bytes())?)) }
    }
}

/// A compiled cell.
pub struct Cell(extern "C" fn(*mut c_void) -> *mut c_void);

/// The variables of the cells; each cell takes it and hands back the next one. A thread that never comes back from a cell
/// leaves it as it was.
pub struct Variables(AtomicPtr<c_void>);

impl Variables {
    /// None yet: the first cell makes the store.
    pub fn new() -> Variables {
        Variables(AtomicPtr::new(std::ptr::null_mut()))
    }

    /// Runs a cell; no other one may run.
    pub fn run(&self, cell: &Cell) {
        self.0.store((cell.0)(self.0.load(Ordering::SeqCst)), Ordering::SeqCst);
    }
}
