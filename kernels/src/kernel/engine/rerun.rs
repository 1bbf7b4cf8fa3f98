//! A cell with `:rerun` → the cells that made what is lost, run again one after the other in front of it.
//!
//! Nothing runs twice by itself: an error only says which cells these are.

use std::sync::Arc;

use crate::kernel::engine::evaluate::Evaluation;
use crate::kernel::engine::repl::Engine;
use crate::kernel::messages::directive::{self, Directive};
use crate::kernel::messages::lost::End;
use crate::kernel::protocol::wire::Request;

impl Engine {
    /// Runs the cells again that a cell asks for; returns the first that fails.
    pub fn rerun(&mut self, request: &Request, code: &str) -> Option<Evaluation> {
        let shared = Arc::clone(&self.shared);
        if !directive::directives(code).1.contains(&Directive::Rerun) {
            return None;
        }
        let (cells, tell) = (self.again.cells(), |text: &str| shared.iopub.stream("stdout", format!("{text}\n"), Some(&request.header)));
        if cells.is_empty() {
            tell("nothing is lost, so no cell runs again");
        }
        for cell in cells {
            tell(&cell.title());
            let evaluation = self.evaluate(request, cell.number, &cell.code);
            self.settle(request, cell.number, &cell.code, evaluation.end);
            if evaluation.result.is_err() {
                return Some(evaluation);
            }
            self.made(cell.number, &cell.code, evaluation.end);
            shared.interrupt.begin();
        }
        None
    }

    /// Notes what a cell has made, for a later `:rerun`.
    pub fn made(&mut self, number: usize, code: &str, end: End) {
        if end == End::Alive {
            self.again.note(number, code, self.shared.snapshot().names());
        }
    }
}
