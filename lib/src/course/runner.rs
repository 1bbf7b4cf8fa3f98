//! A name → something to ask, train and evaluate in three lines: `BasicModelRunner` of the course.

use polars::prelude::DataFrame;

use crate::course::config::{SPLIT_SEED, TEST_SIZE};
use crate::course::job::{Comparison, TrainingJob};
use crate::course::local::Local;
use crate::data::dataset::Dataset;
use crate::data::example::Example;
use crate::data::load::load_dataset;
use crate::data::message::Message;
use crate::display::output::show;
use crate::error::{Error, ErrorKind, Result};
use crate::evaluate::answers::evaluate_answers;
use crate::generate::config::GenerationConfig;
use crate::hosted::model::{Hosted, HostedConfig};
use crate::hub::options::HubOptions;
use crate::models::causal::CausalLm;
use crate::serve::config::{ServeConfig, ServedModel};
use crate::serve::http::server::Server;
use crate::tokenizer::template::prompt_and_completion;
use crate::tokenizer::text::Tokenizer;
use crate::train::arguments::settings::TrainingArguments;
use crate::train::callback::trainer_callback::TrainerCallback;
use crate::train::log::curve::LossCurve;
use crate::train::trainer::Trainer;

/// The prefix of names of hosted models.
const HOSTED: &str = "openai:";
/// Most tokens of an answer, unless [`BasicModelRunner::with_generation`] says another number.
const ASK_TOKENS: usize = 100;

/// A model with its data and training, for people who want answers before details.
#[derive(Debug)]
pub struct BasicModelRunner {
    name: String,
    source: Source,
    generation: GenerationConfig,
    data: Option<Dataset>,
    callbacks: Vec<Box<dyn TrainerCallback>>,
}

/// Where the answers come from.
#[derive(Debug)]
enum Source {
    Local(Box<Local>),
    Hosted(Box<Hosted>),
}

impl BasicModelRunner {
    /// A runner for a `builtin:` name, a folder, a hub repository, or `openai:NAME`, the model NAME of the service at
    /// `OPENAI_BASE_URL` (`openai:NAME@http://…/v1` names the address, too). A hosted model's key is taken from
    /// `OPENAI_API_KEY`; see [`BasicModelRunner::hosted`].
    ///
    /// # Errors
    /// When no model has this name or it cannot be read; without the address or the key of a hosted one.
    pub fn new(name: &str) -> Result<Self> {
        if let Some(hosted) = name.strip_prefix(HOSTED) {
            let address = ["@http://", "@https://"].iter().find_map(|start| hosted.find(start));
            let config = HostedConfig::default();
            return match address {
                Some(at) => Self::hosted(&hosted[..at], HostedConfig { base_url: hosted[at + 1..].into(), ..config }),
                None => Self::hosted(hosted, config),
            };
        }
        Self::new_with(name, &HubOptions::default())
    }

    /// [`BasicModelRunner::new`] of a model of the hub with a revision, a token, or another cache.
    ///
    /// # Errors
    /// When no model has this name, or it cannot be read.
    pub fn new_with(name: &str, options: &HubOptions) -> Result<Self> {
        Ok(Self::from(name, Source::Local(Box::new(Local::new(name, options)?))))
    }

    /// A runner for a model of an OpenAI-compatible service. Nothing is asked before the first prompt.
    ///
    /// # Errors
    /// When a setting cannot work.
    pub fn hosted(model: &str, config: HostedConfig) -> Result<Self> {
        Ok(Self::from(&format!("{HOSTED}{model}"), Source::Hosted(Box::new(Hosted::new(model, config)?))))
    }

    fn from(name: &str, source: Source) -> Self {
        let generation = GenerationConfig { max_new_tokens: ASK_TOKENS, ..Default::default() };
        Self { name: name.into(), source, generation, data: None, callbacks: Vec::new() }
    }

    /// The same runner with other settings for its answers. The default is greedy, at most 100 tokens an answer.
    pub fn with_generation(self, generation: GenerationConfig) -> Self {
        Self { generation, ..self }
    }

    /// The model's answer to a prompt, without white space around it. A model with a chat template is asked by it: the prompt is a
    /// user's message, and the answer ends with the assistant's turn; a line says so once. Any other goes on with the prompt as it
    /// stands, as [`BasicModelRunner::complete`] does.
    ///
    /// # Errors
    /// When the prompt is empty or leaves no room for an answer, or the service does not give one; [`ErrorKind::Interrupted`].
    pub fn ask(&self, prompt: &str) -> Result<String> {
        only(self.try_ask_batch(&[prompt]))
    }

    /// The answers to several prompts in their order; each is the one that [`BasicModelRunner::ask`] gives.
    ///
    /// # Errors
    /// When a prompt fails: the error names each row that did, and why. [`BasicModelRunner::try_ask_batch`] keeps the rest.
    pub fn ask_batch(&self, prompts: &[impl AsRef<str>]) -> Result<Vec<String>> {
        all(self.try_ask_batch(prompts), "try_ask_batch")
    }

    /// The answer to each prompt, or why it has none, in their order. A local model answers 32 prompts at once; a hosted
    /// one is asked [`HostedConfig::concurrency`] at once. After an interrupt each row that has no answer yet says so.
    pub fn try_ask_batch(&self, prompts: &[impl AsRef<str>]) -> Vec<Result<String>> {
        self.try_messages(&prompts.iter().map(|prompt| vec![Message::user(prompt.as_ref())]).collect::<Vec<_>>())
    }

    /// The model's next turn in a conversation, such as a system message and a user's: [`BasicModelRunner::ask`] of messages. A
    /// model without a chat template goes on with their contents, a paragraph each.
    ///
    /// # Errors
    /// When there is no message, or the template refuses them; else those of [`BasicModelRunner::ask`].
    pub fn ask_messages(&self, messages: &[Message]) -> Result<String> {
        only(self.try_messages(&[messages.to_vec()]))
    }

    fn try_messages(&self, conversations: &[Vec<Message>]) -> Vec<Result<String>> {
        trimmed(match &self.source {
            Source::Hosted(hosted) => hosted.ask_messages(conversations, &self.generation),
            Source::Local(local) => local.ask(&self.name, conversations, &self.generation),
        })
    }

    /// What follows a text, without white space around it. The text is sent as it is, past any chat template: a chat model may end
    /// at once. A hosted model is asked at `/completions`, which not every service has.
    ///
    /// # Errors
    /// As [`BasicModelRunner::ask`].
    pub fn complete(&self, text: &str) -> Result<String> {
        only(self.try_complete_batch(&[text]))
    }

    /// What follows several texts, in their order; each is what [`BasicModelRunner::complete`] gives.
    ///
    /// # Errors
    /// As [`BasicModelRunner::ask_batch`]; [`BasicModelRunner::try_complete_batch`] keeps the rest.
    pub fn complete_batch(&self, texts: &[impl AsRef<str>]) -> Result<Vec<String>> {
        all(self.try_complete_batch(texts), "try_complete_batch")
    }

    /// What follows each text, or why nothing does, as [`BasicModelRunner::try_ask_batch`] answers prompts.
    pub fn try_complete_batch(&self, texts: &[impl AsRef<str>]) -> Vec<Result<String>> {
        let texts: Vec<String> = texts.iter().map(|text| text.as_ref().to_string()).collect();
        trimmed(match &self.source {
            Source::Hosted(hosted) => hosted.complete(&texts, &self.generation),
            Source::Local(local) => local.complete(&texts, &self.generation),
        })
    }

    /// Takes rows with two named fields as questions and answers; other fields are left out.
    ///
    /// # Errors
    /// [`ErrorKind::Data`] when there is no row, or a row lacks one of the two fields; the message names it.
    pub fn load_data(&mut self, data: &Dataset, input_key: &str, output_key: &str) -> Result<()> {
        let pair = |(row, example): (usize, &Example)| {
            let pair = || Ok(Example::new([("question", example.text(input_key)?), ("answer", example.text(output_key)?)]));
            pair().map_err(|error: Error| error.at(format_args!("row {row}")))
        };
        let rows = data.iter().enumerate().map(pair).collect::<Result<Vec<_>>>()?;
        self.take(Dataset::from_examples(rows))
    }

    /// Takes rows of any shape ([`Shape`](crate::Shape)), such as conversations, the alpaca form, prompt and completion. A model with a
    /// chat template learns them as the conversations that [`Dataset::to_messages`] makes of them, a column `system` included;
    /// [`BasicModelRunner::evaluate`] asks for the last turn of the assistant.
    ///
    /// # Errors
    /// [`ErrorKind::Data`] when there is no row, or one cannot be learnt so; the message names it. When the model is a hosted one.
    pub fn load_rows(&mut self, data: &Dataset) -> Result<()> {
        if self.tokenizer()?.brings_chat_template() {
            return self.take(data.to_messages()?);
        }
        for (row, example) in data.iter().enumerate() {
            prompt_and_completion(example).map_err(|error| error.at(format_args!("row {row}")).in_row(row))?;
        }
        self.take(data.clone())
    }

    fn take(&mut self, rows: Dataset) -> Result<()> {
        if rows.is_empty() {
            return Err(Error::new(ErrorKind::Data, "the data has no rows").hint("give at least two, each with a question and its answer"));
        }
        self.data = Some(rows);
        if let Source::Local(local) = &mut self.source {
            local.stopped = None;
        }
        Ok(())
    }

    /// [`BasicModelRunner::load_data`] of a file (.jsonl, .parquet), a `builtin:` name or a data set of the hub.
    ///
    /// # Errors
    /// As [`load_dataset`] and [`BasicModelRunner::load_data`].
    pub fn load_data_from_jsonlines(&mut self, path: &str, input_key: &str, output_key: &str) -> Result<()> {
        self.load_data(&load_dataset(path)?, input_key, output_key).map_err(|error| error.at(path))
    }

    /// [`BasicModelRunner::load_data`] of a polars table; a null in one of the two columns is an error that names its row.
    ///
    /// # Errors
    /// As [`BasicModelRunner::load_data`].
    pub fn load_data_from_dataframe(&mut self, frame: &DataFrame, input_key: &str, output_key: &str) -> Result<()> {
        self.load_data(&Dataset::from_frame(frame)?, input_key, output_key).map_err(|error| error.at("the table"))
    }

    /// Adds a callback to the next training, such as [`SampleAnswers`](crate::SampleAnswers), which shows answers while the model learns.
    pub fn add_callback(&mut self, callback: impl TrainerCallback + 'static) {
        self.callbacks.push(Box::new(callback));
    }

    /// Finetunes on the loaded rows with settings that suit small models and these rows ([`TrainingArguments::suited`]): what is
    /// chosen for few rows is said in one line. Rows of a model with a chat template go through it, so that training learns what
    /// [`BasicModelRunner::ask`] asks. On packed weights, which cannot change, an adapter is trained.
    ///
    /// `is_public` says whether others may have the model: its card says so, and the folder of one that is not public can
    /// be read by you alone. Nothing is uploaded.
    ///
    /// # Errors
    /// As [`BasicModelRunner::train_with`].
    pub fn train(&mut self, is_public: bool) -> Result<TrainingJob> {
        let output_dir = format!("{}_finetuned", self.name.replace([':', '/'], "_")).into();
        let rows = self.data.as_ref().map_or(0, Dataset::len);
        let test = (TEST_SIZE * rows as f64).ceil() as usize;
        let arguments = match &self.source {
            Source::Local(local) if local.needs_adapter() => Self::adapter_arguments(),
            _ => Self::default_arguments(),
        };
        self.train_with(is_public, TrainingArguments { output_dir, ..arguments.suited(rows - test.min(rows), test) })
    }

    /// The settings of [`BasicModelRunner::train`] for a model whose weights are packed, such as `builtin:smol`: those of an adapter.
    pub fn adapter_arguments() -> TrainingArguments {
        TrainingArguments { num_train_epochs: 5.0, learning_rate: 1e-3, per_device_train_batch_size: 4, ..Self::default_arguments() }
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
    ///
    /// # Errors
    /// When the model is a hosted one, no rows are loaded, or the settings contradict each other; [`ErrorKind::Interrupted`]; when the
    /// results cannot be written.
    pub fn train_with(&mut self, is_public: bool, arguments: TrainingArguments) -> Result<TrainingJob> {
        let output_dir = arguments.output_dir.clone();
        let Source::Local(local) = &mut self.source else { return Err(elsewhere(&self.name)) };
        let rows = self.data.as_ref().ok_or_else(no_data)?;
        let mut trainer = match local.stopped.take() {
            Some(stopped) if *stopped.arguments() == arguments => stopped,
            _ => {
                let (train, test) = local.tokens(rows)?;
                local.model = local.trainable(arguments.seed)?;
                let mut trainer = Trainer::new(&local.model, arguments, train, test)?;
                self.callbacks.drain(..).for_each(|callback| trainer.add_boxed_callback(callback));
                trainer
            }
        };
        let output = match trainer.train() {
            Ok(output) => output,
            Err(error) => {
                local.stopped = (error.kind() == ErrorKind::Interrupted).then_some(trainer);
                return Err(error);
            }
        };
        let folder = output_dir.join("final");
        trainer.save_model(&folder)?;
        let dashboard = output_dir.join("loss.html");
        let chart = LossCurve { history: trainer.history().to_vec(), total_steps: trainer.history().len() };
        let page = format!("<!doctype html><meta charset=\"utf-8\"><title>Loss</title>{}", chart.svg());
        crate::util::write::write_whole(&dashboard, page.as_bytes())?;
        let model_id = folder.display().to_string();
        let playground = format!("cargo lab serve {} {}", shell_word(&self.name), shell_word(&model_id));
        let job = TrainingJob { model_id, is_public, dashboard: dashboard.display().to_string(), playground, output };
        job.publish(&self.name, rows.len())?;
        show(&job);
        Ok(job)
    }

    /// Question, trained answer and base answer for the first ten test rows, and the scores of both over all of them.
    ///
    /// # Errors
    /// When the model is a hosted one, or no rows are loaded; [`ErrorKind::Interrupted`].
    pub fn evaluate(&self) -> Result<Comparison> {
        let local = self.local()?;
        let (_, test) = self.data.as_ref().ok_or_else(no_data)?.train_test_split(TEST_SIZE, SPLIT_SEED)?;
        let trained = evaluate_answers(&local.model, &local.tokenizer, &test, -1)?;
        let base = evaluate_answers(&local.base, &local.tokenizer, &test, -1)?;
        Ok(Comparison { trained, base })
    }

    /// A page where the base model and the trained one answer side by side as they write, for this computer alone; it is
    /// there until the value is dropped. The last expression of a cell shows its address.
    ///
    /// # Errors
    /// When the model is a hosted one.
    pub fn playground(&self) -> Result<Server> {
        let Local { base, model, tokenizer, .. } = self.local()?;
        let served = [(self.name.as_str(), base), ("trained", model)].map(|(name, model)| ServedModel::new(name, model, tokenizer));
        Server::start(served.into(), ServeConfig::default())
    }

    /// The model that `train` changed; before training it is the base model.
    ///
    /// # Errors
    /// When the model is a hosted one.
    pub fn model(&self) -> Result<&CausalLm> {
        Ok(&self.local()?.model)
    }

    /// The tokenizer.
    ///
    /// # Errors
    /// When the model is a hosted one.
    pub fn tokenizer(&self) -> Result<&Tokenizer> {
        Ok(&self.local()?.tokenizer)
    }

    fn local(&self) -> Result<&Local> {
        match &self.source {
            Source::Local(local) => Ok(local),
            Source::Hosted(_) => Err(elsewhere(&self.name)),
        }
    }
}

/// The answer to one prompt.
fn only(mut answers: Vec<Result<String>>) -> Result<String> {
    answers.pop().unwrap_or_else(|| Ok(String::new()))
}

fn trimmed(answers: Vec<Result<String>>) -> Vec<Result<String>> {
    answers.into_iter().map(|answer| Ok(answer?.trim().to_string())).collect()
}

/// All answers, or an error that names each row without one; `keeps` is the call that keeps the others.
fn all(answers: Vec<Result<String>>, keeps: &str) -> Result<Vec<String>> {
    let failed: Vec<(usize, &Error)> = answers.iter().enumerate().filter_map(|(row, answer)| Some((row, answer.as_ref().err()?))).collect();
    let Some((_, first)) = failed.first() else { return answers.into_iter().collect() };
    if let Some((_, error)) = failed.iter().find(|(_, error)| error.kind() == ErrorKind::Interrupted) {
        return Err((*error).clone());
    }
    let rows: Vec<String> = failed.iter().map(|(row, error)| format!("row {row}: {}", error.to_string().replace('\n', "; "))).collect();
    Err(Error::new(first.kind(), format!("{} of {} prompts failed\n{}", failed.len(), answers.len(), rows.join("\n")))
        .hint(format!("`{keeps}` keeps the answers to the other prompts")))
}

/// A word as a shell reads it back.
fn shell_word(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:@".contains(c);
    if text.chars().all(plain) { text.to_string() } else { format!("'{}'", text.replace('\'', "'\\''")) }
}

fn no_data() -> Error {
    Error::new(ErrorKind::Data, "no data is loaded")
        .hint("call load_data_from_jsonlines(\"builtin:lab_docs\", \"question\", \"answer\")? first")
}

/// What cannot be done with weights that are on another machine.
fn elsewhere(name: &str) -> Error {
    Error::new(
        ErrorKind::Service,
        format!("`{name}` is hosted: its weights are with the service, so it can be asked here and nothing else"),
    )
    .hint("to train or to evaluate, take a model of this machine: BasicModelRunner::new(\"builtin:base\")?")
}
