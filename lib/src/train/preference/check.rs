//! Pairs, references and arguments of preference training that cannot work → an error, before a step is taken.

use crate::error::{Error, ErrorKind, Result};
use crate::models::causal::CausalLm;
use crate::nn::lora::{is_adapter, is_factor};
use crate::train::arguments::check::refuse;
use crate::train::arguments::settings::{Accumulation, TrainingArguments};
use crate::train::check;
use crate::train::preference::objective::PairRows;
use crate::train::preference::pair::PreferencePair;

/// Refuses a setting of `config` that is not what is `allowed`.
pub(crate) fn setting(config: &str, field: &str, value: impl std::fmt::Display, fits: bool, allowed: &str) -> Result<()> {
    if fits {
        return Ok(());
    }
    Err(Error::new(ErrorKind::Training, format!("{config}: {field} is {value}; it must be {allowed}"))
        .hint(format!("change `{field}` in the cell that makes the {config}")))
}

/// Refuses arguments that cannot work, or that would change another loss than this one; `trainer` is whose, `config` has its settings.
pub(crate) fn arguments(arguments: &TrainingArguments, model: &CausalLm, trainer: &str, config: &str) -> Result<()> {
    check::arguments(arguments, model)?;
    let smoothing = arguments.label_smoothing_factor;
    if smoothing != 0.0 {
        let allowed = format!("0 in a {trainer}, which smooths nothing but by what its {config} says");
        return Err(refuse("label_smoothing_factor", smoothing, allowed));
    }
    if let Some(alpha) = arguments.neftune_noise_alpha.filter(|alpha| *alpha > 0.0) {
        return Err(refuse("neftune_noise_alpha", alpha, format!("none in a {trainer}: what is compared is read without noise")));
    }
    if arguments.accumulation == Accumulation::Means {
        return Err(refuse("accumulation", "Means", format!("Tokens in a {trainer}, whose loss is a mean over the rows of a step")));
    }
    Ok(())
}

/// The rows of pairs that a run can learn from, and those that it evaluates on, which may be none where it does not evaluate.
/// `models` read them: the first is trained.
///
/// # Errors
/// When there are none, one is none that a model can read, or all answers are the same.
pub(crate) fn pair_rows(
    models: &[&CausalLm],
    arguments: &TrainingArguments,
    trainer: &str,
    [pairs, eval_pairs]: [Vec<PreferencePair>; 2],
) -> Result<[Vec<PairRows>; 2]> {
    if pairs.is_empty() {
        return Err(Error::new(ErrorKind::Data, "there are no pairs to train on")
            .hint("load rows with prompt, chosen and rejected, and call `tokenize_preferences`"));
    }
    if arguments.evaluates() && eval_pairs.is_empty() {
        return Err(Error::new(ErrorKind::Data, "the arguments ask for evaluations, and there are no pairs to evaluate")
            .hint(format!("call `{trainer}::with_eval` with some pairs, or set eval_steps: 0")));
    }
    for model in models {
        self::pairs("pair", &pairs, model)?;
        self::pairs("evaluation pair", &eval_pairs, model)?;
        check::weights(model)?;
    }
    let rows = |pairs: Vec<PreferencePair>| pairs.iter().map(PairRows::from).collect();
    Ok([rows(differing("pairs", pairs, true)?), rows(differing("evaluation pairs", eval_pairs, arguments.evaluates())?)])
}

/// The model that the trained one is held to: the one that is given, else the trained one as it is now, which is what lies below
/// a fresh adapter, or a copy.
///
/// # Errors
/// When it has another vocabulary, or there is no memory for the copy.
pub(crate) fn reference(model: &CausalLm, reference: Option<&CausalLm>) -> Result<CausalLm> {
    let Some(reference) = reference else {
        return if fresh_adapter(model)? { Ok(model.without_adapter()) } else { model.deep_clone() };
    };
    let [own, other] = [model, reference].map(|model| model.config().vocab_size());
    if own != other {
        let message = format!("the model has a vocabulary of {own} ids, the reference one of {other}: an id would not mean the same token");
        return Err(Error::new(ErrorKind::Model, message)
            .hint("give the model that the training began with as reference, or None for the model as it is now"));
    }
    Ok(reference.clone())
}

/// Whether an adapter changes nothing yet, so that the weights below are the model as it is now.
fn fresh_adapter(model: &CausalLm) -> Result<bool> {
    let mut largest = 0f32;
    for (_, parameter) in model.weights().iter().filter(|(name, _)| name.ends_with("lora_B.weight")) {
        largest = largest.max(parameter.detached().abs()?.max_all()?.to_scalar::<f32>()?);
    }
    // A copy of a bias or a module, or a length of a row, may have been trained.
    let factors_alone = model.weights().iter().filter(|(name, _)| is_adapter(name)).all(|(name, _)| is_factor(name));
    Ok(model.lora().is_some() && factors_alone && largest == 0.0)
}

/// The pairs whose answers differ, after the cut as well: equal ones stay at a loss of ln 2 for ever. They are left out, aloud.
fn differing(name: &str, mut pairs: Vec<PreferencePair>, needed: bool) -> Result<Vec<PreferencePair>> {
    let all = pairs.len();
    pairs.retain(|pair| pair.chosen != pair.rejected);
    if needed && pairs.is_empty() {
        let message = format!("chosen and rejected are the same in each of the {all} {name}: there is nothing to prefer");
        return Err(Error::new(ErrorKind::Data, message)
            .hint("give pairs whose answers differ, or raise max_length so that the difference is not cut off"));
    }
    if pairs.len() < all {
        println!("{} of {all} {name} are left out (chosen and rejected are the same)", all - pairs.len());
    }
    Ok(pairs)
}

/// Refuses pairs that the model cannot read.
///
/// # Errors
/// When there is one; it is named.
pub(crate) fn pairs(name: &str, pairs: &[PreferencePair], model: &CausalLm) -> Result<()> {
    for (index, pair) in pairs.iter().enumerate() {
        let parts = [("prompt", &pair.prompt), ("chosen", &pair.chosen), ("rejected", &pair.rejected)];
        let longest = pair.prompt.len() + pair.chosen.len().max(pair.rejected.len());
        readable(&format!("{name} {index}"), &parts, longest, "tokenize_preferences", model)?;
    }
    Ok(())
}

/// Refuses a row whose parts the model cannot read; an empty prompt or answer would leave it without a loss.
pub(crate) fn readable(row: &str, parts: &[(&str, &Vec<u32>)], longest: usize, tokenized_by: &str, model: &CausalLm) -> Result<()> {
    let (vocabulary, positions) = (model.config().vocab_size(), model.config().max_position_embeddings());
    let refuse = |reason: String, hint: &str| Err(Error::new(ErrorKind::Data, format!("{row}: {reason}")).hint(hint));
    for (name, ids) in parts {
        if ids.is_empty() {
            return refuse(format!("`{name}` has no ids; it needs at least one"), "remove the row, or write the text");
        }
        if let Some(id) = ids.iter().find(|&&id| id as usize >= vocabulary) {
            let reason = format!("`{name}`: token id {id} is outside of the model's vocabulary of {vocabulary}");
            return refuse(reason, "load tokenizer, model and reference by the same name");
        }
    }
    if longest > positions + 1 {
        let reason = format!("{longest} tokens, the model has {positions} positions");
        return refuse(reason, &format!("give {tokenized_by} a max_length of {positions}"));
    }
    Ok(())
}
