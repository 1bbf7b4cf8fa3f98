//! A base model that gets special tokens, rows for them and a chat template, in one call.

use finetuning::*;

use crate::support::exported::{adapted, letters, wide};
use crate::support::{fresh_folder, refused, values};

fn rows(model: &CausalLm, name: &str) -> Vec<Vec<f32>> {
    let (_, parameter) = model.weights().iter().find(|(own, _)| own == name).unwrap();
    let width = parameter.dims()[1];
    values(parameter.as_tensor()).chunks_exact(width).map(<[f32]>::to_vec).collect()
}

#[test]
fn a_base_model_learns_to_speak_in_turns() {
    let (base, tokenizer) =
        (AutoModelForCausalLM::from_pretrained("builtin:base").unwrap(), AutoTokenizer::from_pretrained("builtin:base").unwrap());
    assert!(!tokenizer.has_chat_template());
    let folder = fresh_folder();
    let (model, chat) = base.extended(&tokenizer, &SpecialTokens::chatml(), &folder).unwrap();
    let old = base.config().vocab_size();
    assert_eq!((model.config().vocab_size(), chat.vocab_size()), (old + 2, tokenizer.vocab_size() + 2));
    for name in [base.config().embedding_name(), base.config().head_name()] {
        let (before, after) = (rows(&base, name), rows(&model, name));
        assert_eq!(after[..old], before[..]);
        let mean = |column: usize| before.iter().map(|row| f64::from(row[column])).sum::<f64>() / old as f64;
        for (column, value) in after[old].iter().enumerate() {
            assert!((f64::from(*value) - mean(column)).abs() < 1e-6 && after[old + 1][column] == *value, "{name}");
        }
    }
    // The old tokens answer as before, the new ones are read as one id each and end a text.
    let text = tokenizer.encode("What does cargo lab do?").unwrap();
    assert_eq!(chat.encode("What does cargo lab do?").unwrap(), text);
    let last = |model: &CausalLm| values(&model.forward(&text, 1, false).unwrap());
    let (ours, theirs) = (last(&model), last(&base));
    for (ours, theirs) in ours.chunks_exact(old + 2).zip(theirs.chunks_exact(old)) {
        assert_eq!(&ours[..old], theirs);
    }
    let asked = chat.apply_chat_template(&[Message::user("Hi")], true).unwrap();
    let ids = chat.encode(&asked).unwrap();
    assert_eq!((ids[0], chat.eos_id(), model.config().eos_token_ids()), (old as u32, old as u32 + 1, vec![old as u32 + 1]));
    assert_eq!(ids.iter().filter(|id| **id == chat.eos_id()).count(), 1);
    // What was returned is what the folder holds, and can be extended once more without a change of what is there.
    let name = folder.display().to_string();
    assert_eq!(last(&AutoModelForCausalLM::from_pretrained(&name).unwrap()), ours);
    let added = SpecialTokens::new().with_tokens(&["<|im_end|>", "<|tool|>"]);
    let (more, tools) = model.extended(&chat, &added, fresh_folder().join("more")).unwrap();
    assert_eq!((more.config().vocab_size(), tools.eos_id()), (old + 3, chat.eos_id()));
    assert_eq!(tools.apply_chat_template(&[Message::user("Hi")], true).unwrap(), asked);
    // It learns in turns and goes to llama.cpp.
    let path = fresh_folder().join("model.gguf");
    model.save_gguf(&path, &chat, GgufFormat::F32).unwrap();
    assert!(std::fs::read_to_string(path.with_file_name("Modelfile")).unwrap().contains("<|im_start|>{{ .Role }}"));
    let rows = path.with_file_name("rows.jsonl");
    let messages = serde_json::json!([{ "role": "user", "content": "Hi" }, { "role": "assistant", "content": "Hello" }]);
    std::fs::write(&rows, serde_json::json!({ "messages": messages }).to_string()).unwrap();
    let rows = load_dataset(&rows.display().to_string()).unwrap();
    let (tokens, _) = tokenize_with(&rows, &chat, &TokenizeOptions::default()).unwrap();
    assert!(tokens.rows()[0].labels.contains(&chat.eos_id()), "the end of a turn is learnt");
}

#[test]
fn what_cannot_be_added_is_refused_before_anything_is_written() {
    let (model, tokenizer, folder) = (wide(), letters(32), fresh_folder().join("new"));
    let refuse = |model: &CausalLm, added: SpecialTokens, words: &[&str]| {
        refused(model.extended(&tokenizer, &added, &folder), words);
        assert!(!folder.exists());
    };
    refuse(&model, SpecialTokens::new().with_tokens(&[""]), &["a new token is empty"]);
    refuse(&model, SpecialTokens::new().with_tokens(&["a"]), &["`a` is an ordinary token with the id 3"]);
    refuse(&model, SpecialTokens::new().with_eos_token("<|end|>"), &["no token `<|end|>`", "tokens"]);
    refuse(&model, SpecialTokens::new().with_chat_template("{% for %}"), &["chat template"]);
    refuse(&adapted(&model), SpecialTokens::chatml(), &["adapter", "merge_adapter"]);
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("kept"), "kept").unwrap();
    refused(model.extended(&tokenizer, &SpecialTokens::chatml(), &folder), &["is not empty"]);
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 1);
}
