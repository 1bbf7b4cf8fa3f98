//! A model and several adapters by name → the model with one of them, or with a weighted sum: the weights below are held once.

use std::path::Path;

use crate::error::{Error, ErrorKind, Result};
use crate::lora::weighted::{Combination, combined};
use crate::models::causal::CausalLm;
use crate::nn::lora::LoraConfig;
use crate::util::names::{beginning, unknown};

/// Several adapters of one model. Each is a [`CausalLm`] on the same weights: to switch is to ask for another one, and several may
/// answer or be trained side by side.
#[derive(Debug, Clone)]
pub struct Adapters {
    base: CausalLm,
    models: Vec<(String, CausalLm)>,
}

impl Adapters {
    /// No adapters yet on a model, whose weights are shared.
    ///
    /// # Errors
    /// [`ErrorKind::Model`] for a model that has an adapter.
    pub fn new(base: &CausalLm) -> Result<Self> {
        match base.lora() {
            None => Ok(Self { base: base.clone(), models: Vec::new() }),
            Some(_) => Err(Error::new(ErrorKind::Model, "the model has an adapter itself")
                .hint("call `Adapters::new(&model.without_adapter())`, save the adapter, and load it by a name")),
        }
    }

    /// The model without an adapter.
    pub fn base(&self) -> &CausalLm {
        &self.base
    }

    /// The names, in the order in which they came.
    pub fn names(&self) -> Vec<String> {
        self.models.iter().map(|(name, _)| name.clone()).collect()
    }

    /// The model with the adapter of a name: `set_adapter` of PEFT.
    ///
    /// # Errors
    /// [`ErrorKind::Name`] where there is none; the message names those that there are.
    pub fn get(&self, name: &str) -> Result<&CausalLm> {
        let found = self.models.iter().find(|(own, _)| own == name);
        found
            .map(|(_, model)| model)
            .ok_or_else(|| unknown(ErrorKind::Name, "the adapter", &beginning(name), &self.names()).hint("load or add it first"))
    }

    /// Adds a fresh adapter, to be trained.
    ///
    /// # Errors
    /// As [`CausalLm::with_lora`], and for a name that is taken or cannot be a folder's.
    pub fn add(&mut self, name: &str, config: &LoraConfig) -> Result<&CausalLm> {
        self.free(name)?;
        self.keep(name, self.base.with_lora(config)?)
    }

    /// Adds the adapter of a folder.
    ///
    /// # Errors
    /// As [`CausalLm::load_adapter`], and for a name that is taken or cannot be a folder's.
    pub fn load(&mut self, name: &str, folder: impl AsRef<Path>) -> Result<&CausalLm> {
        self.free(name)?;
        self.keep(name, self.base.load_adapter(folder)?)
    }

    /// Adds one adapter made of others, each with its weight: `add_weighted_adapter` of PEFT. With [`Combination::Cat`] it answers as
    /// all of them at once.
    ///
    /// # Errors
    /// For a name that does not exist or is taken, and for adapters that cannot be added (see [`combined`]).
    pub fn add_weighted(&mut self, name: &str, parts: &[(&str, f64)], combination: Combination) -> Result<&CausalLm> {
        self.free(name)?;
        let parts = parts.iter().map(|(part, weight)| Ok((*part, self.get(part)?, *weight))).collect::<Result<Vec<_>>>()?;
        let model = combined(&self.base, &parts, combination)?;
        self.keep(name, model)
    }

    /// Takes an adapter out.
    ///
    /// # Errors
    /// As [`Adapters::get`].
    pub fn remove(&mut self, name: &str) -> Result<CausalLm> {
        let model = self.get(name)?.clone();
        self.models.retain(|(own, _)| own != name);
        Ok(model)
    }

    /// Writes each adapter into a folder of its name below `folder`, where PEFT's `load_adapter` finds it.
    ///
    /// # Errors
    /// [`ErrorKind::File`] when a folder cannot be written.
    pub fn save(&self, folder: impl AsRef<Path>) -> Result<()> {
        self.models.iter().try_for_each(|(name, model)| model.save_adapter(folder.as_ref().join(name)))
    }

    fn keep(&mut self, name: &str, model: CausalLm) -> Result<&CausalLm> {
        self.models.push((name.to_string(), model));
        self.get(name)
    }

    fn free(&self, name: &str) -> Result<()> {
        let refuse = |reason: &str| {
            Err(Error::new(ErrorKind::Name, format!("the adapter's name `{}` {reason}", beginning(name)))
                .hint("choose a short name of letters, digits, `-` and `_`"))
        };
        let fits = |letter: char| letter.is_alphanumeric() || "-_".contains(letter);
        if name.is_empty() || name.len() > 100 || !name.chars().all(fits) {
            return refuse("cannot be the name of a folder");
        }
        match self.models.iter().any(|(own, _)| own == name) {
            true => refuse("is taken"),
            false => Ok(()),
        }
    }
}
