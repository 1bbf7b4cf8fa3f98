//! The lines at the head of a cell → those that the kernel does itself, those for evcxr, and the Rust below them.

use notebooks::scan;

/// A line at the head of a cell that the kernel does itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Directive {
    /// `!program`
    Shell(String),
    /// `:clear`, with what the kernel adds to every session.
    Clear,
    /// `:restart`
    Restart,
    /// `:quit`
    Quit,
    /// `:opt 3`
    Level(String),
}

/// The cell without the lines that the kernel does itself, and these lines; the numbers of the others stay.
///
/// `:dep finetuning = …`, which the stock kernel needs and this one does not, is dropped.
pub fn directives(code: &str) -> (String, Vec<Directive>) {
    let (head, mut own) = (scan::head_lines(code), Vec::new());
    let lines = code.split('\n').enumerate().map(|(index, line)| {
        if index >= head {
            return line;
        }
        let text = line.trim();
        let is_companion = |rest: &str| {
            let rest = rest.trim_start().strip_prefix("finetuning");
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '=']))
        };
        match text.split_once(' ').unwrap_or((text, "")) {
            (":dep", rest) if is_companion(rest) => {}
            (":opt", level) if ["0", "1", "2", "3"].contains(&level.trim()) => own.push(Directive::Level(level.trim().into())),
            (":clear", _) => own.push(Directive::Clear),
            (":restart", _) => own.push(Directive::Restart),
            (":quit", _) => own.push(Directive::Quit),
            // Where evcxr would take it for one as well.
            _ if line.starts_with('!') => own.push(Directive::Shell(text.trim_start_matches('!').trim().into())),
            _ => return line,
        }
        ""
    });
    let code = lines.collect::<Vec<_>>().join("\n");
    (code, own)
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
        let own = vec![Directive::Shell("ls -l".into()), Directive::Clear, Directive::Quit];
        assert_eq!(
            directives("! ls -l\n:clear\n  :quit\n:vars\n!x"),
            ("\n\n\n:vars\n".into(), [own, vec![Directive::Shell("x".into())]].concat())
        );
        assert_eq!(directives("1;\n!true"), ("1;\n!true".into(), vec![]));
    }
}
