//! Sections and somebody to ask → rows that were written for them (self-instruct), and what was refused, with the reason.

use std::fmt;

use serde_json::Value;

use crate::data::dataset::Dataset;
use crate::data::template::PromptTemplate;
use crate::display::output::{Html, Show, last_expression, preview};
use crate::documents::overlap::{Support, rouge_l_of, words};
use crate::documents::rows::row;
use crate::documents::section::{Section, Sections};
use crate::error::{Error, ErrorKind, Result};
use crate::util::interrupt;

/// What is asked for each section; `{count}` is the number of pairs.
pub const ASK_TEMPLATE: &str = "Read the section \"{section}\" of a document.\n\n{text}\n\nWrite {count} questions that this section answers, and their answers, in the words of the section. Use nothing that is not in it. Write each pair as two lines:\nQuestion: ...\nAnswer: ...";

/// How rows are written and which are kept.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct AskOptions {
    /// What is asked: the fields of [`Section::to_example`] and `{count}`. Default: [`ASK_TEMPLATE`].
    pub template: PromptTemplate,
    /// Pairs for each section. Default: 3.
    pub count: usize,
    /// A question whose ROUGE-L with another one is this or more is a near duplicate. Default: 0.7, as in self-instruct.
    pub max_similarity: f64,
    /// The part of an answer's words that its section has to have (see [`Support`]). Default: 0.7.
    pub min_support: f64,
    /// Fewest words of a question and of an answer. Default: 3.
    pub min_words: usize,
}

impl Default for AskOptions {
    fn default() -> Self {
        Self { template: PromptTemplate::new(ASK_TEMPLATE), count: 3, max_similarity: 0.7, min_support: 0.7, min_words: 3 }
    }
}

impl AskOptions {
    /// Another request.
    pub fn with_template(self, template: PromptTemplate) -> Self {
        Self { template, ..self }
    }

    /// Another number of pairs for each section.
    pub fn with_count(self, count: usize) -> Self {
        Self { count, ..self }
    }

    /// Another limit for near duplicates, above 0; at 1 only equal questions are refused.
    pub fn with_max_similarity(self, max_similarity: f64) -> Self {
        Self { max_similarity, ..self }
    }

    /// Another least support, from 0 (everything is kept) to 1.
    pub fn with_min_support(self, min_support: f64) -> Self {
        Self { min_support, ..self }
    }

    /// Another least number of words.
    pub fn with_min_words(self, min_words: usize) -> Self {
        Self { min_words, ..self }
    }
}

/// Why a pair is not in the rows.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Reason {
    /// The reply holds no question with an answer.
    NoPair,
    /// The asker failed; the text of its error.
    AskerFailed(String),
    /// The question or the answer has too few words.
    TooShort,
    /// The question is nearly another one, by ROUGE-L.
    NearDuplicate(String, f64),
    /// The section does not say what the answer says.
    Unsupported(Support),
}

impl fmt::Display for Reason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoPair => formatter.write_str("no question with an answer"),
            Self::AskerFailed(error) => write!(formatter, "the asker failed: {error}"),
            Self::TooShort => formatter.write_str("too short"),
            Self::NearDuplicate(other, similarity) => write!(formatter, "near duplicate of {other:?} (ROUGE-L {similarity:.2})"),
            Self::Unsupported(support) => {
                let missing = support.missing.iter().take(5).cloned().collect::<Vec<_>>().join(", ");
                write!(formatter, "not supported by the section (support {:.2}; it lacks: {missing})", support.score)
            }
        }
    }
}

/// A pair that was not kept.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Refused {
    /// Which section, counted from 0.
    pub section: usize,
    /// The question, or the whole reply where it holds none.
    pub question: String,
    /// The answer.
    pub answer: String,
    /// Why.
    pub reason: Reason,
}

/// Rows that a model wrote, apart from those of the documents.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Generated {
    /// `question`, `answer`, `source_file`, `section`, `line`, `generated` (true).
    pub rows: Dataset,
    /// What was not kept, in order.
    pub refused: Vec<Refused>,
    /// Sections that were asked about.
    pub sections: usize,
}

impl Sections {
    /// Has `ask` write questions and answers for every section, and keeps those that are long enough, no near duplicates (also
    /// of the questions in `beside`, such as the rows by template), and supported by their section. Any model will do:
    /// `|prompt| runner.ask(prompt)`.
    ///
    /// ```no_run
    /// use finetuning::*;
    /// let sections = Sections::read("docs", &SectionOptions::default(), &AutoTokenizer::from_pretrained("builtin:base")?)?;
    /// let real = sections.to_rows()?;
    /// let runner = BasicModelRunner::new("builtin:smol")?;
    /// let generated = sections.ask(&AskOptions::default(), Some(&real), |prompt| runner.ask(prompt))?;
    /// println!("{generated}");
    /// # Ok::<(), Error>(())
    /// ```
    ///
    /// # Errors
    /// [`ErrorKind::Data`] when the options contradict themselves or the template names an unknown field;
    /// [`ErrorKind::Interrupted`]; the asker's own error when it failed for every section. A single failure is in
    /// [`Generated::refused`].
    pub fn ask(&self, options: &AskOptions, beside: Option<&Dataset>, mut ask: impl FnMut(&str) -> Result<String>) -> Result<Generated> {
        check(options)?;
        let mut known: Vec<(String, Vec<String>)> = Vec::new();
        for question in beside.into_iter().flatten().filter_map(|row| row.get("question")) {
            known.push((question.to_string(), words(question)));
        }
        let (mut rows, mut refused) = (Vec::new(), Vec::new());
        let (mut failed, mut failure) = (0, None);
        for (index, section) in self.sections.iter().enumerate() {
            interrupt::check("while questions were written")?;
            let mut fields = section.to_example();
            fields.set("count", options.count);
            let refuse =
                |question: &str, answer: &str, reason| Refused { section: index, question: question.into(), answer: answer.into(), reason };
            let reply = match ask(&options.template.format(&fields)?) {
                Ok(reply) => reply,
                Err(error) if error.kind() == ErrorKind::Interrupted => return Err(error),
                Err(error) => {
                    failed += 1;
                    refused.push(refuse("", "", Reason::AskerFailed(error.message().to_string())));
                    failure = failure.or(Some(error));
                    continue;
                }
            };
            let found = pairs(&reply);
            if found.is_empty() {
                refused.push(refuse(&reply, "", Reason::NoPair));
            }
            for (question, answer) in found {
                let own = words(&question);
                match judge(&own, &answer, section, &known, options) {
                    Some(reason) => refused.push(refuse(&question, &answer, reason)),
                    None => {
                        rows.push(row(section, &question, &answer, true));
                        known.push((question, own));
                    }
                }
            }
        }
        match failure {
            Some(error) if failed == self.sections.len() => Err(error.at("every section")),
            _ => Ok(Generated { rows: Dataset::from_examples(rows), refused, sections: self.sections.len() }),
        }
    }
}

fn check(options: &AskOptions) -> Result<()> {
    let bad = |what: String, hint: &str| Err(Error::new(ErrorKind::Data, what).hint(hint));
    if options.count == 0 {
        return bad("count is 0; at least 1 pair is asked for".into(), "use 3");
    }
    if !(options.max_similarity > 0.0 && options.max_similarity <= 1.0) {
        return bad(format!("max_similarity is {}; it must be above 0 and at most 1", options.max_similarity), "use 0.7");
    }
    if !(0.0..=1.0).contains(&options.min_support) {
        return bad(format!("min_support is {}; it must lie between 0 and 1", options.min_support), "use 0.7");
    }
    let known = ["heading", "section", "text", "source_file", "line", "count"];
    match options.template.placeholders()?.into_iter().find(|name| !known.contains(name)) {
        Some(name) => bad(format!("the template names `{{{name}}}`; a section has {}", known.join(", ")), "name one of those"),
        None => Ok(()),
    }
}

/// Why a pair is not kept, if it is not.
fn judge(question: &[String], answer: &str, section: &Section, known: &[(String, Vec<String>)], options: &AskOptions) -> Option<Reason> {
    if question.len() < options.min_words || words(answer).len() < options.min_words {
        return Some(Reason::TooShort);
    }
    let near = known.iter().map(|(text, other)| (text, rouge_l_of(question, other))).max_by(|one, other| one.1.total_cmp(&other.1));
    if let Some((text, similarity)) = near.filter(|(_, similarity)| *similarity >= options.max_similarity) {
        return Some(Reason::NearDuplicate(text.clone(), similarity));
    }
    let support = Support::of(answer, &format!("{}\n{}", section.path(), section.text));
    let invented = options.min_support > 0.0 && support.invents_number();
    (support.score < options.min_support || invented).then_some(Reason::Unsupported(support))
}

/// The pairs of a reply: lines with `Question:` and `Answer:`, also numbered, bold or as `Q:` and `A:`, or a JSON list.
fn pairs(reply: &str) -> Vec<(String, String)> {
    if let (Some(start), Some(end)) = (reply.find('['), reply.rfind(']'))
        && let Some(Ok(Value::Array(items))) = reply.get(start..=end).map(serde_json::from_str::<Value>)
    {
        let text = |item: &Value, name: &str| item[name].as_str().map(|text| text.trim().to_string());
        let found: Vec<_> = items.iter().filter_map(|item| Some((text(item, "question")?, text(item, "answer")?))).collect();
        if !found.is_empty() {
            return found;
        }
    }
    let mut pairs: Vec<(String, String)> = Vec::new();
    // Where the next line without a label belongs.
    let mut to = None;
    for line in reply.lines() {
        match label(line) {
            Some((true, rest)) => {
                pairs.push((rest.to_string(), String::new()));
                to = Some(true);
            }
            Some((false, rest)) => {
                if let Some(pair) = pairs.last_mut() {
                    pair.1 = rest.to_string();
                    to = Some(false);
                }
            }
            None => {
                let text = match (pairs.last_mut(), to) {
                    (Some(pair), Some(true)) => &mut pair.0,
                    (Some(pair), Some(false)) => &mut pair.1,
                    _ => continue,
                };
                text.push('\n');
                text.push_str(line);
            }
        }
    }
    let trimmed = pairs.into_iter().map(|(question, answer)| (question.trim().to_string(), answer.trim().to_string()));
    trimmed.filter(|(question, answer)| !question.is_empty() && !answer.is_empty()).collect()
}

/// Whether a line begins a question (true) or an answer (false), and what follows the label.
fn label(line: &str) -> Option<(bool, &str)> {
    let plain = line.trim_start_matches(|letter: char| !letter.is_alphabetic());
    let (name, rest) = plain.split_once(':')?;
    let name = name.trim_end_matches(|letter: char| !letter.is_alphabetic()).to_lowercase();
    let question = match name.as_str() {
        "question" | "q" => true,
        "answer" | "a" => false,
        _ => return None,
    };
    Some((question, rest.trim_matches(|letter: char| letter == '*' || letter.is_whitespace())))
}

impl Generated {
    fn table(&self) -> Html {
        let names = ["question", "answer", "why it was refused"].map(String::from);
        preview(&names, self.refused.len(), |row| {
            let refused = &self.refused[row];
            vec![refused.question.clone(), refused.answer.clone(), refused.reason.to_string()]
        })
    }
}

impl fmt::Display for Generated {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = |reason: fn(&Reason) -> bool| self.refused.iter().filter(|refused| reason(&refused.reason)).count();
        write!(
            formatter,
            "{} rows of {} sections; refused: {} near duplicates, {} not supported by their section, {} too short, {} replies without a pair, {} failures",
            self.rows.len(),
            self.sections,
            count(|reason| matches!(reason, Reason::NearDuplicate(..))),
            count(|reason| matches!(reason, Reason::Unsupported(_))),
            count(|reason| matches!(reason, Reason::TooShort)),
            count(|reason| matches!(reason, Reason::NoPair)),
            count(|reason| matches!(reason, Reason::AskerFailed(_))),
        )
    }
}

impl Show for Generated {
    fn text(&self) -> String {
        format!("{self}\n{}", self.table().text)
    }

    fn rich(&self) -> Vec<(&'static str, Value)> {
        self.table().rich()
    }
}

last_expression!(Generated);
