//! The stories → `builtin:base`: a tokenizer, and a small model from random weights that continues text.
//!
//! A run that was stopped goes on from its newest checkpoint in `target/recipe/base-STEPS`, to the same bits.

use std::path::Path;

use finetuning::*;

use crate::vocabulary::train_tokenizer;

/// Different tokens.
const VOCABULARY: usize = 1024;
/// Tokens of a training row.
const BLOCK: usize = 192;
/// Steps of the model that ships; lesson 2 takes 500.
pub const STEPS: i64 = 3000;

/// Trains the tokenizer and the model, prints what it says, and writes the folder: that of the model that ships, or beside the
/// checkpoints where the steps are others.
pub fn train_base(root: &Path, checkpoints: &Path, steps: i64) -> Result<()> {
    let folder = if steps == STEPS { root.join("models/base") } else { checkpoints.join("final") };
    let stories = load_dataset(&root.join("data/stories.jsonl").display().to_string())?;
    train_tokenizer(&stories.column("text")?, VOCABULARY, &folder)?;
    let tokenizer = Tokenizer::from_folder(&folder)?;
    let (train, held_out) = tokenize_blocks(&stories, &tokenizer, BLOCK)?.train_test_split(0.02, 123)?;
    let config = NeoxConfig { max_position_embeddings: 512, ..NeoxConfig::new(VOCABULARY, 128, 4, 4) };
    let model = CausalLm::random(config, 1, Some(&tokenizer), &best_device())?;
    println!("{} parameters, {} rows of {BLOCK} tokens", model.parameter_count(), train.len());
    let arguments = TrainingArguments {
        output_dir: checkpoints.into(),
        resume_from_checkpoint: Some("latest".into()),
        max_steps: steps,
        learning_rate: 3e-3,
        warmup_steps: 20,
        weight_decay: 0.01,
        per_device_train_batch_size: 8,
        logging_steps: 50,
        save_steps: (steps as usize / 12).max(1),
        save_total_limit: 2,
        disable_tqdm: true,
        ..Default::default()
    };
    let mut trainer = Trainer::new(&model, arguments, train, held_out)?;
    println!("{}", trainer.train()?);
    println!("held out: {:.4} nats a token", trainer.evaluate()?.loss);
    for prompt in ["What's your first name?\n", "Tell me how to train my dog to sit.\n", "One morning", "The taste of bacon is", "Agent: "]
    {
        println!("{prompt:?} → {:?}", inference(prompt, &model, &tokenizer, 400, 100)?);
    }
    model.save_pretrained_as(&folder, DType::F16)
}
