//! Bytes of JSON → values that lose nothing: exact numbers, each name once, a bounded depth; an error knows its byte and field.
//!
//! It is what JSON allows and no more. What a general parser would accept in silence is refused: a name that stands twice,
//! an integer that 64 bits cannot hold.

use std::collections::HashSet;
use std::path::Path;

use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_json::map::{Entry, Map};

use crate::border::{self, file, limits};
use crate::data::example::kind_of;
use crate::error::{self, Error, ErrorKind};

/// How deep lists and objects may stand in each other.
pub(crate) const DEEPEST: usize = limits::JSON_DEPTH;
/// From so many names on they are kept in a set.
const MANY: usize = 24;

/// What is wrong with a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Trouble {
    /// The byte at which it was found.
    pub(crate) at: usize,
    /// Where in the row, as in `messages[2].content`; empty outside of a field.
    pub(crate) field: String,
    pub(crate) what: String,
    pub(crate) hint: Option<&'static str>,
    /// Whether it is no JSON at all, rather than JSON that would lose something.
    pub(crate) syntax: bool,
}

impl Trouble {
    /// The same, inside of a field.
    fn inside(mut self: Box<Self>, name: &str) -> Box<Self> {
        let dot = if self.field.is_empty() || self.field.starts_with('[') { "" } else { "." };
        self.field = format!("{name}{dot}{}", self.field);
        self
    }
}

pub(crate) type Result<T> = std::result::Result<T, Box<Trouble>>;

/// An object as the fields of a row. `names` are those of the row before, which most rows share.
pub(crate) fn fields(text: &str, names: &mut Vec<String>) -> Result<Vec<(String, Value)>> {
    let mut parser = Parser { text, at: 0, values: 0 };
    parser.blank();
    if parser.peek() != Some(b'{') {
        let value = parser.value(0)?;
        parser.at = 0;
        return Err(parser.lossy(
            format!("expected a JSON object, found {}", kind_of(&value)),
            "every row is one object such as {\"question\": \"…\", \"answer\": \"…\"}",
        ));
    }
    let fields = parser.row(names)?;
    parser.end()?;
    Ok(fields)
}

/// What a file of JSON holds, its numbers to the last bit, which `serde_json` may miss.
///
/// # Errors
/// As [`border::json::read`].
pub(crate) fn read<T: DeserializeOwned>(path: &Path, limit: limits::Limit, kind: ErrorKind, hint: &str) -> error::Result<T> {
    let bytes = file::read(path, limit)?;
    // The first reading finds what is wrong.
    let nearly = border::json::parse(&bytes, path, kind, hint)?;
    let exact = std::str::from_utf8(&bytes).ok().and_then(|text| value(text).ok());
    Ok(exact.and_then(|value| serde_json::from_value(value).ok()).unwrap_or(nearly))
}

/// Any value.
pub(crate) fn value(text: &str) -> Result<Value> {
    let mut parser = Parser { text, at: 0, values: 0 };
    parser.blank();
    let value = parser.value(0)?;
    parser.end()?;
    Ok(value)
}

/// Any value that a text inside of a row holds; none where it is no JSON.
///
/// # Errors
/// [`ErrorKind::Data`] for JSON that would lose something.
pub(crate) fn exact(text: &str) -> error::Result<Option<Value>> {
    match value(text) {
        Ok(value) => Ok(Some(value)),
        Err(trouble) if trouble.syntax => Ok(None),
        Err(trouble) => {
            let field = if trouble.field.is_empty() { String::new() } else { format!(", at `{}`", trouble.field) };
            let error = Error::new(ErrorKind::Data, format!("the JSON in a text{field}: {}", trouble.what));
            Err(error.hint(trouble.hint.unwrap_or("write it by `json.dumps`, with double quotes")))
        }
    }
}

pub(crate) struct Parser<'a> {
    pub(crate) text: &'a str,
    /// The byte that is next.
    pub(crate) at: usize,
    /// How many values were read.
    values: usize,
}

impl<'a> Parser<'a> {
    #[inline]
    pub(crate) fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    #[inline]
    fn blank(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.peek() {
            self.at += 1;
        }
    }

    #[cold]
    pub(crate) fn wrong(&self, what: impl Into<String>) -> Box<Trouble> {
        Box::new(Trouble { at: self.at, field: String::new(), what: what.into(), hint: None, syntax: true })
    }

    #[cold]
    pub(crate) fn hinted(&self, what: impl Into<String>, hint: &'static str) -> Box<Trouble> {
        Box::new(Trouble { hint: Some(hint), ..*self.wrong(what) })
    }

    /// JSON that would lose something.
    #[cold]
    pub(crate) fn lossy(&self, what: impl Into<String>, hint: &'static str) -> Box<Trouble> {
        Box::new(Trouble { syntax: false, ..*self.hinted(what, hint) })
    }

    /// What was found in place of something.
    #[cold]
    fn expected(&self, what: &str) -> Box<Trouble> {
        match self.text.get(self.at..).and_then(|rest| rest.chars().next()) {
            Some('\'') => self.hinted(
                format!("expected {what}, found `'`"),
                "it looks like a printed Python dict: write it by `json.dumps`, which takes double quotes",
            ),
            Some(c) => self.wrong(format!("expected {what}, found `{}`", c.escape_debug())),
            None => self.wrong(format!("expected {what}, but it ends here")),
        }
    }

    fn end(&mut self) -> Result<()> {
        self.blank();
        match self.peek() {
            None => Ok(()),
            Some(b'{') => Err(self.hinted("a second object follows the first", "write one object a line")),
            Some(_) => Err(self.expected("nothing more")),
        }
    }

    /// A name and the colon behind it; none at the end of the object.
    #[inline]
    fn name(&mut self, first: bool) -> Result<Option<std::borrow::Cow<'a, str>>> {
        self.blank();
        match self.peek() {
            Some(b'}') => {
                self.at += 1;
                return Ok(None);
            }
            Some(b',') if !first => {
                self.at += 1;
                self.blank();
                if self.peek() == Some(b'}') {
                    return Err(self.wrong("a comma stands before the closing brace"));
                }
            }
            _ if first => {}
            _ => return Err(self.expected("`,` or `}`")),
        }
        if self.peek() != Some(b'"') {
            return Err(self.expected("a name in double quotes"));
        }
        let name = self.string()?;
        self.blank();
        if self.peek() != Some(b':') {
            return Err(self.expected("`:`").inside(&name));
        }
        self.at += 1;
        self.blank();
        Ok(Some(name))
    }

    #[cold]
    fn twice(&self, name: &str) -> Box<Trouble> {
        self.lossy("the name stands twice in one object", "keep one of the two: which is meant cannot be known").inside(name)
    }

    /// The fields of a row; the parser stands at the brace.
    fn row(&mut self, names: &mut Vec<String>) -> Result<Vec<(String, Value)>> {
        self.at += 1;
        let mut fields: Vec<(String, Value)> = Vec::with_capacity(names.len());
        let mut set: HashSet<String> = HashSet::new();
        // As long as the names are those of the row before, none of them can stand twice.
        let mut same = true;
        while let Some(name) = self.name(fields.is_empty())? {
            same = same && names.get(fields.len()).is_some_and(|old| *old == name);
            if !same {
                let twice = match fields.len() >= MANY {
                    true => {
                        if set.len() < fields.len() {
                            set = fields.iter().map(|(name, _)| name.clone()).collect();
                        }
                        !set.insert(name.to_string())
                    }
                    false => fields.iter().any(|(old, _)| *old == name),
                };
                if twice {
                    return Err(self.twice(&name));
                }
            }
            if fields.len() == limits::FIELDS {
                return Err(
                    self.lossy(format!("the row has more than {} fields", limits::FIELDS), "put what belongs together into objects")
                );
            }
            match self.value(1) {
                Ok(value) => fields.push((name.into_owned(), value)),
                Err(trouble) => return Err(trouble.inside(&name)),
            }
        }
        if !same || names.len() != fields.len() {
            *names = fields.iter().map(|(name, _)| name.clone()).collect();
        }
        Ok(fields)
    }

    fn value(&mut self, depth: usize) -> Result<Value> {
        self.values += 1;
        match self.peek() {
            _ if self.values > limits::ROW_VALUES => Err(self.lossy(
                format!("more than {} values stand in one row", limits::ROW_VALUES),
                "write one row a line, and long lists of numbers into files of their own",
            )),
            Some(b'"') => self.string().map(|text| Value::String(text.into_owned())),
            Some(b'-' | b'0'..=b'9') => self.number().map(Value::Number),
            Some(b'{' | b'[') if depth >= DEEPEST => {
                Err(self.lossy(format!("lists and objects stand more than {DEEPEST} deep in each other"), "write the inner part as a text"))
            }
            Some(b'{') => self.object(depth),
            Some(b'[') => self.list(depth),
            _ => self.word(),
        }
    }

    fn object(&mut self, depth: usize) -> Result<Value> {
        self.at += 1;
        // Two names, as a message has.
        let (mut map, mut first) = (Map::with_capacity(2), true);
        while let Some(name) = self.name(first)? {
            first = false;
            match self.value(depth + 1) {
                Ok(value) => match map.entry(name) {
                    Entry::Vacant(place) => drop(place.insert(value)),
                    Entry::Occupied(old) => return Err(self.twice(old.key())),
                },
                Err(trouble) => return Err(trouble.inside(&name)),
            }
        }
        Ok(Value::Object(map))
    }

    fn list(&mut self, depth: usize) -> Result<Value> {
        self.at += 1;
        let mut items = Vec::with_capacity(2);
        loop {
            self.blank();
            match self.peek() {
                Some(b']') => {
                    self.at += 1;
                    return Ok(Value::Array(items));
                }
                Some(b',') if !items.is_empty() => {
                    self.at += 1;
                    self.blank();
                    if self.peek() == Some(b']') {
                        return Err(self.wrong("a comma stands before the closing bracket"));
                    }
                }
                _ if items.is_empty() => {}
                _ => return Err(self.expected("`,` or `]`")),
            }
            items.push(self.value(depth + 1).map_err(|trouble| trouble.inside(&format!("[{}]", items.len())))?);
        }
    }

    fn word(&mut self) -> Result<Value> {
        for (word, value) in [("true", Value::Bool(true)), ("false", Value::Bool(false)), ("null", Value::Null)] {
            if self.text[self.at..].starts_with(word) {
                self.at += word.len();
                return Ok(value);
            }
        }
        for word in ["NaN", "Infinity", "nan", "inf"] {
            if self.text[self.at..].starts_with(word) {
                return Err(self.no_number(word));
            }
        }
        for word in ["None", "True", "False"] {
            if self.text[self.at..].starts_with(word) {
                let hint = "it looks like a printed Python dict: write it by `json.dumps`";
                return Err(self
                    .hinted(format!("`{word}` is Python, in JSON it is `{}`", if word == "None" { "null" } else { "true, false" }), hint));
            }
        }
        Err(self.expected("a value"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_those_of_serde_json() {
        for text in [
            r#"{"a": 1, "b": -2.5e3, "c": [true, false, null, {}, []], "d": {"e": "x"}, "f": 0.1, "g": 18446744073709551615}"#,
            r#"{"s": "a\"b\\c\/d\b\f\n\r\té😀 ä 😀 long enough for eight bytes"}"#,
            r#"{"n": [0, -1, 1e-7, 123456789012345678, -9223372036854775808, 5e-324, 1.7976931348623157e308]}"#,
            "[[[1]]]",
            "\"x\"",
        ] {
            let expected: Value = serde_json::from_str(text).unwrap();
            let found = value(text).unwrap();
            assert_eq!(found, expected, "{text}");
            assert_eq!(found.to_string(), expected.to_string());
        }
    }

    #[test]
    fn what_would_be_lost_is_refused() {
        let many: String = (0..40).map(|index| format!("\"f{index}\": {index}, ")).collect();
        let again = format!("{{{many}\"f7\": 1}}");
        let deep = "[".repeat(1_000_000);
        for (text, field, what) in [
            (r#"{"a": 1, "a": 2}"#, "a", "stands twice"),
            (r#"{"a": {"b": 1, "b": 1}}"#, "a.b", "stands twice"),
            (again.as_str(), "f7", "stands twice"),
            (r#"{"m": [{"x": 1}, {"x": 18446744073709551616}]}"#, "m[1].x", "beyond 64 bits"),
            (r#"{"x": NaN}"#, "x", "NaN"),
            (r#"{"x": -Infinity}"#, "x", "-Infinity"),
            (r#"{"x": 007}"#, "x", "begins with 0"),
            (r#"{"x": 1e400}"#, "x", "larger than"),
            (r#"{"x": None}"#, "x", "Python"),
            ("{'x': 1}", "", "found `'`"),
            ("{\"x\": \"a\tb\"}", "x", "control character 0x09"),
            (r#"{"x": "\ud83d"}"#, "x", "half of a character"),
            (r#"{"x": "\q"}"#, "x", "backslash"),
            (r#"{"x": 1,}"#, "", "a comma stands before"),
            (r#"{"x": 1} {"x": 2}"#, "", "second object"),
            (r#"{"x": "a"#, "x", "not closed"),
            (r#"{"x" 1}"#, "x", "expected `:`"),
            ("[1]", "", "found a list"),
            (deep.as_str(), "", "more than 128 deep"),
        ] {
            let trouble = fields(text, &mut Vec::new()).unwrap_err();
            assert!(trouble.what.contains(what) && trouble.field.starts_with(field), "{:.60}: {trouble:?}", text);
        }
        // A name that the row before had does not hide one that stands twice.
        let mut names = Vec::new();
        fields(r#"{"a": 1, "b": 2}"#, &mut names).unwrap();
        assert!(fields(r#"{"a": 1, "b": 2, "a": 3}"#, &mut names).is_err());
        assert!(fields(r#"{"b": 1, "a": 2, "b": 3}"#, &mut names).is_err());
        assert_eq!(fields(r#"{"a": 1, "b": 2}"#, &mut names).unwrap().len(), 2);
    }
}
