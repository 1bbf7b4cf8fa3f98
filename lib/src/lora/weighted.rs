//! Several adapters of one model with their weights → one adapter: `add_weighted_adapter` of PEFT.

use std::collections::{BTreeMap, HashMap};

use candle_core::Tensor;

use crate::error::{Error, ErrorKind, Result};
use crate::models::causal::CausalLm;
use crate::nn::lora::{LoraConfig, is_factor, tensor_name};
use crate::util::names::quoted;

/// How adapters are added: `combination_type` of PEFT, which has others besides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Combination {
    /// `cat`: exactly the weighted sum of the changes, with a rank that is the sum of the ranks.
    #[default]
    Cat,
    /// `linear`: the factors A and B are added, each with the root of its weight: of equal ranks, and a rough approximation where the
    /// adapters are not those of one run.
    Linear,
}

/// The factors of a module, and what their product counts.
struct Change {
    a: Tensor,
    b: Tensor,
    factor: f64,
}

/// One adapter on `base` of several models with adapters on the same weights.
///
/// # Errors
/// [`ErrorKind::Model`] for no adapters, for weights that are no numbers, for DoRA, copies of biases and modules, which cannot be
/// added, and with [`Combination::Linear`] for different ranks.
pub fn combined(base: &CausalLm, parts: &[(&str, &CausalLm, f64)], combination: Combination) -> Result<CausalLm> {
    let refuse = |message: String, hint: &str| Error::new(ErrorKind::Model, message).hint(hint);
    if parts.is_empty() {
        return Err(refuse("no adapters are named to be combined".into(), "name one or more, each with its weight"));
    }
    let mut changes: BTreeMap<String, Vec<Change>> = BTreeMap::new();
    for (name, model, weight) in parts {
        if !weight.is_finite() {
            return Err(refuse(format!("the weight of `{name}` is {weight}; it must be a finite number"), "0.5 counts an adapter half"));
        }
        let Some(lora) = model.applied() else {
            return Err(refuse(format!("`{name}` has no adapter"), "load or train one first"));
        };
        let trained = model.weights().iter().filter(|(name, parameter)| !parameter.is_frozen() && !is_factor(name));
        let others: Vec<String> = trained.map(|(name, _)| name.clone()).take(3).collect();
        if !others.is_empty() {
            let message = format!(
                "`{name}` has more than a low-rank change (DoRA, biases or whole modules), which cannot be added: {}",
                quoted(&others)
            );
            return Err(refuse(message, "merge it alone with merge_adapter()"));
        }
        let weights: HashMap<&str, _> = model.weights().iter().map(|(name, parameter)| (name.as_str(), parameter)).collect();
        for (module, scale) in &lora.scales {
            let find = |which| weights.get(tensor_name(module, which).as_str()).map(|parameter| parameter.detached());
            if let (Some(a), Some(b)) = (find("A"), find("B")) {
                changes.entry(module.clone()).or_default().push(Change { a, b, factor: weight * scale });
            }
        }
    }
    let mut joined = BTreeMap::new();
    for (module, changes) in &changes {
        joined.insert(module.clone(), join(module, changes, combination)?);
    }
    // With alpha = r a product counts once: the weights are inside of the factors.
    let r = joined.values().filter_map(|(a, _)| a.dim(0).ok()).max().unwrap_or(1);
    let own = joined.iter().filter_map(|(module, (a, _))| Some((module.clone(), a.dim(0).ok()?))).filter(|(_, own)| *own != r);
    let rank_pattern: Vec<(String, usize)> = own.map(|(module, own)| (format!("^{}", module.replace('.', r"\.")), own)).collect();
    let alpha_pattern = rank_pattern.iter().map(|(module, own)| (module.clone(), *own as f64)).collect();
    let config = LoraConfig {
        r,
        lora_alpha: r as f64,
        target_modules: joined.keys().cloned().collect(),
        rank_pattern,
        alpha_pattern,
        ..Default::default()
    };
    let config = base.completed(&config);
    let model = base.adapted(config.clone(), &base.targets(&config)?)?;
    for (name, parameter) in model.weights() {
        for (module, (a, b)) in &joined {
            for (which, factor) in [("A", a), ("B", b)] {
                if *name == tensor_name(module, which) {
                    parameter.set(factor)?;
                }
            }
        }
    }
    Ok(model)
}

/// The factors of the sum.
fn join(module: &str, changes: &[Change], combination: Combination) -> Result<(Tensor, Tensor)> {
    if combination == Combination::Cat {
        let scaled = changes.iter().map(|change| &change.a * change.factor).collect::<candle_core::Result<Vec<Tensor>>>()?;
        let others: Vec<&Tensor> = changes.iter().map(|change| &change.b).collect();
        return Ok((Tensor::cat(&scaled, 0)?, Tensor::cat(&others, 1)?.contiguous()?));
    }
    let ranks: Vec<usize> = changes.iter().map(|change| change.a.dims()[0]).collect();
    if ranks.iter().any(|rank| *rank != ranks[0]) {
        let message = format!("`{module}` has the ranks {ranks:?}; Combination::Linear adds adapters of one rank");
        return Err(Error::new(ErrorKind::Model, message).hint("use Combination::Cat"));
    }
    let mut sum: Option<(Tensor, Tensor)> = None;
    for Change { a, b, factor } in changes {
        let root = factor.abs().sqrt();
        let (a, b) = ((a * (root * factor.signum()))?, (b * root)?);
        sum = Some(match sum {
            Some((sum_a, sum_b)) => ((sum_a + a)?, (sum_b + b)?),
            None => (a, b),
        });
    }
    sum.ok_or_else(|| Error::new(ErrorKind::Model, format!("`{module}` has no change")))
}
