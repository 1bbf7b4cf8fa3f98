//! The lines at the head of a cell → those that the kernel does itself, those for evcxr, and the Rust below them.

use std::borrow::Cow;

use notebooks::scan::{self, Kind};

use crate::kernel::messages::magic;

/// A line at the head of a cell that the kernel does itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Directive {
    /// `!program`
    Shell(String),
    /// `:clear`, with what the kernel adds to every session.
    Clear,
    /// `:restart`
    Restart,
    /// `:rerun`
    Rerun,
    /// `:quit`
    Quit,
    /// `:opt 3`
    Level(String),
    /// `:sccache 1`
    Sccache,
    /// A `:dep` line below code.
    Dependency(String),
}

/// The cell without the lines that the kernel does itself, and these lines; the numbers of the others stay.
///
/// `:dep finetuning = …`, which the stock kernel needs and this one does not, is dropped.
pub fn directives(code: &str) -> (String, Vec<Directive>) {
    let (head, below, mut own) = (head_lines(code), dependencies_below(code), Vec::new());
    let lines = code.split('\n').enumerate().map(|(index, line)| {
        if below.contains(&index) {
            own.push(Directive::Dependency(dependency(line.trim())));
            return "".into();
        }
        if index >= head {
            // evcxr would take it for one of the shell.
            return if index == head && line.starts_with('!') { format!(" {line}").into() } else { Cow::from(line) };
        }
        let text = line.trim();
        let is_companion = |rest: &str| {
            let rest = rest.trim_start().strip_prefix("finetuning");
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '=']))
        };
        match text.split_once(' ').unwrap_or((text, "")) {
            (":dep", rest) if is_companion(rest) => {}
            (":dep", _) => return dependency(line).into(),
            (":opt", level) if !level.trim().is_empty() => own.push(Directive::Level(level.trim().into())),
            (":sccache", level) if level.trim() != "0" => own.push(Directive::Sccache),
            (":clear", _) => own.push(Directive::Clear),
            (":restart", _) => own.push(Directive::Restart),
            (":rerun", _) => own.push(Directive::Rerun),
            (":quit", _) => own.push(Directive::Quit),
            _ if is_shell(line) => own.push(Directive::Shell(text.trim_start_matches('!').trim().into())),
            _ => return line.into(),
        }
        "".into()
    });
    let code = lines.collect::<Vec<Cow<str>>>().join("\n");
    (code, own)
}

/// Whether a line at the head of a cell is this command.
pub fn asks(code: &str, command: &str) -> bool {
    code.lines().take(head_lines(code)).any(|line| line.trim() == command)
}

/// The Rust of a cell: the lines that are for the kernel or the shell are empty.
pub fn rust(code: &str) -> String {
    magic::rust(&without(code, |line| is_shell(line) || line.trim_start().starts_with(':'))).into_owned()
}

/// The cell with those lines at its head that bring crates, without what commands would do a second time.
pub fn with_dependencies(code: &str) -> String {
    without(code, |line| line.trim_start().starts_with(':') && !line.trim_start().starts_with(":dep"))
}

/// The cell with these lines of its head empty, and with those below it that bring crates.
fn without(code: &str, leave_out: impl Fn(&str) -> bool) -> String {
    let (head, below) = (head_lines(code), dependencies_below(code));
    let goes = |index: usize, line: &str| below.contains(&index) || (index < head && leave_out(line));
    let lines = code.split('\n').enumerate().map(|(index, line)| if goes(index, line) { "" } else { line });
    lines.collect::<Vec<_>>().join("\n")
}

/// The lines below the head of a cell that bring crates: `:dep name`, alone or with a value, which no Rust begins with.
fn dependencies_below(code: &str) -> Vec<usize> {
    if !code.contains("\n") || !code.contains(":dep ") {
        return Vec::new();
    }
    let (head, mut start) = (head_lines(code), 0);
    // Strings and comments of several lines.
    let is_long = |token: &scan::Token| matches!(token.kind, Kind::Text | Kind::Comment) && token.text.contains('\n');
    let long: Vec<_> = scan::tokens(code).filter(is_long).map(|token| token.start..token.start + token.text.len()).collect();
    let brings = |line: &str| {
        let rest = line.trim().strip_prefix(":dep ").map(str::trim).unwrap_or_default();
        let name = rest.find(|char: char| !char.is_alphanumeric() && !"_-".contains(char)).unwrap_or(rest.len());
        let value = rest[name..].trim_start().strip_prefix('=').map(str::trim_start);
        name > 0 && (rest.len() == name || value.is_some_and(|value| value.starts_with(['"', '{'])))
    };
    let lines = code.split('\n').enumerate().filter(|(index, line)| {
        let place = start;
        start += line.len() + 1;
        *index >= head && brings(line) && !long.iter().any(|token| token.contains(&place))
    });
    lines.map(|(index, _)| index).collect()
}

/// The cell with blanks in place of those lines at its head that do something, but for the one with the cursor (a byte).
pub fn quiet(code: &str, cursor: usize) -> String {
    let (head, below, mut start) = (head_lines(code), dependencies_below(code), 0);
    let lines = code.split('\n').enumerate().map(|(index, line)| {
        let here = (start..=start + line.len()).contains(&cursor);
        start += line.len() + 1;
        let acts = line.trim_start().starts_with([':', '!']) && !line.trim_start().starts_with(":dep");
        if ((index < head && acts) || below.contains(&index)) && !here { " ".repeat(line.len()) } else { line.to_string() }
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// How many lines at the head of a cell are no Rust.
pub fn head_lines(code: &str) -> usize {
    let is_rust = |line: &str| line.trim_start().starts_with('!') && !is_shell(line);
    code.split('\n').take(scan::head_lines(code)).take_while(|line| !is_rust(line)).count()
}

/// A `:dep` line as cargo reads it today: older notebooks spell a key with `_`, and some have a comment behind it.
fn dependency(line: &str) -> String {
    let mut quoted = false;
    let comment = line.char_indices().find(|(place, char)| {
        quoted ^= *char == '"';
        !quoted && line[*place..].starts_with(" //")
    });
    line[..comment.map_or(line.len(), |(place, _)| place)].replace("default_features", "default-features")
}

/// Whether a line at the head of a cell is for the shell: `!true` is an expression of Rust.
fn is_shell(line: &str) -> bool {
    line.starts_with('!') && !matches!(line[1..].trim().trim_end_matches(';'), "true" | "false")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directives_are_dropped_and_no_others() {
        let dropped = |code: &str| directives(code).0;
        assert_eq!(dropped(":dep finetuning = { path = \"../lib\" }\nuse finetuning::*;"), "\nuse finetuning::*;");
        assert_eq!(dropped(":dep finetuning2 = \"1\""), ":dep finetuning2 = \"1\"");
        assert_eq!(dropped("let s = \"\n:dep finetuning\";"), "let s = \"\n:dep finetuning\";");
        assert_eq!(directives("// fast\n:opt 3\n1"), ("// fast\n\n1".into(), vec![Directive::Level("3".into())]));
        let own = vec![Directive::Shell("ls -l".into()), Directive::Clear, Directive::Rerun, Directive::Quit];
        assert_eq!(
            directives("! ls -l\n:clear\n:rerun\n  :quit\n:vars\n!x"),
            ("\n\n\n\n:vars\n".into(), [own, vec![Directive::Shell("x".into())]].concat())
        );
        assert_eq!(directives("1;\n!true"), ("1;\n!true".into(), vec![]));
        assert_eq!(
            dropped(":dep a = { git = \"https://x.y\", default_features = false } // note"),
            ":dep a = { git = \"https://x.y\", default-features = false }"
        );
        let below = "let s = \"\n:dep x\n\"; /*\n:dep x\n*/\n  :dep itoa = \"1\" // note\n:dep either\nlet y\n:dep = 1;";
        let found = ["  :dep itoa = \"1\"", ":dep either"].map(|line| Directive::Dependency(line.trim().into()));
        assert_eq!(directives(below), ("let s = \"\n:dep x\n\"; /*\n:dep x\n*/\n\n\nlet y\n:dep = 1;".into(), found.to_vec()));
        assert_eq!(rust(below), directives(below).0);
        assert_eq!(directives(":sccache 1\n:sccache 0"), ("\n:sccache 0".into(), vec![Directive::Sccache]));
        // An expression of Rust, which evcxr would give to the shell.
        assert_eq!(directives("!true"), (" !true".into(), vec![]));
        assert_eq!(rust(":dep x\n!ls\n// c\n!false;\n!ls"), "\n\n// c\n!false;\n!ls");
    }
}
