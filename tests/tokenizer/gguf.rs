//! Tokenizers inside of `.gguf` files, against the programs that made their ids: fixtures/make_gguf.py.

use candle_core::quantized::GgmlDType;
use candle_core::quantized::gguf_file::{Content, Value, write};
use finetuning::*;

use crate::formats::weights::write_gguf_with;
use crate::support::hub::Hub;
use crate::support::{fixture, fresh_folder, ids, json, refused, tiny_llama_of, values};

#[test]
fn ids_are_those_of_the_programs_that_made_them() {
    let case = json("gguf/ids.json");
    for kind in ["bpe", "spm"] {
        let path = fixture(&format!("gguf/{kind}.gguf"));
        let tokenizer = AutoTokenizer::from_pretrained(&path.display().to_string()).unwrap();
        for (text, theirs) in case["texts"].as_array().unwrap().iter().zip(case[kind].as_array().unwrap()) {
            let text = text.as_str().unwrap();
            let own = tokenizer.encode(text).unwrap();
            assert_eq!(own, ids(theirs), "{kind}: {text:?}");
            assert_eq!(tokenizer.decode(&own).unwrap(), text, "{kind}");
        }
    }
    // Only the one of sentencepiece begins a prompt with a token, which is read as such in a text as well.
    let [bpe, spm] = ["bpe", "spm"].map(|kind| Tokenizer::from_gguf(&fixture(&format!("gguf/{kind}.gguf"))).unwrap());
    assert_eq!(spm.encode_prompt("a").unwrap(), [&[1], &spm.encode("a").unwrap()[..]].concat());
    assert_eq!(spm.encode_prompt("<s>a").unwrap()[0], 1);
    assert_eq!((bpe.encode_prompt("a").unwrap(), spm.eos_id()), (bpe.encode("a").unwrap(), 2));
    assert_eq!(bpe.apply_chat_template(&[Message::user("one"), Message::assistant("two")], false).unwrap(), "onetwo");
    assert!(!spm.has_chat_template());
}

#[test]
fn what_a_file_does_not_hold_is_said() {
    let refuse = |metadata: &[(&str, Value)], words: &[&str]| {
        let folder = fresh_folder();
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join("a.gguf");
        let metadata: Vec<(&str, &Value)> = metadata.iter().map(|(name, value)| (*name, value)).collect();
        write(&mut std::fs::File::create(&path).unwrap(), &metadata, &[]).unwrap();
        refused(AutoTokenizer::from_pretrained(&path.display().to_string()), &[words, &["a.gguf", "tokenizer.json"]].concat());
    };
    let text = |text: &str| Value::String(text.into());
    let tokens = || ("tokenizer.ggml.tokens", Value::Array(vec![text("a")]));
    let model = |kind: &str| ("tokenizer.ggml.model", text(kind));
    refuse(&[("general.architecture", text("llama"))], &["holds no tokenizer"]);
    refuse(&[model("bert"), tokens()], &["`bert`", "`gpt2` and `llama`"]);
    refuse(&[model("gpt2")], &["no tokens"]);
    refuse(&[model("gpt2"), tokens()], &["no merges"]);
    refuse(&[model("llama"), tokens()], &["no scores"]);
    let merges = ("tokenizer.ggml.merges", Value::Array(vec![text("a b")]));
    refuse(&[model("gpt2"), tokens(), merges, ("tokenizer.ggml.pre", text("deepseek"))], &["`deepseek`", "llama-bpe"]);
}

#[test]
fn a_model_of_such_a_file_is_saved_with_its_tokenizer() {
    let (folder, saved) = (fresh_folder(), fresh_folder());
    std::fs::create_dir_all(&folder).unwrap();
    let spm = Content::read(&mut std::fs::File::open(fixture("gguf/spm.gguf")).unwrap()).unwrap();
    write_gguf_with(&folder.join("model.gguf"), &tiny_llama_of(64, 3, true), GgmlDType::Q8_0, "llama", &spm.metadata);
    let model = AutoModelForCausalLM::from_pretrained_as(&folder.display().to_string(), DType::F32).unwrap();
    model.save_pretrained(&saved).unwrap();
    let [first, again] = [&folder, &saved].map(|folder| AutoTokenizer::from_pretrained(&folder.display().to_string()).unwrap());
    let text = "naïve 🙂 <s> fn main()";
    assert_eq!(first.encode_prompt(text).unwrap(), again.encode_prompt(text).unwrap());
    assert_eq!((again.eos_id(), again.special_tokens()), (2, first.special_tokens()));
    assert!(saved.join("tokenizer_config.json").is_file());
}

#[test]
fn a_repository_of_such_files_is_a_model_and_several_have_to_be_chosen_from() {
    let (hub, folder, cache) = (Hub::start(), fresh_folder(), fresh_folder());
    std::fs::create_dir_all(&folder).unwrap();
    let spm = Content::read(&mut std::fs::File::open(fixture("gguf/spm.gguf")).unwrap()).unwrap();
    let write = |name: &str, dtype: GgmlDType| {
        let path = folder.join(name);
        write_gguf_with(&path, &tiny_llama_of(64, 3, true), dtype, "llama", &spm.metadata);
        let bytes = std::fs::read(&path).unwrap();
        hub.put("models/course/gguf", name, bytes);
        values(&AutoModelForCausalLM::from_pretrained(&path.display().to_string()).unwrap().forward(&[5, 17, 42], 1, false).unwrap())
    };
    let options = |gguf_file: Option<&str>, local_files_only: bool| HubOptions {
        endpoint: Some(hub.address.clone()),
        cache_dir: Some(cache.clone()),
        gguf_file: gguf_file.map(String::from),
        local_files_only,
        ..Default::default()
    };
    let answer = |options: &HubOptions| -> Result<(Vec<f32>, usize)> {
        let tokenizer = AutoTokenizer::from_pretrained_with("course/gguf", options)?;
        let model = AutoModelForCausalLM::from_pretrained_with("course/gguf", options)?;
        Ok((values(&model.forward(&[5, 17, 42], 1, false)?), tokenizer.vocab_size()))
    };
    let half = write("model-f16.gguf", GgmlDType::F16);
    assert_eq!(answer(&options(None, false)).unwrap(), (half.clone(), 700), "the only one");
    let small = write("model-q8.gguf", GgmlDType::Q8_0);
    let refresh = HubOptions { force_download: true, ..options(None, false) };
    refused(answer(&refresh), &["2 models", "model-f16.gguf", "gguf_file"]);
    assert_eq!(answer(&options(Some("model-q8.gguf"), false)).unwrap(), (small.clone(), 700));
    assert_ne!(small, half);
    assert_eq!(answer(&options(Some("model-q8.gguf"), true)).unwrap(), (small, 700), "from the cache");
    refused(answer(&options(Some("model-q2.gguf"), false)), &["model-q2.gguf"]);
}

#[test]
fn tokens_without_end_are_refused_before_they_are_cut() {
    let text = |text: &str| [&(text.len() as u64).to_le_bytes(), text.as_bytes()].concat();
    let list = |name: &str, kind: u32, values: &[Vec<u8>]| {
        [
            text(name),
            9u32.to_le_bytes().to_vec(),
            kind.to_le_bytes().to_vec(),
            (values.len() as u64).to_le_bytes().to_vec(),
            values.concat(),
        ]
        .concat()
    };
    let tokenizer = |long: usize| {
        let tokens = [text("<unk>"), text("</s>"), text(&"a".repeat(long))];
        let numbers = [0u32, 1, 2].map(|number| (number as f32).to_le_bytes().to_vec());
        let entries = [
            [text("tokenizer.ggml.model"), 8u32.to_le_bytes().to_vec(), text("llama")].concat(),
            [text("tokenizer.ggml.eos_token_id"), 4u32.to_le_bytes().to_vec(), 1u32.to_le_bytes().to_vec()].concat(),
            list("tokenizer.ggml.tokens", 8, &tokens),
            list("tokenizer.ggml.scores", 6, &numbers),
        ];
        let head =
            [b"GGUF".to_vec(), 3u32.to_le_bytes().to_vec(), 0u64.to_le_bytes().to_vec(), (entries.len() as u64).to_le_bytes().to_vec()];
        let path = fresh_folder().join("a.gguf");
        std::fs::write(&path, [head.concat(), entries.concat()].concat()).unwrap();
        AutoTokenizer::from_pretrained(&path.display().to_string())
    };
    tokenizer(1000).unwrap();
    refused(tokenizer(1 << 17), &["a.gguf", "too many letters"]);
}
