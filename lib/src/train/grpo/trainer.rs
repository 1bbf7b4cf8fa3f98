//! (model, prompts, reward) → a model whose answers earn more: TRL's `GRPOTrainer`.

use std::ops::{Deref, DerefMut};

use serde_json::Value;

use crate::data::conversation::messages;
use crate::data::dataset::Dataset;
use crate::data::example::Example;
use crate::error::{Error, ErrorKind, Result};
use crate::generate::batch::check_prompt;
use crate::generate::config::GenerationConfig;
use crate::models::causal::CausalLm;
use crate::tokenizer::chat::ChatOptions;
use crate::tokenizer::text::Tokenizer;
use crate::train::arguments::settings::TrainingArguments;
use crate::train::check::weights;
use crate::train::grpo::objective::{Given, GroupRelative, PromptRow};
use crate::train::grpo::rollouts::{GrpoLoss, Rollouts, ScaleRewards, Weighing, finite};
use crate::train::preference::check;
use crate::train::report::StepReport;
use crate::train::step::training_step;
use crate::train::trainer::Trainer;

/// Settings of [`GrpoTrainer`]; TRL's `GRPOConfig`, at a temperature of 1 and without a reference model (TRL's default `beta`, 0).
#[derive(Debug, Clone, PartialEq)]
pub struct GrpoConfig {
    /// Answers to each prompt, at least 2. Default 8.
    pub num_generations: usize,
    /// Most ids of an answer. Default 512.
    pub max_completion_length: usize,
    /// Answers are drawn from this many most probable ids; 0 takes all. Default 0.
    pub top_k: usize,
    /// Answers are drawn from the most probable ids that together have this probability. Default 1.
    pub top_p: f64,
    /// By what advantages are divided. Default the deviation within a group.
    pub scale_rewards: ScaleRewards,
    /// How the tokens are averaged. Default dapo.
    pub loss_type: GrpoLoss,
    /// All that a [`Trainer`] is told, with the default of TRL for learning_rate: 1e-6. A row is a prompt, and
    /// `per_device_train_batch_size` counts prompts, where TRL's counts answers. Refused is what
    /// [`crate::train::preference::trainer::DpoConfig`] refuses.
    pub arguments: TrainingArguments,
}

impl Default for GrpoConfig {
    fn default() -> Self {
        Self {
            num_generations: 8,
            max_completion_length: 512,
            top_k: 0,
            top_p: 1.0,
            scale_rewards: ScaleRewards::Group,
            loss_type: GrpoLoss::Dapo,
            arguments: TrainingArguments { learning_rate: 1e-6, ..Default::default() },
        }
    }
}

/// A [`Trainer`] by rewards, to which it dereferences: `train`, `evaluate`, checkpoints and callbacks are that trainer's, and its
/// reports have `reward`, `reward_std` and their like by the names of TRL. The answers of a step are drawn by seed and step, so
/// that a run that goes on writes the same ones.
#[derive(Debug)]
pub struct GrpoTrainer(Trainer<GroupRelative>);

impl Deref for GrpoTrainer {
    type Target = Trainer<GroupRelative>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl DerefMut for GrpoTrainer {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.0
    }
}

impl GrpoTrainer {
    /// A trainer on the `prompt` of each row, a text or messages. `reward` is given the row, with all its columns, and an answer;
    /// the higher, the better. The model shares its weights with the caller's variable; `eval` may be empty where the arguments
    /// ask for no evaluation.
    ///
    /// # Errors
    /// When a setting, a prompt or a weight cannot work, memory does not suffice, or `output_dir` holds another run. A reward that is
    /// not finite ends the training before the step changes anything.
    pub fn new(
        model: &CausalLm,
        tokenizer: &Tokenizer,
        reward: impl Fn(&Example, &str) -> f64 + Send + Sync + 'static,
        config: GrpoConfig,
        data: &Dataset,
        eval: &Dataset,
    ) -> Result<Self> {
        let GrpoConfig { num_generations, max_completion_length, top_k, top_p, scale_rewards, loss_type, arguments } = config;
        model.check_writes()?;
        check::arguments(&arguments, model, "GrpoTrainer", "GrpoConfig")?;
        let setting = |field: &str, value: String, fits: bool, allowed: &str| check::setting("GrpoConfig", field, value, fits, allowed);
        setting("num_generations", num_generations.to_string(), num_generations > 1, "at least 2: answers are compared with each other")?;
        setting("max_completion_length", max_completion_length.to_string(), max_completion_length > 0, "at least 1")?;
        setting("top_p", top_p.to_string(), top_p > 0.0 && top_p <= 1.0, "above 0 and at most 1")?;
        let generation = GenerationConfig {
            max_new_tokens: max_completion_length,
            do_sample: true,
            top_k,
            top_p,
            num_return_sequences: num_generations,
            ..Default::default()
        };
        let generation = generation.with_end_ids(model, tokenizer)?;
        if data.is_empty() || arguments.evaluates() && eval.is_empty() {
            let what = if data.is_empty() { "train on" } else { "evaluate, though the arguments ask for it" };
            return Err(Error::new(ErrorKind::Data, format!("there are no prompts to {what}"))
                .hint("load rows with `prompt`, or set eval_steps: 0"));
        }
        let rows = |name: &str, data: &Dataset| -> Result<Vec<PromptRow>> {
            let row = |(index, example): (usize, &Example)| {
                row(example, model, tokenizer, max_completion_length).map_err(|error| error.at(format_args!("{name}, row {index}")))
            };
            data.iter().enumerate().map(row).collect()
        };
        let (train, held_out) = (rows("the data set", data)?, rows("the evaluation data set", eval)?);
        weights(model)?;
        let weighing = Weighing { scale_rewards, loss_type, max_completion_length };
        let objective = GroupRelative { reward: Box::new(reward), tokenizer: tokenizer.clone(), generation, weighing };
        Ok(Self(Trainer::with_objective(objective, model, arguments, train, held_out)?))
    }

    /// One optimizer step on answers that the model as it is now has written, and whose rewards are known.
    ///
    /// # Errors
    /// As [`training_step`]; when there are none, a reward is not finite, or there are not as many rewards as answers.
    pub fn step_on(&mut self, groups: &[Rollouts]) -> Result<&StepReport> {
        if groups.is_empty() {
            return Err(Error::new(ErrorKind::Data, "a step needs answers to at least one prompt").hint("give step_on some Rollouts"));
        }
        for (index, Rollouts { prompt, completions, rewards }) in groups.iter().enumerate() {
            let name = format!("group {index}");
            if completions.len() != rewards.len() || completions.len() < 2 {
                let message = format!(
                    "{name}: {} completions and {} rewards; there must be as many of each, two or more",
                    completions.len(),
                    rewards.len()
                );
                return Err(Error::new(ErrorKind::Data, message).hint("give each completion its reward"));
            }
            for (answer, reward) in completions.iter().zip(rewards) {
                let parts = [("prompt", prompt), ("completion", answer)];
                check::readable(&name, &parts, prompt.len() + answer.len(), "the tokenizer", self.model())?;
                finite(*reward, &name, &format!("{answer:?}"))?;
            }
        }
        let (run, objective) = self.0.parts();
        training_step(run, &Given(objective.weighing), &groups.iter().collect::<Vec<_>>())
    }
}

/// The prompt of a row as ids.
fn row(example: &Example, model: &CausalLm, tokenizer: &Tokenizer, answer: usize) -> Result<PromptRow> {
    let value = example.value("prompt").filter(|value| !value.is_null());
    let Some(value) = value else {
        return Err(Error::new(ErrorKind::Data, "column `prompt` is missing").hint("`rename_column` the column that holds the prompts"));
    };
    let turns = if matches!(value, Value::Array(_)) { messages(value)? } else { None };
    let (text, prompt) = match turns {
        Some(turns) => {
            let text = tokenizer.apply_chat_template_with(&turns, &ChatOptions::new().with_generation_prompt(true))?;
            let ids = tokenizer.encode(&text)?;
            (text, ids)
        }
        None => {
            let text = example.text("prompt")?;
            (text.to_string(), tokenizer.encode_prompt(&text)?)
        }
    };
    let positions = model.config().max_position_embeddings();
    check_prompt(model, &prompt, positions)?;
    let longest = (prompt.len() + answer).min(positions);
    Ok(PromptRow { example: example.clone(), prompt, text, longest })
}
