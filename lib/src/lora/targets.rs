//! An adapter's settings and a model → the matrices that change, each with its rank and factor, and the parameters that are copied:
//! which ones is PEFT's rule (`check_target_module_exists`, `get_pattern_key`).

use crate::border::pattern::Pattern;
use crate::error::{Error, ErrorKind, Result};
use crate::models::causal::CausalLm;
use crate::nn::lora::{LoraBias, LoraConfig, copy_name};
use crate::util::names::{beginning, quoted};

/// All matrices of the blocks.
pub(crate) const ALL: &str = "all-linear";
/// The output projection of GPT-NeoX: in a checkpoint's file, and in transformers 5 and PEFT's files.
pub(crate) const NEOX_HEAD: [&str; 2] = ["embed_out", "lm_head"];

/// A matrix that changes.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Target {
    /// Its name without `.weight`.
    pub module: String,
    /// `[O, I]`.
    pub shape: [usize; 2],
    /// R.
    pub r: usize,
    /// What `B · A` is multiplied by.
    pub scale: f64,
}

/// Whether a name is the other, or ends with it behind a dot.
fn ends(name: &str, end: &str) -> bool {
    name.strip_suffix(end).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

/// A key of `rank_pattern` or `alpha_pattern`: it fits the end of a name, behind a dot.
fn end_pattern(field: &str, key: &str) -> Result<Pattern> {
    Pattern::new(field, &format!(r"(?:.*\.)?(?:{key})"))
}

fn patterns(field: &str, expressions: impl IntoIterator<Item = String>) -> Result<Vec<Pattern>> {
    expressions.into_iter().map(|expression| Pattern::new(field, &expression)).collect()
}

impl CausalLm {
    /// Names and shapes of the matrices of all blocks.
    fn matrices(&self) -> Vec<(String, [usize; 2])> {
        let shapes = self.config().parameter_shapes().into_iter();
        shapes
            .filter_map(|(name, shape)| Some((name.strip_suffix(".weight")?.to_string(), <[usize; 2]>::try_from(shape).ok()?)))
            .filter(|(name, _)| name.contains(".layers."))
            .collect()
    }

    /// The settings with what they leave open: the usual modules of the family, the name by which the model was loaded.
    pub(crate) fn completed(&self, config: &LoraConfig) -> LoraConfig {
        let mut config = config.clone();
        if config.target_modules.is_empty() && config.target_regex.is_none() {
            config.target_modules = self.usual_targets();
        }
        if config.base_model_name_or_path.is_empty() {
            config.base_model_name_or_path = self.origin().unwrap_or_default();
        }
        for name in &mut config.modules_to_save {
            if name == NEOX_HEAD[0] {
                *name = NEOX_HEAD[1].to_string();
            }
        }
        config
    }

    fn usual_targets(&self) -> Vec<String> {
        self.config().family().lora_targets().iter().map(|name| name.to_string()).collect()
    }

    /// The matrices that completed settings change.
    pub(crate) fn targets(&self, config: &LoraConfig) -> Result<Vec<Target>> {
        config.check()?;
        let mut found = self.named_matrices(config)?;
        let excluded = patterns("exclude_modules", config.exclude_regex.clone())?;
        found.retain(|(name, _)| {
            let by_name = config.exclude_modules.iter().any(|end| ends(name, end));
            // PEFT trains such a module whole, and no change beside it.
            let is_saved =
                config.modules_to_save.iter().any(|saved| ends(name, saved) || format!(".{name}.").contains(&format!(".{saved}.")));
            !by_name && !is_saved && !excluded.iter().any(|pattern| pattern.fits(name))
        });
        if let Some(layers) = &config.layers_to_transform {
            self.in_layers(&mut found, layers, &config.layers_pattern)?;
        }
        if found.is_empty() {
            let given = config.target_regex.clone().map_or_else(|| quoted(&config.target_modules), |regex| format!("`{regex}`"));
            let message = format!("nothing is left of the matrices that {} names", beginning(given));
            return Err(Error::new(ErrorKind::Model, message).hint(
                "look at exclude_modules, layers_to_transform and modules_to_save, or write a regular expression that fits whole names",
            ));
        }
        let ranks = config.rank_pattern.iter().map(|(key, _)| end_pattern("rank_pattern", key)).collect::<Result<Vec<Pattern>>>()?;
        let alphas = config.alpha_pattern.iter().map(|(key, _)| end_pattern("alpha_pattern", key)).collect::<Result<Vec<Pattern>>>()?;
        let first = |patterns: &[Pattern], name: &str| patterns.iter().position(|pattern| pattern.fits(name));
        let target = |(module, shape): (String, [usize; 2])| {
            let r = first(&ranks, &module).map_or(config.r, |index| config.rank_pattern[index].1);
            let alpha = first(&alphas, &module).map_or(config.lora_alpha, |index| config.alpha_pattern[index].1);
            Target { module, shape, r, scale: config.scale_of(r, alpha) }
        };
        Ok(found.into_iter().map(target).collect())
    }

    /// Refuses what PEFT lets pass and helps nobody: a rank above the size of a matrix, and a pattern that fits nothing.
    pub(crate) fn check_fresh(&self, config: &LoraConfig, targets: &[Target]) -> Result<()> {
        if let Some(Target { module, shape: [outputs, inputs], r, .. }) =
            targets.iter().find(|target| target.r > target.shape[0].min(target.shape[1]))
        {
            let message = format!("the rank of `{module}` is {r}; the matrix has {outputs} rows and {inputs} columns");
            return Err(Error::new(ErrorKind::Model, message)
                .hint(format!("set r to {} or less, or another rank of it by rank_pattern", outputs.min(inputs))));
        }
        let ranks = config.rank_pattern.iter().map(|(key, _)| ("rank_pattern", key));
        for (field, key) in ranks.chain(config.alpha_pattern.iter().map(|(key, _)| ("alpha_pattern", key))) {
            let pattern = end_pattern(field, key)?;
            if !targets.iter().any(|target| pattern.fits(&target.module)) {
                let message = format!("{field} names `{}`, which fits none of the matrices that change", beginning(key));
                return Err(
                    Error::new(ErrorKind::Model, message).hint("name the end of a matrix that target_modules names, such as `q_proj`")
                );
            }
        }
        Ok(())
    }

    /// The matrices that `target_modules` or `target_regex` names; a name that fits none is an error.
    fn named_matrices(&self, config: &LoraConfig) -> Result<Vec<(String, [usize; 2])>> {
        let mut matrices = self.matrices();
        let targets = &config.target_modules;
        if targets == &[ALL] {
            return Ok(matrices);
        }
        let unknown = match &config.target_regex {
            Some(regex) => {
                let pattern = Pattern::new("target_modules", regex)?;
                let found: Vec<_> = matrices.iter().filter(|(name, _)| pattern.fits(name)).cloned().collect();
                if !found.is_empty() {
                    return Ok(found);
                }
                vec![regex.clone()]
            }
            None => targets.iter().filter(|target| !matrices.iter().any(|(name, _)| ends(name, target))).cloned().collect(),
        };
        if unknown.is_empty() && !targets.is_empty() {
            matrices.retain(|(name, _)| targets.iter().any(|target| ends(name, target)));
            return Ok(matrices);
        }
        let mut valid: Vec<String> = Vec::new();
        for (name, _) in &matrices {
            let last = name.rsplit('.').next().unwrap_or(name).to_string();
            if !valid.contains(&last) {
                valid.push(last);
            }
        }
        valid.push(ALL.to_string());
        let given = if unknown.is_empty() { "nothing".to_string() } else { beginning(quoted(&unknown)) };
        Err(Error::new(ErrorKind::Model, format!("target_modules names {given}; this model has {}", quoted(&valid)))
            .hint(format!("choose among them, or leave target_modules empty for {}", quoted(&self.usual_targets()))))
    }

    /// Keeps the matrices of some layers.
    fn in_layers(&self, found: &mut Vec<(String, [usize; 2])>, layers: &[usize], before: &[String]) -> Result<()> {
        let (count, mut layers) = (self.config().num_hidden_layers(), layers.to_vec());
        layers.sort_unstable();
        layers.dedup();
        if let Some(layer) = layers.iter().find(|layer| **layer >= count) {
            return Err(Error::new(
                ErrorKind::Model,
                format!("layers_to_transform has {layer}; this model has the layers 0 to {}", count - 1),
            )
            .hint("leave it out for all layers"));
        }
        let before = if before.is_empty() { vec![r"[^.]*".to_string()] } else { before.to_vec() };
        let layers = &layers;
        let expressions = before.iter().flat_map(|before| layers.iter().map(move |layer| format!(r"(?:.*?\.)?(?:{before})\.{layer}\..*")));
        let patterns = patterns("layers_pattern", expressions)?;
        found.retain(|(name, _)| patterns.iter().any(|pattern| pattern.fits(name)));
        Ok(())
    }

    /// The parameters that are trained as a copy, with PEFT's names of the copies: `bias` and `modules_to_save`.
    pub(crate) fn copied(&self, config: &LoraConfig, targets: &[Target]) -> Result<Vec<(String, String)>> {
        let shapes = self.config().parameter_shapes();
        let is_target = |module: &str| targets.iter().any(|target| target.module == module);
        let mut copied = Vec::new();
        for (name, _) in &shapes {
            let module = name.strip_suffix(".bias").unwrap_or_default();
            let is_trained = match config.bias {
                LoraBias::None => false,
                LoraBias::LoraOnly => is_target(module),
                LoraBias::All => name.ends_with(".bias"),
            };
            if is_trained {
                copied.push((name.clone(), copy_name(name, is_target(module))));
            }
        }
        let module_of = |name: &str| name.rsplit_once('.').map_or(String::new(), |(module, _)| module.to_string());
        let fits = |module: &str, end: &str| module.ends_with(end) || (module == NEOX_HEAD[0] && NEOX_HEAD[1].ends_with(end));
        for end in &config.modules_to_save {
            let found: Vec<&String> = shapes.iter().map(|(name, _)| name).filter(|name| fits(&module_of(name), end)).collect();
            if end.is_empty() || found.is_empty() {
                return Err(self.unknown_module(end, shapes.iter().map(|(name, _)| module_of(name))));
            }
            if let Some(both) = found.iter().find(|name| is_target(&module_of(name))) {
                let message = format!("modules_to_save names `{}`, which fits `{both}`, a matrix that changes as well", beginning(end));
                return Err(Error::new(ErrorKind::Model, message).hint("name the whole module, such as `self_attn.k_proj`"));
            }
            if self.config().family().tie_word_embeddings() && found.iter().any(|name| *name == self.config().embedding_name()) {
                return Err(Error::new(
                    ErrorKind::Model,
                    format!("modules_to_save names `{end}`, whose matrix is the output projection as well"),
                )
                .hint("train the model whole, or leave the embedding as it is"));
            }
            for name in found {
                if !copied.iter().any(|(own, _)| own == name) {
                    copied.push((name.clone(), copy_name(name, false)));
                }
            }
        }
        Ok(copied)
    }

    fn unknown_module(&self, given: &str, modules: impl Iterator<Item = String>) -> Error {
        let mut valid: Vec<String> = Vec::new();
        for module in modules {
            let last = module.rsplit('.').next().unwrap_or(&module).to_string();
            if !valid.contains(&last) {
                valid.push(last);
            }
        }
        Error::new(ErrorKind::Model, format!("modules_to_save names `{}`; this model has {}", beginning(given), quoted(&valid)))
            .hint("choose among them")
    }
}
