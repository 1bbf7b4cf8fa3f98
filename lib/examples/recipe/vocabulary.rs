//! Texts → a byte-level BPE tokenizer in a model's folder.

use std::path::Path;

use finetuning::*;
use tokenizers::models::bpe::{BPE, BpeTrainerBuilder};
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::{AddedToken, DecoderWrapper, NormalizerWrapper, PostProcessorWrapper, PreTokenizerWrapper, TokenizerBuilder};

const EOS: &str = "<|endoftext|>";

/// Byte-level BPE as in GPT-NeoX, with the end-of-text token as id 0.
pub fn train_tokenizer(texts: &[String], size: usize, folder: &Path) -> Result<()> {
    let fail = |error: tokenizers::Error| Error::new(ErrorKind::Tokenizer, error.to_string());
    let mut tokenizer = TokenizerBuilder::<BPE, NormalizerWrapper, PreTokenizerWrapper, PostProcessorWrapper, DecoderWrapper>::new()
        .with_model(BPE::default())
        .with_normalizer(None)
        .with_pre_tokenizer(Some(PreTokenizerWrapper::ByteLevel(ByteLevel::new(false, true, true))))
        .with_post_processor(None)
        .with_decoder(Some(DecoderWrapper::ByteLevel(ByteLevel::default())))
        .build()
        .map_err(fail)?;
    let mut trainer = BpeTrainerBuilder::new()
        .vocab_size(size)
        .min_frequency(2)
        .special_tokens(vec![AddedToken::from(EOS, true)])
        .initial_alphabet(ByteLevel::alphabet().into_iter().collect())
        .show_progress(false)
        .build();
    tokenizer.train(&mut trainer, texts.iter().map(String::as_str)).map_err(fail)?;
    std::fs::create_dir_all(folder).map_err(|error| Error::file(folder, error))?;
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
