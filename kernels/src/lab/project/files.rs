//! The texts of a notebook's cells → the files beside it that they name, which a program that runs elsewhere needs as well.

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};

use notebooks::{Kind, NotebookCell};

/// More than this is no example's data: it stays where it is.
const LIMIT: u64 = 64 << 20;
/// How many files a folder may have that comes along.
const FILES: usize = 500;

/// What comes along, as seen from the notebook's folder, and what is named but too large.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Files {
    pub taken: BTreeSet<PathBuf>,
    pub left: BTreeSet<PathBuf>,
}

/// The files and folders below `home` that stand between quotes in a cell.
pub fn named(cells: &[NotebookCell], home: &Path) -> Files {
    let (mut files, mut total) = (Files::default(), 0);
    for cell in cells.iter().filter(|cell| cell.kind == Kind::Code) {
        // Every second piece is a text; of others, whether they name a file is a question to the disk.
        for text in cell.source.split('"').filter(|text| (1..200).contains(&text.len()) && !text.contains('\n')) {
            let path = Path::new(text);
            let plain = path.components().all(|part| matches!(part, Component::Normal(name) if !name.to_string_lossy().starts_with('.')));
            if !plain || files.taken.contains(path) {
                continue;
            }
            let mut found = Vec::new();
            let bytes = below(home, path, &mut found);
            match bytes {
                0 => {}
                _ if found.len() > FILES || total + bytes > LIMIT => {
                    files.left.insert(path.into());
                }
                _ => {
                    total += bytes;
                    files.taken.extend(found);
                }
            }
        }
    }
    files
}

/// The files of a path and their bytes.
fn below(home: &Path, path: &Path, found: &mut Vec<PathBuf>) -> u64 {
    let Ok(about) = std::fs::metadata(home.join(path)) else { return 0 };
    if about.is_file() {
        found.push(path.into());
        return about.len();
    }
    let mut bytes = 0;
    for entry in std::fs::read_dir(home.join(path)).into_iter().flatten().flatten() {
        if found.len() > FILES {
            break;
        }
        bytes += below(home, &path.join(entry.file_name()), found);
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_cell_names_comes_along_but_nothing_hidden_outside_or_huge() {
        let home = tempfile::tempdir().unwrap();
        for (file, length) in [("a b.csv", 3), ("pages/one.md", 2), (".secret", 1), ("unnamed", 1)] {
            std::fs::create_dir_all(home.path().join(file).parent().unwrap()).unwrap();
            std::fs::write(home.path().join(file), vec![0; length]).unwrap();
        }
        std::fs::File::create(home.path().join("huge")).unwrap().set_len(LIMIT + 1).unwrap();
        let source = "load(\"a b.csv\", \"pages\", \".secret\", \"../x\", \"/etc/hosts\", \"huge\", \"none\", \".\")";
        let files = named(&[NotebookCell::new(Kind::Code, "", source)], home.path());
        assert_eq!(files.taken, ["a b.csv", "pages/one.md"].map(PathBuf::from).into());
        assert_eq!(files.left, ["huge"].map(PathBuf::from).into());
        assert_eq!(named(&[NotebookCell::new(Kind::Markdown, "", source)], home.path()), Files::default());
    }
}
