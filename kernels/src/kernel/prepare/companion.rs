//! The companion crate → a dynamic library that cells link, made by cargo and rustc.
//!
//! Made once and shared by all kernels; the launcher makes it ahead.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::kernel::prepare::fresh;
use crate::kernel::prepare::package::Package;
use crate::spawn;

/// The file of the dynamic library.
pub const NAME: &str = if cfg!(target_os = "macos") { "libfinetuning.dylib" } else { "libfinetuning.so" };

/// Set in kernels whose companion is built for CUDA.
pub const CUDA: &str = "FINETUNING_CUDA";

/// Whether this process is such a kernel.
pub fn wants_cuda() -> bool {
    std::env::var_os(CUDA).is_some()
}

/// Where the companion is, and how cells and rust-analyzer reach it.
#[derive(Debug, Clone)]
pub struct Companion {
    /// The dynamic library that cells link.
    pub library: PathBuf,
    /// cargo's library, which the dynamic one is made of; none when a finished library was named.
    archive: Option<PathBuf>,
    /// The folder of the libraries it was built from, where rustc finds their metadata.
    pub dependencies: PathBuf,
    /// The crate root, for type inference.
    pub source: PathBuf,
}

/// Builds the companion with cargo and links it as a dynamic library; an up-to-date one costs a moment.
///
/// No package is named, so that cargo chooses the same features of shared crates as in `cargo test`, and nothing heavy is
/// compiled twice.
pub fn build(root: &Path, cuda: bool) -> Result<Companion, String> {
    let companion = find(root, cuda)?;
    if let Some(archive) = &companion.archive {
        let build = archive.parent().expect("a library lies in a folder");
        let mut cargo = cargo();
        cargo.args(["build", "--lib"]).current_dir(root);
        if Package::own().is_some() {
            // The other members of the workspace are not compiled anew with a package.
            cargo.args(["--package", "finetuning", "--package", "finetuning-compute", "--package", "finetuning-unify"]);
        }
        if cuda {
            check_nvcc()?;
            cargo.args(["--features", "finetuning/cuda"]);
        }
        if build.ends_with("release") {
            cargo.arg("--release");
        }
        cargo.arg("--target-dir").arg(build.parent().unwrap_or(build));
        spawn::run(&mut cargo, "cargo could not build the companion crate")?;
    }
    link(root, &companion)?;
    Ok(companion)
}

/// Whether a kernel would have to compile the companion before its first cell.
pub fn is_missing(root: &Path) -> bool {
    find(root, wants_cuda()).is_ok_and(|found| found.archive.is_some_and(|archive| !archive.exists()))
}

/// The companion, linked anew if cargo has built it since, and built if it never was.
pub fn ready(root: &Path) -> Result<Companion, String> {
    let companion = find(root, wants_cuda())?;
    match &companion.archive {
        Some(archive) if !archive.exists() => build(root, wants_cuda()),
        _ => link(root, &companion).map(|()| companion),
    }
}

/// Makes the dynamic library: a crate that passes on the companion's public items, linked with all its dependencies.
fn link(root: &Path, companion: &Companion) -> Result<(), String> {
    let Companion { library, archive: Some(archive), dependencies, .. } = companion else { return Ok(()) };
    let changed = |file: &Path| std::fs::metadata(file).and_then(|file| file.modified()).ok();
    if changed(library) >= changed(archive) && library.exists() {
        return Ok(());
    }
    // Other kernels may link at the same time.
    let fresh = fresh::beside(library).map_err(|error| format!("{}: {error}", library.display()))?;
    let source = fresh.path().join("finetuning.rs");
    std::fs::write(&source, "pub use companion::*;\n").map_err(|error| format!("{}: {error}", source.display()))?;
    let linked = fresh.path().join(library.file_name().expect("a library has a name"));
    let with = |text: &str, path: &Path| {
        let mut word = std::ffi::OsString::from(text);
        word.push(path);
        word
    };
    let mut rustc = Command::new("rustc");
    rustc.args(["--crate-name", "finetuning", "--edition", "2024", "--crate-type", "dylib", "-Cprefer-dynamic", "-Cmetadata=notebook"]);
    rustc.arg("--extern").arg(with("companion=", archive)).arg("-L").arg(with("dependency=", dependencies));
    spawn::output(rustc.arg("-o").arg(&linked).arg(&source).current_dir(root), "rustc could not link the companion crate")?;
    std::fs::rename(&linked, library).map_err(|error| format!("{}: {error}", library.display()))
}

/// The paths of the companion, whether or not it is built yet; `FINETUNING_COMPANION` names a finished library, with its
/// crate root in `FINETUNING_COMPANION_SOURCE`.
pub fn find(root: &Path, cuda: bool) -> Result<Companion, String> {
    if let (Some(library), Some(source)) = (std::env::var_os("FINETUNING_COMPANION"), std::env::var_os("FINETUNING_COMPANION_SOURCE")) {
        let library = PathBuf::from(library);
        let dependencies = library.parent().unwrap_or(Path::new("/")).join("deps");
        return Ok(Companion { library, archive: None, dependencies, source: source.into() });
    }
    let program = std::env::current_exe().map_err(|error| format!("the path of this program: {error}"))?;
    let folder = program.parent().unwrap_or(Path::new("/"));
    // A test program lies one folder deeper.
    let build = if folder.ends_with("deps") { folder.parent().unwrap_or(folder) } else { folder };
    let source = root.join("lib/src/lib.rs");
    let build = match Package::own().filter(|_| !cuda).map(Package::rebuilt) {
        // A package brings it, made for this compiler.
        Some(None) => {
            let library = build.join("companion").join(NAME);
            return Ok(Companion { library, archive: None, dependencies: build.join("deps"), source });
        }
        Some(Some(folder)) => &folder.join("debug"),
        None => build,
    };
    // The build for CUDA has a folder of its own beside it.
    let build = match build.file_name().filter(|_| cuda) {
        Some(profile) => build.with_file_name("cuda").join(profile),
        _ => build.to_path_buf(),
    };
    Ok(Companion {
        library: build.join("companion").join(NAME),
        archive: Some(build.join("libfinetuning.rlib")),
        dependencies: build.join("deps"),
        source,
    })
}

/// The build for CUDA needs NVIDIA's compiler.
fn check_nvcc() -> Result<(), String> {
    let found = spawn::succeeds(Command::new("nvcc").arg("--version"));
    let home =
        ["CUDA_HOME", "CUDA_PATH"].iter().any(|name| std::env::var_os(name).is_some_and(|home| Path::new(&home).join("bin/nvcc").exists()));
    match found || home {
        true => Ok(()),
        false => Err("the build for CUDA needs NVIDIA's compiler nvcc, of the CUDA toolkit, on PATH".into()),
    }
}

/// cargo as a terminal would start it. What `cargo run` and `cargo test` tell this process about a package would be a
/// changed environment to build scripts that look at it (ring's does), and crates would be built again and again.
pub fn cargo() -> Command {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    let about_a_package = |name: &str| {
        ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_"].iter().any(|start| name.starts_with(start))
            || ["CARGO_CRATE_NAME", "CARGO_PRIMARY_PACKAGE"].contains(&name)
    };
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_str().is_some_and(about_a_package)) {
        cargo.env_remove(name);
    }
    cargo
}
