//! Finetuning of language models in Rust: the companion crate of the lessons.
//!
//! path → [`Example`] → [`Tokens`] → batch → logits → summed loss → [`StepReport`] → checkpoint → text → report; each
//! arrow is one function, the same in a lesson cell, in a test and in a program of yours.
//!
//! The order of the modules is the order of the data; a file imports only what stands above it.

pub mod error;
pub mod util;
pub mod display;
pub mod hub;
pub mod nn;
pub mod source;
pub mod data;
pub mod tokenizer;
pub mod models;
pub mod formats;
pub mod generate;
pub mod lora;
pub mod optim;
pub mod train;
pub mod evaluate;
pub mod hosted;
pub mod plot;
pub mod pretrained;
pub mod serve;
pub mod notebook;
pub mod course;

pub use candle_core::quantized::GgmlDType;
pub use candle_core::{self, DType, Device, Tensor};
pub use compute;
pub use course::config::{DatasetsConfig, ModelConfig, TrainingConfig, tokenize_and_split_data};
pub use course::job::{Comparison, TrainingJob};
pub use course::runner::BasicModelRunner;
pub use course::samples::{Sample, SampleAnswers};
pub use course::tournament::{Tournament, Verdict, judge_by_model, judge_by_target};
pub use data::dataset::Dataset;
pub use data::example::Example;
pub use data::load::{load_dataset, load_dataset_with, stream_dataset, stream_dataset_with};
pub use data::split::permutation;
pub use data::stream::ExampleStream;
pub use display::output::{Html, LiveDisplay, Picture, Show, clear_output, show, table};
pub use error::{Error, ErrorKind, Result};
pub use evaluate::answers::{
    AnswerReport, AnswerRow, ErrorReport, MultipleChoice, error_categories, evaluate_answers, is_exact_match, load_multiple_choice,
    log_probability, multiple_choice_accuracy, token_f1,
};
pub use evaluate::similarity::TfIdf;
pub use generate::batch::{Decoding, generate, generate_batch, generate_texts, generate_until, inference, stream_text};
pub use generate::config::{Generation, GenerationConfig};
pub use generate::stream::{StopStrings, TextStreamer};
pub use hosted::client::Endpoint;
pub use hosted::model::{Hosted, HostedConfig};
pub use hub::options::HubOptions;
pub use hub::push::{PushOptions, upload_folder};
pub use lora::adapter::LoraConfig;
pub use models::causal::{AutoModelForCausalLM, AutoTokenizer, CausalLm, best_device};
pub use models::config::{Config, LlamaConfig, NeoxConfig, PhiConfig};
pub use notebook::comm::{Comm, CommTarget};
pub use notebook::frame::show_picture;
pub use optim::schedule::{RatePlan, Schedule, SchedulerKwargs};
pub use optim::settings::Optim;
pub use plot::chart::{Chart, plot_loss};
pub use polars;
pub use serve::config::{ServeConfig, ServedModel};
pub use serve::http::server::{Server, serve};
pub use tokenizer::chat::Message;
pub use tokenizer::encode::{TokenizedDataset, Tokens, tokenize_dataset, tokenize_function, tokenize_with_length};
pub use tokenizer::template::{
    INSTRUCTION_INPUT_TEMPLATE, INSTRUCTION_TEMPLATE, PromptTemplate, QUESTION_ANSWER_TEMPLATE, QUESTION_TEMPLATE, concatenate,
};
pub use tokenizer::text::{Side, Tokenizer, pad, truncate};
pub use train::arguments::settings::{Accumulation, IntervalStrategy, SamplingStrategy, TrainingArguments};
pub use train::callback::early_stopping::EarlyStopping;
pub use train::callback::trainer_callback::{Control, Moment, TrainerCallback};
pub use train::checkpoint::state::TrainerState;
pub use train::evaluation::evaluate_loss;
pub use train::log::curve::LossCurve;
pub use train::log::meter::{TrainOutput, training_flops};
pub use train::log::tensorboard::TensorBoard;
pub use train::preference::pair::{PreferencePair, tokenize_preference, tokenize_preferences};
pub use train::preference::trainer::{DpoConfig, DpoReport, DpoTrainer, Preferences};
pub use train::report::{EvalReport, StepReport};
pub use train::trainer::Trainer;
