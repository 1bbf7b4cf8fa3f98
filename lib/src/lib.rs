//! Finetuning of language models in Rust: rows of text → tokens → a trained model → text again, on CPU or GPU.
//!
//! ```
//! use finetuning::prelude::*;
//!
//! let (train, test) = load_dataset("builtin:lab_docs")?.head(20).train_test_split(0.1, 123)?;
//! let tokenizer = AutoTokenizer::from_pretrained("builtin:base")?;
//! let model = AutoModelForCausalLM::from_pretrained("builtin:base")?;
//! let (train, test) = (tokenize_dataset(&train, &tokenizer, 128)?, tokenize_dataset(&test, &tokenizer, 128)?);
//!
//! let arguments = TrainingArguments { max_steps: 2, learning_rate: 1e-3, ..Default::default() };
//! let mut trainer = Trainer::new(&model, arguments, train, test)?;
//! let before = trainer.evaluate()?.loss;
//! trainer.train()?;
//! println!("loss {before:.2} → {:.2}", trainer.evaluate()?.loss);
//! println!("{}", inference("How do I list the devices?", trainer.model(), &tokenizer, 100, 32)?);
//! # assert!(trainer.evaluate()?.loss < before);
//! # Ok::<(), Error>(())
//! ```
//!
//! A `builtin:` name ships with the repository; a path of yours (`rows.jsonl`, a folder with `config.json` and
//! `model.safetensors`) or a name of the hub (`EleutherAI/pythia-70m`) stands in the same place. The lessons in `notebooks`
//! teach the rest.
//!
//! # Rooms
//!
//! The order is that of the data; a room imports only from those above it.
//!
//! | room | in → out | feature |
//! |---|---|---|
//! | [`error`] | what went wrong → one [`Error`] with hint, place and cause | |
//! | [`util`] | the interrupt flag, whole files, locks, checksums | |
//! | [`border`] | files of others → bytes and values within limits | |
//! | [`display`] | a value → what a cell or a terminal shows | |
//! | [`hub`] | a repository of the hub ↔ local files | `hub` |
//! | [`nn`] | tensors → tensors, with gradients: the layers | |
//! | [`source`] | a name → files | |
//! | [`optim`] | gradients → changed weights; learning rates | |
//! | [`data`] | files → rows: [`Dataset`] | tables: `data-frames` |
//! | [`tokenizer`] | text ↔ ids; chats; examples → tokens | |
//! | `quality` | rows → what is wrong with them, a mended copy, a split without leaks | `quality` |
//! | `documents` | a folder of texts → sections → rows | `documents` |
//! | [`models`] | ids → logits: [`CausalLm`] and its families | |
//! | [`formats`] | safetensors, GGUF ↔ weights | |
//! | [`mod@generate`] | a prompt → text | |
//! | [`lora`] | a model → a model with an adapter | |
//! | [`train`] | rows → a trained model: [`Trainer`], [`DpoTrainer`], [`OrpoTrainer`], [`KtoTrainer`], [`GrpoTrainer`], [`RewardTrainer`], [`ClassificationTrainer`] | |
//! | [`evaluate`] | a model and rows → scores | |
//! | `hosted` | a question → the answer of an HTTP service | `hosted` |
//! | `plot` | reports of a run → charts to explore | `plot` |
//! | [`pretrained`] | a model → a repository of the hub | `hub` |
//! | `serve` | a model → an HTTP service of the OpenAI kind | `serve` |
//! | `notebook` | channels and pictures of a notebook | `notebook` |
//! | `course` | the lessons' own pieces | `course` |
//!
//! All features but `cuda` (a model on an NVIDIA GPU; needs the CUDA toolkit) are on by default. Without them the crate
//! trains and generates from local .jsonl and safetensors files, with 135 crates in place of 301.
//!
//! Every name of the rooms that programs use often also stands at the root, and [`prelude`] has the thirty of a first
//! program.

pub mod error;
pub mod util;
pub mod border;
pub mod display;
pub mod hub;
pub mod nn;
pub mod source;
pub mod data;
pub mod tokenizer;
#[cfg(feature = "quality")]
pub mod quality;
#[cfg(feature = "documents")]
pub mod documents;
pub mod models;
pub mod formats;
pub mod generate;
pub mod lora;
pub mod optim;
pub mod train;
pub mod evaluate;
#[cfg(feature = "hosted")]
pub mod hosted;
#[cfg(feature = "plot")]
pub mod plot;
pub mod pretrained;
#[cfg(feature = "serve")]
pub mod serve;
#[cfg(feature = "notebook")]
pub mod notebook;
#[cfg(feature = "course")]
pub mod course;

pub mod prelude;

#[doc = include_str!("glossary.md")]
pub mod glossary {}

pub use candle_core::quantized::GgmlDType;
pub use candle_core::{self, DType, Device, Tensor};
pub use compute;
#[cfg(feature = "course")]
#[doc(no_inline)]
pub use course::config::{DatasetsConfig, ModelConfig, TrainingConfig, tokenize_and_split_data};
#[cfg(feature = "course")]
#[doc(no_inline)]
pub use course::exercises::check::{check, hint};
#[cfg(feature = "course")]
#[doc(no_inline)]
pub use course::job::{Comparison, TrainingJob};
#[cfg(feature = "course")]
#[doc(no_inline)]
pub use course::kinds::{KindReport, KindScore, evaluate_kinds, is_right};
#[cfg(feature = "course")]
#[doc(no_inline)]
pub use course::runner::BasicModelRunner;
#[cfg(feature = "course")]
#[doc(no_inline)]
pub use course::samples::{Sample, SampleAnswers};
#[cfg(feature = "course")]
#[doc(no_inline)]
pub use course::tournament::{EloReport, Rating, Tournament, judge_by_model, judge_by_target};
#[doc(no_inline)]
pub use data::bad::{BadRow, BadRows, OnError};
#[doc(no_inline)]
pub use data::combine::{StoppingStrategy, concatenate_datasets, interleave_datasets};
#[doc(no_inline)]
pub use data::dataset::Dataset;
#[doc(no_inline)]
pub use data::detect::Detected;
#[doc(no_inline)]
pub use data::example::Example;
#[doc(no_inline)]
pub use data::format::Format;
#[doc(no_inline)]
pub use data::load::{dataset_splits, load_dataset, load_dataset_with, stream_dataset, stream_dataset_with};
#[doc(no_inline)]
pub use data::message::Message;
#[doc(no_inline)]
pub use data::options::DataOptions;
#[doc(no_inline)]
pub use data::plain::SampleBy;
#[doc(no_inline)]
pub use data::shape::{Content, Shape};
#[doc(no_inline)]
pub use data::stream::ExampleStream;
#[doc(no_inline)]
pub use data::template::{INSTRUCTION_INPUT_TEMPLATE, INSTRUCTION_TEMPLATE, PromptTemplate, QUESTION_ANSWER_TEMPLATE, QUESTION_TEMPLATE};
#[doc(no_inline)]
pub use display::output::{Html, LiveDisplay, Picture, Show, clear_output, show, table};
pub use display::progress::{Tqdm, tqdm};
pub use display::side_by_side::{SideBySide, side_by_side};
#[cfg(feature = "documents")]
#[doc(no_inline)]
pub use documents::ask::{AskOptions, Generated};
#[cfg(feature = "documents")]
#[doc(no_inline)]
pub use documents::section::{SectionOptions, Sections};
#[doc(no_inline)]
pub use error::{Error, ErrorKind, Result};
#[doc(no_inline)]
pub use evaluate::answers::evaluate_answers;
#[doc(no_inline)]
pub use evaluate::bootstrap::{PairedDifference, paired_bootstrap};
#[doc(no_inline)]
pub use evaluate::choice::{MultipleChoice, choose, load_multiple_choice, log_probability, multiple_choice_accuracy};
#[doc(no_inline)]
pub use evaluate::encoder::SentenceEncoder;
#[doc(no_inline)]
pub use evaluate::errors::{ErrorReport, error_categories};
#[doc(no_inline)]
pub use evaluate::judge::{JudgeReport, Judgement, judge_by_probability, judge_pair, judge_prompt};
#[doc(no_inline)]
pub use evaluate::metrics::{is_exact_match, token_f1};
#[doc(no_inline)]
pub use evaluate::paired::{PairedTest, mcnemar};
#[doc(no_inline)]
pub use evaluate::report::{AnswerReport, AnswerRow};
#[doc(no_inline)]
pub use evaluate::resolution::{Resolution, resolution};
#[doc(no_inline)]
pub use evaluate::similarity::TfIdf;
#[doc(no_inline)]
pub use evaluate::verdict::{Verdict, read_verdict};
#[doc(no_inline)]
pub use formats::gguf::mix::GgufFormat;
#[doc(no_inline)]
pub use generate::ask::ask_texts;
#[doc(no_inline)]
pub use generate::batch::{generate, generate_batch, generate_texts, generate_until, inference, stream_text};
#[expect(deprecated, reason = "the old name stays for one version")]
#[doc(no_inline)]
pub use generate::config::Decoding;
#[doc(no_inline)]
pub use generate::config::GenerationConfig;
#[doc(no_inline)]
pub use generate::next::next_tokens;
#[doc(no_inline)]
pub use generate::sampler::SampledToken;
#[doc(no_inline)]
pub use generate::sequence::Generation;
#[doc(no_inline)]
pub use generate::stream::{StopStrings, TextStreamer};
#[cfg(feature = "hosted")]
#[doc(no_inline)]
pub use hosted::client::Endpoint;
#[cfg(feature = "hosted")]
#[doc(no_inline)]
pub use hosted::model::{Hosted, HostedConfig};
#[doc(no_inline)]
pub use hub::options::HubOptions;
#[cfg(feature = "hub")]
#[doc(no_inline)]
pub use hub::push::{PushOptions, upload_folder};
#[doc(no_inline)]
pub use lora::set::Adapters;
#[doc(no_inline)]
pub use lora::weighted::Combination;
#[doc(no_inline)]
pub use models::causal::CausalLm;
#[doc(no_inline)]
pub use models::classifier::SequenceClassifier;
#[doc(no_inline)]
pub use models::config::{Config, LlamaConfig, NeoxConfig, PhiConfig};
#[doc(no_inline)]
pub use nn::device::best_device;
#[doc(no_inline)]
pub use nn::lora::{LoraBias, LoraConfig, LoraInit};
#[cfg(feature = "notebook")]
#[doc(no_inline)]
pub use notebook::comm::{Comm, CommTarget};
#[cfg(feature = "notebook")]
#[doc(no_inline)]
pub use notebook::frame::show_picture;
#[doc(no_inline)]
pub use optim::schedule::{RatePlan, Schedule, SchedulerKwargs};
#[doc(no_inline)]
pub use optim::settings::Optim;
#[cfg(feature = "plot")]
#[doc(no_inline)]
pub use plot::chart::{Chart, plot_loss};
#[cfg(feature = "data-frames")]
pub use polars;
#[doc(no_inline)]
pub use pretrained::auto::{AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer};
#[doc(no_inline)]
pub use pretrained::available::available;
#[doc(no_inline)]
pub use pretrained::extend::SpecialTokens;
#[cfg(feature = "quality")]
#[doc(no_inline)]
pub use quality::finding::{Finding, FindingKind, Severity};
#[cfg(feature = "quality")]
#[doc(no_inline)]
pub use quality::options::{QualityOptions, Shingles};
#[cfg(feature = "quality")]
#[doc(no_inline)]
pub use quality::repair::{RepairOptions, Repaired};
#[cfg(feature = "quality")]
#[doc(no_inline)]
pub use quality::report::{QualityReport, quality_report};
#[cfg(feature = "quality")]
#[doc(no_inline)]
pub use quality::sensitive::{find_sensitive, mask_sensitive};
#[cfg(feature = "serve")]
#[doc(no_inline)]
pub use serve::config::{ServeConfig, ServedModel};
#[cfg(feature = "serve")]
#[doc(no_inline)]
pub use serve::http::server::{Server, serve};
#[doc(no_inline)]
pub use tokenizer::blocks::tokenize_blocks;
#[doc(no_inline)]
pub use tokenizer::chat::ChatOptions;
#[expect(deprecated, reason = "the old name stays for one version")]
#[doc(no_inline)]
pub use tokenizer::encode::Tokens;
#[doc(no_inline)]
pub use tokenizer::encode::{Encoding, TokenizedDataset, tokenize_dataset, tokenize_function, tokenize_with_length};
#[doc(no_inline)]
pub use tokenizer::options::{EndToken, TokenizeOptions};
#[doc(no_inline)]
pub use tokenizer::preview::Preview;
#[doc(no_inline)]
pub use tokenizer::rows::{TokenizeReport, tokenize_with};
#[doc(no_inline)]
pub use tokenizer::template::concatenate;
#[doc(no_inline)]
pub use tokenizer::text::{Side, Tokenizer, pad, truncate};
#[doc(no_inline)]
pub use train::arguments::settings::{Accumulation, IntervalStrategy, LossMean, PackingStrategy, SamplingStrategy, TrainingArguments};
#[doc(no_inline)]
pub use train::callback::early_stopping::EarlyStopping;
#[expect(deprecated, reason = "the old name stays for one version")]
#[doc(no_inline)]
pub use train::callback::trainer_callback::Moment;
#[doc(no_inline)]
pub use train::callback::trainer_callback::{CallbackContext, Control, TrainerCallback};
#[doc(no_inline)]
pub use train::checkpoint::state::TrainerState;
#[doc(no_inline)]
pub use train::custom_loss::CustomLoss;
#[doc(no_inline)]
pub use train::evaluation::evaluate_loss;
#[doc(no_inline)]
pub use train::forecast::plan::{Plan, plan};
#[doc(no_inline)]
pub use train::forecast::rate::{LearningRateFinder, LearningRates, find_learning_rate};
#[doc(no_inline)]
pub use train::grpo::rollouts::{GrpoLoss, Rollouts, ScaleRewards};
#[doc(no_inline)]
pub use train::grpo::trainer::{GrpoConfig, GrpoTrainer};
#[doc(no_inline)]
pub use train::held_out::EvalContext;
#[doc(no_inline)]
pub use train::log::curve::LossCurve;
#[doc(no_inline)]
pub use train::log::meter::{TrainOutput, training_flops};
#[doc(no_inline)]
pub use train::log::tensorboard::TensorBoard;
#[doc(no_inline)]
pub use train::preference::kto::KtoLoss;
#[doc(no_inline)]
pub use train::preference::kto_trainer::{KtoConfig, KtoTrainer};
#[doc(no_inline)]
pub use train::preference::loss::DpoLoss;
#[doc(no_inline)]
pub use train::preference::orpo_trainer::{OrpoConfig, OrpoTrainer};
#[doc(no_inline)]
pub use train::preference::pair::{PreferencePair, tokenize_preference, tokenize_preferences};
#[doc(no_inline)]
pub use train::preference::trainer::{DpoConfig, DpoReport, DpoTrainer, Preferences};
#[doc(no_inline)]
pub use train::preference::unpaired::{UnpairedPreference, tokenize_unpaired};
#[doc(no_inline)]
pub use train::report::{EvalReport, Metrics, StepReport};
#[doc(no_inline)]
pub use train::score::classification::ClassificationTrainer;
#[doc(no_inline)]
pub use train::score::labelled::{LabelledText, tokenize_labelled};
#[doc(no_inline)]
pub use train::score::reward::{RewardConfig, RewardTrainer};
#[doc(no_inline)]
pub use train::trainer::Trainer;
#[doc(no_inline)]
pub use util::rng::permutation;
