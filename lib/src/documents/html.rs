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
/// Attributes of a tag; the parser compares each with all others.
const ATTRIBUTES: usize = 1000;

/// The parts of a page, with the lines of their headings; those of other blocks are not known.
///
/// # Errors
/// [`ErrorKind::Data`] when it cannot be laid out or its elements stand too deep inside of each other.
pub(crate) fn parts(text: &str) -> Result<Vec<Part>> {
    let (depth, attributes) = extent(text);
    if attributes > ATTRIBUTES {
        return Err(Error::new(ErrorKind::Data, format!("a tag has {attributes} attributes; {ATTRIBUTES} are read"))
            .hint("save the page's text alone, as .txt or .md"));
    }
    if depth > DEEPEST {
        return Err(Error::new(ErrorKind::Data, format!("elements stand {depth} deep inside of each other; {DEEPEST} are read"))
            .hint("save the page's text alone, as .txt or .md"));
    }
    let text = text.replace(HEADING, "");
    let mut headings = Headings::of(&text);
    let lines = with_decorator(Marks).no_table_borders().lines_from_read(text.as_bytes(), WIDTH).map_err(|error| {
        Error::new(ErrorKind::Data, format!("the page cannot be read: {error}")).hint("save its text alone, as .txt or .md").because(error)
    })?;
    let (mut outline, mut block, mut code) = (Outline::default(), Vec::new(), Code::default());
    let close = |outline: &mut Outline, block: &mut Vec<String>| {
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
                let level = 1 + rest.chars().take_while(|&letter| letter == HEADING).count();
                outline.heading(level, title, headings.line_of(level, title));
            }
            None => block.push(text.trim_end().to_string()),
        }
    }
    close(&mut outline, &mut block);
    code.close(&mut outline);
    Ok(outline.finish())
}

/// The headings of a page's source, in order.
struct Headings<'a> {
    /// Level, line, and what stands inside, where the heading has an end.
    all: Vec<(usize, usize, Option<&'a str>)>,
    /// The first behind the last that was asked for.
    next: usize,
}

/// Headings that are looked at for a title: some are not laid out.
const AHEAD: usize = 64;
/// Bytes of a heading in which its title's first word is looked for.
const BEGINNING: usize = 1000;

impl<'a> Headings<'a> {
    fn of(text: &'a str) -> Self {
        let bytes = text.as_bytes();
        let (mut all, mut inside, mut line, mut counted) = (Vec::new(), 0, 1, 0);
        for (at, _) in text.match_indices('<') {
            let closes = bytes.get(at + 1) == Some(&b'/');
            let name = at + 1 + usize::from(closes);
            let level = match bytes.get(name..name + 2) {
                Some([b'h' | b'H', digit @ b'1'..=b'6']) => usize::from(digit - b'0'),
                _ => continue,
            };
            if closes {
                if let Some((own, _, inner @ None)) = all.last_mut()
                    && *own == level
                {
                    *inner = Some(&text[inside..text.floor_char_boundary(at.min(inside + BEGINNING))]);
                }
            } else if let Some(end) = text[name..].find(['<', '>']).filter(|end| bytes[name + end] == b'>') {
                line += text[counted..at].matches('\n').count();
                (counted, inside) = (at, name + end + 1);
                all.push((level, line, None));
            }
        }
        Self { all, next: 0 }
    }

    /// The line of the next heading of a level whose text begins like the title; `None` where there is none, as for a title that
    /// entities write.
    fn line_of(&mut self, level: usize, title: &str) -> Option<usize> {
        let first = title.split(|letter: char| !letter.is_alphanumeric()).find(|word| !word.is_empty())?;
        let fits = |(own, _, inner): &(usize, usize, Option<&str>)| *own == level && inner.is_some_and(|inner| inner.contains(first));
        self.next += 1 + self.all[self.next..].iter().take(AHEAD).position(fits)?;
        Some(self.all[self.next - 1].1)
    }
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

/// A line's text with Markdown's marks, and whether it is preformatted, which needs none.
fn words(line: &TaggedLine<Vec<Mark>>) -> (String, bool) {
    let pieces = || {
        line.iter().filter_map(|element| match element {
            TaggedLineElement::Str(piece) => Some((piece.s.as_str(), piece.tag.as_slice())),
            TaggedLineElement::FragmentStart(_) => None,
        })
    };
    if pieces().any(|(_, marks)| marks.contains(&Mark::Preformatted)) {
        return (pieces().map(|(text, _)| text).collect(), true);
    }
    let mut text = String::new();
    for (piece, marks) in pieces() {
        let inner = piece.trim();
        let signs: String = marks.iter().map(|mark| mark.sign()).collect();
        if inner.is_empty() || signs.is_empty() {
            text.push_str(piece);
            continue;
        }
        let before = piece.len() - piece.trim_start().len();
        let closing: String = signs.chars().rev().collect();
        text.extend([&piece[..before], &signs, inner, &closing, &piece[before + inner.len()..]]);
    }
    (text, false)
}

/// How deep elements stand inside of each other at most, by their tags, and how many attributes a tag has at most; elements that need
/// no end do not count, nor what scripts, styles and comments hold.
fn extent(text: &str) -> (usize, usize) {
    let (mut depth, mut deepest, mut attributes, mut rest) = (0usize, 0, 0, text);
    while let Some(start) = rest.find('<') {
        rest = &rest[start + 1..];
        let (ends, inner) = rest.strip_prefix('/').map_or((false, rest), |inner| (true, inner));
        let name: String = inner.chars().take_while(char::is_ascii_alphanumeric).collect::<String>().to_ascii_lowercase();
        let end = match name.as_str() {
            "script" if !ends => "</script",
            "style" if !ends => "</style",
            _ if rest.starts_with("!--") => "-->",
            _ => "",
        };
        if !end.is_empty() {
            rest = rest.find(end).map_or("", |at| &rest[at + end.len()..]);
        } else if !name.is_empty() {
            let tag = Tag::of(&inner[name.len()..]);
            (rest, attributes) = (tag.behind, attributes.max(tag.attributes));
            if ends {
                depth = depth.saturating_sub(1);
            } else if !ENDLESS.contains(&name.as_str()) {
                depth += usize::from(!tag.closed);
                deepest = deepest.max(depth);
            }
        }
    }
    (deepest, attributes)
}

/// What stands behind a tag's name, as the parser reads it: each sign is looked at once.
struct Tag<'a> {
    attributes: usize,
    /// Whether it ends in `/>`.
    closed: bool,
    /// The text behind it; none where it has no end.
    behind: &'a str,
}

impl<'a> Tag<'a> {
    fn of(text: &'a str) -> Self {
        let (bytes, mut at, mut attributes, mut closed) = (text.as_bytes(), 0, 0, false);
        let blank = |at: usize| bytes.get(at).is_some_and(u8::is_ascii_whitespace);
        loop {
            while blank(at) || bytes.get(at) == Some(&b'/') {
                closed = bytes[at] == b'/';
                at += 1;
            }
            match bytes.get(at) {
                None => return Self { attributes, closed: false, behind: "" },
                Some(b'>') => return Self { attributes, closed, behind: &text[at + 1..] },
                Some(_) => (attributes, closed, at) = (attributes + 1, false, at + 1),
            }
            while !blank(at) && bytes.get(at).is_some_and(|sign| !b"/>=".contains(sign)) {
                at += 1;
            }
            while blank(at) {
                at += 1;
            }
            if bytes.get(at) != Some(&b'=') {
                continue;
            }
            at += 1;
            while blank(at) {
                at += 1;
            }
            match bytes.get(at).copied().filter(|quote| b"\"'".contains(quote)) {
                Some(quote) => at = bytes[at + 1..].iter().position(|&sign| sign == quote).map_or(bytes.len(), |end| at + end + 2),
                None => {
                    while !blank(at) && bytes.get(at).is_some_and(|&sign| sign != b'>') {
                        at += 1;
                    }
                }
            }
        }
    }
}

/// Elements that have no end, or often none.
const ENDLESS: [&str; 25] = [
    "area", "base", "br", "col", "dd", "dt", "embed", "hr", "img", "input", "li", "link", "meta", "option", "p", "param", "source",
    "tbody", "td", "tfoot", "th", "thead", "tr", "track", "wbr",
];

/// What a piece of text is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Mark {
    #[default]
    Plain,
    Emphasis,
    Strong,
    Code,
    Preformatted,
}

impl Mark {
    fn sign(self) -> &'static str {
        match self {
            Self::Emphasis => "*",
            Self::Strong => "**",
            Self::Code => "`",
            Self::Plain | Self::Preformatted => "",
        }
    }
}

/// Tells html2text to mark pieces instead of writing signs: inside of preformatted text they would be wrong.
#[derive(Clone)]
struct Marks;

impl TextDecorator for Marks {
    type Annotation = Mark;

    fn decorate_link_start(&mut self, _url: &str) -> (String, Mark) {
        (String::new(), Mark::Plain)
    }

    fn decorate_link_end(&mut self) -> String {
        String::new()
    }

    fn decorate_em_start(&self) -> (String, Mark) {
        (String::new(), Mark::Emphasis)
    }

    fn decorate_em_end(&self) -> String {
        String::new()
    }

    fn decorate_strong_start(&self) -> (String, Mark) {
        (String::new(), Mark::Strong)
    }

    fn decorate_strong_end(&self) -> String {
        String::new()
    }

    fn decorate_strikeout_start(&self) -> (String, Mark) {
        (String::new(), Mark::Plain)
    }

    fn decorate_strikeout_end(&self) -> String {
        String::new()
    }

    fn decorate_code_start(&self) -> (String, Mark) {
        (String::new(), Mark::Code)
    }

    fn decorate_code_end(&self) -> String {
        String::new()
    }

    fn decorate_preformat_first(&self) -> Mark {
        Mark::Preformatted
    }

    fn decorate_preformat_cont(&self) -> Mark {
        Mark::Preformatted
    }

    fn decorate_image(&mut self, _source: &str, title: &str) -> (String, Mark) {
        (title.to_string(), Mark::Plain)
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

    fn finalise(&mut self, _links: Vec<String>) -> Vec<TaggedLine<Mark>> {
        Vec::new()
    }
}
