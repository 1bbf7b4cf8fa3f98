//! Answers of several models to the same questions → the answers beside each other, each difference from the target marked.

use serde_json::Value;

use crate::display::output::{Html, Show, escape, last_expression};

/// Characters of an answer that are shown.
const SHOWN: usize = 600;
/// Words of an answer or a target that are compared; what comes later counts as different.
const COMPARED: usize = 400;

/// A question, the answer that is wanted, and what models said.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SideBySide {
    /// The question, or the prompt.
    pub question: String,
    /// The answer that is wanted; without one nothing is marked.
    pub target: Option<String>,
    /// The name of each model and its answer.
    pub answers: Vec<(String, String)>,
}

impl SideBySide {
    /// The question alone.
    pub fn new(question: impl Into<String>) -> Self {
        Self { question: question.into(), ..Self::default() }
    }

    /// The answer that is wanted.
    pub fn with_target(self, target: impl Into<String>) -> Self {
        Self { target: Some(target.into()), ..self }
    }

    /// Adds a model's answer.
    pub fn with_answer(mut self, model: impl Into<String>, answer: impl Into<String>) -> Self {
        self.answers.push((model.into(), answer.into()));
        self
    }
}

/// Questions under each other, the answers to each beside each other. Words of an answer that the target lacks, or has elsewhere, are
/// marked: coloured and underlined in a notebook, in `[brackets]` in the text.
pub fn side_by_side(questions: &[SideBySide]) -> Html {
    Html { html: questions.iter().map(html).collect(), text: questions.iter().map(text).collect::<Vec<_>>().join("\n\n") }
}

impl Show for SideBySide {
    fn text(&self) -> String {
        text(self)
    }

    fn rich(&self) -> Vec<(&'static str, Value)> {
        vec![("text/html", html(self).into())]
    }
}

last_expression!(SideBySide);

fn html(asked: &SideBySide) -> String {
    let column = |name: &str, body: &str| {
        format!(
            "<div style=\"flex:1 1 14em;min-width:0\"><div style=\"font-weight:600\">{}</div><div style=\"white-space:pre-wrap;overflow-wrap:anywhere\">{body}</div></div>",
            escape(name)
        )
    };
    let target = asked.target.as_ref().map(|target| column("target", &escape(cut(target).trim())));
    let answers = asked.answers.iter().map(|(model, answer)| {
        column(
            model,
            &marked(
                asked,
                answer,
                ["<mark style=\"background:rgba(217,119,6,.28);color:inherit;text-decoration:underline\">", "</mark>"],
                escape,
            ),
        )
    });
    let columns: String = target.into_iter().chain(answers).collect();
    format!(
        "<div style=\"border:1px solid rgba(128,128,128,.5);border-radius:6px;padding:.5em .8em;margin:.4em 0\"><div style=\"white-space:pre-wrap;margin-bottom:.4em\">{}</div><div style=\"display:flex;flex-wrap:wrap;gap:.4em 1.5em\">{columns}</div></div>",
        escape(&asked.question)
    )
}

fn text(asked: &SideBySide) -> String {
    let target = asked.target.as_ref().map(|target| ("target", cut(target).trim().to_string()));
    let answers = asked.answers.iter().map(|(model, answer)| (model.as_str(), marked(asked, answer, ["[", "]"], str::to_string)));
    let lines: Vec<(&str, String)> = target.into_iter().chain(answers).collect();
    let width = lines.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
    let line = |(name, text): &(&str, String)| {
        format!("\n{}", format!("  {name:width$}  {}", text.replace('\n', &format!("\n  {:width$}  ", ""))).trim_end())
    };
    asked.question.clone() + &lines.iter().map(line).collect::<String>()
}

/// An answer with signs around each run of words that is not in the target; equal runs stay as they are.
fn marked(asked: &SideBySide, answer: &str, [open, close]: [&str; 2], escape: impl Fn(&str) -> String) -> String {
    let answer = cut(answer);
    let words = words(answer.trim());
    let Some(target) = &asked.target else { return escape(answer.trim()) };
    let same = common(&words, &self::words(target.trim()));
    let mut out = String::new();
    let mut inside = false;
    for (place, (word, is_same)) in words.iter().zip(same).enumerate() {
        // The space before a marked run stands outside of it.
        let (space, letters) = word.split_at(word.len() - word.trim_start().len());
        if inside && is_same {
            out += close;
        }
        out += space;
        if !is_same && (!inside || place == 0) {
            out += open;
        }
        inside = !is_same;
        out += &escape(letters);
    }
    if inside {
        out += close;
    }
    out
}

/// The words of a text, each with the white space before it.
fn words(text: &str) -> Vec<&str> {
    let mut words = Vec::new();
    let (mut start, mut in_word) = (0, false);
    for (place, letter) in text.char_indices() {
        if in_word && letter.is_whitespace() {
            words.push(&text[start..place]);
            start = place;
        }
        in_word = !letter.is_whitespace();
    }
    if start < text.len() {
        words.push(&text[start..]);
    }
    words
}

/// For each word, whether it belongs to a longest common subsequence with the others.
fn common(words: &[&str], others: &[&str]) -> Vec<bool> {
    let (rows, columns) = (words.len().min(COMPARED), others.len().min(COMPARED));
    let is_same = |row: usize, column: usize| words[row].trim() == others[column].trim();
    let mut longest = vec![vec![0u16; columns + 1]; rows + 1];
    for row in (0..rows).rev() {
        for column in (0..columns).rev() {
            longest[row][column] = match is_same(row, column) {
                true => longest[row + 1][column + 1] + 1,
                false => longest[row + 1][column].max(longest[row][column + 1]),
            };
        }
    }
    let mut same = vec![false; words.len()];
    let (mut row, mut column) = (0, 0);
    while row < rows && column < columns {
        if is_same(row, column) {
            same[row] = true;
            (row, column) = (row + 1, column + 1);
        } else if longest[row + 1][column] >= longest[row][column + 1] {
            row += 1;
        } else {
            column += 1;
        }
    }
    same
}

/// As much of a text as is shown.
fn cut(text: &str) -> String {
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{} … ({} characters in all)", &text[..end], text.chars().count()),
        None => text.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(target: &str, answer: &str) -> SideBySide {
        SideBySide::new("Q?").with_target(target).with_answer("tuned", answer)
    }

    #[test]
    fn only_what_differs_from_the_target_is_marked() {
        let shown = |target, answer| asked(target, answer).text().lines().nth(2).unwrap().trim_start().to_string();
        assert_eq!(shown("My first name is Ferris.", "My first name is Ferris."), "tuned   My first name is Ferris.");
        assert_eq!(shown("My first name is Ferris.", "My name is really Ferris."), "tuned   My name is [really] Ferris.");
        assert_eq!(shown("a b c", "x y a c z"), "tuned   [x y] a c [z]");
        assert_eq!(shown("a", ""), "tuned");
        assert_eq!(shown("", "a b"), "tuned   [a b]");
        // Without a target there is nothing to differ from.
        assert_eq!(SideBySide::new("Q?").with_answer("base", "a").text(), "Q?\n  base  a");
    }

    #[test]
    fn the_page_says_what_the_text_says_and_holds_no_foreign_markup() {
        let asked = asked("a <b> c", "a <i>x</i> c");
        let html = side_by_side(std::slice::from_ref(&asked)).html;
        assert!(html.contains(">a &lt;b&gt; c</div>") && html.contains("&lt;i&gt;x&lt;/i&gt;</mark> c"), "{html}");
        assert!(!html.contains("<b>") && !html.contains("<i>"));
        assert_eq!(html.matches("<mark").count(), asked.text().matches('[').count());
    }

    #[test]
    fn a_long_answer_is_cut_and_said_to_be() {
        let shown = asked(&"b ".repeat(2000), &"ä ".repeat(2000)).text();
        assert!(shown.contains("(4000 characters in all)") && shown.len() < 4000, "{}", shown.len());
    }
}
