//! A name → something to ask, train and evaluate in three lines: `BasicModelRunner` of the course.

use std::path::Path;

use crate::data::dataset::Dataset;
use crate::data::example::Example;
use crate::decoding::GenerationConfig;
use crate::display::{Html, Show, last_expression, show, table};
use crate::error::{Error, ErrorKind, Result};
use crate::evaluate::{AnswerReport, evaluate_answers};
use crate::generate::{generate_texts, inference};
use crate::hub;
use crate::model::causal::{AutoModelForCausalLM, AutoTokenizer, CausalLm};
use crate::tokenizer::encode::{MAX_LENGTH, TokenizedDataset, tokenize_dataset};
use crate::tokenizer::text::Tokenizer;
use crate::train::arguments::TrainingArguments;
use crate::train::config::{SPLIT_SEED, TEST_SIZE};
use crate::train::meter::TrainOutput;
use crate::train::trainer::Trainer;

/// Tokens of prompt and answer together that [`BasicModelRunner::ask`] allows.
const ASK_TOKENS: usize = 100;

/// A model with its tokenizer, data and training, for people who want answers before details.
#[derive(Debug)]
pub struct BasicModelRunner {
    name: String,
    base: CausalLm,
    model: CausalLm,
    tokenizer: Tokenizer,
    data: Option<Dataset>,
    /// A run that was interrupted.
    stopped: Option<Trainer>,
}

/// What `train` leaves behind: where the model is and how to try it.
#[derive(Debug, Clone, PartialEq)]
pub struct TrainingJob {
    /// The name by which `BasicModelRunner::new` and `from_pretrained` load the trained model.
    pub model_id: String,
    /// Whether the name may be given to others (a mark only: nothing is uploaded).
    pub is_public: bool,
    /// The loss curve as a file to open in a browser.
    pub dashboard: String,
    /// The call that asks the model.
    pub playground: String,
    /// Steps, loss and time.
    pub output: TrainOutput,
}

impl BasicModelRunner {
    /// A runner for a `builtin:` name, a folder or a hub repository.
    pub fn new(name: &str) -> Result<Self> {
        let (base, tokenizer) = (AutoModelForCausalLM::from_pretrained(name)?, AutoTokenizer::from_pretrained(name)?);
        Ok(Self { name: name.into(), model: base.clone(), base, tokenizer, data: None, stopped: None })
    }

    /// The model's answer to a prompt, prompt and answer together at most 100 tokens longer than the prompt.
    pub fn ask(&self, prompt: &str) -> Result<String> {
        let length = self.tokenizer.encode_prompt(prompt)?.len();
        Ok(inference(prompt, &self.model, &self.tokenizer, length, length + ASK_TOKENS)?.trim().to_string())
    }

    /// The answers to several prompts, written together; each is the one that [`BasicModelRunner::ask`] gives.
    pub fn ask_batch(&self, prompts: &[impl AsRef<str>]) -> Result<Vec<String>> {
        let config = GenerationConfig { max_new_tokens: ASK_TOKENS, ..Default::default() };
        let answers = generate_texts(prompts, &self.model, &self.tokenizer, &config)?;
        Ok(answers.iter().map(|answer| answer.trim().to_string()).collect())
    }

    /// Loads rows with two named fields; the file's other fields are left out.
    pub fn load_data_from_jsonlines(&mut self, path: &str, input_key: &str, output_key: &str) -> Result<()> {
        let pair = |example: &Example| -> Result<Example> {
            Ok(Example::new([("question", example.field(input_key)?), ("answer", example.field(output_key)?)]))
        };
        let rows = hub::load_dataset(path)?;
        let rows = rows.iter().enumerate().map(|(row, example)| pair(example).map_err(|error| error.at(format_args!("{path}, row {row}"))));
        self.data = Some(Dataset::from_examples(rows.collect::<Result<_>>()?));
        self.stopped = None;
        Ok(())
    }

    /// Finetunes on the loaded rows with settings that suit small models.
    pub fn train(&mut self, is_public: bool) -> Result<TrainingJob> {
        let output_dir = format!("{}_finetuned", self.name.replace([':', '/'], "_")).into();
        self.train_with(is_public, TrainingArguments { output_dir, ..Self::default_arguments() })
    }

    /// The settings of [`BasicModelRunner::train`]: a high rate, few passes and the answers alone, for models of a few
    /// million parameters.
    pub fn default_arguments() -> TrainingArguments {
        TrainingArguments {
            num_train_epochs: 6.0,
            learning_rate: 1.5e-3,
            warmup_steps: 20,
            group_by_length: true,
            completion_only_loss: true,
            ..Default::default()
        }
    }

    /// Finetunes on the loaded rows with your own settings; the model is saved in `<output_dir>/final`.
    ///
    /// After an interrupt the same call goes on where it stopped; a call with other settings begins anew.
    pub fn train_with(&mut self, is_public: bool, arguments: TrainingArguments) -> Result<TrainingJob> {
        let output_dir = arguments.output_dir.clone();
        let mut trainer = match self.stopped.take() {
            Some(stopped) if *stopped.arguments() == arguments => stopped,
            _ => {
                let (train, test) = self.tokens()?.train_test_split(TEST_SIZE, SPLIT_SEED)?;
                self.model = self.base.deep_clone()?;
                Trainer::new(&self.model, arguments, train, test)?
            }
        };
        let output = match trainer.train() {
            Ok(output) => output,
            Err(error) => {
                self.stopped = Some(trainer).filter(|_| error.kind() == ErrorKind::Interrupted);
                return Err(error);
            }
        };
        let folder = output_dir.join("final");
        trainer.save_model(&folder)?;
        let dashboard = output_dir.join("loss.html");
        let chart = crate::train::curve::plot_loss(trainer.history());
        let page = format!("<!doctype html><meta charset=\"utf-8\"><title>Loss</title>{}", chart.svg());
        crate::data::jsonl::write_whole(&dashboard, page.as_bytes())?;
        let model_id = folder.display().to_string();
        let playground = format!("BasicModelRunner::new({model_id:?})?.ask(\"…\")?");
        let job = TrainingJob { model_id, is_public, dashboard: dashboard.display().to_string(), playground, output };
        show(&job);
        Ok(job)
    }

    /// Question, trained answer and base answer for the first ten test rows, and the scores of both over all of them.
    pub fn evaluate(&self) -> Result<Comparison> {
        let (_, test) = self.rows()?.train_test_split(TEST_SIZE, SPLIT_SEED)?;
        let trained = evaluate_answers(&self.model, &self.tokenizer, &test, -1)?;
        let base = evaluate_answers(&self.base, &self.tokenizer, &test, -1)?;
        Ok(Comparison { trained, base })
    }

    /// The model that `train` changed; before training it is the base model.
    pub fn model(&self) -> &CausalLm {
        &self.model
    }

    /// The tokenizer.
    pub fn tokenizer(&self) -> &Tokenizer {
        &self.tokenizer
    }

    fn rows(&self) -> Result<&Dataset> {
        self.data.as_ref().ok_or_else(|| {
            Error::new(ErrorKind::Data, "no data is loaded")
                .hint("call load_data_from_jsonlines(\"builtin:lab_docs\", \"question\", \"answer\")? first")
        })
    }

    fn tokens(&self) -> Result<TokenizedDataset> {
        tokenize_dataset(self.rows()?, &self.tokenizer, MAX_LENGTH.min(self.base.config().max_position_embeddings()))
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
        table(&["training", ""], &rows).rich()
    }
}

/// Two models' answers to the same questions.
#[derive(Debug, Clone, PartialEq)]
pub struct Comparison {
    /// The trained model's answers.
    pub trained: AnswerReport,
    /// The base model's answers.
    pub base: AnswerReport,
}

impl Comparison {
    fn table(&self) -> Html {
        let rows = self.trained.rows.iter().zip(&self.base.rows).take(10);
        let rows: Vec<Vec<String>> = rows
            .map(|(trained, base)| vec![trained.question.clone(), trained.predicted_answer.clone(), base.predicted_answer.clone()])
            .collect();
        let mut shown = table(&["question", "trained model", "base model"], &rows);
        let summary = format!("trained: {}\nbase: {}", self.trained, self.base);
        shown.html.push_str(&format!("<pre>{}</pre>", crate::display::escape(&summary)));
        shown.text.push_str(&format!("\n{summary}"));
        shown
    }
}

impl Show for Comparison {
    fn text(&self) -> String {
        self.table().text
    }

    fn rich(&self) -> Vec<(&'static str, serde_json::Value)> {
        self.table().rich()
    }
}

last_expression!(TrainingJob, Comparison);
