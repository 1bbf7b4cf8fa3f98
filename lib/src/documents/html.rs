//! HTML → blocks below their headings, in Markdown.

use html2text::config::with_decorator;
use html2text::render::{TaggedLine, TaggedLineElement, TextDecorator};

use crate::documents::markdown::{Block, Outline, Part};
use crate::error::{Error, ErrorKind, Result};

/// Wider than any line: text is not wrapped.
const WIDTH: usize = 1 << 20;
/// What a heading begins with, once for its level; it is taken out of the text before.
const HEADING: char = '\u{1}';
/// Elements inside of each other; the parser of a deeper page might not come to an end.
const DEEPEST: usize = 2000;

/// The parts of a page. Lines are not known: the page is no text any more.
///
/// # Errors
/// [`ErrorKind::Data`] when it cannot be laid out or its elements stand too deep inside of each other.
pub(crate) fn parts(text: &str) -> Result<Vec<Part>> {
    let depth = depth(text);
    if depth > DEEPEST {
        return Err(Error::new(ErrorKind::Data, format!("elements stand {depth} deep inside of each other; {DEEPEST} are read"))
            .hint("save the page's text alone, as .txt or .md"));
    }
    let text = text.replace(HEADING, "");
    let lines = with_decorator(Marks).no_table_borders().lines_from_read(text.as_bytes(), WIDTH).map_err(|error| {
        Error::new(ErrorKind::Data, format!("the page cannot be read: {error}")).hint("save its text alone, as .txt or .md").because(error)
    })?;
    let (mut outline, mut block, mut code) = (Outline::default(), Vec::new(), Code::default());
    let mut close = |outline: &mut Outline, block: &mut Vec<String>| {
        outline.block(Block { text: std::mem::take(block).join("\n"), code: false, line: None });
    };
    for line in &lines {
        let (text, preformatted) = words(line);
        if preformatted {
            close(&mut outline, &mut block);
            code.push(text);
            continue;
        }
        if text.trim().is_empty() {
            close(&mut outline, &mut block);
            code.blank();
            continue;
        }
        code.close(&mut outline);
        match text.trim_start().strip_prefix(HEADING) {
            Some(rest) => {
                close(&mut outline, &mut block);
                let title = rest.trim_start_matches(HEADING);
                outline.heading(1 + rest.chars().take_while(|&letter| letter == HEADING).count(), title, None);
            }
            None => block.push(text.trim_end().to_string()),
        }
    }
    close(&mut outline, &mut block);
    code.close(&mut outline);
    Ok(outline.finish())
}

/// Lines of code that belong together, with the blank ones between them.
#[derive(Default)]
struct Code {
    lines: Vec<String>,
    blank: usize,
}

impl Code {
    fn push(&mut self, line: String) {
        self.lines.extend((0..std::mem::take(&mut self.blank)).map(|_| String::new()));
        self.lines.push(line.trim_end().to_string());
    }

    fn blank(&mut self) {
        self.blank += usize::from(!self.lines.is_empty());
    }

    fn close(&mut self, outline: &mut Outline) {
        self.blank = 0;
        if !self.lines.is_empty() {
            let text = format!("```\n{}\n```", std::mem::take(&mut self.lines).join("\n"));
            outline.block(Block { text, code: true, line: None });
        }
    }
}

/// A line's text, and whether it is preformatted.
fn words(line: &TaggedLine<Vec<bool>>) -> (String, bool) {
    let (mut text, mut preformatted) = (String::new(), false);
    for element in line.iter() {
        if let TaggedLineElement::Str(piece) = element {
            text.push_str(&piece.s);
            preformatted |= piece.tag.contains(&true);
        }
    }
    (text, preformatted)
}

/// How deep elements stand inside of each other at most, every start of an element counted that may have an end.
fn depth(text: &str) -> usize {
    let (mut depth, mut deepest) = (0usize, 0);
    for (at, _) in text.match_indices('<') {
        match text.as_bytes().get(at + 1) {
            Some(b'/') => depth = depth.saturating_sub(1),
            Some(letter) if letter.is_ascii_alphabetic() && !is_void(&text[at + 1..]) => depth += 1,
            _ => {}
        }
        deepest = deepest.max(depth);
    }
    deepest
}

/// Elements that have no end, or often none.
fn is_void(tag: &str) -> bool {
    const VOID: [&str; 20] = [
        "area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "param", "source", "track", "wbr", "p", "li", "td", "tr",
        "dt", "dd",
    ];
    let name: String = tag.chars().take_while(char::is_ascii_alphanumeric).collect();
    VOID.contains(&name.to_ascii_lowercase().as_str()) || tag.split('>').next().is_some_and(|inner| inner.ends_with('/'))
}

/// Markdown's marks; preformatted text is marked true.
#[derive(Clone)]
struct Marks;

impl TextDecorator for Marks {
    type Annotation = bool;

    fn decorate_link_start(&mut self, _url: &str) -> (String, bool) {
        (String::new(), false)
    }

    fn decorate_link_end(&mut self) -> String {
        String::new()
    }

    fn decorate_em_start(&self) -> (String, bool) {
        ("*".into(), false)
    }

    fn decorate_em_end(&self) -> String {
        "*".into()
    }

    fn decorate_strong_start(&self) -> (String, bool) {
        ("**".into(), false)
    }

    fn decorate_strong_end(&self) -> String {
        "**".into()
    }

    fn decorate_strikeout_start(&self) -> (String, bool) {
        (String::new(), false)
    }

    fn decorate_strikeout_end(&self) -> String {
        String::new()
    }

    fn decorate_code_start(&self) -> (String, bool) {
        ("`".into(), false)
    }

    fn decorate_code_end(&self) -> String {
        "`".into()
    }

    fn decorate_preformat_first(&self) -> bool {
        true
    }

    fn decorate_preformat_cont(&self) -> bool {
        true
    }

    fn decorate_image(&mut self, _source: &str, title: &str) -> (String, bool) {
        (title.to_string(), false)
    }

    fn header_prefix(&self, level: usize) -> String {
        HEADING.to_string().repeat(level)
    }

    fn quote_prefix(&self) -> String {
        "> ".into()
    }

    fn unordered_item_prefix(&self) -> String {
        "- ".into()
    }

    fn ordered_item_prefix(&self, number: i64) -> String {
        format!("{number}. ")
    }

    fn make_subblock_decorator(&self) -> Self {
        self.clone()
    }

    fn finalise(&mut self, _links: Vec<String>) -> Vec<TaggedLine<bool>> {
        Vec::new()
    }
}
