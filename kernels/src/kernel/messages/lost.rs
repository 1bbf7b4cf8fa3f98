//! Variables that a cell took away → what to say when a later cell asks for them.

use std::collections::{HashMap, HashSet};

/// Where each variable went that is no longer there.
#[derive(Debug, Default)]
pub struct Lost(HashMap<String, String>);

/// How a cell ended, as far as its variables go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// It ran to its end, or was stopped with its process alive.
    Alive,
    /// Its process ended.
    Dead,
    /// It asked for a new process, by `:clear` or `:restart`.
    Cleared,
}

impl Lost {
    /// Notes what cell `number` with the text `code` did to the variables that were there `before` it.
    pub fn note<'a>(
        &mut self,
        before: impl Iterator<Item = &'a str>,
        after: impl Iterator<Item = &'a str>,
        number: usize,
        code: &str,
        end: End,
    ) {
        let after: HashSet<&str> = after.collect();
        for name in before.filter(|name| !after.contains(name)) {
            let story = match end {
                End::Dead => format!("`{name}` was lost when the process of the cells ended in cell {number}: run the cell that makes it"),
                End::Cleared => {
                    format!("`{name}` was cleared by cell {number}, as `:clear` and `:restart` do: run the cell that makes it again")
                }
                End::Alive => match line_of(name, code) {
                    Some((line, text)) => format!(
                        "`{name}` was moved by cell {number}, line {line}: `{text}`\nwrite `{name}.clone()` or `&{name}` there, or run the cell that makes `{name}` again"
                    ),
                    None => format!("`{name}` was moved by cell {number}: run the cell that makes it again"),
                },
            };
            self.0.insert(name.to_string(), story);
        }
        self.0.retain(|name, _| !after.contains(name.as_str()));
    }

    /// What happened to the name in a message such as "cannot find value `x` in this scope".
    pub fn story(&self, message: &str) -> Option<&str> {
        let name = message.strip_prefix("cannot find value `")?.split('`').next()?;
        self.0.get(name).map(String::as_str)
    }
}

/// The last line that uses a name as a value by itself: what moves is the last use of all.
fn line_of<'a>(name: &str, code: &'a str) -> Option<(usize, &'a str)> {
    let is_word = |char: char| char.is_alphanumeric() || char == '_';
    let uses = |line: &str| {
        line.match_indices(name).any(|(place, _)| {
            let (before, after) = (&line[..place], &line[place + name.len()..]);
            !before.ends_with(|char| is_word(char) || char == '.' || char == '&') && !after.starts_with(is_word)
        })
    };
    let code_lines = code.lines().enumerate().filter(|(_, line)| !line.trim_start().starts_with("//"));
    code_lines.filter(|(_, line)| uses(line)).last().map(|(index, line)| (index + 1, line.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moved_variable_names_its_cell_and_line_until_it_is_there_again() {
        let mut lost = Lost::default();
        lost.note(
            ["v", "w"].into_iter(),
            ["w"].into_iter(),
            4,
            "let n = v.len();\n// v\nlet t = thread::spawn(move || v);\nlet o = &v;",
            End::Alive,
        );
        let story = lost.story("cannot find value `v` in this scope").unwrap();
        assert!(story.starts_with("`v` was moved by cell 4, line 3: `let t = thread::spawn(move || v);`\nwrite `v.clone()`"), "{story}");
        assert_eq!(lost.story("cannot find value `w` in this scope"), None);
        lost.note([].into_iter(), ["v"].into_iter(), 5, "let v = 1;", End::Alive);
        assert_eq!(lost.story("cannot find value `v` in this scope"), None);
    }

    #[test]
    fn what_was_cleared_was_not_moved() {
        let mut lost = Lost::default();
        lost.note(["v"].into_iter(), [].into_iter(), 3, ":clear", End::Cleared);
        assert!(lost.story("cannot find value `v` in this scope").unwrap().starts_with("`v` was cleared by cell 3"));
    }

    #[test]
    fn a_dead_process_is_to_blame_for_all() {
        let mut lost = Lost::default();
        lost.note(["v"].into_iter(), [].into_iter(), 2, "loop {}", End::Dead);
        assert!(lost.story("cannot find value `v` in this scope").unwrap().contains("ended in cell 2"));
    }
}
