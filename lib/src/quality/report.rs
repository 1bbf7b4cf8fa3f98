//! Rows for training, and perhaps for the test → everything that is wrong with them, on one page.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;

use rayon::prelude::*;
use serde_json::Value;

use crate::data::dataset::Dataset;
use crate::data::example::Example;
use crate::display::output::{Html, Show, escape, last_expression, table};
use crate::error::Result;
use crate::quality::answers::answers;
use crate::quality::duplicates::{overlap, within};
use crate::quality::encoding::damage;
use crate::quality::finding::{Finding, FindingKind, Part, Place, Severity};
use crate::quality::language::{language, name};
use crate::quality::near::Near;
use crate::quality::options::QualityOptions;
use crate::quality::rows::{Row, Rows, texts};
use crate::quality::sensitive::{SensitiveKind, find_sensitive};

/// Row numbers and places of a finding that the page shows.
const SHOWN: (usize, usize) = (20, 5);

/// What is wrong with rows.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct QualityReport {
    /// Rows for training that were looked at.
    pub rows: usize,
    /// Rows of the test, where there was one.
    pub test_rows: Option<usize>,
    /// What was found, the worst first.
    pub findings: Vec<Finding>,
    /// Rows of each language, by ISO 639-3, in training.
    pub languages: BTreeMap<String, usize>,
    /// Rows that are too short to tell their language.
    pub too_short_to_tell: usize,
    /// How often two rows were compared to find near duplicates: it grows with the rows, not with their square.
    pub comparisons: usize,
    /// What the report cannot say.
    pub notes: Vec<String>,
    /// What was looked at, to be mended.
    pub(crate) data: Dataset,
    pub(crate) options: QualityOptions,
}

/// Looks for everything that makes rows unfit for training, and for what the test has in common with them.
///
/// ```
/// use finetuning::*;
///
/// let rows = [("What is 1 + 1?", "2"), ("What is 1 + 1?", "3"), ("Who asks?", "Ann, ann@mail.invalid.de")];
/// let rows = rows.map(|(question, answer)| Example::new([("question", question), ("answer", answer)]));
/// let report = quality_report(&Dataset::from_examples(rows.to_vec()), None, &QualityOptions::default())?;
/// assert_eq!(report.find(FindingKind::Contradiction).map(|found| found.rows.clone()), Some(vec![0, 1]));
/// assert_eq!(report.find(FindingKind::PersonalData).map(|found| found.rows.clone()), Some(vec![2]));
/// # Ok::<(), Error>(())
/// ```
///
/// # Errors
/// When an option cannot work, a column that it names does not exist, or the tokenizer fails on a row.
pub fn quality_report(train: &Dataset, test: Option<&Dataset>, options: &QualityOptions) -> Result<QualityReport> {
    options.check()?;
    let rows = Rows::new(train, options);
    let mut near = Near::new(&rows.rows, options);
    let own = told(&rows);
    let (languages, too_short_to_tell) = languages(&rows, &own);
    let expected = main_language(&languages, options);
    let mut findings = of_part(train, &rows, Part::Training, &near, options)?;
    findings.extend(foreign(&own, Part::Training, &expected));
    let mut notes = Vec::new();
    if let Some(test) = test {
        let own = Rows::new(test, options);
        let own_near = Near::new(&own.rows, options);
        findings.extend(overlap(&rows, &own, &mut near));
        findings.extend(of_part(test, &own, Part::Test, &own_near, options)?);
        findings.extend(foreign(&told(&own), Part::Test, &expected));
        near.comparisons += own_near.comparisons;
        near.crowded += own_near.crowded;
        if test.len() < 30 {
            notes.push(format!("the test has {} rows: a result on it may be luck", test.len()));
        }
    }
    findings.sort_by_key(|finding| (std::cmp::Reverse(finding.severity), finding.part, finding.kind));
    if near.crowded > 0 {
        notes.push(format!("{} rows are like so many others that not all were compared: there may be more near duplicates", near.crowded));
    }
    if options.max_length.is_none() {
        notes.push("lengths were not looked at: QualityOptions::with_max_length needs the tokenizer".into());
    }
    let (data, options) = (train.clone(), options.clone());
    let (rows, test_rows, comparisons) = (train.len(), test.map(Dataset::len), near.comparisons);
    Ok(QualityReport { rows, test_rows, findings, languages, too_short_to_tell, comparisons, notes, data, options })
}

/// What is wrong with the rows of one part.
fn of_part(data: &Dataset, rows: &Rows, part: Part, near: &Near, options: &QualityOptions) -> Result<Vec<Finding>> {
    let mut found = in_texts(data, part);
    let with = |kind, is: &dyn Fn(usize) -> bool| Finding::new(kind, part, (0..rows.rows.len()).filter(|&row| is(row)).collect()).some();
    found.extend(with(FindingKind::Empty, &|row| rows.rows[row].is_empty()));
    found.extend(with(FindingKind::EqualPair, &|row| rows.rows[row].equal_pair));
    found.extend(with(FindingKind::OneSided, &|row| rows.rows[row].is_one_sided()));
    let problem = |(row, one): (usize, &Row)| Some(Place { row, text: one.problem.clone()? });
    let problems = rows.rows.iter().enumerate().filter_map(problem).collect();
    found.extend(Finding::at(FindingKind::Unreadable, part, problems).some());
    found.extend(Finding::new(FindingKind::UnknownColumns, part, rows.unknown.clone()).some());
    found.extend(within(rows, part, near));
    found.extend(answers(data, rows, part, options)?);
    found.extend(too_long(rows, part, options)?);
    Ok(found)
}

/// Damage, secrets and personal data of all texts.
fn in_texts(data: &Dataset, part: Part) -> Vec<Finding> {
    let of_row = |(row, example): (usize, &Example)| {
        let mut found: Vec<(FindingKind, Place)> = Vec::new();
        texts(example, |field, text| {
            let mut parts: Vec<(FindingKind, &str, Range<usize>)> =
                damage(text).into_iter().map(|(kind, range)| (kind, "", range)).collect();
            for one in find_sensitive(text) {
                let kind = if one.kind == SensitiveKind::Secret { FindingKind::Secret } else { FindingKind::PersonalData };
                parts.push((kind, one.what, one.range));
            }
            // In order, so that each character is counted once.
            parts.sort_by_key(|(kind, _, range)| (range.start, *kind));
            let (mut counted, mut first) = (0, 0);
            for (kind, what, range) in parts {
                first += text[counted..range.start].chars().count();
                counted = range.start;
                let last = first + text[range].chars().count();
                let what = if what.is_empty() { String::new() } else { format!("{what} in ") };
                found.push((kind, Place { row, text: format!("{what}`{field}`, characters {first} to {last}") }));
            }
        });
        found
    };
    let examples: Vec<(usize, &Example)> = data.iter().enumerate().collect();
    let mut by_kind: BTreeMap<FindingKind, Vec<Place>> = BTreeMap::new();
    for (kind, place) in examples.into_par_iter().flat_map_iter(of_row).collect::<Vec<_>>() {
        by_kind.entry(kind).or_default().push(place);
    }
    by_kind.into_iter().map(|(kind, places)| Finding::at(kind, part, places)).collect()
}

/// The language of each row; none where it is too short to tell.
fn told(rows: &Rows) -> Vec<Option<&'static str>> {
    rows.rows.par_iter().map(|row| language(&row.folded())).collect()
}

/// Rows of each language, and those that are too short to tell.
fn languages(rows: &Rows, told: &[Option<&str>]) -> (BTreeMap<String, usize>, usize) {
    let (mut counts, mut short) = (BTreeMap::new(), 0);
    for (_, language) in rows.rows.iter().zip(told).filter(|(row, _)| !row.is_empty()) {
        match language {
            Some(code) => *counts.entry(code.to_string()).or_default() += 1,
            None => short += 1,
        }
    }
    (counts, short)
}

/// The languages that belong to the rows: those that the options name, else the most frequent one.
fn main_language<'a>(counts: &'a BTreeMap<String, usize>, options: &'a QualityOptions) -> Vec<&'a str> {
    if !options.languages.is_empty() {
        return options.languages.iter().map(String::as_str).collect();
    }
    counts.iter().max_by_key(|(_, count)| **count).map(|(code, _)| code.as_str()).into_iter().collect()
}

/// Rows in another language.
fn foreign(told: &[Option<&str>], part: Part, expected: &[&str]) -> Option<Finding> {
    if expected.is_empty() {
        return None;
    }
    let other = |(row, code): (usize, &Option<&str>)| {
        let code = code.filter(|code| !expected.contains(code))?;
        Some(Place { row, text: name(code).to_string() })
    };
    let places = told.iter().enumerate().filter_map(other).collect();
    let names: Vec<&str> = expected.iter().map(|code| name(code)).collect();
    Finding::at(FindingKind::Language, part, places).saying(format!("expected: {}", names.join(", "))).some()
}

/// Rows with more ids than are trained.
fn too_long(rows: &Rows, part: Part, options: &QualityOptions) -> Result<Option<Finding>> {
    let Some((tokenizer, most)) = &options.max_length else { return Ok(None) };
    let length = |(row, one): (usize, &Row)| {
        let ids = tokenizer.encode_prompt(&format!("{}{}", one.prompt, one.answer)).map_err(|error| error.at(format_args!("row {row}")))?;
        let length = ids.len() + tokenizer.ending().len();
        Ok((length > *most).then(|| Place { row, text: format!("{length} ids") }))
    };
    let places = rows.rows.par_iter().enumerate().map(length).collect::<Result<Vec<_>>>()?;
    let finding = Finding::at(FindingKind::TooLong, part, places.into_iter().flatten().collect());
    Ok(finding.saying(format!("at most {most} ids are trained")).some())
}

impl QualityReport {
    /// The finding of a kind in the rows for training, else in those of the test.
    pub fn find(&self, kind: FindingKind) -> Option<&Finding> {
        self.findings.iter().find(|finding| finding.kind == kind)
    }

    /// Whether nothing was found that has to be mended.
    pub fn is_fit(&self) -> bool {
        self.findings.iter().all(|finding| finding.severity < Severity::Error)
    }

    /// How many rows, and of how many languages.
    fn headline(&self) -> String {
        let test = self.test_rows.map_or(String::new(), |rows| format!(" and {rows} for the test"));
        let count = |severity| self.findings.iter().filter(|finding| finding.severity == severity).count();
        format!(
            "{} rows for training{test}: {} errors, {} warnings, {} notes",
            self.rows,
            count(Severity::Error),
            count(Severity::Warning),
            count(Severity::Note)
        )
    }

    fn language_line(&self) -> String {
        let mut counts: Vec<(&String, &usize)> = self.languages.iter().collect();
        counts.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
        let told = counts.iter().map(|(code, count)| format!("{} {count}, ", name(code))).collect::<String>();
        format!("languages: {told}too short to tell {}", self.too_short_to_tell)
    }

    fn page(&self) -> Html {
        let row = |finding: &Finding| {
            let mut where_: Vec<String> =
                finding.places.iter().take(SHOWN.1).map(|place| format!("row {}: {}", place.row, place.text)).collect();
            if finding.places.len() > SHOWN.1 {
                where_.push("…".into());
            }
            if !finding.detail.is_empty() {
                where_.insert(0, finding.detail.clone());
            }
            vec![
                finding.severity.to_string(),
                format!("{} ({})", finding.kind.name(), finding.part),
                finding.rows.len().to_string(),
                numbers(&finding.rows),
                where_.join("\n"),
                format!("{} {}.", finding.kind.why(), finding.kind.advice()),
            ]
        };
        let rows: Vec<Vec<String>> = self.findings.iter().map(row).collect();
        let header = ["severity", "finding", "rows", "row numbers", "where", "why, and what to do"];
        let mut lines = vec![self.headline()];
        let mut page = match rows.is_empty() {
            true => Html { html: String::new(), text: String::new() },
            false => table(&header, &rows),
        };
        let html = format!("<p><b>{}</b></p>{}", escape(&lines[0]), page.html);
        if !page.text.is_empty() {
            lines.push(page.text);
        }
        let notes: Vec<String> = [self.language_line()].into_iter().chain(self.notes.iter().cloned()).collect();
        let list: String = notes.iter().map(|note| format!("<li>{}</li>", escape(note))).collect();
        lines.extend(notes);
        page.html = format!("{html}<ul>{list}</ul>");
        page.text = lines.join("\n");
        page
    }
}

/// The first row numbers, and how many more there are.
fn numbers(rows: &[usize]) -> String {
    let first = rows.iter().take(SHOWN.0).map(ToString::to_string).collect::<Vec<_>>().join(", ");
    match rows.len().saturating_sub(SHOWN.0) {
        0 => first,
        more => format!("{first} and {more} more"),
    }
}

impl Show for QualityReport {
    fn text(&self) -> String {
        self.page().text
    }

    fn rich(&self) -> Vec<(&'static str, Value)> {
        self.page().rich()
    }
}

last_expression!(QualityReport);

impl fmt::Display for QualityReport {
    /// A line for each finding.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.headline())?;
        for Finding { kind, severity, part, rows, .. } in &self.findings {
            write!(formatter, "\n{severity:<8}{part:<9}{}: {} rows: {}", kind.name(), rows.len(), numbers(rows))?;
        }
        Ok(())
    }
}
