//! Cells → results. One thread owns evcxr for the kernel's whole life and does one job after the other.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::sync::mpsc::Receiver;

use evcxr::{CommandContext, EvalContext, EvalOutputs};
use serde_json::json;

use super::interrupt::Outcome;
use super::lost::{End, Lost};
use super::output::{Cell, Output};
use super::wire::Request;
use super::{Shared, analysis, assist, errors, runner, warm};
use errors::Failure;

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
/// `?` is marked, since evcxr only prints it, by `eprintln!("{}", error)`. The first `?` of a session makes evcxr compile
/// twice, so it stands here.
const PRELUDE: &str = r#"
#[allow(unused_macros)]
macro_rules! eprintln {
    ("{}", $error:ident) => { ::std::print!("\x02X{}\x03", $error) };
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

struct Engine {
    context: CommandContext,
    output: Output,
    /// The manifest of the companion for rust-analyzer.
    analysis: PathBuf,
    lost: Lost,
    shared: Arc<Shared>,
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

/// The jobs that wait behind a cell that failed; none when the client wants them done all the same.
fn queued(request: &Request, jobs: &Receiver<Job>) -> Vec<Job> {
    if request.flag("stop_on_error", true) { jobs.try_iter().collect() } else { Vec::new() }
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
        shared.begin(request);
        let number = if !silent && request.flag("store_history", true) { shared.remember(code) } else { shared.count() };
        if !silent {
            iopub.send("execute_input", json!({ "code": code, "execution_count": number }), parent);
        }
        self.output.begin(&request.header);
        let (result, cell, outcome) = self.run(request, code);
        let dead = outcome.killed || matches!(&result, Err(evcxr::Error::SubprocessTerminated(_)));
        let failure = match result {
            Ok(outputs) => {
                let failure = self.failure_of_run(&cell, outcome, number, code);
                if failure.is_none() && !silent && !outputs.is_empty() {
                    let content =
                        json!({ "data": assist::mime_bundle(&outputs), "metadata": {}, "transient": {}, "execution_count": number });
                    if let Some(text) = content["data"]["text/plain"].as_str() {
                        super::lock(&shared.history).set_output(number, text);
                    }
                    iopub.send("execute_result", content, parent);
                }
                failure
            }
            Err(error) => Some(failure_of_build(&error, &cell, outcome, number, code, &self.lost)),
        };
        if let Some(failure) = &failure {
            iopub.send("error", failure.content(), parent);
        }
        let before = shared.snapshot();
        shared.set_snapshot(&self.context);
        self.lost.note(before.names(), shared.snapshot().names(), number, code, if dead { End::Dead } else { End::Alive });
        if dead {
            for id in shared.comms.end() {
                iopub.send("comm_close", json!({ "comm_id": id, "data": {} }), parent);
            }
        }
        let mut behind = Vec::new();
        match &failure {
            Some(failure) => {
                behind = queued(request, jobs);
                reply_error(&shared, request, failure);
            }
            None => {
                let expressions = self.user_expressions(request);
                request.reply(json!({ "status": "ok", "execution_count": number, "user_expressions": expressions, "payload": [] }));
            }
        }
        shared.end(request);
        behind
    }

    fn run(&mut self, request: &Request, code: &str) -> (Result<EvalOutputs, evcxr::Error>, Cell, Outcome) {
        let (code, level) = super::scan::without_own_lines(code);
        if let Some(level) = level {
            let _ = self.context.set_opt_level(&analysis::optimization_level(&level, &self.analysis));
        }
        let shared = Arc::clone(&self.shared);
        shared.interrupt.begin();
        let mut callbacks = evcxr::EvalCallbacks { input_reader: &|input| shared.stdin.ask(request, &input.prompt, input.is_password) };
        let evaluated = catch_unwind(AssertUnwindSafe(|| self.context.execute_with_callbacks(&code, &mut callbacks)));
        let result = evaluated.unwrap_or_else(|_| Err(evcxr::Error::Message("evcxr panicked on this cell".into())));
        if result.is_ok() && code.lines().any(|line| line.starts_with(":fmt") || line.starts_with(":types")) {
            // evcxr's own display honours these two, so it takes over.
            let _ = self.context.execute("mod evcxr_show { pub trait EvcxrShow {} }");
        }
        let outcome = shared.interrupt.end();
        (result, self.output.end(), outcome)
    }

    /// evcxr calls a cell good that panicked or whose `?` failed.
    fn failure_of_run(&self, cell: &Cell, outcome: Outcome, number: usize, code: &str) -> Option<Failure> {
        let kept = "\nthe variables of earlier cells are kept; new ones of this cell are not";
        if let Some(panic) = &cell.panic {
            return Some(errors::from_panic(panic, number, code, &self.context.last_source().unwrap_or_default()));
        }
        let error = cell.error.as_ref()?;
        let name = if outcome.interrupted { "KeyboardInterrupt" } else { "Error" };
        let mut failure = Failure::new(name, error);
        failure.traceback.extend(kept.lines().skip(1).map(str::to_string));
        Some(failure)
    }

    fn user_expressions(&mut self, request: &Request) -> serde_json::Value {
        let mut answers = serde_json::Map::new();
        for (name, expression) in request.content["user_expressions"].as_object().into_iter().flatten() {
            let (result, _, _) = self.run(request, expression.as_str().unwrap_or_default());
            let answer = match result {
                Ok(outputs) => json!({ "status": "ok", "data": assist::mime_bundle(&outputs), "metadata": {} }),
                Err(error) => {
                    let mut content = errors::from_evcxr(&error, 0, "", &self.lost).content();
                    content["status"] = "error".into();
                    content
                }
            };
            answers.insert(name.clone(), answer);
        }
        answers.into()
    }
}

fn failure_of_build(error: &evcxr::Error, cell: &Cell, outcome: Outcome, number: usize, code: &str, lost: &Lost) -> Failure {
    if outcome.killed {
        return Failure::new(
            "KeyboardInterrupt",
            "the cell did not stop, so its process was ended: all variables are lost\nfunctions, types and `use` lines are kept",
        );
    }
    if let evcxr::Error::SubprocessTerminated(text) = error {
        let reason = cell.exit.as_deref().or_else(|| text.lines().find_map(exit_record)).unwrap_or("for an unknown reason");
        return Failure::new(
            "Killed",
            &format!("the process of the cells ended ({reason}): all variables are lost\nfunctions, types and `use` lines are kept"),
        );
    }
    if outcome.interrupted {
        return Failure::new("KeyboardInterrupt", "stopped while compiling; nothing was lost");
    }
    errors::from_evcxr(error, number, code, lost)
}

/// The reason in a record that evcxr read after the process had ended.
fn exit_record(line: &str) -> Option<&str> {
    line.strip_prefix("\x02K{\"exit\":\"")?.strip_suffix("\"}")
}
