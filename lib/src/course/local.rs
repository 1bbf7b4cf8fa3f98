//! A name → a model of this machine with its tokenizer: what follows texts, answers to messages, rows as it learns them.

use std::sync::Once;

use crate::course::config::{SPLIT_SEED, TEST_SIZE};
use crate::data::dataset::Dataset;
use crate::data::dialogue::conversations;
use crate::data::message::Message;
use crate::error::{Error, ErrorKind, Result};
use crate::generate::ask::complete_each;
use crate::generate::config::GenerationConfig;
use crate::hub::options::HubOptions;
use crate::models::causal::CausalLm;
use crate::nn::lora::LoraConfig;
use crate::pretrained::auto::{AutoModelForCausalLM, AutoTokenizer};
use crate::tokenizer::encode::{MAX_LENGTH, TokenizedDataset, tokenize_dataset};
use crate::tokenizer::options::TokenizeOptions;
use crate::tokenizer::rows::tokenize_with;
use crate::tokenizer::text::Tokenizer;
use crate::train::trainer::Trainer;
use crate::util::notice;

/// A model before and after training.
#[derive(Debug)]
pub(crate) struct Local {
    pub base: CausalLm,
    pub model: CausalLm,
    pub tokenizer: Tokenizer,
    /// A run that was interrupted.
    pub stopped: Option<Trainer>,
    /// What is said of the chat template, once.
    said: Once,
}

impl Local {
    /// The model and the tokenizer of this name.
    pub fn new(name: &str, options: &HubOptions) -> Result<Self> {
        let base = AutoModelForCausalLM::from_pretrained_with(name, options)?;
        let tokenizer = AutoTokenizer::from_pretrained_with(name, options)?;
        Ok(Self { model: base.clone(), base, tokenizer, stopped: None, said: Once::new() })
    }

    /// Whether training has to put an adapter on the base: packed matrices cannot change.
    pub fn needs_adapter(&self) -> bool {
        !self.base.packed().is_empty() && self.base.lora().is_none()
    }

    /// What is trained: a copy of the base, or an adapter on it, whose first values come from the seed.
    pub fn trainable(&self, seed: u64) -> Result<CausalLm> {
        if !self.needs_adapter() {
            return self.base.deep_clone();
        }
        let lora = LoraConfig { r: 8, lora_alpha: 16.0, target_modules: vec!["all-linear".into()], seed, ..Default::default() };
        let model = self.base.with_lora(&lora)?;
        let (adapter, all) = (model.trainable_parameter_count(), model.parameter_count());
        notice::info(format_args!(
            "the weights are packed and stay as they are: an adapter of rank {} is trained, {adapter} of {all} parameters",
            lora.r
        ));
        Ok(model)
    }

    /// The answers to conversations; one that cannot be answered leaves the others as they are.
    pub fn ask(&self, name: &str, conversations: &[Vec<Message>], generation: &GenerationConfig) -> Vec<Result<String>> {
        if let Err(error) = one_answer(generation) {
            return vec![Err(error); conversations.len()];
        }
        if self.tokenizer.brings_chat_template() {
            self.said.call_once(|| {
                notice::info(format_args!("`{name}` has a chat template: `ask` puts prompts into it, `complete` sends text as it is"));
            });
        }
        let says_nothing = |messages: &[Message]| !messages.is_empty() && messages.iter().all(|message| message.content.is_empty());
        let prompt = |messages: &Vec<Message>| match says_nothing(messages) {
            true => Err(Error::new(ErrorKind::Tokenizer, "the prompt has no tokens").hint("give a text")),
            false => self.tokenizer.encode_asked(&self.tokenizer.prompt(messages)?),
        };
        complete_each(conversations.iter().map(prompt).collect(), &self.model, &self.tokenizer, generation)
    }

    /// What follows texts; one that cannot be continued leaves the others as they are.
    pub fn complete(&self, texts: &[String], generation: &GenerationConfig) -> Vec<Result<String>> {
        match one_answer(generation) {
            Ok(()) => {
                let ids = texts.iter().map(|text| self.tokenizer.encode_prompt(text)).collect();
                complete_each(ids, &self.model, &self.tokenizer, generation)
            }
            Err(error) => vec![Err(error); texts.len()],
        }
    }

    /// (train, test): rows as the model is asked, through its chat template if it has one; what is learnt is the answer and the end
    /// of its turn.
    pub fn tokens(&self, rows: &Dataset) -> Result<(TokenizedDataset, TokenizedDataset)> {
        let max_length = MAX_LENGTH.min(self.base.config().max_position_embeddings());
        if !self.tokenizer.brings_chat_template() {
            return tokenize_dataset(rows, &self.tokenizer, max_length)?.train_test_split(TEST_SIZE, SPLIT_SEED);
        }
        // Split first: rows that teach nothing are left out, and the test stays the one that is evaluated.
        let (train, test) = rows.train_test_split(TEST_SIZE, SPLIT_SEED)?;
        let options = TokenizeOptions { max_length, ..Default::default() };
        let tokens = |rows: &Dataset| tokenize_with(&conversations(rows)?, &self.tokenizer, &options).map(|(tokens, _)| tokens);
        Ok((tokens(&train)?, tokens(&test)?))
    }
}

/// Refuses settings that give several texts.
fn one_answer(generation: &GenerationConfig) -> Result<()> {
    if generation.num_return_sequences == 1 {
        return Ok(());
    }
    let message = format!("num_return_sequences is {}; a runner gives one answer to a prompt", generation.num_return_sequences);
    Err(Error::new(ErrorKind::Model, message).hint("call `generate_texts` with model()? and tokenizer()?"))
}
