//! The folders that the commands work in.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::kernel::HISTORY;
use crate::kernel::prepare::path;

/// Where the companion looks for fetched models.
pub const CACHE: &str = "FINETUNING_CACHE";

/// The folders that the commands work in.
#[derive(Debug, Clone)]
pub struct Paths {
    pub root: PathBuf,
    /// The lessons.
    pub notebooks: PathBuf,
    /// All that set-up makes and is not a build of cargo.
    pub lab: PathBuf,
    /// What a running JupyterLab writes; in a repository that others share with us, apart from theirs.
    pub own: PathBuf,
    /// The reader's copies of the lessons, and what their cells write.
    pub work: PathBuf,
}

impl Paths {
    /// The folders of the repository that this program belongs to.
    pub fn find() -> Paths {
        let work = std::env::var_os("FINETUNING_WORK").filter(|folder| !folder.is_empty());
        // JupyterLab starts in this folder, so a name from here would mean another one there.
        let work = work.map(|folder| std::path::absolute(&folder).unwrap_or_else(|_| folder.into()));
        Self::of(path::root(), work, std::env::home_dir())
    }

    /// The folders of a repository; what a user who may not write into it makes lies in `work`, else in their home.
    fn of(root: PathBuf, work: Option<PathBuf>, home: Option<PathBuf>) -> Paths {
        let lab = root.join(".lab");
        let shared = !can_write(if lab.exists() { &lab } else { &root });
        let home = home.filter(|_| shared).map(|home| home.join("finetuning"));
        let work = work.or(home).unwrap_or_else(|| root.join("work"));
        let own = if shared { work.join(".lab") } else { lab.clone() };
        Paths { notebooks: root.join("notebooks"), lab, own, work, root }
    }

    /// Whether the repository is another user's, set up for many.
    pub fn is_shared(&self) -> bool {
        self.own != self.lab
    }

    /// Tells a program that runs kernels where a user of a shared repository keeps the history, and where its models lie.
    pub fn tell(&self, command: &mut Command) {
        if !self.is_shared() {
            return;
        }
        if std::env::var_os(HISTORY).is_none() {
            command.env(HISTORY, self.own.join("history.jsonl"));
        }
        let models = self.lab.join("cache");
        if std::env::var_os(CACHE).is_none() && models.is_dir() {
            command.env(CACHE, models);
        }
    }
}

fn can_write(folder: &Path) -> bool {
    tempfile::tempfile_in(folder).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn in_a_repository_of_others_all_that_is_written_lies_in_the_users_own_folder() {
        let folder = tempfile::tempdir().unwrap();
        let (root, home) = (folder.path().join("shared"), folder.path().join("home"));
        std::fs::create_dir(&root).unwrap();
        let own = Paths::of(root.clone(), None, Some(home.clone()));
        assert_eq!((own.work.clone(), own.own.clone(), own.is_shared()), (root.join("work"), root.join(".lab"), false));
        // A file in the place of the folder: even the superuser cannot write there.
        std::fs::write(root.join(".lab"), "").unwrap();
        let shared = Paths::of(root.clone(), None, Some(home.clone()));
        assert_eq!(
            (shared.work.clone(), shared.own.clone(), shared.is_shared()),
            (home.join("finetuning"), home.join("finetuning/.lab"), true)
        );
        assert_eq!(Paths::of(root, Some(home.clone()), None).own, home.join(".lab"));
        let told = |paths: &Paths| {
            let mut command = Command::new("true");
            paths.tell(&mut command);
            command
                .get_envs()
                .filter_map(|(name, value)| Some((name.to_str()?.to_string(), value?.to_str()?.to_string())))
                .collect::<Vec<_>>()
        };
        assert_eq!(told(&own), []);
        assert_eq!(told(&shared), [(HISTORY.to_string(), home.join("finetuning/.lab/history.jsonl").display().to_string())]);
    }
}
