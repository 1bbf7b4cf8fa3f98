//! Cells → results. One thread owns evcxr for the kernel's whole life and does one job after the other.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::sync::mpsc::Receiver;

use evcxr::{CommandContext, EvalContext};
use serde_json::json;

use super::errors::Failure;
use super::evaluate::Ran;
use super::lost::Lost;
use super::output::Output;
use super::wire::Request;
use super::{Shared, analysis, assist, runner, warm};

/// Work for the engine.
pub enum Job {
    /// `execute_request`.
    Execute(Request),
    /// `complete_request`.
    Complete(Request),
    /// `inspect_request`.
    Inspect(Request),
}

/// Items that every cell sees. An expression is shown through a trait, which saves evcxr a failing build; the error of a
/// `?` is marked, since evcxr only prints it, by `eprintln!("{}", error)` with exactly this name. The first `?` of a session
/// makes evcxr compile twice, so it stands here.
pub const PRELUDE: &str = r#"
#[allow(unused_macros)]
macro_rules! eprintln {
    ("{}", $error:ident) => { eprintln!(@mark $error "{}" $error) };
    ("{:?}", $error:ident) => { eprintln!(@mark $error "{:?}" $error) };
    (@mark error $format:literal $error:ident) => {{
        ::std::print!("\x02X{}\x03", ::std::format_args!($format, $error));
        let _ = ::std::io::Write::flush(&mut ::std::io::stdout());
    }};
    (@mark $name:ident $format:literal $error:ident) => { ::std::eprintln!($format, $error) };
    ($($rest:tt)*) => { ::std::eprintln!($($rest)*) };
}
mod evcxr_show {
    pub trait EvcxrShow { fn evcxr_display(&self); }
    impl<T: ::std::fmt::Debug + ?Sized> EvcxrShow for T {
        fn evcxr_display(&self) {
            let text = ::std::format!("{:?}", self);
            if text != "()" {
                ::std::print!("EVCXR_BEGIN_CONTENT text/plain\n{text}\nEVCXR_END_CONTENT\n");
            }
        }
    }
}
#[allow(unused_imports)]
use evcxr_show::EvcxrShow as _;
Ok::<(), String>(())?;
"#;

/// evcxr and what belongs to it.
pub struct Engine {
    pub context: CommandContext,
    pub output: Output,
    /// The manifest of the companion for rust-analyzer.
    pub analysis: PathBuf,
    pub lost: Lost,
    pub shared: Arc<Shared>,
}

/// Starts evcxr and works until the queue closes.
pub fn work(shared: &Arc<Shared>, jobs: &Receiver<Job>) {
    let mut engine = catch_unwind(|| Engine::start(shared)).unwrap_or_else(|_| Err("evcxr panicked while it started".into()));
    // The end of the kernel stops a start that is on its way.
    if let Some(error) = engine.as_ref().err().filter(|_| !shared.ending.load(std::sync::atomic::Ordering::SeqCst)) {
        eprintln!("the kernel cannot evaluate cells: {error}");
    }
    let mut first = jobs.try_recv().ok();
    if let (Ok(engine), None) = (&mut engine, &first) {
        engine.warm_up();
    }
    loop {
        if first.is_none() {
            first = jobs.try_recv().ok();
        }
        if first.is_none() {
            give_back_memory();
        }
        let Some(job) = first.take().or_else(|| jobs.recv().ok()) else { return };
        match job {
            Job::Execute(request) => {
                let behind = match &mut engine {
                    Ok(engine) => engine.execute(&request, jobs),
                    Err(error) => refuse(shared, &request, &Failure::new("KernelError", error), jobs),
                };
                abort(shared, behind);
            }
            Job::Complete(request) => shared.serve(&request, || match &mut engine {
                Ok(engine) => assist::complete(&mut engine.context, &request),
                Err(_) => assist::complete_from(&shared.snapshot(), &request),
            }),
            Job::Inspect(request) => shared.serve(&request, || match &mut engine {
                Ok(engine) => assist::inspect(&mut engine.context, &request),
                Err(_) => assist::inspect_from(&shared.snapshot(), &request),
            }),
        }
    }
}

/// Returns freed memory to the system: rust-analyzer allocates and frees hundreds of megabytes, and many kernels share a machine.
fn give_back_memory() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: a call without pointers.
    unsafe {
        libc::malloc_trim(0);
    }
}

/// The jobs that wait behind a cell that failed; none when the client wants them done all the same, or ran it unseen.
fn queued(request: &Request, jobs: &Receiver<Job>) -> Vec<Job> {
    if request.flag("stop_on_error", true) && !request.flag("silent", false) { jobs.try_iter().collect() } else { Vec::new() }
}

/// Answers the cells among the jobs without running them; the other jobs go to the end of the queue.
fn abort(shared: &Shared, jobs: Vec<Job>) {
    for job in jobs {
        match job {
            Job::Execute(request) => shared.serve(&request, || json!({ "status": "aborted", "execution_count": shared.count() })),
            other => shared.queue(other),
        }
    }
}

fn refuse(shared: &Shared, request: &Request, failure: &Failure, jobs: &Receiver<Job>) -> Vec<Job> {
    shared.iopub.status("busy", Some(&request.header));
    shared.iopub.send("error", failure.content(), Some(&request.header));
    let behind = queued(request, jobs);
    reply_error(shared, request, failure);
    shared.iopub.status("idle", Some(&request.header));
    behind
}

fn reply_error(shared: &Shared, request: &Request, failure: &Failure) {
    let mut content = failure.content();
    content["status"] = "error".into();
    content["execution_count"] = shared.count().into();
    content["user_expressions"] = json!({});
    content["payload"] = json!([]);
    request.reply(content);
}

impl Engine {
    fn start(shared: &Arc<Shared>) -> Result<Engine, String> {
        let root = warm::root();
        warm::unpack_std_source(&root)?;
        let libraries = warm::library_folder()?;
        let support = warm::support_library(&root, &libraries)?;
        let companion = warm::ready_companion(&root)?;
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
            .env(super::child::PARENT, std::process::id().to_string())
            .env("FINETUNING_COMMS", shared.comms.folder())
            .env("FINETUNING_BACKTRACE", std::env::var("RUST_BACKTRACE").unwrap_or_else(|_| "0".into()))
            .env(runner::SUPPORT, support)
            .env(runner::COMPANION, &companion.library);
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
    fn warm_up(&mut self) {
        let cell = "use finetuning::*; let words: Vec<_> = \"a b\".split(' ').map(String::from).collect(); words.";
        let _ = catch_unwind(AssertUnwindSafe(|| self.context.completions(cell, cell.len())));
    }

    /// Runs a cell and answers; the jobs it returns were sent before a failure was known.
    fn execute(&mut self, request: &Request, jobs: &Receiver<Job>) -> Vec<Job> {
        let shared = Arc::clone(&self.shared);
        let (iopub, parent) = (&shared.iopub, Some(&*request.header));
        let silent = request.flag("silent", false);
        let code = request.text("code");
        // Before anyone knows of the cell, so that no interrupt comes too early for it.
        shared.interrupt.begin();
        shared.begin(request);
        let number = if !silent && request.flag("store_history", true) { shared.remember(code) } else { shared.count() };
        if !silent {
            iopub.send("execute_input", json!({ "code": code, "execution_count": number }), parent);
        }
        self.output.begin(&request.header);
        let Ran { result, end } = self.evaluate(request, number, code);
        let failure = match result {
            Ok(outputs) if silent || outputs.is_empty() => None,
            Ok(outputs) => {
                let content = json!({ "data": assist::mime_bundle(&outputs), "metadata": {}, "transient": {}, "execution_count": number });
                if let Some(text) = content["data"]["text/plain"].as_str() {
                    super::lock(&shared.history).set_output(number, text);
                }
                iopub.send("execute_result", content, parent);
                None
            }
            Err(failure) => {
                iopub.send("error", failure.content(), parent);
                Some(failure)
            }
        };
        self.settle(request, number, code, end);
        let mut behind = Vec::new();
        match &failure {
            Some(failure) => {
                behind = queued(request, jobs);
                reply_error(&shared, request, failure);
            }
            None => {
                let expressions = self.user_expressions(request, number);
                request.reply(json!({ "status": "ok", "execution_count": number, "user_expressions": expressions, "payload": [] }));
            }
        }
        shared.end(request);
        behind
    }
}
