//! evcxr with the companion in it, and the process of the cells: started, and warmed up.

use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;

use evcxr::{CommandContext, EvalContext};

use crate::kernel::engine::output::Output;
use crate::kernel::interrupt;
use crate::kernel::marks::{MARKS, Marks};
use crate::kernel::messages::again::Again;
use crate::kernel::messages::lost::Lost;
use crate::kernel::prepare::package::Package;
use crate::kernel::prepare::settings::Settings;
use crate::kernel::prepare::{analysis, companion, path, support, unpack};
use crate::kernel::process::runner;
use crate::kernel::rewrite::record::{self, Record};
use crate::kernel::rewrite::rustc;
use crate::kernel::shared::Shared;
use crate::spawn;

/// Names the folder with the lessons' models and data, for the companion.
const ASSETS: &str = "FINETUNING_ASSETS";
/// Items that every cell sees. An expression is shown through a trait, which saves evcxr a failing build; the tokens that evcxr's
/// code prints, and the error of a `?`, which it prints by `eprintln!("{}", error)` with exactly this name, are known by these
/// words and become marks. The first `?` of a session makes evcxr compile twice, so it stands here.
const PRELUDE: &str = include_str!("../../../assets/child/prelude.cell");

/// How the value of the last expression is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Show {
    /// Such as `{:?}`.
    pub format: String,
    /// Whether its type stands in front of it.
    pub types: bool,
    /// Whether a cell has a trait with `evcxr_display`, which would be as near as the prelude's own.
    pub by_trait: bool,
}

impl Default for Show {
    fn default() -> Show {
        Show { format: "{:?}".into(), types: false, by_trait: false }
    }
}

impl Show {
    /// Where the module stands in the prelude.
    fn shown() -> Range<usize> {
        let end = PRELUDE.find("#[allow(unused_imports)]").unwrap_or(PRELUDE.len());
        PRELUDE.find("mod evcxr_show").unwrap_or(0)..end
    }

    /// What the kernel adds to every session, with this form.
    pub fn prelude(&self) -> String {
        let Range { start, end } = Show::shown();
        format!("{}{}{}", &PRELUDE[..start], self.module(), &PRELUDE[end..])
    }

    /// The prelude's module that shows a value, in this form.
    pub fn module(&self) -> String {
        let bound = match self.format.trim_end_matches('}').chars().last() {
            Some('?') => "Debug",
            Some('x') => "LowerHex",
            Some('X') => "UpperHex",
            Some('b') => "Binary",
            Some('o') => "Octal",
            Some('e') => "LowerExp",
            _ => "Display",
        };
        let value = format!("::std::format!({:?}, self)", self.format);
        let typed = format!("::std::format!({:?}, ::std::any::type_name::<T>(), self)", format!(": {{}} = {}", self.format));
        PRELUDE[Show::shown()]
            // One reference further away than the trait of a cell.
            .replace("EvcxrShow for T", if self.by_trait { "EvcxrShow for &T" } else { "EvcxrShow for T" })
            .replace("::std::fmt::Debug", &format!("::std::fmt::{bound}"))
            .replace("::std::format!(\"{:?}\", self)", if self.types { &typed } else { &value })
    }
}

/// evcxr and what belongs to it.
pub struct Engine {
    pub context: CommandContext,
    pub output: Output,
    /// The manifest of the companion for rust-analyzer.
    pub analysis: PathBuf,
    pub lost: Lost,
    /// The number of the last good run of a cell, by its identity in the notebook.
    pub runs: HashMap<String, u64>,
    /// The macros of dependencies that make no items.
    pub statements: HashSet<String>,
    /// What would make lost variables again.
    pub again: Again,
    pub marks: Marks,
    pub record: Record,
    /// How results are shown, by `:fmt` and `:types`.
    pub show: Show,
    /// What went wrong before the first cell, for its user to see.
    pub untold: Vec<String>,
    /// What the front end shall write in the place of the cell.
    pub next_input: Option<String>,
    pub shared: Arc<Shared>,
}

impl Engine {
    /// Starts evcxr with the companion, and the process of the cells.
    ///
    /// # Errors
    /// What is missing, or why evcxr does not start.
    pub fn start(shared: &Arc<Shared>) -> Result<Engine, String> {
        let root = path::root();
        unpack::unpack_std_source(&root)?;
        let libraries = support::library_folder(&root)?;
        let support = support::library(&root, &libraries)?;
        let companion = companion::ready(&root)?;
        let marks = Marks::read(&shared.session.marks())?;
        let program = std::env::current_exe().map_err(|error| error.to_string())?;
        let program = program.to_str().ok_or_else(|| format!("{}: the path of this program is no UTF-8", program.display()))?;
        let folder = shared.session.state();
        let notebook = std::env::current_dir().map_err(|error| format!("the notebook's folder: {error}"))?;
        let mut command = Command::new(program);
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        command.current_dir(&notebook);
        let mut paths = vec![companion.library.parent().unwrap_or(&root).to_path_buf(), libraries];
        let variable = if cfg!(target_os = "macos") { "DYLD_LIBRARY_PATH" } else { "LD_LIBRARY_PATH" };
        paths.extend(std::env::var_os(variable).iter().flat_map(std::env::split_paths));
        command
            .env(variable, std::env::join_paths(paths).map_err(|error| error.to_string())?)
            .env("FINETUNING_KERNEL", "1")
            .env(interrupt::FLAG, shared.interrupt.flag())
            .env("FINETUNING_HEARTBEAT", shared.interrupt.heartbeat())
            .env("FINETUNING_COMMS", shared.comms.folder())
            .env(MARKS, shared.session.marks())
            .env("FINETUNING_BACKTRACE", std::env::var("RUST_BACKTRACE").unwrap_or_else(|_| "0".into()))
            .env(record::FOLDER, &folder)
            .env(runner::SUPPORT, support)
            .env(runner::COMPANION, &companion.library);
        if Package::own().is_some() && std::env::var_os(ASSETS).is_none() {
            // The companion knows the folder that it was compiled in, which is on another machine.
            command.env(ASSETS, root.join("notebooks"));
        }
        spawn::tie(&mut command);
        let analysis = analysis::manifest(&root, &companion)?;
        let settings = Settings::read(&notebook);
        let level = analysis::optimization_level(settings.level.as_deref().unwrap_or("1"), &analysis);
        shared.session.configure(&settings.file(&level))?;
        // A configuration of evcxr in the notebook's folder would go before this one, and name another folder.
        std::env::set_current_dir(shared.session.folder()).map_err(|error| format!("{}: {error}", shared.session.folder().display()))?;
        let started = EvalContext::with_subprocess_command(command);
        std::env::set_current_dir(&notebook).map_err(|error| format!("{}: {error}", notebook.display()))?;
        let (mut context, outputs) = started.map_err(|error| error.to_string())?;
        marks.begin().map_err(|error| format!("{}: {error}", marks.begun().display()))?;
        shared.interrupt.attach(context.process_handle());
        let output = Output::start(outputs, shared);
        let mut state = context.state();
        let flags = [
            "-Cprefer-dynamic".to_string(),
            "--extern".into(),
            format!("finetuning={}", companion.library.display()),
            "-L".into(),
            format!("dependency={}", companion.dependencies.display()),
        ];
        state.set_build_env("CARGO_ENCODED_RUSTFLAGS", &flags.join("\x1f"));
        for (name, value) in [("RUSTC_WORKSPACE_WRAPPER", program), (rustc::WRAPPER, "1"), (record::FOLDER, &folder.to_string_lossy())] {
            state.set_build_env(name, value);
        }
        context.eval_with_state(&marks.prelude(&Show::default().prelude()), state).map_err(|error| error.to_string())?;
        let mut engine = Engine {
            context: CommandContext::with_eval_context(context),
            output,
            analysis,
            lost: Lost::default(),
            again: Again::default(),
            runs: HashMap::new(),
            statements: HashSet::new(),
            marks,
            record: Record::at(folder),
            show: Show::default(),
            untold: settings.wrong.into_iter().collect(),
            next_input: None,
            shared: Arc::clone(shared),
        };
        for (file, code) in settings.first {
            engine.run_first(&file, &code);
        }
        Ok(engine)
    }

    /// Makes rust-analyzer read what the first cells will need.
    pub fn warm_up(&mut self) {
        let cell = "use finetuning::*; let words: Vec<_> = \"a b\".split(' ').map(String::from).collect(); words.";
        let _ = catch_unwind(AssertUnwindSafe(|| self.context.completions(cell, cell.len())));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_format_and_types_change_the_module_that_shows() {
        let module = |format: &str, types: bool| Show { format: format.into(), types, by_trait: types }.module();
        assert!(PRELUDE.contains(&Show::default().module()));
        assert!(
            module("{:#?}", false).contains("T: ::std::fmt::Debug") && module("{:#?}", false).contains("::std::format!(\"{:#?}\", self)")
        );
        assert!(module("{}", true).contains("T: ::std::fmt::Display") && module("{}", true).contains("EvcxrShow for &T {"));
        assert!(module("{}", true).contains("::std::format!(\": {} = {}\", ::std::any::type_name::<T>(), self)"));
    }
}
