//! evcxr's configuration files → how the cells are compiled, and what runs before the first of them.
//!
//! As in the stock kernel: `evcxr.toml` of the notebook's folder, or else of evcxr's own folder, and where it names no
//! dependencies or no prelude, `init.evcxr` and `prelude.rs` of evcxr's own folder. The folder where evcxr compiles is the
//! session's, whatever they say.

use std::path::{Path, PathBuf};

use toml_edit::{DocumentMut, Item, Table, Value};

/// evcxr's own folder, in the environment of a kernel whose evcxr looks elsewhere.
pub const FOLDER: &str = "FINETUNING_EVCXR_CONFIG";

/// What the files say.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The level of optimization, if they name one.
    pub level: Option<String>,
    /// The lines of evcxr's section that are for evcxr itself.
    section: String,
    /// Runs before the first cell, each part with the name of its file.
    pub first: Vec<(String, String)>,
    /// The file that cannot be read, and why.
    pub wrong: Option<String>,
}

impl Settings {
    /// Reads them, for a notebook in this folder.
    pub fn read(notebook: &Path) -> Settings {
        let own = std::env::var_os(FOLDER).map(PathBuf::from);
        Settings::of(notebook, own.as_deref())
    }

    fn of(notebook: &Path, own: Option<&Path>) -> Settings {
        let files = [Some(notebook), own].into_iter().flatten().map(|folder| folder.join("evcxr.toml"));
        let text = files.filter(|file| file.exists()).map(|file| (std::fs::read_to_string(&file), file)).next();
        let (mut settings, mut file) = (Settings::default(), String::new());
        let mut document = DocumentMut::new();
        if let Some((text, path)) = text {
            file = path.display().to_string();
            match text
                .map_err(|error| error.to_string())
                .and_then(|text| text.parse().map_err(|error: toml_edit::TomlError| error.to_string()))
            {
                Ok(read) => document = read,
                Err(error) => settings.wrong = Some(format!("{file} is left out: {}\nmend it and restart the kernel", error.trim_end())),
            }
        }
        settings.take(&document);
        let dependencies = document.get("dependencies").and_then(Item::as_table_like);
        let lines = dependencies.into_iter().flat_map(|table| table.iter());
        let lines: String = lines.filter_map(|(name, item)| Some(format!(":dep {name} = {}\n", inline(item)?))).collect();
        let named = |name: &str| {
            std::fs::read_to_string(own?.join(name)).ok().map(|text| (own.unwrap_or(notebook).join(name).display().to_string(), text))
        };
        let prelude = document.get("evcxr").and_then(|section| section.get("prelude")).and_then(Item::as_str).map(str::to_string);
        let first = if lines.is_empty() { named("init.evcxr") } else { Some((file.clone(), lines)) };
        settings.first.extend(first);
        settings.first.extend(prelude.map(|text| (file, text)).or_else(|| named("prelude.rs")));
        settings
    }

    /// Takes what evcxr's section says of compiling.
    fn take(&mut self, document: &DocumentMut) {
        let Some(section) = document.get("evcxr").and_then(Item::as_table_like) else { return };
        self.level = section.get("opt_level").and_then(Item::as_str).map(str::to_string);
        for name in ["preserve_vars_on_panic", "offline_mode", "allow_static_linking", "sccache"] {
            if let Some(value) = section.get(name).and_then(Item::as_value) {
                self.section += &format!("{name} = {}\n", value.to_string().trim());
            }
        }
    }

    /// The file that evcxr reads, with this level of optimization.
    pub fn file(&self, level: &str) -> String {
        format!("[evcxr]\nopt_level = {}\n{}", Value::from(level), self.section)
    }
}

/// A dependency as evcxr reads it behind `:dep`: on one line.
fn inline(item: &Item) -> Option<String> {
    let value = match item {
        Item::Table(table) => Value::InlineTable(Table::into_inline_table(table.clone())),
        item => item.as_value()?.clone(),
    };
    Some(value.to_string().lines().map(str::trim).collect::<Vec<_>>().join(" ").trim().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_notebooks_folder_goes_first_and_each_part_has_its_fallback() {
        let home = tempfile::tempdir().unwrap();
        let (notebook, own) = (home.path().join("n"), home.path().join("own"));
        std::fs::create_dir(&notebook).and_then(|()| std::fs::create_dir(&own)).unwrap();
        let read = || Settings::of(&notebook, Some(&own));
        assert_eq!(read(), Settings::default());
        std::fs::write(own.join("init.evcxr"), ":opt 2\n").unwrap();
        std::fs::write(own.join("prelude.rs"), "fn p() {}").unwrap();
        std::fs::write(own.join("evcxr.toml"), "[evcxr]\nopt_level = \"3\"\n").unwrap();
        let file = |name: &str| own.join(name).display().to_string();
        assert_eq!(read().first, [(file("init.evcxr"), ":opt 2\n".to_string()), (file("prelude.rs"), "fn p() {}".into())]);
        assert_eq!(read().level.as_deref(), Some("3"));
        let text = "[evcxr]\nprelude = \"let a = 1;\"\ntmpdir = \"/t\"\noffline_mode = true\n[dependencies]\na = \"1\"\n[dependencies.b]\npath = \"../b\"\nfeatures = [\n \"x\" ]\n";
        std::fs::write(notebook.join("evcxr.toml"), text).unwrap();
        let (file, settings) = (notebook.join("evcxr.toml").display().to_string(), read());
        let lines = ":dep a = \"1\"\n:dep b = { path = \"../b\", features = [ \"x\" ] }\n";
        assert_eq!(settings.first, [(file.clone(), lines.to_string()), (file, "let a = 1;".into())]);
        assert_eq!((settings.level.as_deref(), settings.file("1").as_str()), (None, "[evcxr]\nopt_level = \"1\"\noffline_mode = true\n"));
        std::fs::write(notebook.join("evcxr.toml"), "[evcxr\n").unwrap();
        let wrong = read().wrong.unwrap();
        assert!(wrong.contains("n/evcxr.toml is left out: ") && wrong.ends_with("restart the kernel"), "{wrong}");
        assert_eq!(read().first.len(), 2);
    }
}
