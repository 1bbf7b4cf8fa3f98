//! A finished training → what there is to see of it: the model's card, the job, and answers before and after.

use std::path::Path;

use crate::border::{file, limits};
use crate::display::output::{Html, Show, last_expression, table};
use crate::display::side_by_side::{SideBySide, side_by_side};
use crate::error::{Error, Result};
use crate::evaluate::report::AnswerReport;
use crate::hub::card::Card;
use crate::train::log::meter::TrainOutput;

/// The line by which a card that was written here is known.
const SIGNATURE: &str = "This card was written by `BasicModelRunner::train`.";

/// What `train` leaves behind: where the model is and how to try it.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct TrainingJob {
    /// The name by which `BasicModelRunner::new` and `from_pretrained` load the trained model.
    pub model_id: String,
    /// Whether others may have the model. Its card says so, and the folder of one that is not public can be read by you
    /// alone. Nothing is uploaded: `push_to_hub` does that.
    pub is_public: bool,
    /// The loss curve as a file to open in a browser.
    pub dashboard: String,
    /// The command that opens a page where both answer, the base model and the trained one; in a cell,
    /// [`BasicModelRunner::playground`](crate::BasicModelRunner::playground) does it.
    pub playground: String,
    /// Steps, loss and time.
    pub output: TrainOutput,
}

impl TrainingJob {
    /// Writes the model card, `README.md` as the hub reads it; a card of your own stays. Shuts the folder of a model that is
    /// not public; that of a public one is as open as the folder around it.
    pub(crate) fn publish(&self, base: &str, rows: usize) -> Result<()> {
        let folder = Path::new(&self.model_id);
        let path = folder.join("README.md");
        let card = file::read_if_there(&path, limits::CONFIGURATION)?;
        if card.is_none_or(|card| String::from_utf8_lossy(&card).contains(SIGNATURE)) {
            let word = match self.is_public {
                true => "**Public.** Its maker gives this model to others.",
                false => "**Private.** Its maker gives this model to nobody: do not upload it.",
            };
            let title = folder.parent().and_then(Path::file_name).unwrap_or(folder.as_os_str()).display().to_string();
            let facts = [("base_model", base), ("library_name", "transformers"), ("pipeline_tag", "text-generation")];
            let card = facts.iter().fold(Card::new(&title), |card, (key, value)| card.fact(key, Some(value)));
            let card = card
                .paragraph(word)
                .paragraph(&format!("Finetuned from `{base}` on {rows} rows; the settings are in `training_args.json`."))
                .paragraph(&format!("```text\n{}\n```", self.output))
                .paragraph(SIGNATURE)
                .markdown();
            crate::util::write::write_whole(&path, card.as_bytes())?;
        }
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let parent = folder.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
            let (open, shut) = (std::fs::metadata(parent).map(|parent| parent.permissions()), std::fs::Permissions::from_mode(0o700));
            let mode = if self.is_public { open } else { Ok(shut) };
            mode.and_then(|mode| std::fs::set_permissions(folder, mode)).map_err(|error| Error::file(folder, error))?;
        }
        Ok(())
    }
}

impl Show for TrainingJob {
    fn text(&self) -> String {
        format!(
            "model id: {}\ndashboard: {}\nplayground: {}\n{}",
            self.model_id,
            Path::new(&self.dashboard).display(),
            self.playground,
            self.output
        )
    }

    fn rich(&self) -> Vec<(&'static str, serde_json::Value)> {
        let cell = |name: &str, text: &str| vec![name.to_string(), text.to_string()];
        let rows = [
            cell("model id", &self.model_id),
            cell("dashboard", &self.dashboard),
            cell("playground", &self.playground),
            cell("result", &self.output.to_string()),
        ];
        table(&["training", "value"], &rows).rich()
    }
}

/// Two models' answers to the same questions.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Comparison {
    /// The trained model's answers.
    pub trained: AnswerReport,
    /// The base model's answers.
    pub base: AnswerReport,
}

impl Comparison {
    fn side_by_side(&self) -> Html {
        let rows = self.trained.rows.iter().zip(&self.base.rows).take(10);
        let rows: Vec<SideBySide> = rows
            .map(|(trained, base)| {
                let asked = SideBySide::new(&trained.question).with_target(&trained.target_answer);
                asked.with_answer("trained model", &trained.predicted_answer).with_answer("base model", &base.predicted_answer)
            })
            .collect();
        let mut shown = side_by_side(&rows);
        let caution = self.trained.caution().map_or(String::new(), |caution| format!("\n{caution}"));
        let summary = format!("trained: {}\nbase: {}{caution}", self.trained, self.base);
        shown.html.push_str(&format!("<pre>{}</pre>", crate::display::output::escape(&summary)));
        shown.text.push_str(&format!("\n{summary}"));
        shown
    }
}

impl Show for Comparison {
    fn text(&self) -> String {
        self.side_by_side().text
    }

    fn rich(&self) -> Vec<(&'static str, serde_json::Value)> {
        self.side_by_side().rich()
    }
}

last_expression!(TrainingJob, Comparison);
