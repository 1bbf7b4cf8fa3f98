//! Documents → sections: what stands below a heading, at most so many tokens, code blocks whole where they fit.

use std::fmt;
use std::path::Path;

use text_splitter::{ChunkConfig, TextSplitter, TryChunkSizer};

use crate::data::dataset::Dataset;
use crate::data::example::Example;
use crate::display::output::{Html, Show, last_expression, preview};
use crate::documents::folder::{Documents, Format};
use crate::documents::html;
use crate::documents::markdown::{self, Block, Part};
use crate::error::{Error, ErrorKind, Result};
use crate::tokenizer::text::Tokenizer;
use crate::util::notice::warn;

/// A piece of a document.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Section {
    /// Path of the file inside of the folder.
    pub source_file: String,
    /// The headings above it, from the outermost in; none in a text without headings.
    pub headings: Vec<String>,
    /// Its line in the file, or that of its heading, counted from 1; `None` where it is not known (HTML without a heading).
    pub line: Option<usize>,
    /// Which piece it is, counted from 0, where the text below one heading was too long.
    pub part: usize,
    /// Its text, in Markdown.
    pub text: String,
}

impl Section {
    /// The heading that stands right above it, or the file's name without its suffix.
    pub fn heading(&self) -> &str {
        let name = self.source_file.rsplit('/').next().unwrap_or_default();
        self.headings.last().map_or_else(|| name.rsplit_once('.').map_or(name, |(name, _)| name), String::as_str)
    }

    /// All headings above it, as `Install › Linux`.
    pub fn path(&self) -> String {
        if self.headings.is_empty() { self.heading().to_string() } else { self.headings.join(" › ") }
    }

    /// The fields that a template may name: `heading`, `section` (all headings), `text`, `source_file`, `line`.
    pub fn to_example(&self) -> Example {
        let mut row = Example::new([("heading", self.heading()), ("text", &self.text)]);
        self.mark(&mut row);
        row
    }

    /// Writes into a row where it comes from.
    pub(crate) fn mark(&self, row: &mut Example) {
        row.set("source_file", self.source_file.clone());
        row.set("section", self.path());
        row.set("line", self.line);
    }
}

/// How documents are cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct SectionOptions {
    /// Longest section, in tokens. Default: 512.
    pub max_tokens: usize,
    /// Sections of fewer words are left out and counted. Default: 5.
    pub min_words: usize,
}

impl Default for SectionOptions {
    fn default() -> Self {
        Self { max_tokens: 512, min_words: 5 }
    }
}

impl SectionOptions {
    /// Another limit of tokens.
    pub fn with_max_tokens(self, max_tokens: usize) -> Self {
        Self { max_tokens, ..self }
    }

    /// Another least number of words.
    pub fn with_min_words(self, min_words: usize) -> Self {
        Self { min_words, ..self }
    }
}

/// The sections of a folder.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Sections {
    /// In the order of the files and of their text.
    pub sections: Vec<Section>,
    /// Sections with too few words to say anything.
    pub too_short: usize,
    /// Files of other kinds, which were not read.
    pub other_files: Vec<String>,
}

impl Sections {
    /// The sections of a folder of Markdown, HTML and text files, measured by the tokens of a model.
    ///
    /// # Errors
    /// As [`Sections::read_with`].
    pub fn read(folder: impl AsRef<Path>, options: &SectionOptions, tokenizer: &Tokenizer) -> Result<Self> {
        Self::read_with(folder, options, |text| Ok(tokenizer.encode(text)?.len()))
    }

    /// The same with another measure than a tokenizer's, such as `|text| Ok(text.split_whitespace().count())`.
    ///
    /// # Errors
    /// As [`Documents::read`]; [`ErrorKind::Data`] when `max_tokens` is 0 or nothing is left; what `size` says.
    pub fn read_with(folder: impl AsRef<Path>, options: &SectionOptions, size: impl Fn(&str) -> Result<usize>) -> Result<Self> {
        if options.max_tokens == 0 {
            return Err(Error::new(ErrorKind::Data, "max_tokens is 0; a section needs at least 1").hint("use 512, or the model's context"));
        }
        let folder = folder.as_ref();
        let found = Documents::read(folder)?;
        let mut all = Self { other_files: found.other_files, ..Self::default() };
        for document in &found.documents {
            let place = |error: Error| error.at(format_args!("`{}`", document.source_file)).in_file(folder.join(&document.source_file));
            let parts = match document.format {
                Format::Markdown => markdown::parts(&document.text),
                Format::Text => markdown::paragraphs(&document.text),
                Format::Html => html::parts(&document.text).map_err(place)?,
            };
            for part in parts {
                all.cut(&document.source_file, part, options, &size).map_err(place)?;
            }
        }
        if all.sections.is_empty() {
            return Err(Error::new(ErrorKind::Data, format!("no section of `{}` has {} words", folder.display(), options.min_words))
                .in_file(folder)
                .hint("lower min_words (`SectionOptions::with_min_words`)"));
        }
        if !all.other_files.is_empty() {
            let shown = all.other_files.iter().take(3).map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
            warn(format!("{} files are no Markdown, HTML or text and were not read: {shown}", all.other_files.len()));
        }
        Ok(all)
    }

    /// Adds the sections of what stands below one heading.
    fn cut(&mut self, source_file: &str, part: Part, options: &SectionOptions, size: &impl Fn(&str) -> Result<usize>) -> Result<()> {
        let mut number = 0;
        for (line, text) in pieces(&part, options.max_tokens, size)? {
            if text.split_whitespace().count() < options.min_words {
                self.too_short += 1;
                continue;
            }
            let line = line.filter(|_| number > 0).or(part.line);
            self.sections.push(Section { source_file: source_file.into(), headings: part.headings.clone(), line, part: number, text });
            number += 1;
        }
        Ok(())
    }

    /// One row a section: `heading`, `text`, `source_file`, `section`, `line`.
    pub fn to_dataset(&self) -> Dataset {
        Dataset::from_examples(self.sections.iter().map(Section::to_example).collect())
    }
}

/// The blocks of a part put together up to the limit, each piece with its line.
fn pieces(part: &Part, max: usize, size: &impl Fn(&str) -> Result<usize>) -> Result<Vec<(Option<usize>, String)>> {
    let mut pieces: Vec<(Option<usize>, String)> = Vec::new();
    // Whether the last piece may grow, its size when it was last measured, and that of what was added since.
    let (mut open, mut held, mut added, between) = (false, 0, 0, size("\n\n")?);
    for block in &part.blocks {
        let own = if block.text.len() > MEASURED { max.saturating_add(1) } else { size(&block.text)? };
        if let Some((_, last)) = pieces.last_mut().filter(|_| open) {
            added += between + own;
            // A whole is about as large as its parts together: it is measured only where it may be full.
            let fits = added + added / 8 + 8 <= max.saturating_sub(held) || {
                (held, added) = (size(&format!("{last}\n\n{}", block.text))?, 0);
                held <= max
            };
            if fits {
                last.extend(["\n\n", &block.text]);
                continue;
            }
        }
        (open, held, added) = (own <= max, own, 0);
        match open {
            true => pieces.push((block.line, block.text.clone())),
            false => pieces.extend(split(block, max, size)?.into_iter().map(|text| (block.line, text))),
        }
    }
    Ok(pieces)
}

/// A block that is too long by itself: at sentences and words; code at lines, each piece between the same fences.
fn split(block: &Block, max: usize, size: &impl Fn(&str) -> Result<usize>) -> Result<Vec<String>> {
    let fences = fences(block);
    let (open, inner, close) = fences.unwrap_or(("", &block.text, ""));
    let room = if fences.is_some() { max.saturating_sub(size(&format!("{open}{close}"))?).max(1) } else { max };
    let splitter = TextSplitter::new(ChunkConfig::new(room).with_sizer(Size(size)).with_trim(!block.code));
    Ok(chunks(&splitter, inner, room)?
        .into_iter()
        .filter(|chunk| !chunk.trim().is_empty())
        .map(|chunk| if fences.is_some() { format!("{open}{}{close}", chunk.trim_matches('\n')) } else { chunk.to_string() })
        .collect())
}

/// Bytes up to which a block is measured as a whole.
const MEASURED: usize = 1 << 20;
/// Bytes of a window for each token of a piece: about twice what prose has.
const WINDOW: usize = 8;

/// The pieces of a text, looked at through a window that holds several: the splitter measures up to all that is left for each piece,
/// which of one long word would be its square.
fn chunks<'a, F: Fn(&str) -> Result<usize>>(splitter: &TextSplitter<Size<F>>, text: &'a str, room: usize) -> Result<Vec<&'a str>> {
    let (mut chunks, mut start, mut width) = (Vec::new(), 0_usize, room.saturating_mul(WINDOW));
    loop {
        let end = text.floor_char_boundary(start.saturating_add(width).min(text.len()));
        let found = splitter.try_chunk_indices(&text[start..end]).collect::<Result<Vec<(usize, &str)>>>()?;
        match found.as_slice() {
            // The last one may go on behind the window: it begins the next.
            [first @ .., (last, _)] if end < text.len() && *last > 0 && !first.is_empty() => {
                chunks.extend(first.iter().map(|(_, chunk)| *chunk));
                (start, width) = (start + last, room.saturating_mul(WINDOW));
            }
            _ if end < text.len() => width = width.saturating_mul(2).max(width + 4),
            all => {
                chunks.extend(all.iter().map(|(_, chunk)| *chunk));
                return Ok(chunks);
            }
        }
    }
}

/// The lines around a fenced code block, and what stands between them.
fn fences(block: &Block) -> Option<(&str, &str, &str)> {
    let text = &block.text;
    if !block.code || !(text.starts_with("```") || text.starts_with("~~~")) {
        return None;
    }
    let start = text.find('\n')? + 1;
    let end = text.rfind('\n').filter(|&end| end >= start && text[end + 1..].trim_start().starts_with(&text[..3]))?;
    Some((&text[..start], &text[start..end], &text[end..]))
}

/// A measure of text for the splitter.
struct Size<F>(F);

impl<F: Fn(&str) -> Result<usize>> TryChunkSizer for Size<F> {
    type Error = Error;

    fn try_size(&self, chunk: &str) -> Result<usize> {
        (self.0)(chunk)
    }
}

impl Sections {
    fn table(&self) -> Html {
        let names = ["source_file", "section", "line", "text"].map(String::from);
        preview(&names, self.sections.len(), |row| {
            let section = &self.sections[row];
            let line = section.line.map_or_else(String::new, |line| line.to_string());
            vec![section.source_file.clone(), section.path(), line, section.text.clone()]
        })
    }
}

impl fmt::Display for Sections {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let files = self.sections.chunk_by(|one, next| one.source_file == next.source_file).count();
        write!(formatter, "{} sections of {files} files", self.sections.len())?;
        if self.too_short > 0 {
            write!(formatter, ", {} left out with too few words", self.too_short)?;
        }
        match self.other_files.len() {
            0 => Ok(()),
            others => write!(formatter, ", {others} files of other kinds not read"),
        }
    }
}

impl Show for Sections {
    fn text(&self) -> String {
        self.table().text
    }

    fn rich(&self) -> Vec<(&'static str, serde_json::Value)> {
        self.table().rich()
    }
}

last_expression!(Sections);
