//! Finetuning of language models in Rust: the companion crate of the lessons.
//!
//! path → [`Example`] → [`Tokens`] → batch → logits → summed loss → [`StepReport`] → checkpoint → text → report; each
//! arrow is one function, the same in a lesson cell, in a test and in a program of yours.
//!
//! The order of the modules is the order of the data; a file imports only what stands above it.

pub mod error;
pub mod interrupt;
pub mod display;
mod raster;
pub mod comm;
pub mod assets;
pub mod data;
pub mod hub;
pub mod tokenizer;
pub mod model;
pub mod publish;
pub mod train;
pub mod decoding;
pub mod stream;
mod sequence;
mod openai;
pub mod hosted;
pub mod beams;
pub mod generate;
pub mod samples;
pub mod evaluate;
pub mod similarity;
pub mod serve;
pub mod job;
pub mod runner;
pub mod tournament;
pub mod frame;

pub use candle_core::quantized::GgmlDType;
pub use candle_core::{self, DType, Device, Tensor};
pub use comm::{Comm, CommTarget};
pub use data::dataset::Dataset;
pub use data::example::Example;
pub use data::split::permutation;
pub use data::stream::ExampleStream;
pub use decoding::{Generation, GenerationConfig};
pub use display::{Html, LiveDisplay, Picture, Show, clear_output, show, table};
pub use error::{Error, ErrorKind, Result};
pub use evaluate::{
    AnswerReport, AnswerRow, ErrorReport, MultipleChoice, error_categories, evaluate_answers, is_exact_match, load_multiple_choice,
    log_probability, multiple_choice_accuracy, token_f1,
};
pub use frame::show_picture;
pub use generate::{Decoding, generate, generate_batch, generate_texts, generate_until, inference, stream_text};
pub use hosted::{Hosted, HostedConfig};
pub use hub::options::HubOptions;
pub use hub::push::{PushOptions, upload_folder};
pub use hub::{load_dataset, load_dataset_with, stream_dataset, stream_dataset_with};
pub use job::{Comparison, TrainingJob};
pub use model::adapter::LoraConfig;
pub use model::causal::{AutoModelForCausalLM, AutoTokenizer, CausalLm, best_device};
pub use model::config::{Config, LlamaConfig, NeoxConfig, PhiConfig};
pub use openai::Endpoint;
pub use polars;
pub use runner::BasicModelRunner;
pub use samples::{Sample, SampleAnswers};
pub use serve::config::{ServeConfig, ServedModel};
pub use serve::server::{Server, serve};
pub use similarity::TfIdf;
pub use stream::{StopStrings, TextStreamer};
pub use tokenizer::chat::Message;
pub use tokenizer::encode::{TokenizedDataset, Tokens, tokenize_dataset, tokenize_function, tokenize_with_length};
pub use tokenizer::template::{
    INSTRUCTION_INPUT_TEMPLATE, INSTRUCTION_TEMPLATE, PromptTemplate, QUESTION_ANSWER_TEMPLATE, QUESTION_TEMPLATE, concatenate,
};
pub use tokenizer::text::{Side, Tokenizer, pad, truncate};
pub use tournament::{Tournament, Verdict, judge_by_model, judge_by_target};
pub use train::arguments::{Accumulation, IntervalStrategy, Optim, SamplingStrategy, TrainingArguments};
pub use train::callback::{Control, EarlyStopping, Moment, TrainerCallback};
pub use train::config::{DatasetsConfig, ModelConfig, TrainingConfig, tokenize_and_split_data};
pub use train::curve::{Chart, LossCurve, StepReport, plot_loss};
pub use train::dpo::{DpoConfig, DpoReport, DpoTrainer, Preferences};
pub use train::meter::{TrainOutput, training_flops};
pub use train::preference::{PreferencePair, tokenize_preference, tokenize_preferences};
pub use train::schedule::{RatePlan, Schedule, SchedulerKwargs};
pub use train::state::TrainerState;
pub use train::tensorboard::TensorBoard;
pub use train::trainer::Trainer;
pub use train::validation::{EvalReport, evaluate_loss};
