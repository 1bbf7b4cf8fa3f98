//! `cargo lab bundle`: a folder that is set up → one file that brings a machine without a network to the first lesson.
//!
//! The file is a zip that Python runs: `python3 FILE FOLDER` checks the machine, unpacks, compares checksums and sets up.

use std::path::Path;

use serde_json::json;

use crate::lab::failure::Failure;
use crate::lab::machine::archive::{self, Part};
use crate::lab::machine::steps::{Done, say, step};
use crate::lab::machine::{model, package, python};
use crate::lab::paths::Paths;

/// What Python runs on the other machine.
const INSTALL: &str = include_str!("../../../assets/package/install.py");
/// What lies in the unpacked folder in place of `cargo lab`, which would look for the sources of all crates.
const LAB: &str = "#!/bin/sh\nexec \"$(dirname \"$0\")/target/debug/lab\" \"$@\"\n";

/// Writes the bundle.
///
/// # Errors
/// Something cannot be built, fetched or written.
pub fn bundle(paths: &Paths, file: &Path) -> Result<(), Failure> {
    if file.exists() {
        return Err(Failure::new(format!("{} is there already, and stays as it is", file.display()), "name another file"));
    }
    step("Python environment", || python::prepare(paths))?;
    let mut parts = package::tree(paths, "tree/", &|_| true);
    let (builds, compiler) = package::build(paths, "tree/")?;
    parts.push(Part { runs: true, ..Part::text("tree/lab", LAB) });
    let wheels = tempfile::tempdir().map_err(|error| format!("a temporary folder: {error}"))?;
    let mut version = String::new();
    step("JupyterLab's packages", || {
        version = python::wheelhouse(paths, wheels.path())?;
        Ok(Done::Made(format!("fetched for Python {version}")))
    })?;
    for wheel in package::files(wheels.path()) {
        parts.push(Part::file(format!("tree/.lab/wheels/{}", wheel.file_name().unwrap_or_default().to_string_lossy()), &wheel));
    }
    for model in model::fetched() {
        if !model.is_there() {
            say(&format!("{} is not on this machine and does not come along; `cargo lab setup` fetches it", model.title));
            continue;
        }
        for path in package::files(&model.folder()) {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            parts.push(Part::file(format!("models/{}/{name}", model.name), &path));
        }
    }
    // After the sources, so that what is built is younger.
    parts.extend(builds);
    parts.push(Part::text("__main__.py", INSTALL));
    let mut bytes = 0;
    step("bundle", || {
        bytes = archive::write(file, &parts, |written| {
            let list = written.iter().map(|part| {
                let digits: String = part.sha256.iter().map(|byte| format!("{byte:02x}")).collect();
                json!({ "name": part.name, "size": part.size, "sha256": digits })
            });
            let note =
                json!({ "version": package::version(paths), "compiler": compiler, "python": version, "parts": list.collect::<Vec<_>>() });
            vec![Part::text("bundle.json", format!("{note}\n"))]
        })?;
        Ok(Done::Made(format!("{:.0} MB in {}", bytes as f64 / 1e6, file.display())))
    })?;
    println!(
        "on the other machine, with rustc {} and Python {version}, no network needed:\n    python3 {} ~/finetuning",
        compiler.version,
        file.file_name().unwrap_or_default().to_string_lossy()
    );
    Ok(())
}
