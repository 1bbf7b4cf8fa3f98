//! The first line of a cell that asks for more than to run it → what is asked, and the Rust that is compiled for it.
//!
//! The words are IPython's where it has them: `?name`, `%time`, `%timeit`. Evcxr's own `:fmt` sets the form of results, so the
//! line that formats a cell is `:rustfmt`.

use std::borrow::Cow;

/// What a cell asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Magic {
    /// `:type EXPR`
    Type(String),
    /// `?name`; `name?` is one if the name is no `Result` or `Option`.
    About { name: String, by_mark_in_front: bool },
    /// `:rustfmt`
    Format,
    /// `%time`, `%%time`
    Time,
    /// `%timeit`, `%%timeit`
    Repeat,
}

/// What `:help` says of them, each with what it does.
pub const HELP: [(&str, &str); 7] = [
    ("?name", "Show the source and the documentation of an item, a variable or a path; also `name?`"),
    (":type EXPR", "Show the type of an expression, without running it"),
    (":rerun", "Run the cells again that made variables which an interrupt or a crash has lost"),
    (":rustfmt", "As the first line: format the rest of the cell in its place"),
    ("%time CODE", "Run code and print how long it took; `%%time` as the first line: the whole cell"),
    ("%timeit EXPR", "Run an expression many times and print the mean and the deviation; `%%timeit`: the whole cell"),
    ("!COMMAND", "Run a command of the shell"),
];

/// How the loop of `%timeit` begins.
const REPEAT: &str = "crate::evcxr_show::timeit";

impl Magic {
    /// What the first line with text asks for.
    pub fn of(cell: &str) -> Option<Magic> {
        let line = cell.lines().find(|line| !line.trim().is_empty())?.trim();
        let is_alone = cell.trim() == line;
        if let Some(word) = word(line) {
            return Some(if word.ends_with("timeit") { Magic::Repeat } else { Magic::Time });
        }
        let (command, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        match command {
            ":rustfmt" => return Some(Magic::Format),
            ":type" | ":t" if is_alone && !rest.trim().is_empty() => {
                return Some(Magic::Type(rest.trim().trim_end_matches(';').into()));
            }
            _ => {}
        }
        let (front, name) = (line.starts_with('?'), line.trim_start_matches('?').trim_end_matches('?').trim());
        let is_name = |name: &str| {
            let name = name.strip_suffix('!').unwrap_or(name);
            !name.is_empty()
                && !name.starts_with(char::is_numeric)
                && name.chars().all(|char| char.is_alphanumeric() || "_:.".contains(char))
        };
        let marked = front || line.ends_with('?');
        (is_alone && marked && is_name(name)).then(|| Magic::About { name: name.into(), by_mark_in_front: front || line.ends_with("??") })
    }
}

/// The magic word that a line begins with.
fn word(line: &str) -> Option<&str> {
    let word = line.split_whitespace().next()?;
    matches!(word, "%time" | "%%time" | "%timeit" | "%%timeit").then_some(word)
}

/// How long the word at the head of a line is, with its numbers: `%timeit -n 10 -r 3`; and these: loops and runs.
fn head(line: &str) -> Option<(usize, Option<u64>, Option<u32>)> {
    let start = line.len() - line.trim_start().len();
    let word = word(line)?;
    let (mut end, mut loops, mut runs) = (start + word.len(), None, None);
    while word.ends_with("timeit") {
        let rest = &line[end..];
        let trimmed = rest.trim_start();
        let Some(option) = trimmed.strip_prefix("-n").or_else(|| trimmed.strip_prefix("-r")) else { break };
        let digits = option.trim_start();
        let length = digits.find(|char: char| !char.is_ascii_digit()).unwrap_or(digits.len());
        if length == 0 {
            break;
        }
        if trimmed.starts_with("-n") {
            loops = digits[..length].parse().ok()
        } else {
            runs = digits[..length].parse().ok()
        }
        end = line.len() - digits.len() + length;
    }
    Some((end, loops, runs))
}

/// The cell with blanks in place of what is no Rust in its first line; columns and lines stay.
pub fn rust(cell: &str) -> Cow<'_, str> {
    let Some(line) = cell.lines().find(|line| !line.trim().is_empty()) else { return cell.into() };
    let length = match head(line) {
        Some((length, ..)) => length,
        None if line.trim_start().starts_with('?') => line.len(),
        None => return cell.into(),
    };
    let start = line.as_ptr() as usize - cell.as_ptr() as usize;
    let blank = " ".repeat(line[..length].chars().count());
    format!("{}{blank}{}", &cell[..start], &cell[start + length..]).into()
}

/// The Rust that is compiled: for `%timeit` a loop around it, whose lines below the first are those of the cell.
pub fn compiled(cell: &str) -> Cow<'_, str> {
    let rust = rust(cell);
    if Magic::of(cell) != Some(Magic::Repeat) {
        return rust;
    }
    let line = cell.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
    let (_, loops, runs) = head(line).unwrap_or_default();
    let expression = rust.trim_end();
    format!("{REPEAT}({}, {}, || {{\n{expression}\n}});", loops.unwrap_or(0), runs.unwrap_or(7).max(1)).into()
}

/// A duration as `%time` prints it: three digits and a unit.
pub fn duration(nanoseconds: u64) -> String {
    let (value, unit) = match nanoseconds {
        0..1_000 => (nanoseconds as f64, "ns"),
        1_000..1_000_000 => (nanoseconds as f64 / 1e3, "µs"),
        1_000_000..1_000_000_000 => (nanoseconds as f64 / 1e6, "ms"),
        _ => (nanoseconds as f64 / 1e9, "s"),
    };
    let digits = if value >= 100.0 || unit == "ns" {
        0
    } else if value >= 10.0 {
        1
    } else {
        2
    };
    format!("{value:.digits$} {unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_says_what_is_asked() {
        let about = |name: &str, by_mark_in_front| Some(Magic::About { name: name.into(), by_mark_in_front });
        for (cell, expected) in [
            ("?Vec::push", about("Vec::push", true)),
            ("\nspan??\n", about("span", true)),
            ("name?", about("name", false)),
            ("println!?", about("println!", false)),
            ("f()?", None),
            ("a?\nb", None),
            ("1?", None),
            (":type a + 1;", Some(Magic::Type("a + 1".into()))),
            (":type a\nb", None),
            (":rustfmt\nfn f(){}", Some(Magic::Format)),
            ("%time f()", Some(Magic::Time)),
            ("%%time\nf()", Some(Magic::Time)),
            ("\n%timeit -n 5 f()", Some(Magic::Repeat)),
            ("%timer f()", None),
            ("a % time", None),
        ] {
            assert_eq!(Magic::of(cell), expected, "{cell}");
        }
    }

    #[test]
    fn what_is_no_rust_is_blank_and_a_loop_stands_around_what_is_repeated() {
        assert_eq!(rust("%time f(é)"), "      f(é)");
        assert_eq!(rust("\n  %%timeit -n 10 -r3\nf()"), "\n                    \nf()");
        assert_eq!(rust("?é"), "  ");
        assert_eq!(compiled("%%time\nf();"), "      \nf();");
        assert_eq!(compiled("%timeit -r 3 f();"), format!("{REPEAT}(0, 3, || {{\n             f();\n}});"));
        assert_eq!(compiled("%%timeit -n 4\nlet a = 1;\na"), format!("{REPEAT}(4, 7, || {{\n             \nlet a = 1;\na\n}});"));
    }

    #[test]
    fn durations_have_three_digits() {
        let shown = [7, 1_234, 45_600_000, 789_000_000, 12_345_000_000].map(duration);
        assert_eq!(shown, ["7 ns", "1.23 µs", "45.6 ms", "789 ms", "12.3 s"]);
    }
}
