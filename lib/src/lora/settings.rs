//! `adapter_config.json` ↔ settings of an adapter; what this crate cannot compute is refused by name.

use std::path::Path;

use serde_json::{Map, Value, json};

use crate::border::{json, limits};
use crate::error::{Error, ErrorKind, Result};
use crate::lora::targets::ALL;
use crate::nn::lora::{LoraBias, LoraConfig, LoraInit};
use crate::util::names::beginning;

/// The settings' file.
pub(crate) const CONFIG: &str = "adapter_config.json";
pub(crate) const AGAIN: &str = "save the adapter again, or fetch it again";

/// The fields that are honoured.
const HONOURED: [&str; 16] = [
    "alpha_pattern",
    "base_model_name_or_path",
    "bias",
    "exclude_modules",
    "init_lora_weights",
    "layers_pattern",
    "layers_to_transform",
    "lora_alpha",
    "lora_dropout",
    "modules_to_save",
    "peft_type",
    "r",
    "rank_pattern",
    "target_modules",
    "use_dora",
    "use_rslora",
];

/// The fields that change no number here, whatever they say: notes about the file, and settings of what is refused by another field.
const IDLE: [&str; 14] = [
    "auto_mapping",
    "corda_config",
    "ensure_weight_tying",
    "eva_config",
    "inference_mode",
    "lora_ga_config",
    "loftq_config",
    "megatron_config",
    "megatron_core",
    "peft_version",
    "qalora_group_size",
    "revision",
    "runtime_config",
    "task_type",
];

/// The first values for which the base was changed; on the base that is there such an adapter would say something else.
const CHANGES_BASE: [&str; 5] = ["pissa", "olora", "corda", "loftq", "lora_ga"];
/// Those of the adapter alone, which are over when it has been trained.
const OF_ADAPTER: [&str; 2] = ["eva", "orthogonal"];

/// Whether a field says as much as if it were absent.
fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Object(fields) => fields.is_empty(),
        Value::Array(items) => items.is_empty(),
        _ => false,
    }
}

/// Reads `adapter_config.json` of a folder.
pub(crate) fn read(folder: &Path) -> Result<LoraConfig> {
    let path = folder.join(CONFIG);
    let value: Map<String, Value> = json::read(&path, limits::CONFIGURATION, ErrorKind::Model, AGAIN)?;
    settings(&value).map_err(|error| error.at(format_args!("`{}`", path.display())).in_file(&path))
}

fn refuse(field: &str, value: &Value, allowed: &str) -> Error {
    Error::new(ErrorKind::Model, format!("{field} is {}; it must be {allowed}", beginning(value))).hint(AGAIN)
}

fn settings(fields: &Map<String, Value>) -> Result<LoraConfig> {
    let field = |name: &str| fields.get(name).unwrap_or(&Value::Null);
    let (init_lora_weights, mut found) = first_values(field("init_lora_weights"))?;
    let known = |name: &str| HONOURED.contains(&name) || IDLE.contains(&name);
    let others = fields.iter().filter(|(name, value)| !known(name) && !is_empty(value));
    found.extend(others.map(|(name, value)| format!("{} = {}", beginning(name), beginning(value))));
    if field("peft_type") != "LORA" || !found.is_empty() {
        let with = if found.is_empty() { "" } else { " with " };
        let message = format!("peft_type is {}{with}{}", beginning(field("peft_type")), found.join(", "));
        return Err(Error::new(ErrorKind::Model, message)
            .hint("this crate reads LoRA and DoRA; merge the adapter in PEFT (`merge_and_unload`) and load the whole model"));
    }
    let number = |name: &str, default: Value| {
        let value = if field(name).is_null() { default } else { field(name).clone() };
        value.as_f64().ok_or_else(|| refuse(name, &value, "a number"))
    };
    let whole = |value: &Value| value.as_u64().and_then(|number| usize::try_from(number).ok());
    let switch = |name: &str| match field(name) {
        Value::Null => Ok(false),
        Value::Bool(on) => Ok(*on),
        other => Err(refuse(name, other, "true or false")),
    };
    let Some(r) = whole(field("r")) else { return Err(refuse("r", field("r"), "a whole number")) };
    let (target_modules, target_regex) = match field("target_modules") {
        Value::String(word) if word.eq_ignore_ascii_case(ALL) => (vec![ALL.to_string()], None),
        Value::String(regex) if !regex.is_empty() => (Vec::new(), Some(regex.clone())),
        list => (names(list).filter(|names| !names.is_empty()).ok_or_else(|| no_targets(list))?, None),
    };
    let (exclude_modules, exclude_regex) = match field("exclude_modules") {
        Value::String(regex) if !regex.is_empty() => (Vec::new(), Some(regex.clone())),
        list => (some_names("exclude_modules", list)?, None),
    };
    let layers_to_transform = match field("layers_to_transform") {
        empty if is_empty(empty) => None,
        Value::Array(layers) => Some(layers.iter().map(whole).collect::<Option<Vec<usize>>>()),
        one => Some(whole(one).map(|layer| vec![layer])),
    };
    let layers_to_transform = match layers_to_transform {
        Some(None) => return Err(refuse("layers_to_transform", field("layers_to_transform"), "a whole number or a list of them")),
        layers => layers.flatten(),
    };
    let pattern = |name: &str| match field(name) {
        Value::Object(fields) => Ok(fields.clone()),
        empty if is_empty(empty) => Ok(Map::new()),
        other => Err(refuse(name, other, "an object with a number for each name")),
    };
    let ranks = pattern("rank_pattern")?.into_iter();
    let rank_pattern =
        ranks.map(|(key, value)| whole(&value).map(|r| (key, r)).ok_or_else(|| refuse("rank_pattern", &value, "a whole number")));
    let alphas = pattern("alpha_pattern")?.into_iter();
    let alpha_pattern =
        alphas.map(|(key, value)| value.as_f64().map(|a| (key, a)).ok_or_else(|| refuse("alpha_pattern", &value, "a number")));
    let bias = match field("bias").as_str().unwrap_or("none") {
        "none" => LoraBias::None,
        "all" => LoraBias::All,
        "lora_only" => LoraBias::LoraOnly,
        _ => return Err(refuse("bias", field("bias"), "\"none\", \"all\" or \"lora_only\"")),
    };
    let layers_pattern = match field("layers_pattern") {
        Value::String(one) if !one.is_empty() => vec![one.clone()],
        list => some_names("layers_pattern", list)?,
    };
    Ok(LoraConfig {
        r,
        lora_alpha: number("lora_alpha", Value::Null)?,
        target_modules,
        target_regex,
        exclude_modules,
        exclude_regex,
        layers_pattern: if layers_to_transform.is_some() { layers_pattern } else { Vec::new() },
        layers_to_transform,
        rank_pattern: rank_pattern.collect::<Result<_>>()?,
        alpha_pattern: alpha_pattern.collect::<Result<_>>()?,
        use_rslora: switch("use_rslora")?,
        use_dora: switch("use_dora")?,
        lora_dropout: number("lora_dropout", json!(0.0))?,
        bias,
        modules_to_save: some_names("modules_to_save", field("modules_to_save"))?,
        init_lora_weights,
        base_model_name_or_path: field("base_model_name_or_path").as_str().unwrap_or_default().to_string(),
        ..Default::default()
    })
}

/// How the adapter began, and what of it is refused.
fn first_values(value: &Value) -> Result<(LoraInit, Vec<String>)> {
    let known = |init| Ok((init, Vec::new()));
    match value {
        Value::Null | Value::Bool(true) => known(LoraInit::Kaiming),
        Value::Bool(false) => known(LoraInit::Random),
        Value::String(name) => match name.to_lowercase() {
            name if name == "gaussian" => known(LoraInit::Gaussian),
            name if OF_ADAPTER.contains(&name.as_str()) => known(LoraInit::Kaiming),
            name if CHANGES_BASE.iter().any(|start| name.starts_with(start)) => {
                Ok((LoraInit::Kaiming, vec![format!("init_lora_weights = {}, which changes the base", beginning(name))]))
            }
            name => Ok((LoraInit::Kaiming, vec![format!("init_lora_weights = {}, which is not known", beginning(name))])),
        },
        other => Err(refuse("init_lora_weights", other, "true, false or a name")),
    }
}

fn no_targets(value: &Value) -> Error {
    refuse("target_modules", value, "a name or a list of names")
        .hint("write the names of the layers that the adapter changes, such as [\"q_proj\", \"v_proj\"]")
}

/// A list of names; none where it is something else.
fn names(value: &Value) -> Option<Vec<String>> {
    value.as_array()?.iter().map(|name| name.as_str().filter(|name| !name.is_empty()).map(String::from)).collect()
}

fn some_names(field: &str, value: &Value) -> Result<Vec<String>> {
    match is_empty(value) || value == "" {
        true => Ok(Vec::new()),
        false => names(value).ok_or_else(|| refuse(field, value, "a list of names")),
    }
}

/// The file of settings.
pub(crate) fn value(config: &LoraConfig) -> Value {
    let sorted = |names: &[String]| {
        let mut names = names.to_vec();
        names.sort();
        names
    };
    let list = |names: &[String], regex: &Option<String>| match (names, regex) {
        (_, Some(regex)) => json!(regex),
        // One word for all layers is a text in PEFT, not a list.
        ([all], None) if all == ALL => json!(ALL),
        (names, None) => json!(sorted(names)),
    };
    let absent = |names: Value| if names == json!([]) { Value::Null } else { names };
    let number = |number: f64| if number.fract() == 0.0 { json!(number as i64) } else { json!(number) };
    let ranks: Map<String, Value> = config.rank_pattern.iter().map(|(key, r)| (key.clone(), json!(r))).collect();
    let alphas: Map<String, Value> = config.alpha_pattern.iter().map(|(key, alpha)| (key.clone(), number(*alpha))).collect();
    json!({
        "alpha_pattern": alphas,
        "base_model_name_or_path": config.base_model_name_or_path,
        "bias": match config.bias {
            LoraBias::None => "none",
            LoraBias::All => "all",
            LoraBias::LoraOnly => "lora_only",
        },
        "exclude_modules": absent(list(&config.exclude_modules, &config.exclude_regex)),
        "fan_in_fan_out": false,
        "inference_mode": true,
        "init_lora_weights": match config.init_lora_weights {
            LoraInit::Kaiming => json!(true),
            LoraInit::Gaussian => json!("gaussian"),
            LoraInit::Random => json!(false),
        },
        "layers_pattern": absent(json!(config.layers_pattern)),
        "layers_to_transform": config.layers_to_transform,
        "lora_alpha": number(config.lora_alpha),
        "lora_dropout": config.lora_dropout,
        "modules_to_save": absent(json!(config.modules_to_save)),
        "peft_type": "LORA",
        "r": config.r,
        "rank_pattern": ranks,
        "revision": null,
        "target_modules": list(&config.target_modules, &config.target_regex),
        "task_type": "CAUSAL_LM",
        "use_dora": config.use_dora,
        "use_rslora": config.use_rslora,
    })
}
