//! What a kernel needs ready before its first cell: the companion as a dynamic library, the support library, the source
//! of std for type inference, and a session folder.
//!
//! All but the session folder are made once and shared by all kernels; the launcher makes them ahead.

use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::unpack;

/// Set in kernels whose companion is built for CUDA.
pub const CUDA: &str = "FINETUNING_CUDA";

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

/// The repository: `FINETUNING_ROOT`, or the one this program was built in.
pub fn root() -> PathBuf {
    match std::env::var_os("FINETUNING_ROOT") {
        Some(root) => root.into(),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("a crate folder lies in the workspace").into(),
    }
}

/// Builds the companion with cargo and links it as a dynamic library; an up-to-date one costs a moment.
///
/// No package is named, so that cargo chooses the same features of shared crates as in `cargo test`, and nothing heavy is
/// compiled twice.
pub fn build_companion(root: &Path) -> Result<Companion, String> {
    let companion = companion(root)?;
    if let Some(archive) = &companion.archive {
        let build = archive.parent().expect("a library lies in a folder");
        let mut cargo = cargo();
        cargo.args(["build", "--lib"]).current_dir(root);
        if std::env::var_os(CUDA).is_some() {
            check_nvcc()?;
            cargo.args(["--features", "finetuning/cuda"]);
        }
        if build.ends_with("release") {
            cargo.arg("--release");
        }
        cargo.arg("--target-dir").arg(build.parent().unwrap_or(build));
        match cargo.status() {
            Ok(status) if status.success() => {}
            Ok(status) => return Err(format!("cargo could not build the companion crate ({status})")),
            Err(error) => return Err(format!("cannot run cargo: {error}")),
        }
    }
    link(&companion)?;
    Ok(companion)
}

/// The companion, linked anew if cargo has built it since, and built if it never was.
pub fn ready_companion(root: &Path) -> Result<Companion, String> {
    let companion = companion(root)?;
    match &companion.archive {
        Some(archive) if !archive.exists() => build_companion(root),
        _ => link(&companion).map(|()| companion),
    }
}

/// Makes the dynamic library: a crate that passes on the companion's public items, linked with all its dependencies.
fn link(companion: &Companion) -> Result<(), String> {
    let Companion { library, archive: Some(archive), dependencies, .. } = companion else { return Ok(()) };
    let changed = |file: &Path| std::fs::metadata(file).and_then(|file| file.modified()).ok();
    if changed(library) >= changed(archive) && library.exists() {
        return Ok(());
    }
    let folder = library.parent().expect("a library lies in a folder");
    // A folder of its own: other kernels may link at the same time.
    let fresh = folder.join(std::process::id().to_string());
    std::fs::create_dir_all(&fresh).map_err(|error| format!("{}: {error}", fresh.display()))?;
    let source = fresh.join("finetuning.rs");
    std::fs::write(&source, "pub use companion::*;\n").map_err(|error| format!("{}: {error}", source.display()))?;
    let linked = fresh.join(library.file_name().expect("a library has a name"));
    let mut extern_crate = std::ffi::OsString::from("companion=");
    extern_crate.push(archive);
    let mut search = std::ffi::OsString::from("dependency=");
    search.push(dependencies);
    let rustc = Command::new("rustc")
        .args([
            "--crate-name",
            "finetuning",
            "--edition",
            "2024",
            "--crate-type",
            "dylib",
            "-Cprefer-dynamic",
            "-Cmetadata=notebook",
            "--extern",
        ])
        .arg(extern_crate)
        .arg("-L")
        .arg(search)
        .arg("-o")
        .arg(&linked)
        .arg(&source)
        .output();
    let result = match rustc {
        Ok(output) if output.status.success() => {
            std::fs::rename(&linked, library).map_err(|error| format!("{}: {error}", library.display()))
        }
        Ok(output) => Err(format!("rustc could not link the companion crate:\n{}", String::from_utf8_lossy(&output.stderr))),
        Err(error) => Err(format!("cannot run rustc: {error}")),
    };
    let _ = std::fs::remove_dir_all(&fresh);
    result
}

/// The paths of the companion, whether or not it is built yet; `FINETUNING_COMPANION` names a finished library, with its
/// crate root in `FINETUNING_COMPANION_SOURCE`.
pub fn companion(root: &Path) -> Result<Companion, String> {
    if let (Some(library), Some(source)) = (std::env::var_os("FINETUNING_COMPANION"), std::env::var_os("FINETUNING_COMPANION_SOURCE")) {
        let library = PathBuf::from(library);
        let dependencies = library.parent().unwrap_or(Path::new("/")).join("deps");
        return Ok(Companion { library, archive: None, dependencies, source: source.into() });
    }
    let program = std::env::current_exe().map_err(|error| format!("the path of this program: {error}"))?;
    let folder = program.parent().unwrap_or(Path::new("/"));
    // A test program lies one folder deeper.
    let build = if folder.ends_with("deps") { folder.parent().unwrap_or(folder) } else { folder };
    // The build for CUDA has a folder of its own beside it.
    let build = match (std::env::var_os(CUDA), build.file_name()) {
        (Some(_), Some(profile)) => build.with_file_name("cuda").join(profile),
        _ => build.to_path_buf(),
    };
    Ok(Companion {
        library: build.join("companion").join(format!("{}finetuning{}", std::env::consts::DLL_PREFIX, std::env::consts::DLL_SUFFIX)),
        archive: Some(build.join("libfinetuning.rlib")),
        dependencies: build.join("deps"),
        source: root.join("lib/src/lib.rs"),
    })
}

/// The build for CUDA needs NVIDIA's compiler.
fn check_nvcc() -> Result<(), String> {
    let found = Command::new("nvcc").arg("--version").output().is_ok_and(|output| output.status.success());
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

/// The folder of libstd, for processes that load cells.
pub fn library_folder() -> Result<PathBuf, String> {
    let output = Command::new("rustc").args(["--print", "target-libdir"]).output().map_err(|error| format!("cannot run rustc: {error}"))?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().into())
}

/// Compiles the support library for the installed toolchain, once.
pub fn support_library(root: &Path, library_folder: &Path) -> Result<PathBuf, String> {
    let source = include_str!("support.rs");
    let std = std::fs::read_dir(library_folder).map_err(|error| format!("{}: {error}", library_folder.display()))?;
    let std = std
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .find(|name| name.contains("std-") && name.ends_with(std::env::consts::DLL_SUFFIX));
    let key = unpack::checksum(format!("{source}{std:?}").as_bytes());
    let folder = root.join(".lab");
    let library = folder.join(format!("support-{key:08x}{}", std::env::consts::DLL_SUFFIX));
    if library.exists() {
        return Ok(library);
    }
    // A folder of its own: what rustc writes on the way has the same names in every process that builds it at once.
    let own = folder.join(format!("support-{key:08x}-{}", std::process::id()));
    let (code, fresh) = (own.join("support.rs"), own.join("support"));
    let write = std::fs::create_dir_all(&own).and_then(|()| std::fs::write(&code, source));
    write.map_err(|error| format!("{}: {error}", own.display()))?;
    let rustc = Command::new("rustc")
        .args(["--crate-name", "support", "--edition", "2024", "--crate-type", "cdylib", "-Cprefer-dynamic", "-Copt-level=1", "-o"])
        .arg(&fresh)
        .arg(&code)
        .output();
    let built = match rustc {
        Ok(output) if output.status.success() => {
            std::fs::rename(&fresh, &library).map(|()| library.clone()).map_err(|error| format!("{}: {error}", library.display()))
        }
        Ok(output) => Err(format!("rustc could not build the support library:\n{}", String::from_utf8_lossy(&output.stderr))),
        Err(error) => Err(format!("cannot run rustc: {error}")),
    };
    let _ = std::fs::remove_dir_all(&own);
    built
}

/// The folder with the source of std that this program carries, whether or not it is unpacked yet.
pub fn std_source(root: &Path) -> PathBuf {
    root.join(".lab").join(format!("std-src-{:08x}", unpack::checksum(STD_SOURCE)))
}

/// Unpacks the source of std, once.
pub fn unpack_std_source(root: &Path) -> Result<(), String> {
    let folder = std_source(root);
    if folder.exists() {
        return Ok(());
    }
    let fresh = folder.with_extension(std::process::id().to_string());
    unpack::tar_gz(STD_SOURCE, &fresh)?;
    // Another kernel may have been faster.
    if std::fs::rename(&fresh, &folder).is_err() {
        let _ = std::fs::remove_dir_all(&fresh);
    }
    Ok(())
}

static STD_SOURCE: &[u8] = include_bytes!("../../assets/std-src.tar.gz");

/// A folder of one kernel, removed at its end; folders of kernels that were killed are removed by the next one.
pub struct Session {
    folder: PathBuf,
}

const SESSION: &str = "finetuning-kernel-";

impl Session {
    /// Makes the folder, with `ctx` in it for evcxr.
    pub fn new() -> Result<Session, String> {
        let temporary = std::env::temp_dir();
        sweep(&temporary);
        // Everyone can write here, and cells are loaded from it: nobody else may guess the name, make the folder or read it.
        let random = std::hash::BuildHasher::hash_one(&std::hash::RandomState::new(), std::time::Instant::now());
        let folder = temporary.join(format!("{SESSION}{}-{random:016x}", std::process::id()));
        let private = |folder: &Path| std::fs::DirBuilder::new().mode(0o700).create(folder);
        let made = private(&folder).and_then(|()| private(&folder.join("ctx"))).and_then(|()| private(&folder.join("comms")));
        made.map_err(|error| format!("{}: {error}; the folder for temporary files is named by TMPDIR", folder.display()))?;
        Ok(Session { folder })
    }

    /// evcxr's folder.
    pub fn ctx(&self) -> PathBuf {
        self.folder.join("ctx")
    }

    /// What front ends send to comms.
    pub fn comms(&self) -> PathBuf {
        self.folder.join("comms")
    }

    /// The interrupt flag.
    pub fn flag(&self) -> PathBuf {
        self.folder.join("interrupt")
    }

    /// The folder with the configuration that evcxr reads when it starts.
    pub fn configuration(&self) -> PathBuf {
        self.folder.clone()
    }

    /// Writes the configuration.
    pub fn configure(&self, optimization_level: &str) -> Result<(), String> {
        let file = self.folder.join("evcxr.toml");
        std::fs::write(&file, format!("[evcxr]\nopt_level = {optimization_level:?}\n"))
            .map_err(|error| format!("{}: {error}", file.display()))
    }

    /// Removes the folder.
    pub fn remove(&self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// The process that a session folder belongs to.
fn pid_of(name: &str) -> Option<i32> {
    name.split('-').next()?.parse().ok()
}

fn sweep(temporary: &Path) {
    for entry in std::fs::read_dir(temporary).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.strip_prefix(SESSION)).and_then(pid_of) else { continue };
        // SAFETY: signal 0 only asks whether the process exists.
        if unsafe { libc::kill(pid, 0) } != 0 {
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_session_folder_is_private_new_and_known_by_its_process() {
        let (first, second) = (Session::new().unwrap(), Session::new().unwrap());
        assert_ne!(first.folder, second.folder);
        assert_eq!(std::fs::metadata(&first.folder).unwrap().permissions().mode() & 0o777, 0o700);
        let name = first.folder.file_name().unwrap().to_str().unwrap().strip_prefix(SESSION).unwrap();
        assert_eq!(pid_of(name), Some(std::process::id() as i32));
        // This process lives, so nobody sweeps them.
        assert!(first.folder.exists() && second.folder.exists());
        first.remove();
        second.remove();
    }
}
