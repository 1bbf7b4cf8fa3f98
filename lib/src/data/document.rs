//! A .json file → examples: a list of objects, an object with one list of objects, an object of columns, or one object.
//!
//! A list is read object by object, wherever it stands; columns need the whole file in memory.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::vec;

use rayon::prelude::*;
use serde_json::Value;

use crate::data::bad::{Bad, Row};
use crate::data::example::{Example, kind_of};
use crate::data::format::Format;
use crate::data::input::{Input, not_utf8};
use crate::data::json::{self, fields};
use crate::data::jsonl::{JsonLines, bad};
use crate::data::scan::Scanner;
use crate::error::{Error, ErrorKind, Result};
use crate::util::names::quoted;
use crate::util::{interrupt, notice};

/// How many bytes of a list are parsed at once.
const BLOCK: usize = 1 << 20;
/// Lists that belong to one row: a chat, a preference.
const OF_A_ROW: [&str; 8] = ["messages", "conversations", "conversation", "chosen", "rejected", "prompt", "completion", "tools"];

/// The rows of a .json file.
pub(crate) enum Document {
    /// One object a line.
    Lines(Box<JsonLines>),
    /// Objects one after the other: of a list, which ends with `]`, or of the file.
    Values(Values),
    /// What was read as a whole.
    Ready(vec::IntoIter<Row>),
}

pub(crate) struct Values {
    path: PathBuf,
    scanner: Scanner,
    around: Around,
    first: bool,
    ended: bool,
    /// Whether the rows are texts, as the first one is; not known before it is read.
    texts: Option<bool>,
    ready: vec::IntoIter<Row>,
}

/// What the values stand in.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Around {
    /// Nothing: they follow each other up to the end of the file.
    Nothing,
    /// A list that is the file.
    List,
    /// A list inside of an object, which was looked at to its end.
    Member,
}

/// What stands behind a name of an object.
struct Member {
    name: String,
    /// Its first character.
    opens: u8,
    /// The first character inside of a list.
    inside: Option<u8>,
}

impl Document {
    /// Opens a file of JSON; `field` names the list that holds the rows.
    pub(crate) fn open(input: Input, field: Option<&str>) -> Result<Self> {
        let path = input.path.clone();
        let plain = |bad: Box<Bad>| bad.error;
        let mut scanner = Scanner::new(&path, input.reader);
        match scanner.next_byte().map_err(plain)? {
            None => Ok(Self::Ready(Vec::new().into_iter())),
            Some(b'[') if field.is_none() => {
                scanner.take(b'[').map_err(plain)?;
                Ok(Self::Values(Values::new(&path, scanner, Around::List)))
            }
            Some(b'{') => {
                let members = members(&mut scanner).map_err(plain)?;
                let (line, more) = (scanner.line, scanner.next_byte().map_err(plain)?);
                match more {
                    Some(b'{') if field.is_some() => Err(wrong(
                        &path,
                        format!("the file is several objects, so no field `{}` holds the rows", field.unwrap_or_default()),
                    )),
                    Some(b'{') if line == 1 => Ok(Self::Lines(Box::new(JsonLines::new(Input::again(&path, Format::Json)?)))),
                    Some(b'{') => Ok(Self::Values(Values::new(
                        &path,
                        Scanner::new(&path, Input::again(&path, Format::Json)?.reader),
                        Around::Nothing,
                    ))),
                    Some(_) => Err(scanner.wrong("something follows the object").error),
                    None => Self::of_object(&path, &members, field),
                }
            }
            Some(_) if field.is_some() => {
                Err(wrong(&path, format!("the file is no object, so it has no field `{}`", field.unwrap_or_default())))
            }
            Some(_) => Err(scanner.wrong("expected `[` or `{`").error),
        }
    }

    fn of_object(path: &Path, members: &[Member], field: Option<&str>) -> Result<Self> {
        let names: Vec<String> = members.iter().map(|member| member.name.clone()).collect();
        let mut seen = HashSet::new();
        if let Some(twice) = names.iter().find(|name| !seen.insert(*name)) {
            return Err(wrong(path, format!("the name `{twice}` stands twice in the object: which is meant cannot be known")));
        }
        let lists: Vec<&Member> = members.iter().filter(|member| member.inside == Some(b'{')).collect();
        let member = match field {
            Some(name) => Some(
                members
                    .iter()
                    .find(|member| member.name == name)
                    .ok_or_else(|| wrong(path, format!("the field `{name}` is missing; there are {}", quoted(&names))))?,
            ),
            None if lists.len() == 1 && !members.iter().any(|member| OF_A_ROW.contains(&member.name.as_str())) => {
                let rest: Vec<String> = names.iter().filter(|name| **name != lists[0].name).cloned().collect();
                let left = if rest.is_empty() { String::new() } else { format!("; {} are left out", quoted(&rest)) };
                notice::warn(format_args!("`{}`: its rows are the list `{}`{left}", path.display(), lists[0].name));
                Some(lists[0])
            }
            None => None,
        };
        if let Some(Member { name, opens: b'[', .. }) = member {
            return Ok(Self::Values(Values::at_list(path, name).map_err(|bad| bad.error)?));
        }
        let is_columns = members.iter().all(|member| member.opens == b'[') || members.iter().all(|member| member.opens == b'{');
        // Lists of rows are no columns, however long they are.
        let of_a_row = names.iter().any(|name| OF_A_ROW.contains(&name.as_str()));
        if member.is_none() && lists.len() > 1 && (!of_a_row || members.iter().any(|member| member.opens != b'[')) {
            let message = format!(
                "several lists of objects could be the rows: {}",
                quoted(&lists.iter().map(|list| list.name.clone()).collect::<Vec<_>>())
            );
            return Err(wrong(path, message));
        }
        // The whole file, which is one value.
        let mut bytes = Vec::new();
        let mut scanner = Scanner::new(path, Input::again(path, Format::Json)?.reader);
        scanner.value(Some(&mut bytes)).map_err(|bad| bad.error)?;
        let object = parse(path, (1, 0), false, &bytes, &mut Vec::new()).map_err(|bad| bad.error)?;
        let rows = match member {
            Some(member) => {
                let inner = object.value(&member.name).cloned().unwrap_or_default();
                let Value::Object(inner) = inner else {
                    return Err(wrong(path, format!("the field `{}` is {}, neither a list nor an object", member.name, kind_of(&inner))));
                };
                columns(path, inner.into_iter().collect())?
            }
            None if is_columns && !members.is_empty() && !of_a_row => columns(path, object.into_fields())?,
            None => vec![Ok(object)],
        };
        Ok(Self::Ready(rows.into_iter()))
    }

    /// The next row, or what is in its place.
    pub(crate) fn row(&mut self) -> Option<Row> {
        match self {
            Self::Lines(lines) => lines.row(),
            Self::Values(values) => values.row(),
            Self::Ready(rows) => rows.next(),
        }
    }
}

fn wrong(path: &Path, what: String) -> Error {
    Error::new(ErrorKind::Data, format!("`{}`: {what}", path.display()))
        .hint("name the list that holds the rows by `DataOptions::with_field`, or write one object a line")
        .in_file(path)
}

/// The names of an object with what stands behind each; the scanner goes behind it.
fn members(scanner: &mut Scanner) -> std::result::Result<Vec<Member>, Box<Bad>> {
    let (mut members, mut first) = (Vec::new(), true);
    scanner.take(b'{')?;
    while scanner.more(&mut first, b'}')? {
        let name = name(scanner)?;
        let (opens, mut inside) = (scanner.next_byte()?.unwrap_or_default(), None);
        if opens == b'[' {
            scanner.take(b'[')?;
            inside = scanner.next_byte()?;
            let mut first = true;
            while scanner.more(&mut first, b']')? {
                scanner.value(None)?;
            }
        } else {
            scanner.value(None)?;
        }
        members.push(Member { name, opens, inside });
    }
    Ok(members)
}

/// A name and its colon.
fn name(scanner: &mut Scanner) -> std::result::Result<String, Box<Bad>> {
    if scanner.next_byte()? != Some(b'"') {
        return Err(scanner.wrong("expected a name in double quotes"));
    }
    let mut bytes = Vec::new();
    scanner.value(Some(&mut bytes))?;
    scanner.take(b':')?;
    match std::str::from_utf8(&bytes).map(json::value) {
        Ok(Ok(Value::String(name))) => Ok(name),
        _ => Err(scanner.wrong("the name before it is no text")),
    }
}

/// An object of columns as rows: of lists, or as pandas writes it, of objects with a name for each row.
fn columns(path: &Path, columns: Vec<(String, Value)>) -> Result<Vec<Row>> {
    let mut cells: Vec<(String, Vec<Value>)> = Vec::new();
    let mut index: Option<Vec<String>> = None;
    for (name, column) in columns {
        let values = match column {
            Value::Array(values) => values,
            Value::Object(map) => {
                let keys: Vec<String> = map.keys().cloned().collect();
                if !keys.iter().enumerate().all(|(index, key)| *key == index.to_string()) {
                    let message = format!("`{name}` is an object, and its names are no numbers of rows: is it a row or a column?");
                    return Err(wrong(path, message));
                }
                if index.get_or_insert_with(|| keys.clone()) != &keys {
                    return Err(wrong(path, format!("the column `{name}` has other rows than the first")));
                }
                map.into_iter().map(|(_, value)| value).collect()
            }
            other => return Err(wrong(path, format!("the column `{name}` is {}, not a list", kind_of(&other)))),
        };
        cells.push((name, values));
    }
    let count = cells.first().map_or(0, |(_, values)| values.len());
    if let Some((name, values)) = cells.iter().find(|(_, values)| values.len() != count) {
        return Err(wrong(path, format!("the column `{name}` has {} values, `{}` has {count}", values.len(), cells[0].0)));
    }
    let names: Vec<String> = cells.iter().map(|(name, _)| name.clone()).collect();
    let mut columns: Vec<_> = cells.into_iter().map(|(_, values)| values.into_iter()).collect();
    let row = |_| Ok(Example::from_fields(names.iter().cloned().zip(columns.iter_mut().filter_map(Iterator::next)).collect()));
    Ok((0..count).map(row).collect())
}

/// One value of the file as a row: an object, or, where `texts` are rows, a text, which is the field `text`.
fn parse(path: &Path, (line, column): (usize, usize), texts: bool, bytes: &[u8], names: &mut Vec<String>) -> Row {
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let before = &bytes[..error.valid_up_to()];
        Bad::row(not_utf8(path, line + before.iter().filter(|byte| **byte == b'\n').count(), error))
    })?;
    let parsed = match text.as_bytes().first() {
        Some(b'"') if texts => json::value(text).map(|value| vec![("text".to_string(), value)]),
        _ => fields(text, names),
    };
    parsed.map(Example::from_fields).map_err(|mut trouble| {
        let before = &text.as_bytes()[..trouble.at.min(text.len())];
        let lines = before.iter().filter(|byte| **byte == b'\n').count();
        trouble.at = match before.iter().rposition(|byte| *byte == b'\n') {
            Some(start) => trouble.at - start - 1,
            None => trouble.at + column,
        };
        let hint = trouble.hint.unwrap_or("the list holds objects such as {\"question\": \"…\", \"answer\": \"…\"}; correct that one");
        Bad::row(bad(path, line + lines, &trouble).hint(hint))
    })
}

impl Values {
    fn new(path: &Path, scanner: Scanner, around: Around) -> Self {
        Self { path: path.to_path_buf(), scanner, around, first: true, ended: false, texts: None, ready: Vec::new().into_iter() }
    }

    /// The list behind a name of the object that is the file.
    fn at_list(path: &Path, wanted: &str) -> std::result::Result<Self, Box<Bad>> {
        let mut scanner = Scanner::new(path, Input::again(path, Format::Json).map_err(Bad::end)?.reader);
        let mut first = true;
        scanner.take(b'{')?;
        while scanner.more(&mut first, b'}')? {
            if name(&mut scanner)? == wanted {
                scanner.take(b'[')?;
                return Ok(Self::new(path, scanner, Around::Member));
            }
            scanner.value(None)?;
        }
        Err(scanner.wrong("the list is gone: the file was changed while it was read"))
    }

    fn row(&mut self) -> Option<Row> {
        loop {
            if let Some(row) = self.ready.next() {
                return Some(row);
            }
            if self.ended {
                return None;
            }
            if let Err(bad) = self.read() {
                self.ended = true;
                // What stands before the bad place is given out first.
                let mut rows: Vec<Row> = std::mem::take(&mut self.ready).collect();
                rows.push(Err(bad));
                self.ready = rows.into_iter();
            }
        }
    }

    /// Reads some values and parses them on all threads.
    fn read(&mut self) -> std::result::Result<(), Box<Bad>> {
        interrupt::check(format_args!("while reading `{}`", self.path.display())).map_err(Bad::end)?;
        let (mut bytes, mut places, mut trouble) = (Vec::new(), Vec::new(), None);
        while bytes.len() < BLOCK {
            match self.next_value(&mut bytes) {
                Ok(Some(place)) => places.push(place),
                Ok(None) => {
                    self.ended = true;
                    break;
                }
                Err(bad) => {
                    trouble = Some(bad);
                    break;
                }
            }
        }
        // A text among objects is no row.
        let texts = *self.texts.get_or_insert_with(|| bytes.first() == Some(&b'"'));
        let ends: Vec<usize> = places.iter().skip(1).map(|(start, ..)| *start).chain([bytes.len()]).collect();
        let one = |names: &mut Vec<String>, ((start, line, column), end): (&(usize, usize, usize), &usize)| {
            parse(&self.path, (*line, *column), texts, &bytes[*start..*end], names)
        };
        let rows: Vec<Row> = places.par_iter().zip(&ends).with_min_len(64).map_init(Vec::new, one).collect();
        self.ready = rows.into_iter();
        trouble.map_or(Ok(()), Err)
    }

    /// Copies the next value: where it begins in the copy, its line and its column.
    fn next_value(&mut self, bytes: &mut Vec<u8>) -> std::result::Result<Option<(usize, usize, usize)>, Box<Bad>> {
        let more = match self.around {
            Around::Nothing => self.scanner.next_byte()?.is_some(),
            _ => self.scanner.more(&mut self.first, b']')?,
        };
        if !more {
            // Rows behind the list would be lost in silence.
            return match self.around == Around::List && self.scanner.next_byte()?.is_some() {
                true => Err(self.scanner.wrong("something follows the list")),
                false => Ok(None),
            };
        }
        self.scanner.next_byte()?;
        let place = (bytes.len(), self.scanner.line, self.scanner.column);
        self.scanner.value(Some(bytes))?;
        Ok(Some(place))
    }
}
