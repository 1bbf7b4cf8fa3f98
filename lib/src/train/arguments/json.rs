//! Training arguments ↔ `training_args.json`; an unknown name is refused with the nearest ones that exist.

use std::path::Path;

use serde_json::{Map, Value};

use crate::error::{Error, ErrorKind, Result};
use crate::train::arguments::settings::TrainingArguments;
use crate::util::names::near;
use crate::util::write::write_whole;

/// The file's name in an output folder and in a checkpoint.
pub const FILE: &str = "training_args.json";

impl TrainingArguments {
    /// All settings under the names of transformers.
    pub fn to_json(&self) -> Value {
        serde_json::to_value(self).unwrap_or_default()
    }

    /// Settings from an object of names and values; what it does not name, or names `null`, has its default. Of
    /// transformers 5 a `warmup_steps` below 1 is read as well: a part of all steps.
    pub fn from_json(value: &Value) -> Result<Self> {
        let object = value.as_object().ok_or_else(|| {
            Error::new(ErrorKind::Training, format!("TrainingArguments: {} is no JSON object", kind(value)))
                .hint("write {\"learning_rate\": 5e-5, …}; `TrainingArguments::default().to_json()` shows all names")
        })?;
        let all = Self::default().to_json();
        let names: Vec<String> = all.as_object().into_iter().flat_map(Map::keys).cloned().collect();
        let mut given = Map::new();
        for (name, value) in object.iter().filter(|(_, value)| !value.is_null()) {
            if !names.contains(name) {
                return Err(Error::new(
                    ErrorKind::Training,
                    format!("TrainingArguments has no `{name}`; the nearest names are {}", near(name, &names)),
                )
                .hint(format!("correct `{name}` or remove it; `TrainingArguments::default().to_json()` shows all names")));
            }
            let (name, value) = match (name.as_str(), value.as_f64()) {
                ("warmup_steps", Some(part)) if part > 0.0 && part < 1.0 => ("warmup_ratio", value.clone()),
                ("warmup_steps", Some(steps)) if steps.fract() == 0.0 => ("warmup_steps", (steps as u64).into()),
                (name, _) => (name, value.clone()),
            };
            let alone = Value::Object(Map::from_iter([(name.to_string(), value.clone())]));
            serde_json::from_value::<Self>(alone).map_err(|error| {
                Error::new(ErrorKind::Training, format!("TrainingArguments: {name} is {value}: {error}"))
                    .hint(format!("write it as the default, {name}: {}", all[name]))
            })?;
            given.insert(name.into(), value);
        }
        let arguments = serde_json::from_value::<Self>(Value::Object(given));
        arguments.map_err(|error| Error::new(ErrorKind::Training, format!("TrainingArguments: {error}")).hint("correct the file"))
    }

    /// Writes [`TrainingArguments::to_json`] into a file.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        write_whole(path.as_ref(), format!("{:#}\n", self.to_json()).as_bytes())
    }

    /// Reads the file that [`TrainingArguments::save`] wrote.
    pub fn load(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let bytes = std::fs::read(path).map_err(|error| Error::file(path, error))?;
        let value = serde_json::from_slice(&bytes).map_err(|error| {
            Error::new(ErrorKind::Training, format!("`{}` is not valid JSON: {error}", path.display()))
                .hint("correct that line of the file")
        })?;
        Self::from_json(&value).map_err(|error| error.at(format_args!("`{}`", path.display())))
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Array(_) => "an array",
        Value::String(_) => "a string",
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::Object(_) => "an object",
    }
}
