//! Training arguments ↔ `training_args.json`; an unknown name is refused with the nearest ones that exist.

use std::path::Path;

use serde_json::{Map, Value};

use crate::border::json::Unique;
use crate::border::limits;
use crate::data::json;
use crate::error::{Error, ErrorKind, Result};
use crate::train::arguments::settings::TrainingArguments;
use crate::util::names::{beginning, near, quoting};
use crate::util::write::write_whole;

/// The file's name in an output folder and in a checkpoint.
pub const FILE: &str = "training_args.json";

/// Fields of transformers 4.57 and 5.24 that have no meaning here: devices, processes, the hub, PyTorch itself.
const THEIRS: &str = "
accelerator_config activation_checkpointing activation_checkpointing_kwargs adafactor auto_find_batch_size
average_tokens_across_devices batch_eval_metrics bf16_full_eval dataloader_drop_last dataloader_in_order
dataloader_multiprocessing_context dataloader_num_workers dataloader_persistent_workers dataloader_pin_memory
dataloader_prefetch_factor ddp_backend ddp_broadcast_buffers ddp_bucket_cap_mb ddp_find_unused_parameters
ddp_static_graph ddp_timeout debug deepspeed do_eval do_predict do_train enable_jit_checkpoint eval_accumulation_steps
eval_delay eval_do_concat_batches eval_on_start eval_use_gather_object fp16_backend fp16_full_eval fp16_opt_level fsdp
fsdp_config fsdp_min_num_params fsdp_transformer_layer_cls_to_wrap full_determinism gradient_checkpointing_kwargs
half_precision_backend hub_always_push hub_model_id hub_private_repo hub_revision hub_strategy hub_token
ignore_data_skip include_for_metrics include_inputs_for_metrics include_num_input_tokens_seen include_tokens_per_second
jit_mode_eval label_names length_column_name liger_kernel_config local_rank log_level log_level_replica log_on_each_node
logging_dir logging_nan_inf_filter mp_parameters no_cuda optim_args optim_target_modules parallelism_config past_index
per_gpu_eval_batch_size per_gpu_train_batch_size prediction_loss_only project push_to_hub push_to_hub_model_id
push_to_hub_organization push_to_hub_token ray_scope remove_unused_columns restore_callback_states_from_checkpoint
run_name save_on_each_node save_only_model save_safetensors skip_memory_metrics tf32 torch_compile torch_compile_backend
torch_compile_mode torch_empty_cache_steps torchdynamo tpu_metrics_debug tpu_num_cores trackio_bucket_id
trackio_space_id trackio_static_space_id use_cache use_cpu use_legacy_prediction_loop use_liger_kernel use_mps_device";

impl TrainingArguments {
    /// All settings under the names of transformers.
    pub fn to_json(&self) -> Value {
        serde_json::to_value(self).unwrap_or_default()
    }

    /// Settings from an object of names and values; what it does not name, or names `null`, has its default. As in transformers
    /// a `warmup_steps` below 1 is a part of all steps, and `eval_strategy: "steps"` without `eval_steps` takes `logging_steps`.
    /// Its fields that have no meaning here are skipped, those that are set aloud (see [`TrainingArguments::unused_names`]).
    ///
    /// # Errors
    /// When a name is no field of transformers' either, or a value is none that its field can have.
    pub fn from_json(value: &Value) -> Result<Self> {
        let object = value.as_object().ok_or_else(|| {
            Error::new(ErrorKind::Training, format!("TrainingArguments: {} is no JSON object", kind(value)))
                .hint("write {\"learning_rate\": 5e-5, …}; `TrainingArguments::default().to_json()` shows all names")
        })?;
        let all = Self::default().to_json();
        let unused = Self::unused_names(value);
        if !unused.is_empty() {
            println!("TrainingArguments: set for transformers, not used here: {}", unused.join(", "));
        }
        let names: Vec<String> = all.as_object().into_iter().flat_map(Map::keys).cloned().collect();
        let mut given = Map::new();
        for (name, value) in object.iter().filter(|(name, value)| !value.is_null() && !is_theirs(name)) {
            if !names.contains(name) {
                return Err(Error::new(
                    ErrorKind::Training,
                    format!("TrainingArguments has no `{}`; the nearest names are {}", beginning(name), near(name, &names)),
                )
                .hint(format!("correct `{}` or remove it; `TrainingArguments::default().to_json()` shows all names", beginning(name))));
            }
            let (name, value) = match (name.as_str(), value.as_f64()) {
                ("warmup_steps", Some(part)) if part > 0.0 && part < 1.0 => ("warmup_ratio", value.clone()),
                ("warmup_steps", Some(steps)) if steps.fract() == 0.0 && (0.0..9e15).contains(&steps) => {
                    ("warmup_steps", (steps as u64).into())
                }
                (name, _) => (name, value.clone()),
            };
            let alone = Value::Object(Map::from_iter([(name.to_string(), value.clone())]));
            serde_json::from_value::<Self>(alone).map_err(|error| {
                Error::new(ErrorKind::Training, format!("TrainingArguments: {name} is {}: {}", beginning(&value), quoting(&error)))
                    .hint(format!("write it as the default, {name}: {}", all[name]))
                    .because(error)
            })?;
            given.insert(name.into(), value);
        }
        if given.get("eval_strategy").is_some_and(|strategy| strategy == "steps") && !given.contains_key("eval_steps") {
            let steps = given.get("logging_steps").unwrap_or(&all["logging_steps"]).clone();
            given.insert("eval_steps".into(), steps);
        }
        let arguments = serde_json::from_value::<Self>(Value::Object(given));
        arguments
            .map_err(|error| Error::new(ErrorKind::Training, format!("TrainingArguments: {error}")).hint("correct the file").because(error))
    }

    /// The fields of transformers in an object that have no meaning here and are set: to anything but null, false, 0 or nothing.
    pub fn unused_names(value: &Value) -> Vec<String> {
        let set = |value: &Value| match value {
            Value::Null | Value::Bool(false) => false,
            Value::String(text) => !text.is_empty(),
            Value::Array(items) => !items.is_empty(),
            Value::Object(fields) => !fields.is_empty(),
            Value::Number(number) => number.as_f64() != Some(0.0),
            Value::Bool(true) => true,
        };
        let fields = value.as_object().into_iter().flatten();
        fields.filter(|(name, value)| is_theirs(name) && set(value)).map(|(name, _)| name.clone()).collect()
    }

    /// Writes [`TrainingArguments::to_json`] into a file.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        write_whole(path.as_ref(), format!("{:#}\n", self.to_json()).as_bytes())
    }

    /// Reads the file that [`TrainingArguments::save`] wrote, or `to_json_string` of transformers.
    ///
    /// # Errors
    /// When the file cannot be read or is no JSON; as [`TrainingArguments::from_json`].
    pub fn load(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let fields: Unique = json::read(path, limits::CONFIGURATION, ErrorKind::Training, "correct that line of the file")?;
        Self::from_json(&Value::Object(fields.0)).map_err(|error| error.at(format_args!("`{}`", path.display())).in_file(path))
    }
}

fn is_theirs(name: &str) -> bool {
    THEIRS.split_whitespace().any(|theirs| theirs == name)
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
