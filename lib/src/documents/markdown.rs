//! Markdown → blocks below their headings, each as it is written, with its line.

use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd};

/// A paragraph, a list, a table, a code block: what stands between blank lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Block {
    pub text: String,
    /// A fenced or indented code block.
    pub code: bool,
    /// Counted from 1, where it is known.
    pub line: Option<usize>,
}

/// Blocks below one heading.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Part {
    /// The headings above, from the outermost in, this part's own at the end.
    pub headings: Vec<String>,
    /// The line of the heading, or of the first block.
    pub line: Option<usize>,
    pub blocks: Vec<Block>,
}

/// Headings that are open, each with its level, and the parts so far.
#[derive(Default)]
pub(crate) struct Outline {
    open: Vec<(usize, String)>,
    parts: Vec<Part>,
}

impl Outline {
    /// A heading closes those of its level and below.
    pub fn heading(&mut self, level: usize, title: &str, line: Option<usize>) {
        self.open.retain(|(own, _)| *own < level);
        self.open.push((level, title.split_whitespace().collect::<Vec<_>>().join(" ")));
        let headings = self.open.iter().map(|(_, title)| title.clone()).filter(|title| !title.is_empty()).collect();
        self.parts.push(Part { headings, line, blocks: Vec::new() });
    }

    pub fn block(&mut self, block: Block) {
        if block.text.trim().is_empty() {
            return;
        }
        if self.parts.is_empty() {
            self.parts.push(Part { line: block.line, ..Part::default() });
        }
        if let Some(part) = self.parts.last_mut() {
            part.blocks.push(block);
        }
    }

    pub fn finish(self) -> Vec<Part> {
        self.parts
    }
}

/// The parts of a Markdown text; its front matter and comments are left out.
pub(crate) fn parts(text: &str) -> Vec<Part> {
    let options = Options::ENABLE_TABLES
        | Options::ENABLE_STRIKETHROUGH
        | Options::ENABLE_TASKLISTS
        | Options::ENABLE_FOOTNOTES
        | Options::ENABLE_HEADING_ATTRIBUTES
        | Options::ENABLE_YAML_STYLE_METADATA_BLOCKS
        | Options::ENABLE_PLUSES_DELIMITED_METADATA_BLOCKS;
    let (mut outline, mut depth, mut title) = (Outline::default(), 0usize, String::new());
    let (mut counted, mut line) = (0, 1);
    let mut opened = None;
    for (event, range) in Parser::new_ext(text, options).into_offset_iter() {
        match event {
            Event::Start(tag) => {
                if depth == 0 {
                    line += text[counted..range.start].matches('\n').count();
                    counted = range.start;
                    title.clear();
                    opened = Some(tag);
                }
                depth += 1;
            }
            Event::End(end) => {
                depth = depth.saturating_sub(1);
                if depth > 0 {
                    continue;
                }
                match (end, opened.take()) {
                    (TagEnd::Heading(level), _) => outline.heading(level as usize, &title, Some(line)),
                    (_, Some(Tag::MetadataBlock(_))) => {}
                    (_, Some(Tag::HtmlBlock)) if text[range.clone()].trim_start().starts_with("<!--") => {}
                    (_, tag) => {
                        let code = matches!(tag, Some(Tag::CodeBlock(_)));
                        outline.block(Block { text: text[range].trim_matches('\n').trim_end().to_string(), code, line: Some(line) });
                    }
                }
            }
            Event::Text(words) | Event::Code(words) if depth > 0 => title.push_str(&words),
            Event::SoftBreak | Event::HardBreak => title.push(' '),
            _ => {}
        }
    }
    outline.finish()
}

/// The paragraphs of a plain text: what stands between blank lines.
pub(crate) fn paragraphs(text: &str) -> Vec<Part> {
    let mut outline = Outline::default();
    let (mut lines, mut first) = (Vec::new(), 1);
    for (index, line) in text.lines().chain([""]).enumerate() {
        if !line.trim().is_empty() {
            if lines.is_empty() {
                first = index + 1;
            }
            lines.push(line);
        } else if !lines.is_empty() {
            outline.block(Block { text: std::mem::take(&mut lines).join("\n"), code: false, line: Some(first) });
        }
    }
    outline.finish()
}
