//! A piece of code → evcxr's outputs, or what stopped it; and what that did to the variables of earlier cells.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use evcxr::EvalOutputs;
use serde_json::{Map, Value, json};

use crate::kernel::engine::assist;
use crate::kernel::engine::output::Cell;
use crate::kernel::engine::outside;
use crate::kernel::engine::repl::{Engine, PRELUDE};
use crate::kernel::interrupt::Outcome;
use crate::kernel::messages::directive::{self, Directive};
use crate::kernel::messages::errors::{self, Failure};
use crate::kernel::messages::lost::{End, Lost};
use crate::kernel::prepare::analysis;
use crate::kernel::protocol::wire::Request;

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
        let mut end = if own.iter().any(|line| matches!(line, Directive::Clear | Directive::Restart)) { End::Cleared } else { End::Alive };
        shared.stdin.begin();
        if let Err(failure) = own.iter().try_for_each(|line| self.obey(line, request)) {
            let outcome = shared.interrupt.end();
            if outcome.killed {
                end = End::Dead;
            }
            self.output.end();
            return Evaluation { result: Err(failure), end };
        }
        let mut callbacks = evcxr::EvalCallbacks { input_reader: &|input| shared.stdin.ask(request, &input.prompt, input.is_password) };
        // evcxr compiles the code and tells `runner::run` to load and run it.
        let evaluated = catch_unwind(AssertUnwindSafe(|| self.context.execute_with_callbacks(&rest, &mut callbacks)));
        let result = evaluated.unwrap_or_else(|_| Err(evcxr::Error::Message("evcxr panicked on this cell".into())));
        if result.is_ok() && rest.lines().any(|line| line.starts_with(":fmt") || line.starts_with(":types")) {
            // evcxr's own display honours these two, so it takes over.
            let _ = self.context.execute("mod evcxr_show { pub trait EvcxrShow {} }");
        }
        let outcome = shared.interrupt.end();
        let cell = self.output.end();
        if outcome.killed || matches!(&result, Err(evcxr::Error::SubprocessTerminated(_))) {
            end = End::Dead;
        }
        let result = match (result, shared.stdin.refusal()) {
            // What a cell did without its answer follows from this.
            (_, Some(refusal)) if end != End::Dead => Err(refusal),
            (Ok(outputs), _) => match self.failure_of_run(&cell, outcome, number, code) {
                Some(failure) => Err(failure),
                None => Ok(outputs),
            },
            (Err(error), _) => Err(failure_of_build(&error, &cell, outcome, number, code, &self.lost)),
        };
        Evaluation { result, end }
    }

    /// Does what a line at the head of a cell asks of the kernel itself.
    fn obey(&mut self, line: &Directive, request: &Request) -> Result<(), Failure> {
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
            Directive::Shell(command) => return outside::run(command, &shared, &request.header),
            Directive::Level(level) => {
                let _ = self.context.set_opt_level(&analysis::optimization_level(level, &self.analysis));
                Ok(())
            }
            Directive::Clear => run(self, ":clear").and_then(|()| run(self, PRELUDE)),
            Directive::Restart => {
                // evcxr's own command takes the variables for living ones, and the next cell would look for them in vain.
                shared.interrupt.kill_child();
                let _ = run(self, "();");
                Ok(())
            }
            Directive::Quit => Err("`:quit` would end the kernel while the notebook still talks to it\n\
                 to end or restart it: the menu Kernel of the notebook, or Ctrl-D in a console; to lose all variables: :clear"
                .to_string()),
        };
        done.map_err(|text| Failure::new("CommandError", &text))
    }

    /// Notes what became of the variables, and closes the comms of a process that is gone.
    pub fn settle(&mut self, request: &Request, number: usize, code: &str, end: End) {
        let before = self.shared.snapshot();
        self.shared.set_snapshot(&self.context);
        self.lost.note(before.names(), self.shared.snapshot().names(), number, code, end);
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

    /// evcxr calls a cell good that panicked or whose `?` failed.
    fn failure_of_run(&self, cell: &Cell, outcome: Outcome, number: usize, code: &str) -> Option<Failure> {
        if let Some(panic) = &cell.panic {
            return Some(errors::from_panic(panic, number, code, &self.context.last_source().unwrap_or_default()));
        }
        let error = cell.error.as_ref()?;
        let name = if outcome.interrupted { "KeyboardInterrupt" } else { "Error" };
        let mut failure = Failure::new(name, error);
        failure.traceback.push("the variables of earlier cells are kept; new ones of this cell are not".into());
        Some(failure)
    }
}

fn failure_of_build(error: &evcxr::Error, cell: &Cell, outcome: Outcome, number: usize, code: &str, lost: &Lost) -> Failure {
    let kept = "all variables are lost\nfunctions, types and `use` lines are kept";
    if outcome.killed {
        return Failure::new("KeyboardInterrupt", &format!("the cell did not stop, so its process was ended: {kept}"));
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
        return Failure::new("Killed", &format!("{reason}: {kept}"));
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
