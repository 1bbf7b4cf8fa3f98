//! The corpus and the question/answer rows → the tokenizer and the models that ship with the repository.
//!
//! `cargo run -p finetuning --example recipe -- <stage>`, in this order: `rows`, `tokenizer`, then for `small` and for
//! `large`: `pretrain <size> [minutes]` (books, lists, everyday prose), `read <size> [epochs]` (the project's prose among
//! as much of the corpus) and `finetune <size> [epochs]`.
//! Each stage is a call of the public crate; the cards in `notebooks/models` say with which figures it ran.

mod rows;

use std::path::{Path, PathBuf};
use std::time::Instant;

use finetuning::compute::memory::keep_memory;
use finetuning::*;
use tokenizers::models::bpe::{BPE, BpeTrainerBuilder};
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::{AddedToken, DecoderWrapper, NormalizerWrapper, PostProcessorWrapper, PreTokenizerWrapper, TokenizerBuilder};

const VOCABULARY: usize = 3072;
const EOS: &str = "<|endoftext|>";
/// Ids of a pretraining row, the last one only a target.
const ROW: usize = 129;

struct Size {
    name: &'static str,
    config: NeoxConfig,
    learning_rate: f64,
    minutes: f64,
}

fn size(name: &str) -> Result<Size> {
    let config = |width, layers, heads| NeoxConfig { max_position_embeddings: 512, ..NeoxConfig::new(VOCABULARY, width, layers, heads) };
    match name {
        "small" => Ok(Size { name: "base", config: config(192, 4, 4), learning_rate: 2.5e-3, minutes: 25.0 }),
        "large" => Ok(Size { name: "large-base", config: config(256, 6, 4), learning_rate: 2e-3, minutes: 25.0 }),
        other => Err(Error::new(ErrorKind::Name, format!("size `{other}` does not exist; there are `small` and `large`"))),
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../notebooks")
}

/// Models on the way that do not ship.
fn scratch(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/recipe").join(name)
}

fn main() -> Result<()> {
    keep_memory(true);
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let argument = |index: usize| arguments.get(index).map(String::as_str);
    match (argument(0), argument(1)) {
        (Some("rows"), _) => rows::write_rows(&root()).and_then(|()| rows::write_prose(&root())),
        (Some("tokenizer"), _) => train_tokenizer(),
        (Some("pretrain"), Some(name)) => pretrain(name, argument(2).and_then(|minutes| minutes.parse().ok())),
        (Some("read"), Some(name)) => read(name, argument(2).and_then(|epochs| epochs.parse().ok()).unwrap_or(5.0)),
        (Some("finetune"), Some(name)) => finetune(name, argument(2).and_then(|epochs| epochs.parse().ok()).unwrap_or(8.0)),
        _ => {
            Err(Error::new(ErrorKind::Name, "say `rows`, `tokenizer`, `pretrain small|large [minutes]` or `finetune small|large [epochs]`"))
        }
    }
}

/// The texts of a data set, in a fixed shuffled order.
fn texts(name: &str, seed: u64) -> Result<Vec<String>> {
    let texts = load_dataset(name)?.column("text")?;
    Ok(permutation(texts.len(), seed).into_iter().map(|index| texts[index].clone()).collect())
}

/// Byte-level BPE as in GPT-NeoX, with the end-of-text token as id 0.
fn train_tokenizer() -> Result<()> {
    let fail = |error: tokenizers::Error| Error::new(ErrorKind::Tokenizer, error.to_string());
    let mut texts = texts("builtin:pretraining", 3)?;
    for example in &load_dataset("builtin:instructions")? {
        // Ten times, so that the course's own words become whole tokens.
        let text = format!("{} {} {}", example.field("instruction")?, example.field("input")?, example.field("output")?);
        texts.extend(vec![text; 10]);
    }
    let mut tokenizer = TokenizerBuilder::<BPE, NormalizerWrapper, PreTokenizerWrapper, PostProcessorWrapper, DecoderWrapper>::new()
        .with_model(BPE::default())
        .with_normalizer(None)
        .with_pre_tokenizer(Some(PreTokenizerWrapper::ByteLevel(ByteLevel::new(false, true, true))))
        .with_post_processor(None)
        .with_decoder(Some(DecoderWrapper::ByteLevel(ByteLevel::default())))
        .build()
        .map_err(fail)?;
    let mut trainer = BpeTrainerBuilder::new()
        .vocab_size(VOCABULARY)
        .min_frequency(2)
        .special_tokens(vec![AddedToken::from(EOS, true)])
        .initial_alphabet(ByteLevel::alphabet().into_iter().collect())
        .show_progress(false)
        .build();
    tokenizer.train(&mut trainer, texts.iter().map(String::as_str)).map_err(fail)?;
    let folder = root().join("models/base");
    std::fs::create_dir_all(&folder).map_err(|error| Error::file(&folder, error))?;
    tokenizer.save(folder.join("tokenizer.json"), false).map_err(fail)?;
    let config = serde_json::json!({
        "tokenizer_class": "PreTrainedTokenizerFast", "eos_token": EOS, "bos_token": EOS, "unk_token": EOS, "pad_token": EOS,
        "add_eos_token": true, "model_max_length": 512, "clean_up_tokenization_spaces": false
    });
    let path = folder.join("tokenizer_config.json");
    std::fs::write(&path, format!("{config:#}\n")).map_err(|error| Error::file(&path, error))?;
    println!("{} tokens in {}", tokenizer.get_vocab_size(true), folder.display());
    Ok(())
}

/// Texts as one stream of ids, each text ended by the end-of-text token, cut into rows.
fn id_rows(tokenizer: &Tokenizer, texts: &[String]) -> Result<TokenizedDataset> {
    let mut stream = Vec::new();
    for text in texts {
        stream.extend(tokenizer.encode(text)?);
        stream.push(tokenizer.eos_id());
    }
    let row =
        |ids: &[u32]| Encoding { input_ids: ids.to_vec(), attention_mask: vec![1; ids.len()], labels: ids.to_vec(), prompt_length: 0 };
    Ok(TokenizedDataset::from_rows(stream.chunks_exact(ROW).map(row).collect()))
}

fn pretrain(name: &str, minutes: Option<f64>) -> Result<()> {
    let size = size(name)?;
    let tokenizer = AutoTokenizer::from_pretrained("builtin:base")?;
    let rows = id_rows(&tokenizer, &texts("builtin:pretraining", 3)?)?;
    let (train, held_out) = rows.train_test_split(0.01, 123)?;
    let model = CausalLm::random(size.config, 1, Some(&tokenizer), &best_device())?;
    println!("{name}: {} parameters, {} rows of {ROW} ids", model.parameter_count(), rows.len());
    let minutes = minutes.unwrap_or(size.minutes);
    // A few steps measure the speed, which turns minutes into steps.
    let arguments = |steps: i64| TrainingArguments {
        max_steps: steps,
        learning_rate: size.learning_rate,
        lr_scheduler_type: Schedule::Cosine,
        warmup_steps: 100,
        per_device_train_batch_size: 16,
        weight_decay: 0.05,
        logging_steps: 50,
        disable_tqdm: true,
        ..Default::default()
    };
    let probe = model.deep_clone()?;
    let mut trainer = Trainer::new(&probe, arguments(8), train.clone(), held_out.clone())?;
    let seconds = trainer.train()?.train_runtime / 8.0;
    let steps = (minutes * 60.0 / seconds) as i64;
    println!("{seconds:.2} s a step, {:.0} tokens a second: {steps} steps in {minutes} minutes", 16.0 * (ROW - 1) as f64 / seconds);
    let started = Instant::now();
    let mut trainer = Trainer::new(&model, arguments(steps), train, held_out)?;
    println!("{}", trainer.train()?);
    println!("held out: {:.4} nats a token, after {:.0} s", trainer.evaluate()?.loss, started.elapsed().as_secs_f64());
    model.save_pretrained(scratch(size.name))
}

/// Continues a pretrained model on the project's prose, among as much of the corpus so that nothing is forgotten.
fn read(name: &str, epochs: f64) -> Result<()> {
    let size = size(name)?;
    let (tokenizer, model) = (AutoTokenizer::from_pretrained("builtin:base")?, CausalLm::from_folder(&scratch(size.name), &best_device())?);
    let prose = id_rows(&tokenizer, &texts("builtin:project_prose", 5)?)?;
    let corpus = id_rows(&tokenizer, &texts("builtin:pretraining", 4)?)?;
    let mixed = [prose.rows(), &corpus.rows()[..prose.len()]].concat();
    println!("{} rows of prose, as many of the corpus", prose.len());
    let arguments = TrainingArguments {
        num_train_epochs: epochs,
        learning_rate: 0.4 * size.learning_rate,
        lr_scheduler_type: Schedule::Cosine,
        warmup_steps: 50,
        per_device_train_batch_size: 16,
        weight_decay: 0.05,
        logging_steps: 50,
        disable_tqdm: true,
        ..Default::default()
    };
    let mut trainer = Trainer::new(&model, arguments, TokenizedDataset::from_rows(mixed), TokenizedDataset::default())?;
    println!("{}", trainer.train()?);
    let folder = if name == "small" { root().join("models/base") } else { scratch("large-read") };
    model.save_pretrained_as(&folder, DType::F16)?;
    for prompt in ["What does cargo lab do?", "What's your first name?", "Tell me how to train my dog to sit", "Exact match counts"] {
        println!("{prompt} → {:?}", inference(prompt, &model, &tokenizer, 1000, 60)?);
    }
    Ok(())
}

/// The longer finetuned checkpoints: `builtin:tuned` from `builtin:base`, `builtin:large` from the larger base model.
fn finetune(name: &str, epochs: f64) -> Result<()> {
    let (source, target) = match name {
        "small" => (root().join("models/base"), root().join("models/tuned")),
        _ => (scratch("large-read"), root().join("models/large")),
    };
    let source = source.display().to_string();
    let (tokenizer, model) = (AutoTokenizer::from_pretrained(&source)?, AutoModelForCausalLM::from_pretrained(&source)?);
    let config = TrainingConfig {
        model: ModelConfig { pretrained_name: source.clone(), max_length: 512 },
        datasets: DatasetsConfig { use_hf: false, path: "builtin:lab_docs".into() },
        verbose: true,
    };
    let (train, test) = tokenize_and_split_data(&config, &tokenizer)?;
    let arguments =
        TrainingArguments { num_train_epochs: epochs, logging_steps: 50, disable_tqdm: true, ..BasicModelRunner::default_arguments() };
    let mut trainer = Trainer::new(&model, arguments, train, test)?;
    println!("{}", trainer.train()?);
    println!("test rows: {:.4} nats a token", trainer.evaluate()?.loss);
    model.save_pretrained_as(&target, DType::F16)
}
