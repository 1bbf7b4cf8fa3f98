//! Prompts → a model's answers while it trains: a callback that asks every so many steps.

use std::sync::{Arc, Mutex, PoisonError};

use serde_json::Value;

use crate::data::message::Message;
use crate::display::output::{LiveDisplay, Show, in_our_kernel, table};
use crate::error::Result;
use crate::generate::ask::ask_texts;
use crate::generate::config::GenerationConfig;
use crate::models::causal::CausalLm;
use crate::tokenizer::text::Tokenizer;
use crate::train::callback::trainer_callback::{CallbackContext, Control, TrainerCallback};

/// One answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sample {
    /// Steps that the model had taken; 0 before the first.
    pub step: usize,
    /// What was asked.
    pub prompt: String,
    /// What it said.
    pub answer: String,
}

/// Asks prompts before the first step, every `every` steps and after the last, with greedy decoding, which changes
/// nothing of the training; a model with a chat template is asked by it ([`ask_texts`]). In our kernel the newest answers stand in one table that changes in place; elsewhere they are
/// printed. A clone has the same answers: give one to the trainer and keep the other.
#[derive(Debug, Clone)]
pub struct SampleAnswers {
    prompts: Vec<String>,
    every: usize,
    max_new_tokens: usize,
    tokenizer: Tokenizer,
    display: Arc<Mutex<LiveDisplay>>,
    samples: Arc<Mutex<Vec<Sample>>>,
}

impl SampleAnswers {
    /// Asks `prompts` every `every` steps (0: only before and after); an answer has at most `max_new_tokens` tokens.
    pub fn new(tokenizer: &Tokenizer, prompts: &[&str], every: usize, max_new_tokens: usize) -> Self {
        Self {
            prompts: prompts.iter().map(|prompt| prompt.to_string()).collect(),
            every,
            max_new_tokens,
            tokenizer: tokenizer.clone(),
            display: Arc::default(),
            samples: Arc::default(),
        }
    }

    /// All answers so far, in the order in which they were given.
    pub fn samples(&self) -> Vec<Sample> {
        self.samples.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn ask(&self, step: usize, model: &CausalLm) -> Result<Control> {
        let asked = |samples: &[Sample]| samples.iter().any(|sample| sample.step == step);
        if asked(&self.samples()) {
            return Ok(Control::default());
        }
        let asked: Vec<[Message; 1]> = self.prompts.iter().map(|prompt| [Message::user(prompt)]).collect();
        let config = GenerationConfig { max_new_tokens: self.max_new_tokens, ..Default::default() };
        let answers = ask_texts(&asked, model, &self.tokenizer, &config)?;
        for (prompt, answer) in self.prompts.iter().zip(answers) {
            let sample = Sample { step, prompt: prompt.clone(), answer: answer.trim().to_string() };
            if !in_our_kernel() {
                println!("step {step}: {prompt:?} → {:?}", sample.answer);
            }
            self.samples.lock().unwrap_or_else(PoisonError::into_inner).push(sample);
        }
        self.display.lock().unwrap_or_else(PoisonError::into_inner).update(self);
        Ok(Control::default())
    }
}

impl TrainerCallback for SampleAnswers {
    fn name(&self) -> &'static str {
        "SampleAnswers"
    }

    fn on_train_begin(&mut self, context: &CallbackContext) -> Result<Control> {
        self.ask(context.state.global_step, context.model)
    }

    fn on_step_end(&mut self, context: &CallbackContext) -> Result<Control> {
        match self.every {
            0 => Ok(Control::default()),
            every if context.state.global_step.is_multiple_of(every) => self.ask(context.state.global_step, context.model),
            _ => Ok(Control::default()),
        }
    }

    fn on_train_end(&mut self, context: &CallbackContext) -> Result<Control> {
        self.ask(context.state.global_step, context.model)
    }
}

/// The newest answers.
impl Show for SampleAnswers {
    fn text(&self) -> String {
        self.table().text
    }

    fn rich(&self) -> Vec<(&'static str, Value)> {
        self.table().rich()
    }
}

impl SampleAnswers {
    fn table(&self) -> crate::display::output::Html {
        let samples = self.samples();
        let newest = &samples[samples.len().saturating_sub(self.prompts.len())..];
        let row = |sample: &Sample| vec![sample.step.to_string(), sample.prompt.clone(), sample.answer.clone()];
        table(&["step", "prompt", "answer"], &newest.iter().map(row).collect::<Vec<_>>())
    }
}
