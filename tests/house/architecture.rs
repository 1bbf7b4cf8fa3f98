//! The house rules that a machine can check: file size, headers, import order, no gradient-free operation.

use std::path::{Path, PathBuf};

use crate::support::root;

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files
}

fn all_files() -> Vec<PathBuf> {
    ["lib", "kernels", "tests", "notebooks/src"].iter().flat_map(|folder| rust_files(&root().join(folder))).collect()
}

#[test]
fn files_are_short_and_open_with_a_header() {
    let files = all_files();
    assert!(files.len() > 30);
    for path in files {
        let text = std::fs::read_to_string(&path).unwrap();
        let lines = text.lines().count();
        assert!(lines <= 400, "{}: {lines} lines", path.display());
        assert!(text.starts_with("//!"), "{}: the first line is no header", path.display());
    }
}

/// The modules of `lib.rs` in their order.
fn order() -> Vec<String> {
    let text = std::fs::read_to_string(root().join("lib/src/lib.rs")).unwrap();
    text.lines()
        .filter_map(|line| line.strip_prefix("pub ").unwrap_or(line).strip_prefix("mod ")?.strip_suffix(';').map(String::from))
        .collect()
}

#[test]
fn imports_point_one_way() {
    let order = order();
    assert!(order.len() >= 10, "{order:?}");
    let place = |name: &str| order.iter().position(|module| module == name);
    for path in rust_files(&root().join("lib/src")) {
        let relative = path.strip_prefix(root().join("lib/src")).unwrap().to_path_buf();
        let own = relative.iter().next().unwrap().to_str().unwrap().trim_end_matches(".rs");
        let Some(own_place) = place(own) else { continue };
        for line in std::fs::read_to_string(&path).unwrap().lines() {
            let Some(rest) = line.trim().strip_prefix("use crate::") else { continue };
            let module = rest.split([':', ';']).next().unwrap();
            let other = place(module).unwrap_or_else(|| panic!("{}: unknown module in `{line}`", path.display()));
            assert!(other <= own_place, "{}: `{module}` comes after `{own}` in lib.rs", path.display());
        }
    }
}

#[test]
fn no_operation_without_a_gradient() {
    for path in rust_files(&root().join("lib/src")) {
        let text = std::fs::read_to_string(&path).unwrap();
        for line in text.lines().filter(|line| !line.trim_start().starts_with("//")) {
            for forbidden in ["softmax_last_dim", "candle_nn::LayerNorm", "candle_nn::layer_norm", "rotary_emb::rope(", "RmsNorm"] {
                assert!(!line.contains(forbidden), "{}: `{forbidden}` has no backward pass: {line}", path.display());
            }
        }
    }
}

#[test]
fn unsafe_code_stays_in_its_files() {
    let word = format!("{}{}", "unsafe", " {");
    for path in rust_files(&root().join("lib")) {
        let text = std::fs::read_to_string(&path).unwrap();
        let found = text.contains(&word);
        assert!(!found || path.ends_with("model/simd.rs"), "{}", path.display());
    }
}
