//! Variables that a cell took away → what to say when a later cell asks for them.

use std::collections::{HashMap, HashSet};

use crate::kernel::messages::moves;

/// Where each variable went that is no longer there.
#[derive(Debug, Default)]
pub struct Lost(HashMap<String, String>);

/// How a cell ended, as far as its variables go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// It ran to its end.
    Alive,
    /// It failed or was stopped, with its process alive.
    Stopped,
    /// Its thread was stopped for good, and with it what it had taken.
    GivenUp,
    /// Its process ended.
    Dead,
    /// It asked for a new process, by `:clear` or `:restart`.
    Cleared,
}

impl Lost {
    /// Notes what cell `number` with the text `code` did to the variables that were there `before` it, and to its own.
    pub fn note<'a>(
        &mut self,
        before: impl Iterator<Item = &'a str>,
        after: impl Iterator<Item = &'a str>,
        number: usize,
        code: &str,
        end: End,
    ) {
        let after: HashSet<&str> = after.collect();
        let own = if end == End::Alive { moves::defined(code) } else { Vec::new() };
        let own = own.into_iter().filter(|name| moves::moved_at(name, code).is_some());
        for name in before.map(str::to_string).chain(own).filter(|name| !after.contains(name.as_str())) {
            let story = match end {
                End::Dead => format!("`{name}` was lost when the process of the cells ended in cell {number}: run the cell that makes it"),
                End::GivenUp => {
                    format!("`{name}` was lost when cell {number} was stopped, which used it: run the cell that makes it again")
                }
                End::Cleared => {
                    format!("`{name}` was cleared by cell {number}, as `:clear` and `:restart` do: run the cell that makes it again")
                }
                _ if !moves::mentions(&name, code) => {
                    format!(
                        "`{name}` was lost in cell {number}, where its type or a crate became another: run the cell that makes it again"
                    )
                }
                _ => match moves::moved_at(&name, code) {
                    Some((line, text)) => format!(
                        "`{name}` was moved by cell {number}, line {line}: `{text}`\nwrite `{name}.clone()` or `&{name}` there, or run the cell that makes `{name}` again"
                    ),
                    None => format!("`{name}` was moved by cell {number}: run the cell that makes it again"),
                },
            };
            // That its type has changed is known already.
            self.0.entry(name).or_insert(story);
        }
        self.0.retain(|name, _| !after.contains(name.as_str()));
    }

    /// A variable was not read, since its type, or a type inside it, is another one since cell `number` or one before it.
    pub fn retyped(&mut self, name: &str, kind: &str, number: usize) {
        let story = format!(
            "`{name}` was lost in cell {number}: its type `{kind}`, or a type inside it, was changed since it was made\nrun the cell that makes it again"
        );
        self.0.insert(name.to_string(), story);
    }

    /// What happened to the name in a message such as "cannot find value `x` in this scope".
    pub fn story(&self, message: &str) -> Option<&str> {
        let name = message.strip_prefix("cannot find value `")?.split('`').next()?;
        self.0.get(name).map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moved_variable_names_its_cell_and_line_until_it_is_there_again() {
        let mut lost = Lost::default();
        lost.note(["v", "w"].into_iter(), ["w"].into_iter(), 4, "let n = v.len();\n// v\nlet t = thread::spawn(move || v);", End::Alive);
        let story = lost.story("cannot find value `v` in this scope").unwrap();
        assert!(story.starts_with("`v` was moved by cell 4, line 3: `let t = thread::spawn(move || v);`\nwrite `v.clone()`"), "{story}");
        assert_eq!(lost.story("cannot find value `w` in this scope"), None);
        lost.note([].into_iter(), ["v"].into_iter(), 5, "let v = 1;", End::Alive);
        assert_eq!(lost.story("cannot find value `v` in this scope"), None);
    }

    #[test]
    fn what_a_cell_makes_and_moves_has_a_story_and_what_it_does_not_name_was_not_moved() {
        let mut lost = Lost::default();
        lost.note(["p"].into_iter(), ["owned"].into_iter(), 6, "struct P;\nlet names = f();\nlet owned = names;", End::Alive);
        let story = |name: &str| lost.story(&format!("cannot find value `{name}` in this scope")).unwrap_or_default().to_string();
        assert!(story("names").starts_with("`names` was moved by cell 6, line 3: `let owned = names;`"), "{}", story("names"));
        assert!(story("p").starts_with("`p` was lost in cell 6, where its type or a crate became another"), "{}", story("p"));
        lost.note([].into_iter(), [].into_iter(), 7, "let new = 1; f(new); panic!()", End::Stopped);
        assert_eq!(lost.story("cannot find value `new` in this scope"), None);
    }

    #[test]
    fn what_was_cleared_was_not_moved() {
        let mut lost = Lost::default();
        lost.note(["v"].into_iter(), [].into_iter(), 3, ":clear", End::Cleared);
        assert!(lost.story("cannot find value `v` in this scope").unwrap().starts_with("`v` was cleared by cell 3"));
    }

    #[test]
    fn what_a_stopped_cell_used_is_lost_with_it() {
        let mut lost = Lost::default();
        lost.note(["v", "w"].into_iter(), ["w"].into_iter(), 8, "v.len(); loop {}", End::GivenUp);
        assert!(
            lost.story("cannot find value `v` in this scope").unwrap().starts_with("`v` was lost when cell 8 was stopped, which used it")
        );
    }

    #[test]
    fn a_dead_process_is_to_blame_for_all() {
        let mut lost = Lost::default();
        lost.note(["v"].into_iter(), [].into_iter(), 2, "loop {}", End::Dead);
        assert!(lost.story("cannot find value `v` in this scope").unwrap().contains("ended in cell 2"));
    }
}
