//! evcxr with the companion in it, and the process of the cells: started, and warmed up.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;

use evcxr::{CommandContext, EvalContext};

use crate::kernel::engine::output::Output;
use crate::kernel::messages::lost::Lost;
use crate::kernel::prepare::{analysis, companion, path, support, unpack};
use crate::kernel::process::runner;
use crate::kernel::shared::Shared;
use crate::spawn;

/// Items that every cell sees. An expression is shown through a trait, which saves evcxr a failing build; the error of a
/// `?` is marked, since evcxr only prints it, by `eprintln!("{}", error)` with exactly this name. The first `?` of a session
/// makes evcxr compile twice, so it stands here.
pub const PRELUDE: &str = include_str!("../../../assets/child/prelude.cell");

/// evcxr and what belongs to it.
pub struct Engine {
    pub context: CommandContext,
    pub output: Output,
    /// The manifest of the companion for rust-analyzer.
    pub analysis: PathBuf,
    pub lost: Lost,
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
        let libraries = support::library_folder()?;
        let support = support::library(&root, &libraries)?;
        let companion = companion::ready(&root)?;
        let mut command = Command::new(std::env::current_exe().map_err(|error| error.to_string())?);
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let mut paths = vec![companion.library.parent().unwrap_or(&root).to_path_buf(), libraries];
        let variable = if cfg!(target_os = "macos") { "DYLD_LIBRARY_PATH" } else { "LD_LIBRARY_PATH" };
        paths.extend(std::env::var_os(variable).iter().flat_map(std::env::split_paths));
        command
            .env(variable, std::env::join_paths(paths).map_err(|error| error.to_string())?)
            .env("FINETUNING_KERNEL", "1")
            .env("FINETUNING_INTERRUPT", shared.interrupt.flag())
            .env("FINETUNING_HEARTBEAT", shared.interrupt.heartbeat())
            .env("FINETUNING_COMMS", shared.comms.folder())
            .env("FINETUNING_BACKTRACE", std::env::var("RUST_BACKTRACE").unwrap_or_else(|_| "0".into()))
            .env(runner::SUPPORT, support)
            .env(runner::COMPANION, &companion.library);
        spawn::tie(&mut command);
        let analysis = analysis::manifest(&root, &companion)?;
        let level = analysis::optimization_level("1", &analysis);
        shared.session.configure(&level)?;
        let (mut context, outputs) = EvalContext::with_subprocess_command(command).map_err(|error| error.to_string())?;
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
        // Already so, unless the notebook's folder has a configuration of evcxr, which goes before ours.
        state.set_opt_level(&level).map_err(|error| error.to_string())?;
        context.eval_with_state(PRELUDE, state).map_err(|error| error.to_string())?;
        Ok(Engine {
            context: CommandContext::with_eval_context(context),
            output,
            analysis,
            lost: Lost::default(),
            shared: Arc::clone(shared),
        })
    }

    /// Makes rust-analyzer read what the first cells will need.
    pub fn warm_up(&mut self) {
        let cell = "use finetuning::*; let words: Vec<_> = \"a b\".split(' ').map(String::from).collect(); words.";
        let _ = catch_unwind(AssertUnwindSafe(|| self.context.completions(cell, cell.len())));
    }
}
