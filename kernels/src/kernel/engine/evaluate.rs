//! A piece of code → evcxr's outputs, or what stopped it; and what that did to the variables of earlier cells.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use evcxr::EvalOutputs;
use jupyter_protocol::messaging::Header;
use serde_json::{Map, Value, json};

use crate::kernel::engine::assist;
use crate::kernel::engine::magic::add_help;
use crate::kernel::engine::output::Cell;
use crate::kernel::engine::outside;
use crate::kernel::engine::repl::{Engine, Show};
use crate::kernel::engine::trace;
use crate::kernel::interrupt::Outcome;
use crate::kernel::lock::lock;
use crate::kernel::messages::completeness;
use crate::kernel::messages::directive::{self, Directive};
use crate::kernel::messages::display;
use crate::kernel::messages::errors::{self, Failure, GONE, KEPT};
use crate::kernel::messages::lost::End;
use crate::kernel::messages::magic::{self, Magic};
use crate::kernel::messages::panic::from_panic;
use crate::kernel::messages::places::{Places, Source};
use crate::kernel::messages::report;
use crate::kernel::prepare::{analysis, path};
use crate::kernel::protocol::wire::Request;
use crate::kernel::rewrite::cell;
use crate::kernel::shared::Snapshot;
use crate::syntax;

/// What a piece of code led to.
pub struct Evaluation {
    pub result: Result<EvalOutputs, Failure>,
    pub end: End,
}

impl Engine {
    /// Runs code after the interrupt switch was told that it begins; the number is that of its cell.
    pub fn evaluate(&mut self, request: &Request, number: usize, code: &str) -> Evaluation {
        let shared = Arc::clone(&self.shared);
        let (rest, own) = directive::directives(code);
        // The blocks that a cell prints itself count; the same words in what it reads do not.
        let rest = self.marks.cell(&rest);
        let mut end = if own.iter().any(|line| matches!(line, Directive::Clear | Directive::Restart)) { End::Cleared } else { End::Alive };
        shared.stdin.begin();
        let refusal = || completeness::refusal(number, code).map(Err);
        // A cell that is too deep is looked at by no parser.
        let answered = if completeness::is_too_much(code) { refusal() } else { self.answer(code).or_else(refusal) };
        if let Some(result) = answered {
            shared.interrupt.end();
            self.output.end();
            return Evaluation { result, end: End::Alive };
        }
        let rest = magic::compiled(&rest).into_owned();
        for text in std::mem::take(&mut self.untold) {
            shared.iopub.stream("stderr", text + "\n", Some(&request.header));
        }
        let earlier: Vec<String> = lock(&shared.sources).iter().map(|source| source.text.to_string()).collect();
        let rest = cell::kept_whole(&rest, &earlier);
        // JupyterLab and VS Code say which cell of the notebook it is.
        let identity = request.metadata["cellId"].as_str().filter(|_| code == request.text("code")).map(str::to_string);
        let run = self.record.begin(&rest, identity.as_ref().and_then(|identity| self.runs.get(identity).copied()));
        self.output.number(run);
        if let Err(failure) = own.iter().try_for_each(|line| self.obey(line, Some(&request.header))) {
            let outcome = shared.interrupt.end();
            if outcome.killed {
                end = End::Dead;
            }
            self.output.end();
            return Evaluation { result: Err(failure), end };
        }
        let mut callbacks = evcxr::EvalCallbacks { input_reader: &|input| shared.stdin.ask(request, &input.prompt, input.is_password) };
        lock(&shared.sources).push(Source { number, text: code.into() });
        self.record.set_sources(&lock(&shared.sources));
        self.choose_display(&rest);
        // evcxr drops a `let` without a pattern, and tears other errors of syntax apart.
        let is_rust = syntax::check(&directive::rust(&rest)).is_ok();
        if code.contains(":dep") {
            self.statements.clear();
        }
        let rest = if is_rust { self.with_items_of_macros(&rest) } else { rest };
        let (result, places) = match if is_rust { None } else { self.check(&display::whole(&rest)) } {
            Some(errors) => (Err(errors), Some(shared.places())),
            None => {
                let shown = display::shown(&rest, self.show.by_trait);
                // evcxr compiles the code and tells `runner::run` to load and run it.
                let evaluated = catch_unwind(AssertUnwindSafe(|| self.context.execute_with_callbacks(&shown, &mut callbacks)));
                self.explained(evaluated.unwrap_or_else(|_| Err(evcxr::Error::Message("evcxr panicked on this cell".into()))), &rest)
            }
        };
        let built = result.is_ok();
        if let Some(identity) = identity.filter(|_| built) {
            self.runs.insert(identity, run);
        }
        if let Some(took) = result.as_ref().ok().and_then(|outputs| outputs.timing) {
            shared.iopub.stream("stdout", format!("Took {} ms\n", took.as_millis()), Some(&request.header));
        }
        let outcome = shared.interrupt.end();
        for (name, kind) in self.record.lost() {
            self.lost.retyped(&name, &kind, number);
        }
        let cell = self.output.end();
        if outcome.killed || matches!(&result, Err(evcxr::Error::SubprocessTerminated(_))) {
            end = End::Dead;
        }
        if cell.given_up && end != End::Dead {
            let (failure, end) = self.given_up();
            return Evaluation { result: Err(failure), end };
        }
        let result = match (result, shared.stdin.refusal()) {
            // What a cell did without its answer follows from this.
            (_, Some(refusal)) if end != End::Dead => Err(refusal),
            (Ok(mut outputs), _) => match failure_of_run(&cell, outcome, || shared.places()) {
                Some(failure) => Err(failure),
                None if outcome.stopped_programs => Err(Failure::new(
                    "KeyboardInterrupt",
                    "the programs that the cell had started were ended, and the cell went on to its end; all variables are kept",
                )),
                None => {
                    if directive::asks(code, ":help") {
                        add_help(&mut outputs);
                    }
                    if Magic::of(code) == Some(Magic::Time) {
                        let took = cell.nanoseconds.map(magic::duration).unwrap_or_default();
                        shared.iopub.stream("stdout", format!("Wall time: {took}\n"), Some(&request.header));
                    }
                    Ok(outputs)
                }
            },
            (Err(error), _) => Err(failure_of_build(&error, &cell, outcome, &places.unwrap_or_default(), self)),
        };
        if !built {
            lock(&shared.sources).pop();
        }
        if result.is_err() && end == End::Alive {
            end = End::Stopped;
        }
        Evaluation { result, end }
    }

    /// The thread of a cell stands still: evcxr learns by a cell of its own which variables it has taken.
    fn given_up(&mut self) -> (Failure, End) {
        self.shared.interrupt.begin();
        let ran = catch_unwind(AssertUnwindSafe(|| self.context.execute("();")));
        if self.shared.interrupt.end().killed || !matches!(ran, Ok(Ok(_))) {
            return (errors::killed(), End::Dead);
        }
        let (before, now) = (self.shared.snapshot(), Snapshot::of(&self.context));
        let mut lost: Vec<String> =
            before.names().filter(|name| now.names().all(|kept| kept != *name)).map(|name| format!("`{name}`")).collect();
        lost.sort();
        (errors::given_up(&lost), End::GivenUp)
    }

    /// Does what a line at the head of a cell asks of the kernel itself.
    fn obey(&mut self, line: &Directive, parent: Option<&Header>) -> Result<(), Failure> {
        let shared = Arc::clone(&self.shared);
        let run = |engine: &mut Engine, code: &str| {
            let ran = catch_unwind(AssertUnwindSafe(|| engine.context.execute(code)));
            shared.interrupt.compiling();
            match ran {
                Ok(Ok(_)) => Ok(()),
                Ok(Err(error)) => Err(format!("{error}\nto try again: :clear")),
                Err(_) => Err("evcxr panicked\nto try again: :clear".to_string()),
            }
        };
        let done = match line {
            Directive::Shell(command) => return outside::run(command, &shared, parent),
            Directive::Level(level) if !["0", "1", "2", "3"].contains(&level.as_str()) => {
                Err(format!("`:opt {level}`: a level of optimization is 0, 1, 2 or 3"))
            }
            Directive::Level(level) => {
                shared.iopub.stream("stdout", format!("Optimization: {level}\n"), parent);
                let _ = self.context.set_opt_level(&analysis::optimization_level(level, &self.analysis));
                Ok(())
            }
            Directive::Sccache if !path::offers("sccache") => {
                let text = "sccache is not installed: the cells are compiled without it\nto install it: cargo install sccache\n";
                shared.iopub.stream("stderr", text, parent);
                Ok(())
            }
            Directive::Sccache => run(self, ":sccache 1"),
            Directive::Dependency(line) => {
                let ran = self.run_aside(line, "this line");
                shared.interrupt.compiling();
                return ran;
            }
            Directive::Clear => {
                self.show = Show::default();
                lock(&shared.sources).clear();
                let prelude = self.marks.prelude(&self.show.prelude());
                run(self, ":clear").and_then(|()| run(self, &prelude))
            }
            Directive::Restart => {
                // evcxr's own command takes the variables for living ones, and the next cell would look for them in vain.
                shared.interrupt.kill_child();
                let _ = run(self, "();");
                Ok(())
            }
            // Done by `Engine::rerun`.
            Directive::Rerun => Ok(()),
            Directive::Quit => Err("`:quit` would end the kernel while the notebook still talks to it\n\
                 to end or restart it: the menu Kernel of the notebook, or Ctrl-D in a console; to lose all variables: :clear"
                .to_string()),
        };
        done.map_err(|text| Failure::new("CommandError", &text))
    }

    /// Runs code that is no cell of the user; `what` it is, for the error of a panic of evcxr itself.
    fn run_aside(&mut self, code: &str, what: &str) -> Result<(), Failure> {
        let ran = catch_unwind(AssertUnwindSafe(|| self.context.execute(code)));
        let ran = ran.unwrap_or_else(|_| Err(evcxr::Error::Message(format!("evcxr panicked on {what}"))));
        ran.map(drop).map_err(|error| report::from_evcxr(&error, &Places::default(), &self.lost, ""))
    }

    /// Runs what a file of the user's configuration wants to run before the first cell; a failure is told there.
    pub fn run_first(&mut self, file: &str, code: &str) {
        let (rest, own) = directive::directives(code);
        let rest = cell::kept_whole(&self.marks.cell(&rest), &[]);
        self.record.begin(&rest, None);
        let obeyed = own.iter().try_for_each(|line| self.obey(line, None));
        let ran = obeyed.and_then(|()| {
            let shown = display::shown(&rest, false);
            self.run_aside(&shown, "it")
        });
        if let Err(failure) = ran {
            self.untold.push(format!("{file} did not run: {}: {}", failure.name, failure.value));
        }
    }

    /// Notes what became of the variables, and closes the comms of a process that is gone.
    pub fn settle(&mut self, request: &Request, number: usize, code: &str, end: End) {
        let before = self.shared.snapshot();
        self.shared.set_snapshot(&self.context);
        self.lost.note(before.names(), self.shared.snapshot().names(), number, code, end);
        let now = self.shared.snapshot();
        match end {
            End::Dead | End::GivenUp => {
                let is_gone = |name: &&str| now.names().all(|kept| kept != *name);
                self.again.lose(before.names().filter(is_gone).map(str::to_string));
            }
            End::Cleared => self.again.clear(),
            End::Alive | End::Stopped => {}
        }
        if end != End::Alive {
            for id in self.shared.comms.end() {
                self.shared.iopub.send("comm_close", json!({ "comm_id": id, "data": {} }), Some(&request.header));
            }
        }
    }

    /// The values that the client wants to know after the cell.
    pub fn user_expressions(&mut self, request: &Request, number: usize) -> Value {
        let mut answers = Map::new();
        for (name, expression) in request.content["user_expressions"].as_object().into_iter().flatten() {
            let expression = expression.as_str().unwrap_or_default();
            self.shared.interrupt.begin();
            let Evaluation { result, end } = self.evaluate(request, number, expression);
            self.settle(request, number, expression, end);
            let answer = match result {
                Ok(outputs) => json!({ "status": "ok", "data": assist::mime_bundle(&outputs), "metadata": {} }),
                Err(failure) => {
                    let mut content = failure.content();
                    content["status"] = "error".into();
                    content
                }
            };
            answers.insert(name.clone(), answer);
        }
        answers.into()
    }

    /// Obeys `:fmt` and `:types`, as evcxr does where it shows a value itself, and gives way to a trait of the cells.
    fn choose_display(&mut self, code: &str) {
        let before = self.show.clone();
        self.show.by_trait = lock(&self.shared.sources).iter().any(|source| display::has_trait(&source.text));
        for line in code.lines().take(directive::head_lines(code)).map(str::trim) {
            match line.split_once(' ').unwrap_or((line, "")) {
                (":fmt", "") => self.show.format = "{:?}".into(),
                (":fmt", format) => self.show.format = format.trim().into(),
                (":types", _) => self.show.types = !self.show.types,
                _ => {}
            }
        }
        if before != self.show && self.context.execute(&self.marks.prelude(&self.show.module())).is_err() {
            self.show = before;
        }
    }

    /// What evcxr said, with the errors of a check in place of those of its build where there are some: what it checks has
    /// fewer lines of its own around the cell's. And for errors, the places of the source that they are about.
    fn explained(&mut self, result: Result<EvalOutputs, evcxr::Error>, code: &str) -> (Result<EvalOutputs, evcxr::Error>, Option<Places>) {
        let Err(error) = result else { return (result, None) };
        // A check writes another source.
        let places = self.shared.places();
        let by_compiler = match &error {
            evcxr::Error::CompilationErrors(errors) => errors.iter().all(|error| !error.json.is_null()),
            // A variable that cannot be kept may have its reason in another error.
            evcxr::Error::Message(text) => report::is_about_a_variable(text),
            _ => false,
        };
        match if by_compiler { self.check(&display::stated(code)) } else { None } {
            Some(errors) => (Err(errors), Some(self.shared.places())),
            None => (Err(error), Some(places)),
        }
    }

    /// The errors that a check of the code finds, without building or running it.
    fn check(&mut self, code: &str) -> Option<evcxr::Error> {
        self.said_of(code).filter(|found| has_error(found)).map(evcxr::Error::CompilationErrors)
    }

    /// All that a check of the code finds; nothing when it was not checked.
    fn said_of(&mut self, code: &str) -> Option<Vec<evcxr::CompilationError>> {
        if self.shared.interrupt.is_requested() {
            return None;
        }
        catch_unwind(AssertUnwindSafe(|| self.context.check(&directive::with_dependencies(code)))).ok()?.ok()
    }

    /// The cell with the items kept that macros of dependencies make: those whose calls the compiler takes for items.
    fn with_items_of_macros(&mut self, cell: &str) -> String {
        let earlier: Vec<String> = lock(&self.shared.sources).iter().map(|source| source.text.to_string()).collect();
        let mut made = cell::macros_of_others(cell, &earlier);
        made.retain(|name| {
            let found = if self.statements.contains(name) { None } else { self.said_of(&cell::with_items_of(cell, name)) };
            if found.as_deref().is_some_and(has_error) {
                self.statements.insert(name.clone());
            }
            found.is_some_and(|found| !has_error(&found))
        });
        cell::with_items_kept(cell, &made)
    }
}

fn has_error(found: &[evcxr::CompilationError]) -> bool {
    found.iter().any(|error| error.level() == "error")
}

/// evcxr calls a cell good that panicked or whose `?` failed.
fn failure_of_run(cell: &Cell, outcome: Outcome, places: impl FnOnce() -> Places) -> Option<Failure> {
    if outcome.interrupted && cell.panic.as_ref().is_some_and(|panic| is_interrupt(panic, cell, outcome)) {
        return Some(Failure::new("KeyboardInterrupt", &format!("the cell was stopped: {KEPT}")));
    }
    if let Some(panic) = &cell.panic {
        return Some(from_panic(&trace::resolved(panic), &places()));
    }
    let error = cell.error.as_ref()?;
    let name = if outcome.interrupted { "KeyboardInterrupt" } else { "Error" };
    let mut failure = Failure::new(name, error);
    failure.traceback.push(KEPT.into());
    Some(failure)
}

/// Whether a panic after an interrupt came of it: a loop has seen it and unwinds, and with it who waits for its thread; a
/// program was ended; or an error of the companion that says so was unwrapped.
fn is_interrupt(panic: &Value, cell: &Cell, outcome: Outcome) -> bool {
    let says_so = |text: &str| ["Interrupted", "interrupted"].iter().any(|word| text.contains(word));
    cell.panicked_by_interrupt || outcome.stopped_programs || panic["message"].as_str().is_some_and(says_so)
}

fn failure_of_build(error: &evcxr::Error, cell: &Cell, outcome: Outcome, places: &Places, engine: &Engine) -> Failure {
    if outcome.killed {
        return errors::killed();
    }
    if let evcxr::Error::SubprocessTerminated(text) = error {
        let reason = cell.exit.as_deref().or_else(|| text.lines().find_map(exit_record)).unwrap_or("for an unknown reason");
        let reason = match reason {
            reason if reason.contains("SIGKILL") => format!("the process of the cells was ended ({reason}), probably out of memory"),
            reason if reason.starts_with("exit status") => {
                format!("the cell ended the process of the cells ({reason}), as `std::process::exit` does")
            }
            reason => format!("the process of the cells ended ({reason})"),
        };
        return Failure::new("Killed", &format!("{reason}: {GONE}"));
    }
    if outcome.interrupted {
        return Failure::new("KeyboardInterrupt", "stopped while compiling; nothing was lost");
    }
    report::from_evcxr(error, places, &engine.lost, &engine.record.messages())
}

/// The reason in a record that evcxr read after the process had ended.
fn exit_record(line: &str) -> Option<&str> {
    line.strip_prefix("\x02K{\"exit\":\"")?.strip_suffix("\"}")
}
