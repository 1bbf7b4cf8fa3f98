//! Prompts of a step → answers that the model writes, what they earn, and what there is to learn of them.

use std::fmt;

use serde_json::{Value, json};

use crate::data::example::Example;
use crate::error::Result;
use crate::generate::batch::generate_batch;
use crate::generate::config::GenerationConfig;
use crate::models::causal::CausalLm;
use crate::tokenizer::text::Tokenizer;
use crate::train::arguments::settings::TrainingArguments;
use crate::train::grpo::rollouts::{Rollouts, Weighing, finite};
use crate::train::objective::{Objective, StepTask};
use crate::train::report::EvalReport;

/// A row of the data set and its prompt as ids.
#[derive(Debug, Clone)]
pub struct PromptRow {
    pub(super) example: Example,
    pub(super) prompt: Vec<u32>,
    /// The prompt as text, for messages.
    pub(super) text: String,
    /// Most ids of prompt and answer.
    pub(super) longest: usize,
}

/// What an answer earns: the row that its prompt is of, and the answer without special tokens.
pub type RewardFunction = Box<dyn Fn(&Example, &str) -> f64 + Send + Sync>;

/// GRPO: of several answers to a prompt, those that earn more become likelier.
pub struct GroupRelative {
    pub(super) reward: RewardFunction,
    pub(super) tokenizer: Tokenizer,
    /// How answers are drawn, `num_return_sequences` for each prompt.
    pub(super) generation: GenerationConfig,
    pub(super) weighing: Weighing,
}

impl Objective for GroupRelative {
    type Row = PromptRow;

    fn lengths(&self, row: &PromptRow) -> Result<Vec<usize>> {
        Ok(vec![row.longest - 1; self.generation.num_return_sequences])
    }

    fn ids(&self, row: &PromptRow) -> Result<Vec<u32>> {
        Ok(row.prompt.clone())
    }

    fn task<'a>(&self, model: &CausalLm, rows: &[&'a PromptRow], _: &TrainingArguments) -> Result<StepTask<'a>> {
        Ok(self.weighing.task(&self.rollouts(model, rows, model.seed())?))
    }

    /// The loss is the mean reward, negative: TRL's own loss of answers that the model has just written is 0 but for their lengths.
    fn evaluate(&self, model: &CausalLm, rows: &[PromptRow], arguments: &TrainingArguments) -> Result<EvalReport> {
        let groups = self.rollouts(model, &rows.iter().collect::<Vec<_>>(), arguments.seed)?;
        let tokens = groups.iter().flat_map(|group| &group.completions).map(Vec::len).sum();
        let metrics = self.weighing.task(&groups).metrics;
        Ok(EvalReport { loss: -metrics["reward"], tokens, metrics })
    }

    fn settings(&self) -> Option<(&'static str, Value)> {
        let GenerationConfig { num_return_sequences, max_new_tokens, top_k, top_p, .. } = self.generation;
        let args = json!({
            "num_generations": num_return_sequences, "max_completion_length": max_new_tokens, "top_k": top_k, "top_p": top_p,
            "scale_rewards": format!("{:?}", self.weighing.scale_rewards), "loss_type": format!("{:?}", self.weighing.loss_type),
        });
        Some(("GrpoConfig", json!({ "args": args, "attributes": {} })))
    }
}

impl GroupRelative {
    /// Answers to prompts, drawn by a seed, and what they earn.
    fn rollouts(&self, model: &CausalLm, rows: &[&PromptRow], seed: u64) -> Result<Vec<Rollouts>> {
        let config = GenerationConfig { seed, ..self.generation.clone() };
        let prompts: Vec<Vec<u32>> = rows.iter().map(|row| row.prompt.clone()).collect();
        let mut written = generate_batch(model, &prompts, &config, None, |_, _| Ok(()))?.into_iter();
        let mut groups = Vec::with_capacity(rows.len());
        for row in rows {
            let completions: Vec<Vec<u32>> = written.by_ref().take(config.num_return_sequences).map(|answer| answer.ids).collect();
            let mut rewards = Vec::with_capacity(completions.len());
            for ids in &completions {
                let answer = self.tokenizer.decode(ids)?;
                rewards.push(finite((self.reward)(&row.example, &answer), &row.text, &answer)?);
            }
            groups.push(Rollouts { prompt: row.prompt.clone(), completions, rewards });
        }
        Ok(groups)
    }
}

impl fmt::Debug for GroupRelative {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("GroupRelative")
            .field("generation", &self.generation)
            .field("weighing", &self.weighing)
            .finish_non_exhaustive()
    }
}

/// Answers that are there already.
#[derive(Debug)]
pub(super) struct Given(pub(super) Weighing);

impl Objective for Given {
    type Row = Rollouts;

    fn lengths(&self, group: &Rollouts) -> Result<Vec<usize>> {
        Ok(group.completions.iter().map(|answer| group.prompt.len() + answer.len() - 1).collect())
    }

    fn task<'a>(&self, _: &CausalLm, groups: &[&'a Rollouts], _: &TrainingArguments) -> Result<StepTask<'a>> {
        Ok(self.0.task(&groups.iter().map(|group| (*group).clone()).collect::<Vec<_>>()))
    }

    fn evaluate(&self, _: &CausalLm, groups: &[Rollouts], _: &TrainingArguments) -> Result<EvalReport> {
        let metrics = self.0.task(groups).metrics;
        Ok(EvalReport { loss: -metrics["reward"], tokens: 0, metrics })
    }
}
