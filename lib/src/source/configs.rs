//! The card of a data set (`README.md`) → the configs of its YAML front matter: names, and the files of each split.
//!
//! Only the key `configs` is read, and of YAML what stands there: lists, keys, texts, quotes, `[…]` and `{…}`. Anything else is
//! refused with its line.

use std::collections::HashSet;

use crate::border::limits::CARD;
use crate::error::{Error, ErrorKind, Result};

/// How deep lists and keys may stand in each other.
const DEEPEST: usize = 16;

/// One config of a data set.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Config {
    pub(crate) name: String,
    /// Whether it is the one that is taken without a word.
    pub(crate) default: bool,
    /// Patterns of each split; none: found by the names of the files.
    pub(crate) data_files: Option<Vec<(String, Vec<String>)>>,
    pub(crate) data_dir: Option<String>,
    /// What else it says, which is not heeded.
    pub(crate) other: Vec<String>,
}

/// A piece of YAML.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Node {
    Null,
    Text(String),
    List(Vec<Node>),
    Map(Vec<(String, Node)>),
}

impl Node {
    fn text(&self) -> Option<&str> {
        if let Node::Text(text) = self { Some(text) } else { None }
    }

    /// A text or a list of texts.
    fn texts(&self) -> Option<Vec<String>> {
        match self {
            Node::Text(text) => Some(vec![text.clone()]),
            Node::List(items) => items.iter().map(|item| item.text().map(String::from)).collect(),
            _ => None,
        }
    }
}

/// The configs of a card, in order; none where it has none.
///
/// # Errors
/// [`ErrorKind::Data`] for YAML that is not understood, and for configs of another form.
pub(crate) fn configs(card: &str) -> Result<Vec<Config>> {
    let lines: Vec<&str> = card.trim_start_matches('\u{feff}').lines().collect();
    let Some(end) = lines.iter().skip(1).position(|line| *line == "---").filter(|_| lines.first() == Some(&"---")) else {
        // What it says may stand behind the part that was read.
        return match lines.first() == Some(&"---") && card.len() as u64 >= CARD.bytes {
            true => Err(wrong(format_args!("the front matter does not end within {} MB, the most that is read", CARD.bytes >> 20))),
            false => Ok(Vec::new()),
        };
    };
    let matter = lines[1..=end].iter().enumerate().map(|(index, line)| (index + 2, *line));
    let mut block: Vec<Line> = Vec::new();
    let mut inside = false;
    for (number, line) in matter {
        let text = without_comment(line);
        if text.trim().is_empty() {
            continue;
        }
        if !text.starts_with([' ', '-', '\t']) {
            inside = text.starts_with("configs:");
        }
        if inside {
            block.push(Line { number, indent: text.len() - text.trim_start().len(), text: text.trim().to_string() });
        }
    }
    if block.is_empty() {
        return Ok(Vec::new());
    }
    let Node::Map(mut keys) = (Yaml { lines: block, at: 0 }).node(0, 0)? else { return Ok(Vec::new()) };
    match keys.pop().map(|(_, node)| node) {
        Some(Node::List(items)) => items.into_iter().map(config).collect(),
        None | Some(Node::Null) => Ok(Vec::new()),
        Some(_) => Err(wrong("`configs` is no list")),
    }
}

fn wrong(what: impl std::fmt::Display) -> Error {
    Error::new(ErrorKind::Data, format!("README.md: {what}")).hint(
        "correct the front matter, or name the files by `DataOptions::with_data_files`; a config is\n- config_name: default\n  data_files:\n  - split: train\n    path: data/train-*",
    )
}

fn config(node: Node) -> Result<Config> {
    let Node::Map(keys) = node else { return Err(wrong("a config has no `config_name`")) };
    let mut config = Config::default();
    for (key, value) in keys {
        match key.as_str() {
            "config_name" => config.name = value.text().unwrap_or_default().to_string(),
            "default" => config.default = value.text() == Some("true"),
            "data_dir" => config.data_dir = value.text().map(String::from),
            "data_files" => config.data_files = Some(data_files(&value)?),
            _ => config.other.push(key),
        }
    }
    if config.name.is_empty() { Err(wrong("a config has no `config_name`")) } else { Ok(config) }
}

fn data_files(node: &Node) -> Result<Vec<(String, Vec<String>)>> {
    if let Some(patterns) = node.texts() {
        return Ok(vec![("train".to_string(), patterns)]);
    }
    let Node::List(items) = node else { return Err(wrong("`data_files` is neither a path nor a list")) };
    let (mut splits, mut seen) = (Vec::with_capacity(items.len()), HashSet::new());
    for item in items {
        let form = || wrong("an entry of `data_files` is not `split` and `path`");
        let Node::Map(keys) = item else { return Err(form()) };
        let of = |name: &str| keys.iter().find(|(key, _)| key == name).map(|(_, node)| node);
        let split = of("split").and_then(Node::text).ok_or_else(form)?;
        let path = of("path").and_then(Node::texts).ok_or_else(form)?;
        if keys.len() != 2 {
            return Err(form());
        }
        if !seen.insert(split) {
            return Err(wrong(format_args!("the split `{split}` stands twice in `data_files`")));
        }
        splits.push((split.to_string(), path));
    }
    Ok(splits)
}

/// A line of YAML without its comment.
fn without_comment(line: &str) -> &str {
    let (mut quote, mut before) = (None, ' ');
    for (at, c) in line.char_indices() {
        match (quote, c) {
            (None, '#') if before.is_whitespace() => return &line[..at],
            (None, '"' | '\'') if !before.is_alphanumeric() => quote = Some(c),
            (Some(open), c) if open == c && before != '\\' => quote = None,
            _ => {}
        }
        before = c;
    }
    line
}

struct Line {
    number: usize,
    indent: usize,
    text: String,
}

struct Yaml {
    lines: Vec<Line>,
    at: usize,
}

impl Yaml {
    fn bad(&self, what: &str) -> Error {
        let line = self.lines.get(self.at).or(self.lines.last());
        wrong(format_args!("line {}: {what}: {}", line.map_or(0, |line| line.number), line.map_or("", |line| &line.text)))
    }

    /// What stands at this indent: a list or keys.
    fn node(&mut self, indent: usize, depth: usize) -> Result<Node> {
        if depth > DEEPEST {
            return Err(self.bad("too many levels"));
        }
        let list = |text: &str| text == "-" || text.starts_with("- ");
        let mut seen = HashSet::new();
        let Some(first) = self.lines.get(self.at) else { return Ok(Node::Null) };
        let is_list = list(&first.text);
        let (mut items, mut keys) = (Vec::new(), Vec::<(String, Node)>::new());
        while let Some(line) = self.lines.get_mut(self.at).filter(|line| line.indent == indent && list(&line.text) == is_list) {
            if is_list {
                let rest = line.text[1..].trim_start().to_string();
                if rest.is_empty() {
                    self.at += 1;
                    items.push(self.below(indent, depth)?);
                } else if key(&rest).is_some() {
                    // The keys of an item stand at the place of the first.
                    line.indent += line.text.len() - rest.len();
                    let inner = line.indent;
                    line.text = rest;
                    items.push(self.node(inner, depth + 1)?);
                } else {
                    let node = self.value(&rest, depth)?;
                    self.at += 1;
                    items.push(node);
                }
                continue;
            }
            let text = line.text.clone();
            let Some((name, rest)) = key(&text) else { return Err(self.bad("no `key: value`")) };
            if !seen.insert(name.clone()) {
                return Err(self.bad("a key stands twice"));
            }
            let node = if rest.is_empty() {
                self.at += 1;
                // A list may stand at the place of its key.
                match self.lines.get(self.at) {
                    Some(next) if next.indent == indent && list(&next.text) => self.node(indent, depth + 1)?,
                    _ => self.below(indent, depth)?,
                }
            } else {
                let node = self.value(rest, depth)?;
                self.at += 1;
                node
            };
            keys.push((name, node));
        }
        if self.lines.get(self.at).is_some_and(|line| line.indent > indent) {
            return Err(self.bad("the indent is that of nothing above"));
        }
        Ok(if is_list { Node::List(items) } else { Node::Map(keys) })
    }

    fn below(&mut self, indent: usize, depth: usize) -> Result<Node> {
        match self.lines.get(self.at).map(|line| line.indent) {
            Some(inner) if inner > indent => self.node(inner, depth + 1),
            _ => Ok(Node::Null),
        }
    }

    /// A value in the rest of a line.
    fn value(&self, text: &str, depth: usize) -> Result<Node> {
        let (node, rest) = self.flow(text, depth, "")?;
        if rest.trim().is_empty() { Ok(node) } else { Err(self.bad("something follows the value")) }
    }

    /// A value and what follows it; a plain text ends at one of `stops`.
    fn flow<'t>(&self, text: &'t str, depth: usize, stops: &str) -> Result<(Node, &'t str)> {
        if depth > DEEPEST {
            return Err(self.bad("too many levels"));
        }
        let text = text.trim_start();
        match text.chars().next() {
            Some(open @ ('[' | '{')) => {
                let (close, mut rest) = (if open == '[' { ']' } else { '}' }, text[1..].trim_start());
                let (mut items, mut keys) = (Vec::new(), Vec::new());
                while !rest.starts_with(close) {
                    let (item, mut after) = self.flow(rest, depth + 1, if open == '[' { ",]" } else { ":,}" })?;
                    if open == '{' {
                        let inner = after.trim_start().strip_prefix(':').ok_or_else(|| self.bad("no `key: value`"))?;
                        let (value, behind) = self.flow(inner, depth + 1, ",}")?;
                        keys.push((item.text().unwrap_or_default().to_string(), value));
                        after = behind;
                    } else {
                        items.push(item);
                    }
                    rest = after.trim_start();
                    match rest.strip_prefix(',') {
                        Some(more) => rest = more.trim_start(),
                        None if rest.starts_with(close) => {}
                        None => return Err(self.bad("a bracket is not closed in its line")),
                    }
                }
                Ok((if open == '[' { Node::List(items) } else { Node::Map(keys) }, &rest[1..]))
            }
            Some(quote @ ('"' | '\'')) => {
                let (mut found, mut chars) = (String::new(), text[1..].char_indices().peekable());
                while let Some((at, c)) = chars.next() {
                    match c {
                        '\\' if quote == '"' => match chars.next() {
                            Some((_, 'n')) => found.push('\n'),
                            Some((_, 't')) => found.push('\t'),
                            Some((_, c @ ('"' | '\\' | '/'))) => found.push(c),
                            _ => return Err(self.bad("an escape that is not read here")),
                        },
                        c if c == quote && quote == '\'' && chars.peek().is_some_and(|(_, next)| *next == '\'') => {
                            chars.next();
                            found.push('\'');
                        }
                        c if c == quote => return Ok((Node::Text(found), &text[1 + at + 1..])),
                        c => found.push(c),
                    }
                }
                Err(self.bad("a quote is not closed in its line"))
            }
            Some('|' | '>' | '&' | '!' | '@' | '`' | '%') => Err(self.bad("a form of YAML that is not read here")),
            _ => {
                let end = text.find(|c| stops.contains(c)).unwrap_or(text.len());
                let plain = text[..end].trim();
                let node = if ["", "~", "null"].contains(&plain) { Node::Null } else { Node::Text(plain.to_string()) };
                Ok((node, &text[end..]))
            }
        }
    }
}

/// A key, without its quotes, and what follows the colon.
fn key(text: &str) -> Option<(String, &str)> {
    if text.starts_with(['[', '{']) {
        return None;
    }
    let (name, rest) = match text.strip_suffix(':').filter(|name| !name.contains(": ")) {
        Some(name) => (name, ""),
        None => text.split_once(": ")?,
    };
    let name = name.trim();
    let bare = ['"', '\''].iter().find_map(|quote| name.strip_prefix(*quote)?.strip_suffix(*quote)).unwrap_or(name);
    (!bare.contains(['"', '\''])).then(|| (bare.to_string(), rest.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_card_says_its_configs() {
        let card = "---\nlicense: mit # free\ndataset_info:\n  features:\n  - name: a\nconfigs:\n- config_name: main\n  default: true\n  data_files:\n  - split: train\n    path: main/train-*\n  - split: test\n    path: [\"a b.csv\", 'c''d.csv', e]\n- {config_name: 'b', data_dir: x}\n- config_name: c\n  data_files: \"*.csv\" # all\n  sep: \";\"\ntags: [a]\n---\nconfigs: no\n";
        let found = configs(card).unwrap();
        let texts = |texts: &[&str]| texts.iter().map(ToString::to_string).collect::<Vec<_>>();
        let main = vec![("train".into(), texts(&["main/train-*"])), ("test".into(), texts(&["a b.csv", "c'd.csv", "e"]))];
        assert_eq!(found[0], Config { name: "main".into(), default: true, data_files: Some(main), ..Config::default() });
        assert_eq!(found[1], Config { name: "b".into(), data_dir: Some("x".into()), ..Config::default() });
        let all = Some(vec![("train".into(), texts(&["*.csv"]))]);
        assert_eq!(found[2], Config { name: "c".into(), data_files: all, other: texts(&["sep"]), ..Config::default() });
        for none in ["", "# title", "---\na: b\n", "---\na: b\n---\n", "---\nconfigs:\n---\n"] {
            assert_eq!(configs(none).unwrap(), [], "{none}");
        }
        for (wrong, part) in [
            ("configs:\n- a: b", "no `config_name`"),
            ("configs: a", "is no list"),
            ("configs:\n- config_name: a\n  data_files: |\n   x", "line 4"),
            ("configs:\n- config_name: a\n  data_files: [x", "not closed"),
            ("configs:\n- config_name: a\n  data_files:\n  - split: a\n    path: b\n  - split: a\n    path: c", "stands twice"),
            ("configs:\n- config_name: a\n  config_name: b", "a key stands twice"),
        ] {
            let error = configs(&format!("---\n{wrong}\n---\n")).unwrap_err();
            assert!(error.to_string().contains(part), "{wrong}: {error}");
        }
        assert!(configs(&format!("---\nconfigs: {}\n---\n", "[".repeat(100_000))).is_err());
        // What stands behind the part that is read is not known to be nothing; a short card without an end has no front matter.
        assert!(configs(&format!("---\n{}", "a: b\n".repeat(1 << 18))).unwrap_err().to_string().contains("does not end within 1 MB"));
        assert_eq!(configs("---\nconfigs:\n- config_name: a\n").unwrap(), []);
    }
}
