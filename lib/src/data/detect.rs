//! A data set → what its rows are taken for, which do not fit, and what is left out.

use std::fmt;

use crate::data::dataset::Dataset;
use crate::data::example::Example;
use crate::data::shape::Shape;
use crate::display::output::{Html, Show, last_expression, table};
use crate::error::{Error, ErrorKind, Result};
use crate::util::names::{quoted, rows_by_number};
use crate::util::notice::warn;

/// What a data set was taken for. `detected.preview(&tokenizer)` shows a row as the model will read it.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Detected {
    /// What the rows are read as.
    pub shape: Shape,
    /// Number of rows.
    pub rows: usize,
    /// Rows that cannot be read so, by number, each with the reason.
    pub misfits: Vec<(usize, String)>,
    /// Other shapes whose columns the data set has: name one to have it.
    pub others: Vec<Shape>,
    /// Columns that are not read.
    pub left_out: Vec<String>,
    /// The first row that fits, with its number.
    first: Option<(usize, Example)>,
}

impl Dataset {
    /// What the rows are: the shape that most of them have.
    ///
    /// # Errors
    /// [`ErrorKind::Data`] when there is no row, or none has the columns of a shape; the error is that of the first row.
    pub fn detect(&self) -> Result<Detected> {
        let mut counts = [0; Shape::ALL.len()];
        let mut refused = None;
        for example in self {
            match Shape::of(example) {
                Ok(shape) => counts[shape as usize] += 1,
                Err(error) => refused = refused.or(Some(error)),
            }
        }
        let most = counts.iter().max().copied().filter(|&count| count > 0);
        let shape = most.and_then(|most| Shape::ALL.into_iter().find(|&shape| counts[shape as usize] == most));
        match (shape, refused) {
            (Some(shape), _) => self.detect_as(shape, true),
            (None, Some(error)) => Err(error),
            (None, None) => Err(Error::new(ErrorKind::Data, "the data set has no rows, so nothing can be said of their shape")
                .hint("load a file with at least one row")),
        }
    }

    /// The same with a shape that is named, where [`Dataset::detect`] guessed wrong.
    ///
    /// # Errors
    /// [`ErrorKind::Data`] when no row can be read so; the error is that of the first row.
    pub fn read_as(&self, shape: Shape) -> Result<Detected> {
        self.detect_as(shape, false)
    }

    fn detect_as(&self, shape: Shape, guessed: bool) -> Result<Detected> {
        let (mut misfits, mut first, mut refused) = (Vec::new(), None, None);
        for (row, example) in self.iter().enumerate() {
            // A guess has to be the same for each row that is read by it.
            let own = if guessed { Shape::of(example) } else { Ok(shape) };
            let read = own.and_then(|own| match own == shape {
                true => shape.read(example),
                false => Err(Error::new(ErrorKind::Data, format!("it has the columns of another shape: {own}"))),
            });
            match read {
                Ok(content) if content.is_equal_pair() => misfits.push((row, "chosen and rejected are the same".into())),
                Ok(_) => first = first.or_else(|| Some((row, example.clone()))),
                Err(error) => {
                    misfits.push((row, error.message().to_string()));
                    refused = refused.or(Some(error.at(format_args!("row {row}")).in_row(row)));
                }
            }
        }
        if let (None, Some(error)) = (&first, refused) {
            return Err(error);
        }
        let columns = self.columns();
        let has = |name: &&'static str| columns.iter().any(|column| column == name);
        let others = Shape::ALL.into_iter().filter(|other| *other != shape && other.columns().iter().all(has));
        Ok(Detected {
            shape,
            rows: self.len(),
            misfits,
            others: others.collect(),
            left_out: columns.iter().filter(|name| !shape.reads(name)).cloned().collect(),
            first,
        })
    }
}

/// Says aloud what rows are read as that could be read in several ways, and which columns are not read.
pub(crate) fn say(data: &Dataset) {
    let Some(first) = data.iter().next() else { return };
    let fits = |shape: &Shape| shape.columns().iter().all(|name| first.value(name).is_some_and(|value| !value.is_null()));
    let names: Vec<String> = Shape::ALL.iter().filter(|shape| fits(shape)).map(|shape| format!("{shape:?}")).collect();
    if let (Ok(shape), 2..) = (Shape::of(first), names.len()) {
        warn(format!("rows are read as {shape}, the first of the shapes that their columns fit: {}", names.join(", ")));
    }
    if let Ok(shape) = Shape::of(first) {
        let left: Vec<String> = data.columns().into_iter().filter(|name| !shape.reads_of(first, name)).collect();
        if !left.is_empty() {
            warn(format!("rows are read as {shape}; columns that are not read: {}", quoted(&left)));
        }
    }
    let (mut counts, mut firsts) = ([0; Shape::ALL.len()], [0; Shape::ALL.len()]);
    for (row, example) in data.iter().enumerate() {
        let Ok(shape) = Shape::of(example) else { continue };
        if counts[shape as usize] == 0 {
            firsts[shape as usize] = row;
        }
        counts[shape as usize] += 1;
    }
    let found = Shape::ALL.into_iter().filter(|&shape| counts[shape as usize] > 0);
    let found: Vec<String> =
        found.map(|shape| format!("{} as {shape} (the first is row {})", counts[shape as usize], firsts[shape as usize])).collect();
    if found.len() > 1 {
        warn(format!("rows are read in several ways: {}; `Dataset::detect` tells which do not fit", found.join(", ")));
    }
}

impl Detected {
    /// The first row that fits, with its number.
    pub fn first(&self) -> Option<(usize, &Example)> {
        self.first.as_ref().map(|(row, example)| (*row, example))
    }

    /// The facts, a line each: what, and how it is.
    fn lines(&self) -> Vec<[String; 2]> {
        let mut lines = vec![[format!("{} rows", self.rows), format!("read as {} ({})", self.shape, self.columns())]];
        for (row, reason) in self.misfits.iter().take(REASONS) {
            lines.push([format!("row {row} does not fit"), reason.clone()]);
        }
        if self.misfits.len() > REASONS {
            let numbers: Vec<usize> = self.misfits.iter().map(|(row, _)| *row).collect();
            lines.push(["do not fit".into(), rows_by_number(&numbers)]);
        }
        if !self.left_out.is_empty() {
            lines.push(["not read".into(), quoted(&self.left_out)]);
        }
        for other in &self.others {
            lines.push(["also possible".into(), format!("{other}: name `Shape::{other:?}`")]);
        }
        lines
    }

    fn columns(&self) -> String {
        quoted(&self.shape.columns().iter().map(ToString::to_string).collect::<Vec<_>>())
    }

    fn html(&self) -> Html {
        table(&["data set", ""], &self.lines().into_iter().map(Vec::from).collect::<Vec<_>>())
    }
}

/// Rows that do not fit whose reason is shown.
const REASONS: usize = 5;

impl fmt::Display for Detected {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines: Vec<String> = self.lines().into_iter().map(|[what, how]| format!("{what}: {how}")).collect();
        formatter.write_str(&lines.join("\n"))
    }
}

impl Show for Detected {
    fn text(&self) -> String {
        self.to_string()
    }

    fn rich(&self) -> Vec<(&'static str, serde_json::Value)> {
        self.html().rich()
    }
}

last_expression!(Detected);
