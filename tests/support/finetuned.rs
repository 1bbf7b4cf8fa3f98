//! `builtin:base` and a few rows → a small model that has them by heart, trained once a program.

use std::path::Path;
use std::sync::OnceLock;

use finetuning::*;

use crate::fresh_folder;

/// The rows that it has learnt, with `question` and `answer`.
pub fn learnt() -> Dataset {
    load_dataset("builtin:lab_docs").unwrap().head(30)
}

/// The name of the model: its folder. Who asks first waits while it is trained.
pub fn finetuned() -> &'static str {
    static NAME: OnceLock<String> = OnceLock::new();
    NAME.get_or_init(|| {
        let folder = fresh_folder();
        finetune(&folder);
        folder.display().to_string()
    })
}

/// Trains it into a folder.
pub fn finetune(folder: &Path) {
    let (model, tokenizer) =
        (AutoModelForCausalLM::from_pretrained("builtin:base").unwrap(), AutoTokenizer::from_pretrained("builtin:base").unwrap());
    let rows = tokenize_dataset(&learnt(), &tokenizer, 128).unwrap();
    let arguments = TrainingArguments {
        output_dir: folder.join("run"),
        num_train_epochs: 40.0,
        learning_rate: 2e-3,
        warmup_steps: 10,
        completion_only_loss: true,
        disable_tqdm: true,
        ..Default::default()
    };
    let mut trainer = Trainer::new(&model, arguments, rows, TokenizedDataset::default()).unwrap();
    trainer.train().unwrap();
    trainer.save_model(folder).unwrap();
}
