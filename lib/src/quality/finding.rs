//! One thing that was found in rows: what, how bad, where, why it matters, what to do.

/// How much a finding matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Severity {
    /// Worth a look; often as it should be.
    Note,
    /// Makes the model or its evaluation worse.
    Warning,
    /// Mend it before training.
    Error,
}

impl std::fmt::Display for Severity {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.pad(match self {
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Error => "error",
        })
    }
}

/// What can be found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum FindingKind {
    /// A key of a service, a token, a private key.
    Secret,
    /// An e-mail address, a phone number, a card, an IBAN, an address of a network.
    PersonalData,
    /// A row of the test that stands in the training rows: the same question, or the same row.
    TestRowInTraining,
    /// A row of the test that is nearly a training row.
    TestRowNearTraining,
    /// A row of the test whose answer is one of a training row.
    TestAnswerInTraining,
    /// A row without any text.
    Empty,
    /// A row with a prompt and no answer, or an answer and no prompt.
    OneSided,
    /// One question with several answers.
    Contradiction,
    /// A row that was there before.
    ExactDuplicate,
    /// A row that is nearly one that was there before.
    NearDuplicate,
    /// UTF-8 that was read as another encoding: `Ã©` for `é`.
    Mojibake,
    /// U+FFFD, where a character was lost.
    LostCharacter,
    /// Characters that control a terminal.
    ControlCharacter,
    /// Characters without width, and those that turn the direction of text.
    InvisibleCharacter,
    /// Entities and tags of HTML.
    Markup,
    /// `\n` written as two characters, and its like.
    EscapedText,
    /// White space at the ends of a text.
    WhiteSpace,
    /// Rows in another language than most.
    Language,
    /// A row with more ids than are trained.
    TooLong,
    /// Labels of which some are rare.
    Imbalance,
    /// Answers that many rows share.
    RepeatedAnswer,
    /// Answers far shorter than most.
    ShortAnswer,
    /// Answers far longer than most.
    LongAnswer,
    /// Answers that are no answers: a refusal, `TODO`, `lorem ipsum`.
    Placeholder,
    /// An answer that begins with its prompt.
    PromptInAnswer,
    /// A pair of answers of which none is better, since they are the same.
    EqualPair,
    /// A row that is not well formed, such as a message of an unknown role.
    Unreadable,
    /// Rows whose columns have no known names.
    UnknownColumns,
}

impl FindingKind {
    /// (severity, its name, why it matters, what to do).
    fn facts(self) -> (Severity, &'static str, &'static str, &'static str) {
        use Severity::{Error, Note, Warning};
        match self {
            Self::Secret => (
                Error,
                "secrets",
                "A model repeats what it has learnt: whoever asks it may get the key.",
                "Revoke the key, then mask it: RepairOptions::default().with_sensitive_data_masked()",
            ),
            Self::PersonalData => (
                Error,
                "personal data",
                "A model repeats it to strangers, and there may be no right to use it.",
                "Mask it: RepairOptions::default().with_sensitive_data_masked(), or leave the rows out",
            ),
            Self::TestRowInTraining => (
                Error,
                "test rows that stand in training",
                "The test measures memory: what was learnt by heart counts as skill.",
                "Take them out of one side, or split anew: Dataset::split_by_group",
            ),
            Self::TestRowNearTraining => (
                Warning,
                "test rows that are nearly training rows",
                "The test measures memory, at least in part.",
                "Split anew with nearly equal rows on one side: Dataset::split_by_group",
            ),
            Self::TestAnswerInTraining => (
                Warning,
                "test rows whose answer was trained",
                "The model has read the answer: it has to find it again, not to make it.",
                "To test what is new, split by answers: Dataset::split_by_group",
            ),
            Self::Empty => (Error, "empty rows", "There is nothing to learn in them.", "repair() leaves them out"),
            Self::OneSided => (
                Error,
                "one-sided rows",
                "A question without an answer teaches silence, an answer without a question teaches to say it anywhere.",
                "Fill the gap; repair() leaves them out",
            ),
            Self::Contradiction => (
                Warning,
                "one question, several answers",
                "The model learns a mixture; in a test one of them counts as wrong.",
                "Keep the right answer, or make the questions differ",
            ),
            Self::ExactDuplicate => (
                Warning,
                "duplicates",
                "A repeated row weighs more than others, and slips into both sides of a split.",
                "repair() keeps the first of each",
            ),
            Self::NearDuplicate => (
                Note,
                "near duplicates",
                "Nearly equal rows weigh more together, and slip into both sides of a split.",
                "Look at some; RepairOptions::default().with_near_duplicates_dropped() keeps the first of each group",
            ),
            Self::Mojibake => (
                Warning,
                "text read in the wrong encoding",
                "The model learns to write Ã© for é.",
                "repair() decodes what decodes cleanly; better read the source again as UTF-8",
            ),
            Self::LostCharacter => (
                Warning,
                "lost characters (U+FFFD)",
                "A character is gone for good, and the model learns the gap.",
                "Read the source again in its own encoding, or mend the words by hand",
            ),
            Self::ControlCharacter => {
                (Warning, "control characters", "The model learns to write them, terminals obey them.", "repair() strips them")
            }
            Self::InvisibleCharacter => (
                Note,
                "invisible characters",
                "Words that look the same become other tokens; a turned direction can hide text.",
                "repair() strips those without width; look at the others",
            ),
            Self::Markup => (
                Note,
                "left-over HTML",
                "The model learns to answer in markup that nobody renders.",
                "Take the text out of the page first, unless the rows teach HTML",
            ),
            Self::EscapedText => (
                Note,
                "escape sequences as text",
                "A line break became a backslash and an n: the text was escaped twice.",
                "Unescape the source once more",
            ),
            Self::WhiteSpace => (
                Note,
                "white space at the ends",
                "The model learns blanks before or after its answers.",
                "repair() trims the ends; a template adds what belongs between",
            ),
            Self::Language => (
                Note,
                "other languages",
                "A few rows in another language teach neither language well.",
                "Leave them out, or name them: QualityOptions::with_languages",
            ),
            Self::TooLong => (
                Warning,
                "too long for the model",
                "The row is cut, so that a question or an end is missing.",
                "Shorten the rows, cut them into parts, or raise max_length",
            ),
            Self::Imbalance => (
                Warning,
                "labels out of balance",
                "The model learns to say the frequent label.",
                "Add rows of the rare labels, or leave out some of the frequent one; judge by each label",
            ),
            Self::RepeatedAnswer => (
                Note,
                "answers that many rows share",
                "The model says them too often, and a test that holds them is easy.",
                "As it should be for a refusal; else write other answers",
            ),
            Self::ShortAnswer => {
                (Note, "very short answers", "They teach to say little, or something was cut off.", "Look whether the answer is whole")
            }
            Self::LongAnswer => {
                (Note, "very long answers", "They weigh as much as many others, and may hold more than the answer.", "Look at them")
            }
            Self::Placeholder => (
                Warning,
                "refusals and placeholders as answers",
                "The model learns to refuse, or to write TODO.",
                "Write the answer, or leave the row out",
            ),
            Self::PromptInAnswer => (
                Warning,
                "answers that repeat their prompt",
                "The model learns to say the question again before it answers.",
                "Take the prompt out of the answer",
            ),
            Self::EqualPair => (
                Error,
                "pairs of equal answers",
                "There is nothing to prefer: the loss stays where it is.",
                "Write another answer on one side, or leave the pair out",
            ),
            Self::Unreadable => (
                Error,
                "rows that are not well formed",
                "Training refuses them, or learns something else than they mean.",
                "Mend them; the place says what is wrong",
            ),
            Self::UnknownColumns => (
                Note,
                "columns of no known shape",
                "What is prompt and what is answer was not clear: all texts were looked at as one.",
                "Name them: QualityOptions::with_columns",
            ),
        }
    }

    /// How much it matters.
    pub fn severity(self) -> Severity {
        self.facts().0
    }

    /// What it is called on the page.
    pub fn name(self) -> &'static str {
        self.facts().1
    }

    /// Why it matters.
    pub fn why(self) -> &'static str {
        self.facts().2
    }

    /// What to do about it.
    pub fn advice(self) -> &'static str {
        self.facts().3
    }
}

/// The rows that a finding counts from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
#[non_exhaustive]
pub enum Part {
    /// Those for training.
    #[default]
    Training,
    /// Those for the test.
    Test,
}

impl std::fmt::Display for Part {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.pad(match self {
            Self::Training => "training",
            Self::Test => "test",
        })
    }
}

/// Where a finding is, within a row. Secrets and personal data are named, never shown.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Place {
    /// The row, counted from 0.
    pub row: usize,
    /// The field, the characters, or the row that it is like.
    pub text: String,
}

/// One thing that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Finding {
    /// What.
    pub kind: FindingKind,
    /// How much it matters.
    pub severity: Severity,
    /// Which rows are counted.
    pub part: Part,
    /// All rows that have it, counted from 0, in order.
    pub rows: Vec<usize>,
    /// Where in the rows, where that is known; in order of rows.
    pub places: Vec<Place>,
    /// What there is to say of all together, such as counts; may be empty.
    pub detail: String,
}

impl Finding {
    /// A finding in these rows.
    pub(crate) fn new(kind: FindingKind, part: Part, rows: Vec<usize>) -> Self {
        Self { kind, severity: kind.severity(), part, rows, places: Vec::new(), detail: String::new() }
    }

    /// A finding at these places.
    pub(crate) fn at(kind: FindingKind, part: Part, mut places: Vec<Place>) -> Self {
        places.sort_by_key(|place| place.row);
        let mut rows: Vec<usize> = places.iter().map(|place| place.row).collect();
        rows.dedup();
        Self { places, ..Self::new(kind, part, rows) }
    }

    /// The same with a detail.
    pub(crate) fn saying(self, detail: impl Into<String>) -> Self {
        Self { detail: detail.into(), ..self }
    }

    /// Nothing where no row has it.
    pub(crate) fn some(self) -> Option<Self> {
        Some(self).filter(|finding| !finding.rows.is_empty())
    }
}
