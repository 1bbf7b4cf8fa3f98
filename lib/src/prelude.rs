//! The thirty names of a first program: `use finetuning::prelude::*;`.

pub use crate::data::dataset::Dataset;
pub use crate::data::example::Example;
pub use crate::data::load::load_dataset;
pub use crate::data::message::Message;
pub use crate::display::output::show;
pub use crate::error::{Error, Result};
pub use crate::evaluate::answers::evaluate_answers;
pub use crate::generate::batch::{generate, inference, stream_text};
pub use crate::generate::config::GenerationConfig;
pub use crate::models::causal::CausalLm;
pub use crate::nn::device::best_device;
pub use crate::nn::lora::LoraConfig;
pub use crate::pretrained::auto::{AutoModelForCausalLM, AutoTokenizer};
pub use crate::tokenizer::encode::{Encoding, TokenizedDataset, tokenize_dataset, tokenize_function};
pub use crate::tokenizer::text::Tokenizer;
pub use crate::train::arguments::settings::TrainingArguments;
pub use crate::train::callback::trainer_callback::TrainerCallback;
pub use crate::train::evaluation::evaluate_loss;
pub use crate::train::preference::trainer::DpoTrainer;
pub use crate::train::report::EvalReport;
pub use crate::train::trainer::Trainer;
pub use candle_core::{DType, Device};
