//! The call that catches a cell's panic → one that leaves the cell a frame of its own.
//!
//! Optimized, the cell would become a part of the standard library's `catch_unwind`, which has no lines, and a backtrace would
//! not know of it.

use crate::kernel::rewrite::edits::Edits;

/// As evcxr writes it, with and without variables.
const CALLS: [&str; 2] = ["match std::panic::catch_unwind(\n", "if std::panic::catch_unwind(||{\n"];
const CATCH: &str = "std::panic::catch_unwind";
const OWN: &str = "crate::evcxr_show::catch";
const HEAD: &str = "pub extern \"C\" fn run_user_code_";

/// The changes.
pub fn edits(source: &str) -> Edits {
    let mut edits = Edits::default();
    let start = source.find(&format!("\n{HEAD}")).unwrap_or(source.len());
    let found = CALLS.iter().filter_map(|call| source[start..].find(&format!("\n{call}"))).min();
    if let Some(found) = found.and_then(|place| Some(start + place + source[start + place..].find(CATCH)?)) {
        edits.replace(found..found + CATCH.len(), OWN);
    }
    edits
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_call_below_the_head_of_the_cell_is_the_one() {
        for call in ["match std::panic::catch_unwind(\n  AssertUnwindSafe(||{", "if std::panic::catch_unwind(||{\nx"] {
            let source = format!("fn f() {{\n{call}\n}}\n{HEAD}3(\n{call}\n{call}");
            let changed = edits(&source).apply(&source);
            assert_eq!(changed, format!("fn f() {{\n{call}\n}}\n{HEAD}3(\n{}\n{call}", call.replace(CATCH, OWN)));
        }
        assert!(edits("std::panic::catch_unwind(||{\n").is_empty());
    }
}
