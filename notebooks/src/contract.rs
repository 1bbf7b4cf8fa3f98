//! What a cell promises, `contains "Paris"` → whether its outputs keep it, and if not, what came instead.
//!
//! | contract | kept when |
//! |---|---|
//! | `contains "text"`, `lacks "text"` | the text of all outputs has it, or has it not |
//! | `prints "text"` | that is the whole text, without white space around it |
//! | `matches "loss * → *"` | a line has these pieces in this order; `*` is anything |
//! | `number after "eval loss" = 1.04 +- 0.05` | the first number behind the words is so near; also `<`, `<=`, `>`, `>=` |
//! | `table of 5 rows`, `table of 2..9 rows`, `table of 5.. rows` | a table has so many rows without its head |
//! | `3 lines`, `2..9 lines` | the text has so many lines |
//! | `picture` | there is a picture or a chart |
//! | `nothing` | there is no output |
//! | `error`, `error "text"` | the cell fails, and its message has the text |
//!
//! `smol: ` in front: the contract holds for the real model, and is looked at where `builtin:smol` is.

use serde_json::Value;

/// All forms, for messages.
const FORMS: &str = "`contains`, `lacks`, `prints` and `matches` with a \"text\", `number after \"text\" = 1 +- 0.1` (also <, <=, >, >=), \
    `table of 5 rows`, `3 lines`, `picture`, `nothing`, `error`";
/// In front of what only the real model keeps.
const SMOL: &str = "smol: ";

/// What a cell promises.
#[derive(Debug, Clone, PartialEq)]
pub struct Contract {
    /// Whether only the real model keeps it.
    pub smol: bool,
    promise: Promise,
}

#[derive(Debug, Clone, PartialEq)]
enum Promise {
    Contains(String),
    Lacks(String),
    Prints(String),
    Matches(String),
    /// The words, then what the number behind them is.
    Number(String, Bound),
    /// The fewest and the most.
    Table(usize, usize),
    Lines(usize, usize),
    Picture,
    Nothing,
    Fails(String),
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Bound {
    Near(f64, f64),
    Less(f64),
    AtMost(f64),
    More(f64),
    AtLeast(f64),
}

impl Contract {
    /// Reads what stands behind `// => `.
    ///
    /// # Errors
    /// What is allowed.
    pub fn parse(text: &str) -> Result<Contract, String> {
        let (smol, rest) = match text.strip_prefix(SMOL) {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let wrong = || format!("`{text}` is no contract; there are {FORMS}");
        let (word, tail) = rest.split_once(' ').unwrap_or((rest, ""));
        let promise = match word {
            "picture" if tail.is_empty() => Promise::Picture,
            "nothing" if tail.is_empty() => Promise::Nothing,
            "error" if tail.is_empty() => Promise::Fails(String::new()),
            "contains" | "lacks" | "prints" | "matches" | "error" => {
                let (given, end) = quoted(tail).ok_or_else(wrong)?;
                if !end.is_empty() || given.is_empty() && word != "prints" {
                    return Err(wrong());
                }
                match word {
                    "contains" => Promise::Contains(given),
                    "lacks" => Promise::Lacks(given),
                    "prints" => Promise::Prints(given),
                    "matches" => Promise::Matches(given),
                    _ => Promise::Fails(given),
                }
            }
            "number" => {
                let (words, end) = tail.strip_prefix("after ").and_then(quoted).ok_or_else(wrong)?;
                Promise::Number(words, bound(end.trim()).ok_or_else(wrong)?)
            }
            "table" => {
                let rows = tail.strip_prefix("of ").and_then(|tail| tail.strip_suffix(" rows").or(tail.strip_suffix(" row")));
                let (least, most) = rows.and_then(range).ok_or_else(wrong)?;
                Promise::Table(least, most)
            }
            count if tail == "lines" || tail == "line" => {
                let (least, most) = range(count).ok_or_else(wrong)?;
                Promise::Lines(least, most)
            }
            word if word.starts_with(|first: char| first.is_alphabetic()) => {
                return Err(format!("`{word}` is no contract; there are {FORMS}"));
            }
            _ => return Err(wrong()),
        };
        Ok(Contract { smol, promise })
    }

    /// Whether the cell is to fail.
    pub fn fails(&self) -> bool {
        matches!(self.promise, Promise::Fails(_))
    }

    /// Whether outputs keep it.
    ///
    /// # Errors
    /// What came instead.
    pub fn check(&self, outputs: &[Value]) -> Result<(), String> {
        let text = text_of(outputs);
        let failed = outputs.iter().find(|output| output["output_type"] == "error");
        let kept = match &self.promise {
            Promise::Fails(words) => {
                let message = failed.map(|error| format!("{}: {}", plain(&error["ename"]), plain(&error["evalue"])));
                return match message {
                    Some(message) if message.contains(words) => Ok(()),
                    Some(message) => Err(short(&message)),
                    None => Err("the cell did not fail".into()),
                };
            }
            Promise::Contains(words) => text.contains(words),
            Promise::Lacks(words) => !text.contains(words),
            Promise::Prints(words) => text.trim() == words.trim(),
            Promise::Matches(pattern) => text.lines().any(|line| matches(pattern, line)),
            Promise::Number(words, bound) => {
                let number = text.find(words).and_then(|start| number(&text[start + words.len()..]));
                return match number {
                    Some(number) if bound.holds(number) => Ok(()),
                    Some(number) => Err(number.to_string()),
                    None => Err(format!("no number; the cell shows {}", short(&text))),
                };
            }
            Promise::Table(least, most) => {
                let rows: Vec<usize> = outputs.iter().filter_map(table_rows).collect();
                return match rows.iter().any(|rows| (*least..=*most).contains(rows)) {
                    true => Ok(()),
                    false if rows.is_empty() => Err("no table".into()),
                    false => Err(format!("tables with {} rows", rows.iter().map(usize::to_string).collect::<Vec<_>>().join(", "))),
                };
            }
            Promise::Lines(least, most) => {
                let lines = text.trim_end().lines().count();
                return if (*least..=*most).contains(&lines) { Ok(()) } else { Err(format!("{lines} lines")) };
            }
            Promise::Picture => outputs.iter().any(is_picture),
            Promise::Nothing => outputs.is_empty(),
        };
        if kept { Ok(()) } else { Err(short(&text)) }
    }
}

impl Bound {
    fn holds(self, number: f64) -> bool {
        match self {
            // A hair more, for what is no binary fraction.
            Self::Near(middle, distance) => (number - middle).abs() <= distance + 1e-12 * middle.abs().max(1.0),
            Self::Less(most) => number < most,
            Self::AtMost(most) => number <= most,
            Self::More(least) => number > least,
            Self::AtLeast(least) => number >= least,
        }
    }
}

/// A text in quotes, with the escapes of JSON, and what follows it.
fn quoted(text: &str) -> Option<(String, &str)> {
    let mut values = serde_json::Deserializer::from_str(text).into_iter::<String>();
    let given = values.next()?.ok()?;
    Some((given, &text[values.byte_offset()..]))
}

fn bound(text: &str) -> Option<Bound> {
    let (sign, rest) = text.split_once(' ')?;
    let number = |text: &str| text.trim().parse::<f64>().ok().filter(|number| number.is_finite());
    Some(match sign {
        "=" => {
            let (middle, distance) = rest.split_once("+-").unwrap_or((rest, "0"));
            Bound::Near(number(middle)?, number(distance).filter(|distance| *distance >= 0.0)?)
        }
        "<" => Bound::Less(number(rest)?),
        "<=" => Bound::AtMost(number(rest)?),
        ">" => Bound::More(number(rest)?),
        ">=" => Bound::AtLeast(number(rest)?),
        _ => return None,
    })
}

/// `5`, `2..9` or `5..`, both ends included.
fn range(text: &str) -> Option<(usize, usize)> {
    match text.split_once("..") {
        None => text.parse().ok().map(|count| (count, count)),
        Some((least, "")) => Some((least.parse().ok()?, usize::MAX)),
        Some((least, most)) => Some((least.parse().ok()?, most.parse().ok()?)).filter(|(least, most)| least <= most),
    }
}

/// Whether a line has the pieces between `*` in this order.
fn matches(pattern: &str, line: &str) -> bool {
    let mut rest = line;
    pattern.split('*').all(|piece| match rest.find(piece) {
        Some(start) => {
            rest = &rest[start + piece.len()..];
            true
        }
        None => false,
    })
}

/// The first number of a text; commas between its digits are left out.
fn number(text: &str) -> Option<f64> {
    let characters: Vec<char> = text.chars().collect();
    let digit = |place: usize| characters.get(place).is_some_and(char::is_ascii_digit);
    let mut start = (0..characters.len()).find(|&place| digit(place))?;
    if start > 0 && characters[start - 1] == '.' {
        start -= 1;
    }
    let mut written = String::new();
    if start > 0 && ['-', '−'].contains(&characters[start - 1]) {
        written.push('-');
    }
    let mut place = start;
    while let Some(&letter) = characters.get(place) {
        match letter {
            '0'..='9' => written.push(letter),
            '.' if digit(place + 1) && !written.contains('.') => written.push(letter),
            ',' if digit(place + 1) => {}
            'e' | 'E' if !written.contains('e') && (digit(place + 1) || characters.get(place + 1) == Some(&'-') && digit(place + 2)) => {
                written.push('e');
                if !digit(place + 1) {
                    written.push('-');
                    place += 1;
                }
            }
            _ => break,
        }
        place += 1;
    }
    written.parse().ok()
}

/// The text of all outputs but errors, in order.
pub fn text_of(outputs: &[Value]) -> String {
    let piece = |output: &Value| match output["output_type"].as_str() {
        Some("stream") => plain(&output["text"]),
        Some("error") => String::new(),
        _ => plain(&output["data"]["text/plain"]) + "\n",
    };
    outputs.iter().map(piece).collect()
}

/// A text without the colour codes of a terminal.
fn plain(value: &Value) -> String {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Array(lines) => lines.iter().filter_map(Value::as_str).collect(),
        _ => String::new(),
    };
    let mut pieces = text.split("\u{1b}[");
    let first = pieces.next().unwrap_or_default().to_string();
    first + &pieces.map(|piece| piece.split_once('m').map_or(piece, |(_, rest)| rest)).collect::<String>()
}

/// Rows of an output's table without those of its head.
fn table_rows(output: &Value) -> Option<usize> {
    let html = plain(&output["data"]["text/html"]);
    let table = html.split_once("<table")?.1.split("</table>").next()?.to_string();
    let body = table.split_once("<tbody").map_or(table.as_str(), |(_, body)| body);
    Some(body.split("<tr").skip(1).filter(|row| row.contains("<td")).count())
}

fn is_picture(output: &Value) -> bool {
    let Some(forms) = output["data"].as_object() else { return false };
    forms.keys().any(|mime| mime.starts_with("image/") || mime.contains("plotly")) || plain(&output["data"]["text/html"]).contains("<svg")
}

/// The beginning of a text in one line, for messages.
fn short(text: &str) -> String {
    let line = text.trim().replace('\n', " ⏎ ");
    match line.char_indices().nth(160) {
        _ if line.is_empty() => "nothing".into(),
        Some((cut, _)) => format!("`{}…`", &line[..cut]),
        None => format!("`{line}`"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn outputs() -> Vec<Value> {
        let html = "<table><thead><tr><th>a</th></tr></thead><tbody><tr><td>1</td></tr><tr><td>2</td></tr></tbody></table>";
        vec![
            json!({"output_type": "stream", "name": "stdout", "text": "step 3: loss 1.0412, \u{1b}[31mrate −2.5e-4\u{1b}[0m\n981,000 tokens\n"}),
            json!({"output_type": "display_data", "data": {"text/html": html, "text/plain": "a\n1\n2"}, "metadata": {}}),
        ]
    }

    fn came(contract: &str, outputs: &[Value]) -> Result<(), String> {
        Contract::parse(contract).unwrap().check(outputs)
    }

    #[test]
    fn what_is_kept_passes_and_what_came_instead_is_said() {
        let all = outputs();
        for kept in [
            "contains \"loss 1.0\"",
            "lacks \"Paris\"",
            "matches \"step * loss *, rate\"",
            "number after \"loss\" = 1.04 +- 0.05",
            "number after \"loss\" = 1.0412",
            "number after \"rate\" < 0",
            "number after \"rate\" >= -2.5e-4",
            "number after \"rate\" <= -0.00025",
            "number after \"2.5e-4\" > 980999",
            "table of 2 rows",
            "table of 1..3 rows",
            "table of 2.. rows",
            "5 lines",
            "2..9 lines",
        ] {
            assert_eq!(came(kept, &all), Ok(()), "{kept}");
        }
        for (broken, instead) in [
            ("contains \"Paris\"", "`step 3: loss"),
            ("lacks \"loss\"", "`step 3: loss"),
            ("prints \"step 3\"", "`step 3: loss"),
            ("matches \"loss * step\"", "`step 3: loss"),
            ("number after \"loss\" = 1.04 +- 0.001", "1.0412"),
            ("number after \"gain\" = 1", "no number; the cell shows `step 3"),
            ("table of 3 rows", "tables with 2 rows"),
            ("1 line", "5 lines"),
            ("picture", "`step 3"),
            ("nothing", "`step 3"),
            ("error", "the cell did not fail"),
        ] {
            let error = came(broken, &all).unwrap_err();
            assert!(error.starts_with(instead), "{broken}: {error}");
        }
        assert_eq!(came("prints \"a\\nb\"", &[json!({"output_type": "stream", "text": "a\nb\n"})]), Ok(()));
        assert_eq!((came("nothing", &[]), came("prints \"\"", &[])), (Ok(()), Ok(())));
        assert_eq!(came("contains \"a\"", &[]).unwrap_err(), "nothing");
        assert_eq!(came("table of 1 row", &[]).unwrap_err(), "no table");
        assert_eq!(came("picture", &[json!({"output_type": "display_data", "data": {"image/svg+xml": "<svg/>"}})]), Ok(()));
    }

    #[test]
    fn a_cell_that_is_to_fail_does() {
        let failed = [json!({"output_type": "error", "ename": "Error", "evalue": "the service is away\nhint: wait", "traceback": []})];
        assert_eq!(came("error", &failed), Ok(()));
        assert_eq!(came("error \"hint: wait\"", &failed), Ok(()));
        assert_eq!(came("error \"E0382\"", &failed).unwrap_err(), "`Error: the service is away ⏎ hint: wait`");
        assert!(Contract::parse("smol: error").unwrap().fails() && !Contract::parse("picture").unwrap().fails());
    }

    #[test]
    fn what_is_no_contract_is_refused_with_those_there_are() {
        assert!(Contract::parse("smol: contains \"a\"").unwrap().smol);
        for wrong in [
            "",
            "holds \"a\"",
            "contains",
            "contains a",
            "contains \"\"",
            "contains \"a\" b",
            "number after \"a\"",
            "number after \"a\" = x",
            "number after \"a\" = 1 +- -1",
            "number \"a\" = 1",
            "table of 3",
            "table of 3..1 rows",
            "many lines",
            "nothing else",
            "smol:contains \"a\"",
        ] {
            let error = Contract::parse(wrong).unwrap_err();
            assert!(error.contains("is no contract; there are `contains`"), "{wrong}: {error}");
        }
    }
}
