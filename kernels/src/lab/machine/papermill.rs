//! A prefix → papermill's parameters in Rust, in the packages of every Python that lives there.
//!
//! papermill writes a notebook's parameters for a language that it knows. Rust is made known to it by a package of one module,
//! which papermill finds among the entry points of its environment.

use std::path::{Path, PathBuf};

use crate::lab::failure::Failure;

const NAME: &str = "finetuning_papermill";
const MODULE: &str = include_str!("../../../assets/finetuning_papermill.py");

/// What Python's tools read of the package: its name, who made it, and where papermill finds it.
fn files() -> [(PathBuf, String); 5] {
    let version = env!("CARGO_PKG_VERSION");
    let (module, about) = (format!("{NAME}.py"), PathBuf::from(format!("{NAME}-{version}.dist-info")));
    let within = |name: &str| about.join(name);
    let record: Vec<String> =
        ["METADATA", "INSTALLER", "entry_points.txt", "RECORD"].map(|name| format!("{},,\n", within(name).display())).into();
    [
        (module.clone().into(), MODULE.into()),
        (
            within("METADATA"),
            format!("Metadata-Version: 2.1\nName: finetuning-papermill\nVersion: {version}\nSummary: papermill's parameters in Rust\n"),
        ),
        (within("INSTALLER"), "cargo-lab\n".into()),
        (within("entry_points.txt"), format!("[papermill.engine]\nrust = {NAME}:RustEngine\n")),
        (within("RECORD"), format!("{module},,\n{}", record.concat())),
    ]
}

/// The folders of packages of the Pythons under a prefix.
fn packages(prefix: &Path) -> Vec<PathBuf> {
    let pythons = std::fs::read_dir(prefix.join("lib")).into_iter().flatten().flatten();
    let pythons = pythons.filter(|entry| entry.file_name().to_string_lossy().starts_with("python3."));
    let mut found: Vec<PathBuf> = pythons.map(|python| python.path().join("site-packages")).filter(|folder| folder.is_dir()).collect();
    found.sort();
    found
}

/// Writes the package for each Python under the prefix; the modules that it wrote.
///
/// # Errors
/// The packages of one cannot be written.
pub fn write(prefix: &Path) -> Result<Vec<PathBuf>, Failure> {
    for folder in packages(prefix) {
        remove_from(&folder);
        for (name, text) in files() {
            let file = folder.join(name);
            let written = file.parent().map_or(Ok(()), std::fs::create_dir_all).and_then(|()| std::fs::write(&file, text));
            written.map_err(|error| Failure::new(format!("{}: {error}", file.display()), "cargo lab kernel install --prefix FOLDER"))?;
        }
    }
    Ok(packages(prefix).into_iter().map(|folder| folder.join(format!("{NAME}.py"))).collect())
}

/// Whether each Python under the prefix has the package as [`write`] would make it.
pub fn is_written(prefix: &Path) -> bool {
    packages(prefix)
        .iter()
        .all(|folder| files().iter().all(|(name, text)| std::fs::read_to_string(folder.join(name)).is_ok_and(|found| found == *text)))
}

/// Removes the package; the modules that are gone.
pub fn remove(prefix: &Path) -> Vec<PathBuf> {
    packages(prefix).into_iter().filter(|folder| remove_from(folder)).map(|folder| folder.join(format!("{NAME}.py"))).collect()
}

/// Removes it from the packages of one Python, whatever its version; whether it was there.
fn remove_from(folder: &Path) -> bool {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with(&format!("{NAME}-")) && name.ends_with(".dist-info") {
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
    std::fs::remove_file(folder.join(format!("{NAME}.py"))).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_python_of_a_prefix_has_the_package_once_and_then_not() {
        let prefix = tempfile::tempdir().unwrap();
        assert!(write(prefix.path()).ok().unwrap().is_empty() && is_written(prefix.path()));
        let folders = ["python3.9", "python3.12"].map(|name| prefix.path().join("lib").join(name).join("site-packages"));
        folders.iter().for_each(|folder| std::fs::create_dir_all(folder.join(format!("{NAME}-0.0.1.dist-info"))).unwrap());
        std::fs::create_dir_all(prefix.path().join("lib/other/site-packages")).unwrap();
        assert!(!is_written(prefix.path()));
        assert_eq!(write(prefix.path()).ok().unwrap().len(), 2);
        assert!(is_written(prefix.path()) && folders.iter().all(|folder| std::fs::read_dir(folder).unwrap().count() == 2));
        assert!(folders[0].join(format!("{NAME}-{}.dist-info/entry_points.txt", env!("CARGO_PKG_VERSION"))).exists());
        assert_eq!(remove(prefix.path()).len(), 2);
        assert!(folders.iter().all(|folder| std::fs::read_dir(folder).unwrap().count() == 0) && remove(prefix.path()).is_empty());
    }
}
