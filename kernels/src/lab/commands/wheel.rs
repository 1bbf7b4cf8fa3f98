//! `cargo lab wheel`: a folder that is set up → a Python wheel with the kernel, its kernelspecs and the prepared companion.
//!
//! After `pip install` of it, in any environment and without a network, Jupyter has Rust cells that need Rust alone; nothing is compiled
//! before the first of them.

use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use notebooks::ipynb::{KERNEL_DISPLAY_NAME, KERNEL_NAME};
use toml_edit::{Array, DocumentMut};

use crate::kernel::prepare::companion::cargo;
use crate::kernel::prepare::package::Compiler;
use crate::lab::failure::Failure;
use crate::lab::machine::archive::{self, Part, Written};
use crate::lab::machine::steps::{Done, step};
use crate::lab::machine::{kernelspec, package};
use crate::lab::paths::Paths;
use crate::spawn;

/// The name of the package, as pip writes it in files.
const NAME: &str = "finetuning_kernel";
/// What Jupyter calls, and what it imports.
const START: &str = include_str!("../../../assets/package/start.py");
/// The folders of the tree that the companion is made of, and what it reads.
const TREE: [&str; 4] = ["lib/", "notebooks/data/", "notebooks/models/", "notebooks/pictures/"];
/// The members of the workspace in a wheel.
const MEMBERS: [&str; 3] = ["lib", "lib/compute", "lib/unify"];

/// Writes the wheel into a folder.
///
/// # Errors
/// Something cannot be built or written.
pub fn wheel(paths: &Paths, folder: &Path) -> Result<(), Failure> {
    let version = env!("CARGO_PKG_VERSION");
    let (builds, compiler) = package::build(paths, &format!("{NAME}/"))?;
    let only = |name: &str| TREE.iter().any(|start| name.starts_with(start));
    let mut parts = package::tree(paths, &format!("{NAME}/"), &only);
    for (name, text) in workspace(paths)? {
        parts.push(Part::text(format!("{NAME}/{name}"), text));
    }
    parts.extend(builds);
    parts.push(Part::text(
        format!("{NAME}/__init__.py"),
        "\"\"\"Rust cells for Jupyter, with the companion crate of the finetuning course.\"\"\"\n",
    ));
    parts.push(Part::text(format!("{NAME}/__main__.py"), START));
    for (name, shown) in [("rust", "Rust"), (KERNEL_NAME, KERNEL_DISPLAY_NAME)] {
        let place = |file: &str| format!("{NAME}-{version}.data/data/share/jupyter/kernels/{name}/{file}");
        parts.push(Part::text(place("kernel.json"), format!("{:#}\n", kernelspec::of_module(shown, NAME))));
        parts.extend(kernelspec::LOGOS.iter().map(|(file, bytes)| Part::text(place(file), *bytes)));
    }
    let tag = tag(&compiler)?;
    let about = format!("{NAME}-{version}.dist-info");
    parts.push(Part::text(format!("{about}/METADATA"), metadata(&compiler)));
    parts.push(Part::text(
        format!("{about}/WHEEL"),
        format!("Wheel-Version: 1.0\nGenerator: cargo-lab ({version})\nRoot-Is-Purelib: false\nTag: {tag}\n"),
    ));
    let file = folder.join(format!("{NAME}-{version}-{tag}.whl"));
    step("wheel", || {
        let bytes = archive::write(&file, &parts, |written| vec![Part::text(format!("{about}/RECORD"), record(written, &about))])?;
        Ok(Done::Made(format!("{:.0} MB in {}", bytes as f64 / 1e6, file.display())))
    })?;
    println!("to install it in an environment with Jupyter: pip install --no-index {}", file.display());
    Ok(())
}

/// The platforms on which pip takes the wheel.
fn tag(compiler: &Compiler) -> Result<String, Failure> {
    let machine = std::env::consts::ARCH;
    match std::env::consts::OS {
        "linux" => Ok(format!("py3-none-linux_{machine}")),
        "macos" => Ok(format!("py3-none-macosx_11_0_{}", if machine == "aarch64" { "arm64" } else { machine })),
        _ => Err(format!("there is no name for wheels of {}", compiler.host).into()),
    }
}

fn metadata(compiler: &Compiler) -> String {
    format!(
        "Metadata-Version: 2.1\nName: finetuning-kernel\nVersion: {}\nSummary: Rust cells for Jupyter, with the companion crate of the \
         finetuning course\nLicense: MIT OR Apache-2.0\nRequires-Python: >=3.9\n\nMade by rustc {} ({}). With another compiler the first cell \
         compiles the companion once.\n",
        env!("CARGO_PKG_VERSION"),
        compiler.version,
        compiler.commit
    )
}

/// pip's list of files and checksums.
fn record(written: &[Written], about: &str) -> String {
    let line = |part: &Written| format!("{},sha256={},{}\n", part.name, URL_SAFE_NO_PAD.encode(part.sha256), part.size);
    let lines: String = written.iter().map(line).collect();
    format!("{lines}{about}/RECORD,,\n")
}

/// The manifest and the lock file of a workspace of the companion alone, for another compiler than the package's.
fn workspace(paths: &Paths) -> Result<[(&'static str, String); 2], Failure> {
    let read = |name: &str| std::fs::read_to_string(paths.root.join(name)).map_err(|error| Failure::from(format!("{name}: {error}")));
    let text = reduced(&read("Cargo.toml")?).map_err(|error| Failure::from(format!("Cargo.toml: {error}")))?;
    let folder = tempfile::tempdir().map_err(|error| format!("a temporary folder: {error}"))?;
    let copied = || -> std::io::Result<()> {
        for file in package::files(&paths.root.join("lib")) {
            let to = folder.path().join(file.strip_prefix(&paths.root).unwrap_or(&file));
            std::fs::create_dir_all(to.parent().unwrap_or(folder.path()))?;
            std::fs::copy(&file, to)?;
        }
        std::fs::write(folder.path().join("Cargo.toml"), &text)?;
        std::fs::copy(paths.root.join("Cargo.lock"), folder.path().join("Cargo.lock")).map(drop)
    };
    copied().map_err(|error| Failure::from(format!("{}: {error}", folder.path().display())))?;
    // cargo takes out of the lock file what only the other members need.
    let mut cargo = cargo();
    cargo.args(["update", "--workspace", "--offline", "--quiet"]).current_dir(folder.path());
    spawn::output(&mut cargo, "cargo does not know the crates of the companion")?;
    let lock = std::fs::read_to_string(folder.path().join("Cargo.lock")).map_err(|error| format!("Cargo.lock: {error}"))?;
    Ok([("Cargo.toml", text), ("Cargo.lock", lock)])
}

/// A manifest with the companion's members alone.
fn reduced(manifest: &str) -> Result<String, toml_edit::TomlError> {
    let mut manifest: DocumentMut = manifest.parse()?;
    manifest["workspace"]["members"] = toml_edit::value(MEMBERS.into_iter().collect::<Array>());
    Ok(manifest.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_what_pip_reads() {
        let written = [Written { name: "a/b.py".into(), size: 3, sha256: [0; 32] }];
        let text = record(&written, "x.dist-info");
        assert_eq!(text, "a/b.py,sha256=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA,3\nx.dist-info/RECORD,,\n");
    }

    #[test]
    fn a_wheels_workspace_has_the_companion_and_its_profile() {
        let text = reduced(include_str!("../../../../Cargo.toml")).unwrap();
        let read: DocumentMut = text.parse().unwrap();
        let members: Vec<_> = read["workspace"]["members"].as_array().unwrap().iter().filter_map(|member| member.as_str()).collect();
        assert_eq!(members, MEMBERS);
        assert!(read["profile"]["dev"]["opt-level"].is_integer() && read["workspace"]["dependencies"]["candle-core"].is_str());
    }
}
