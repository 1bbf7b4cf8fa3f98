//! A folder → a tiny chat model of any weights: the tokenizer of the lessons with a chat template, whose turns end with a token that
//! is not the end-of-sequence token.

use std::path::PathBuf;

use candle_core::Device;
use finetuning::{CausalLm, LlamaConfig, Tokenizer};
use serde_json::{Value, json};

use crate::{fresh_folder, root};

/// ChatML, as SmolLM2 and Qwen write it.
pub const TEMPLATE: &str = "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + \
                            '\n'}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}";

/// The folder of the model; a second one has the same weights.
pub fn chat_model() -> PathBuf {
    let (folder, source) = (fresh_folder(), root().join("notebooks/models/base"));
    let mut tokenizer: Value = serde_json::from_slice(&std::fs::read(source.join("tokenizer.json")).unwrap()).unwrap();
    let size = Tokenizer::from_folder(&source).unwrap().vocab_size();
    for (id, content) in (size..).zip(["<|im_start|>", "<|im_end|>"]) {
        let mut added = tokenizer["added_tokens"][0].clone();
        (added["id"], added["content"]) = (id.into(), content.into());
        tokenizer["added_tokens"].as_array_mut().unwrap().push(added);
    }
    let mut config: Value = serde_json::from_slice(&std::fs::read(source.join("tokenizer_config.json")).unwrap()).unwrap();
    config["chat_template"] = json!(TEMPLATE);
    std::fs::write(folder.join("tokenizer.json"), tokenizer.to_string()).unwrap();
    std::fs::write(folder.join("tokenizer_config.json"), config.to_string()).unwrap();
    let config = LlamaConfig { max_position_embeddings: 128, ..LlamaConfig::new(size + 2, 32, 64, 2, [4, 2]) };
    CausalLm::random(config, 1, None, &Device::Cpu).unwrap().save_pretrained(&folder).unwrap();
    folder
}
