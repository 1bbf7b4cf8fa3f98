//! The companion's source → manifests for rust-analyzer, which finds the types of a cell's variables.
//!
//! rust-analyzer sees the companion and the few crates whose types it passes on, with the features they are built with
//! and nothing of what these need themselves: the types are plainly written, and all 250 crates would cost seconds in
//! every kernel. Nothing is compiled by these manifests.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value as Json;
use toml_edit::{Array, DocumentMut, InlineTable, Item, Table, Value};

use crate::kernel::prepare::companion::Companion;
use crate::kernel::prepare::fresh;
use crate::kernel::prepare::package::{Package, Source};
use crate::kernel::prepare::unpack::checksum;
use crate::spawn;

/// The crates whose types reach cells: tensors and devices, data frames.
const PASSED_ON: [&str; 4] = ["candle-core", "polars", "polars-core", "polars-utils"];

/// The folder of the companion's manifest; written when a manifest of the workspace has changed.
pub fn manifest(root: &Path, companion: &Companion) -> Result<PathBuf, String> {
    let features = features(root);
    let mut key = companion.source.as_os_str().as_encoded_bytes().to_vec();
    key.extend(features.concat().as_bytes());
    for file in ["Cargo.lock", "Cargo.toml", "lib/Cargo.toml"] {
        key.extend(std::fs::read(root.join(file)).unwrap_or_default());
    }
    let folder = root.join(".lab").join(format!("analysis-{:08x}", checksum(&key)));
    fresh::once(&folder, |fresh| {
        // Without the metadata only the companion's own types are known.
        write(fresh, companion, &features, &crates(root).unwrap_or_default()).map_err(|error| format!("{}: {error}", folder.display()))
    })?;
    Ok(folder.join("finetuning"))
}

/// The features of the companion, but that of CUDA: what belongs to a feature that is off is no type here.
fn features(root: &Path) -> Vec<String> {
    let manifest = std::fs::read_to_string(root.join("lib/Cargo.toml")).unwrap_or_default();
    let manifest: DocumentMut = manifest.parse().unwrap_or_default();
    let table = manifest.get("features").and_then(Item::as_table_like);
    let names = table.into_iter().flat_map(|table| table.iter().map(|(name, _)| name.to_string()));
    names.filter(|name| !["default", "cuda"].contains(&name.as_str())).collect()
}

/// The crates whose types reach cells: those of the package, else as cargo resolved them.
pub fn crates(root: &Path) -> Option<Vec<Source>> {
    if let Some(package) = Package::own() {
        return Some(package.crates.clone());
    }
    let run = |program: &str, words: &[&str]| spawn::output(Command::new(program).args(words).current_dir(root), program).ok();
    // Crates of other platforms are not on this machine.
    let host = run("rustc", &["--print", "host-tuple"])?;
    let metadata = run("cargo", &["metadata", "--format-version=1", "--offline", "--filter-platform", host.trim()])?;
    let metadata: Json = serde_json::from_str(&metadata).ok()?;
    let text = |value: &Json| value.as_str().unwrap_or_default().to_string();
    let array = |value: &Json| value.as_array().cloned().unwrap_or_default();
    let packages: HashMap<String, Json> = array(&metadata["packages"]).into_iter().map(|package| (text(&package["id"]), package)).collect();
    let name_of = |id: &Json| packages.get(&text(id)).map(|package| text(&package["name"])).unwrap_or_default();
    let nodes = array(&metadata["resolve"]["nodes"]).into_iter().filter(|node| PASSED_ON.contains(&name_of(&node["id"]).as_str()));
    let found = nodes.filter_map(|node| {
        let package = packages.get(&text(&node["id"]))?;
        let is_library =
            |target: &Json| array(&target["kind"]).iter().any(|kind| ["lib", "rlib"].contains(&kind.as_str().unwrap_or_default()));
        let target = array(&package["targets"]).into_iter().find(is_library)?;
        Some(Source {
            name: text(&package["name"]),
            library: text(&target["name"]),
            edition: text(&package["edition"]),
            source: text(&target["src_path"]).into(),
            features: array(&node["features"]).iter().map(text).filter(|feature| feature != "default").collect(),
            dependencies: array(&node["deps"])
                .iter()
                .map(|dependency| name_of(&dependency["pkg"]))
                .filter(|name| PASSED_ON.contains(&name.as_str()))
                .collect(),
        })
    });
    Some(found.collect())
}

fn write(folder: &Path, companion: &Companion, features: &[String], crates: &[Source]) -> std::io::Result<()> {
    let own = Source {
        name: "finetuning".into(),
        library: "finetuning".into(),
        edition: "2024".into(),
        source: companion.source.clone(),
        features: features.to_vec(),
        dependencies: crates.iter().map(|found| found.name.clone()).collect(),
    };
    for found in crates.iter().chain([&own]) {
        let mut manifest = DocumentMut::new();
        manifest["workspace"] = Item::Table(Table::new());
        manifest["package"] =
            section([("name", found.name.as_str().into()), ("version", "0.0.0".into()), ("edition", found.edition.as_str().into())]);
        manifest["lib"] = section([("name", found.library.as_str().into()), ("path", found.source.to_string_lossy().into_owned().into())]);
        let features = found.features.iter().map(|feature| (feature.as_str(), Array::new().into()));
        manifest["features"] = section(features.chain([("default", found.features.iter().collect::<Array>().into())]));
        manifest["dependencies"] = section(found.dependencies.iter().map(|name| (name.as_str(), on_folder(Path::new("..").join(name)))));
        let folder = folder.join(&found.name);
        std::fs::create_dir_all(&folder)?;
        std::fs::write(folder.join("Cargo.toml"), manifest.to_string())?;
    }
    Ok(())
}

fn section<'a>(entries: impl IntoIterator<Item = (&'a str, Value)>) -> Item {
    Item::Table(entries.into_iter().map(|(key, value)| (key, Item::Value(value))).collect())
}

/// A dependency on the crate in a folder.
fn on_folder(folder: impl AsRef<Path>) -> Value {
    let path = Value::from(folder.as_ref().to_string_lossy().into_owned());
    Value::InlineTable(InlineTable::from_iter([("path", path)]))
}

/// The text that evcxr writes as the optimization level of its manifest, followed by all that its manifest lacks.
///
/// evcxr has no way to name a crate for rust-analyzer alone. Cargo does not look at development dependencies when it
/// builds a cell; rust-analyzer does. The rest of evcxr's own section ends in a profile that is not used. The profile here
/// takes two thirds of the time of evcxr's own for a usual cell.
pub fn optimization_level(level: &str, manifest: &Path) -> String {
    format!(
        "{level}\ndebug = false\nstrip = \"debuginfo\"\nrpath = true\nlto = false\ndebug-assertions = true\ncodegen-units = 1\npanic = \"unwind\"\n\
         incremental = false\noverflow-checks = true\n[dev-dependencies]\nfinetuning = {}\n[profile.release]",
        on_folder(manifest)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_crates_that_are_passed_on_are_found() {
        let found = crates(&crate::kernel::prepare::path::root()).unwrap();
        for name in PASSED_ON {
            let found = found.iter().find(|found| found.name == name).unwrap_or_else(|| panic!("{name}"));
            assert!(found.source.exists(), "{}", found.source.display());
        }
        let features = features(&crate::kernel::prepare::path::root());
        for name in ["course", "documents", "quality"] {
            assert!(features.iter().any(|feature| feature == name), "{name} is none of {features:?}");
        }
    }
}
