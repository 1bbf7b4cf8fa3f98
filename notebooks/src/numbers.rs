//! The text cells of a notebook, and what its code cells show → the numbers in words that nothing backs.
//!
//! A number in a text stands in the code or in an output of one of the code cells near it, or in the list `lessons/numbers.tsv`:
//! a lesson, the number, the words that it stands in, and where it is from, tabs between them.
//!
//! | from | kept when |
//! |---|---|
//! | `rows data/guide.jsonl` | the file of the notebooks has so many rows |
//! | `file lib/src/a.rs: text` | the file of the project has the text, and the text the number |
//! | `cell text` | a code cell of the lesson, or its output, has the text, and the text the number |
//! | `given by whom` | nothing here can count it: it says who did |

use std::path::Path;

use crate::ipynb::{Notebook, NotebookCell};
use crate::marker::Kind;

/// The list, below the folder of the notebooks.
pub const LIST: &str = "lessons/numbers.tsv";
/// How many code cells before a text, and how many behind it, are near.
const NEAR: usize = 4;

/// What the list says of one number.
#[derive(Debug, Clone, PartialEq)]
struct Entry {
    lesson: String,
    number: f64,
    words: String,
    source: Source,
}

#[derive(Debug, Clone, PartialEq)]
enum Source {
    Rows(String),
    File(String, String),
    Cell(String),
    Given,
}

/// The numbers that no cell shows, with where they are from.
#[derive(Debug, Clone, PartialEq)]
pub struct Numbers(Vec<Entry>);

impl Numbers {
    /// Reads the list of a `notebooks` folder.
    ///
    /// # Errors
    /// The file cannot be read, or as [`Numbers::parse`].
    pub fn open(folder: &Path) -> Result<Numbers, String> {
        let path = folder.join(LIST);
        let wrong = |why: &dyn std::fmt::Display| format!("{}: {why}", path.display());
        Self::parse(&std::fs::read_to_string(&path).map_err(|error| wrong(&error))?).map_err(|error| wrong(&error))
    }

    /// Reads the text of the list.
    ///
    /// # Errors
    /// The line that has another form than `lesson, number, words, source`, or words without the number.
    pub fn parse(text: &str) -> Result<Numbers, String> {
        let entry = |(line, text): (usize, &str)| {
            Entry::parse(text).ok_or_else(|| {
                let sources = "`rows FILE`, `file FILE: TEXT`, `cell TEXT` or `given WHO`";
                format!("line {}: write the lesson, the number, words that have it, and its source ({sources}), with tabs", line + 1)
            })
        };
        text.lines().enumerate().map(entry).collect::<Result<_, _>>().map(Numbers)
    }

    /// What is wrong in this lesson: numbers that nothing backs, and lines of the list that do not hold. `folder` has the
    /// notebooks.
    pub fn wrong(&self, lesson: &str, notebook: &Notebook, folder: &Path) -> Vec<String> {
        let listed: Vec<&Entry> = self.0.iter().filter(|entry| entry.lesson == lesson).collect();
        let mut used: Vec<bool> = vec![false; listed.len()];
        let mut found: Vec<String> = Vec::new();
        for (place, cell) in notebook.cells.iter().enumerate().filter(|(_, cell)| cell.kind == Kind::Markdown) {
            let words = words(&cell.source);
            let near: Vec<f64> =
                near(&notebook.cells, place).flat_map(|cell| numbers(&shown(cell), true)).map(|(number, _)| number).collect();
            for (number, at) in numbers(&words, false) {
                if let Some(entry) = listed.iter().position(|entry| entry.number == number && stands(&words, &entry.words, at)) {
                    used[entry] = true;
                } else if !near.contains(&number) {
                    found.push(format!("\"{}\": {number} stands in no cell near it and not in {LIST}", around(&words, at)));
                }
            }
        }
        for (entry, used) in listed.iter().zip(used) {
            let why = if used { entry.source.broken(entry.number, notebook, folder) } else { Some("no text has these words".into()) };
            found.extend(why.map(|why| format!("{LIST}: {} in \"{}\": {why}", entry.number, entry.words)));
        }
        found
    }
}

impl Entry {
    fn parse(line: &str) -> Option<Entry> {
        let [lesson, number, words, source] = line.split('\t').collect::<Vec<_>>().try_into().ok()?;
        let number = number.replace(',', "").parse().ok()?;
        let has = |text: &str| numbers(text, true).iter().any(|(other, _)| *other == number);
        let source = match source.split_once(' ')? {
            ("rows", file) => Source::Rows(file.to_string()),
            ("file", rest) => {
                rest.split_once(": ").filter(|(_, text)| has(text)).map(|(file, text)| Source::File(file.into(), text.into()))?
            }
            ("cell", text) if has(text) => Source::Cell(text.to_string()),
            ("given", who) if !who.trim().is_empty() => Source::Given,
            _ => return None,
        };
        has(words).then(|| Entry { lesson: lesson.to_string(), number, words: words.to_string(), source })
    }
}

impl Source {
    /// Why this does not hold for `number`.
    fn broken(&self, number: f64, notebook: &Notebook, folder: &Path) -> Option<String> {
        let read = |path: &str| std::fs::read_to_string(folder.join(path)).map_err(|error| format!("{path}: {error}"));
        let missing = |text: &str, whole: &str, place: &str| (!whole.contains(text)).then(|| format!("no `{text}` in {place}"));
        match self {
            Source::Given => None,
            Source::Rows(file) => match read(file).map(|text| text.lines().count()) {
                Ok(rows) => (rows as f64 != number).then(|| format!("{file} has {rows} rows")),
                Err(why) => Some(why),
            },
            Source::File(file, text) => read(&format!("../{file}")).map_or_else(Some, |whole| missing(text, &whole, file)),
            Source::Cell(text) => {
                let code = notebook.cells.iter().filter(|cell| cell.kind == Kind::Code);
                missing(text, &code.map(shown).collect::<String>(), "code and outputs")
            }
        }
    }
}

/// The code cells near the cell at `place`.
fn near(cells: &[NotebookCell], place: usize) -> impl Iterator<Item = &NotebookCell> {
    let code = |cell: &&NotebookCell| cell.kind == Kind::Code;
    cells[..place].iter().rev().filter(code).take(NEAR).chain(cells[place..].iter().filter(code).take(NEAR))
}

/// The code of a cell, and the text of its outputs.
fn shown(cell: &NotebookCell) -> String {
    let mut text = format!("{}\n", cell.source);
    for output in &cell.outputs {
        let parts = [&output["text"], &output["data"]["text/plain"]];
        parts.iter().filter_map(|part| part.as_str()).for_each(|part| {
            text.push_str(part);
            text.push('\n');
        });
    }
    text
}

/// The words of a text cell: without headings, code, the targets of links, numbers of lists and names of lessons and exercises.
fn words(source: &str) -> String {
    let mut fenced = false;
    let lines = source.lines().filter(|line| {
        let fence = line.trim_start().starts_with("```");
        fenced ^= fence;
        !fence && !fenced && !line.starts_with('#')
    });
    let lines = lines.map(|line| match line.trim_start().split_once(". ") {
        Some((number, rest)) if number.parse::<u32>().is_ok() => rest,
        _ => line,
    });
    let joined = lines.collect::<Vec<_>>().join(" ");
    let mut words = String::new();
    for (place, piece) in joined.split('`').enumerate() {
        words.push_str(if place % 2 == 0 { piece } else { "…" });
    }
    let mut words: Vec<String> = without_targets(&words).split(' ').map(str::to_string).collect();
    for place in 0..words.len() {
        let named = ["lesson", "lessons", "exercise", "exercises"];
        let mut next = place + 1;
        while named.contains(&words[place].trim_matches(|sign: char| !sign.is_alphanumeric()).to_lowercase().as_str())
            && words.get(next).is_some_and(|word| word == "and" || word == "to" || word.starts_with(|sign: char| sign.is_ascii_digit()))
        {
            words[next] = words[next].replace(|sign: char| sign.is_ascii_digit(), "");
            next += 1;
        }
    }
    words.join(" ")
}

/// `[text](target)` without the target.
fn without_targets(text: &str) -> String {
    let mut pieces = text.split("](");
    let mut kept = pieces.next().unwrap_or_default().to_string();
    for piece in pieces {
        kept.push(']');
        kept.push_str(piece.split_once(')').map_or("", |(_, rest)| rest));
    }
    kept
}

/// The numbers of a text and where they begin. `anywhere`: as code and outputs write them, `1_000`, `1e-5` and `x2` too.
fn numbers(text: &str, anywhere: bool) -> Vec<(f64, usize)> {
    let bytes = text.as_bytes();
    let digit = |place: usize| bytes.get(place).is_some_and(u8::is_ascii_digit);
    let letter = |place: usize| bytes.get(place).is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte == b'_');
    let (mut found, mut place) = (Vec::new(), 0);
    while place < bytes.len() {
        if !digit(place) {
            place += 1;
            continue;
        }
        let start = place;
        while digit(place)
            || matches!(bytes.get(place), Some(b',' | b'_')) && (1..=3).all(|ahead| digit(place + ahead)) && !digit(place + 4)
        {
            place += 1;
        }
        if bytes.get(place) == Some(&b'.') && digit(place + 1) {
            place += 1;
            while digit(place) {
                place += 1;
            }
        }
        if anywhere && bytes.get(place) == Some(&b'e') {
            let power = place + 1 + usize::from(bytes.get(place + 1) == Some(&b'-'));
            if digit(power) {
                place = power;
                while digit(place) {
                    place += 1;
                }
            }
        }
        let before = start.checked_sub(1).is_some_and(|before| letter(before) || matches!(bytes[before], b'.' | b'-'));
        let behind = letter(place) || bytes.get(place) == Some(&b'-') && letter(place + 1);
        if let Ok(number) = text[start..place].replace([',', '_'], "").parse()
            && (anywhere || !(before || behind))
        {
            found.push((number, start));
        }
    }
    found
}

/// Whether `words` stand in the text around the number at `at`.
fn stands(text: &str, words: &str, at: usize) -> bool {
    text.match_indices(words).any(|(start, _)| (start..start + words.len()).contains(&at))
}

/// A few words on both sides of a place.
fn around(text: &str, at: usize) -> &str {
    let start = (0..=at.saturating_sub(40)).rev().find(|place| text.is_char_boundary(*place)).unwrap_or(0);
    let end = (at + 40..=text.len()).find(|place| text.is_char_boundary(*place)).unwrap_or(text.len());
    text[start..end].trim()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::course::{folder, lessons};

    fn plain(text: &str, anywhere: bool) -> Vec<f64> {
        numbers(text, anywhere).into_iter().map(|(number, _)| number).collect()
    }

    #[test]
    fn numbers_are_read_as_people_and_as_programs_write_them() {
        assert_eq!(plain("1,024 of 8,192.5 tokens, 2 bytes; 90 %, −100.", false), [1024.0, 8192.5, 2.0, 90.0, 100.0]);
        assert!(plain("GPT-3, F32, 4-bit, x2, 16th", false).is_empty());
        assert_eq!(plain("[1_055_488, 1e-5, 0..60, 0.5_f64] F32", true), [1_055_488.0, 1e-5, 0.0, 60.0, 0.5, 64.0, 32.0]);
        let text = "# 5 rows\n1. Two of 3 rows, `x = 7`\n- lessons 1 and 2, Exercise 4.1: see [page 8](https://a.b/9).\n```\n10\n```\n";
        assert_eq!(plain(&words(text), false), [3.0, 8.0]);
    }

    #[test]
    fn a_number_that_nothing_backs_is_named_and_a_line_of_the_list_is_checked() {
        let cell = |kind, source: &str| NotebookCell {
            kind,
            id: "a".into(),
            source: source.into(),
            metadata: Default::default(),
            execution_count: None,
            outputs: vec![serde_json::json!({"text": "12 rows\n"})],
            other: Default::default(),
        };
        let notebook = Notebook::new(vec![
            cell(Kind::Code, "let rows: usize = 40;"),
            cell(Kind::Markdown, "12 of the 40 rows; 98 items; 77 more; nobody counted 825 GiB."),
        ]);
        let list = "1\t98\t98 items\trows lessons/coverage.tsv\n1\t825\t825 GiB\tgiven The Pile's paper\n";
        let list = |more: &str| Numbers::parse(&format!("{list}{more}")).unwrap().wrong("1", &notebook, folder());
        let found = list("");
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].contains("77 stands in no cell near it"), "{found:?}");
        assert_eq!(list("1\t77\t77 more\tcell 77 rows\n"), ["lessons/numbers.tsv: 77 in \"77 more\": no `77 rows` in code and outputs"]);
        assert!(list("1\t77\t77 more\trows lessons/coverage.tsv\n")[0].ends_with("lessons/coverage.tsv has 98 rows"));
        assert_eq!(list("1\t77\t77 more\tfile Cargo.toml: 77\n"), ["lessons/numbers.tsv: 77 in \"77 more\": no `77` in Cargo.toml"]);
        assert!(list("1\t5\t5 others\tgiven nobody\n").iter().any(|why| why.ends_with("no text has these words")));
        assert!(Numbers::parse("1\t77\tseventy\tgiven a").unwrap_err().starts_with("line 1: write the lesson"));
    }

    #[test]
    fn every_number_that_a_lesson_states_is_shown_beside_it_or_has_a_source() {
        let list = Numbers::open(folder()).unwrap();
        let mut found = Vec::new();
        for lesson in lessons(folder()).unwrap() {
            let notebook = lesson.read_notebook().unwrap().expect("the lesson has a notebook");
            let number = lesson.number.to_string();
            found.extend(list.wrong(&number, &notebook, folder()).into_iter().map(|why| format!("{}: {why}", lesson.name)));
        }
        assert!(found.is_empty(), "{}", found.join("\n"));
    }
}
