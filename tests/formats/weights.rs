//! Formats of weights: 16 bits, blocks, shards and GGUF, each beside the same weights in f32.

use std::collections::HashMap;
use std::path::Path;

use candle_core::quantized::gguf_file::{Value, write};
use candle_core::quantized::{GgmlDType, QTensor};
use candle_core::{DType, Tensor};
use finetuning::models::decoder::Cache;
use finetuning::*;

use crate::models::parity::load;
use crate::support::{assert_close, fixture, fresh_folder, refused, tiny_llama_of, tiny_model, tiny_rows, values};

const IDS: [u32; 12] = [53, 86, 47, 7, 55, 64, 8, 45, 1, 90, 33, 2];

fn logits(model: &CausalLm) -> Vec<f32> {
    values(&model.forward(&IDS, 1, false).unwrap())
}

fn greedy(model: &CausalLm) -> Vec<u32> {
    let config = GenerationConfig { max_new_tokens: 16, ..Default::default() };
    generate_batch(model, &[IDS[..5].to_vec()], &config, None, |_, _| Ok(())).unwrap().remove(0).ids
}

fn arguments() -> TrainingArguments {
    TrainingArguments { learning_rate: 1e-2, max_steps: 20, per_device_train_batch_size: 4, disable_tqdm: true, ..Default::default() }
}

#[test]
fn matrices_of_16_bits_answer_as_f32() {
    for name in ["tiny-neox", "tiny-llama", "tiny-qwen2"] {
        let exact = load(name);
        for (dtype, tolerance) in [(DType::BF16, 2e-2), (DType::F16, 2e-3)] {
            let model = AutoModelForCausalLM::from_pretrained_as(&fixture(name).display().to_string(), dtype).unwrap();
            assert_close(&format!("{name} {dtype:?}"), &logits(&model), &logits(&exact), 0.0, tolerance);
            assert_eq!(greedy(&model), greedy(&exact), "{name} {dtype:?}");
            assert_eq!(model.parameter_count(), exact.parameter_count());
            assert!(model.memory_footprint() < 6 * exact.memory_footprint() / 10);
            // Rounding the weights is all that F16 costs: unpacked, they give the same logits; packed again, the same bits. BF16
            // rounds the inputs of each product as well.
            let (unpacked, rounding) = (model.to_dtype(DType::F32).unwrap(), if dtype == DType::BF16 { 2e-2 } else { 1e-6 });
            assert_close(&format!("{name} {dtype:?} unpacked"), &logits(&model), &logits(&unpacked), rounding, rounding);
            assert!(logits(&exact.to_dtype(dtype).unwrap()) == logits(&model));
            assert_eq!(unpacked.trainable_parameter_count(), exact.parameter_count());
            // From a file in that format, too.
            let folder = fresh_folder();
            exact.save_pretrained_as(&folder, dtype).unwrap();
            let stored = AutoModelForCausalLM::from_pretrained_as(&folder.display().to_string(), dtype).unwrap();
            // Such a file has its norms in 16 bits as well.
            assert_close("stored", &logits(&stored), &logits(&load_folder(&folder)), rounding, rounding);
        }
    }
    refused(load("tiny-neox").to_dtype(DType::F64), &["F64", "BF16"]);
}

fn load_folder(folder: &Path) -> CausalLm {
    AutoModelForCausalLM::from_pretrained(&folder.display().to_string()).unwrap()
}

#[test]
fn a_row_is_the_same_however_many_come_with_it() {
    for base in [tiny_model(3), tiny_llama_of(64, 3, true)] {
        for model in [base.clone(), base.to_dtype(DType::BF16).unwrap(), base.quantized(GgmlDType::Q8_0).unwrap()] {
            let prompts: Vec<Vec<u32>> = (0..20).map(|row| vec![row as u32, 3 * row as u32 + 1, 95 - row as u32]).collect();
            let step = |prompts: &[Vec<u32>]| {
                let mut cache = Cache::new();
                let rows: Vec<&[u32]> = prompts.iter().map(|row| &row[..1]).collect();
                model.forward_cached_batch(&rows, &mut cache).unwrap();
                let rows: Vec<&[u32]> = prompts.iter().map(|row| &row[1..2]).collect();
                model.forward_cached_batch(&rows, &mut cache).unwrap().to_vec2::<f32>().unwrap()
            };
            let together = step(&prompts[..8]);
            for count in [1, 2, 4, 7] {
                assert!(step(&prompts[..count]) == together[..count], "{count} rows");
            }
            // More are multiplied in another order, which is the same for all of them.
            let all = step(&prompts);
            assert_close("20 rows", &all[..8].concat(), &together.concat(), 1e-5, 1e-5);
            #[cfg(target_arch = "x86_64")]
            if is_x86_feature_detected!("avx512f") {
                assert!(step(&prompts[..11]) == all[..11], "11 rows");
            }
        }
    }
}

#[test]
fn matrices_of_16_bits_are_frozen_and_carry_an_adapter() {
    // F16, whose products are exact, so that the merged model is the adapted one.
    let model = tiny_model(4).to_dtype(DType::F16).unwrap();
    refused(Trainer::new(&model, arguments(), tiny_rows(4), TokenizedDataset::default()), &["frozen", "with_lora"]);
    let adapted = model.with_lora(&LoraConfig { target_modules: vec!["all-linear".into()], ..Default::default() }).unwrap();
    let before = logits(&model);
    let mut trainer = Trainer::new(&adapted, arguments(), tiny_rows(12), TokenizedDataset::default()).unwrap();
    trainer.train().unwrap();
    let losses: Vec<f64> = trainer.history().iter().map(|report| report.loss).collect();
    assert!(losses[17..].iter().sum::<f64>() < 0.8 * losses[..3].iter().sum::<f64>(), "{losses:?}");
    assert_eq!(logits(&model), before, "the weights below have changed");
    refused(adapted.to_dtype(DType::F32), &["adapter", "merge_adapter()"]);
    assert_close("merged", &logits(&adapted.merge_adapter().unwrap()), &logits(&adapted), 1e-4, 1e-5);
}

/// The tensors of a checkpoint by llama.cpp's names; query and key with the halves of each head interleaved.
fn write_gguf(path: &Path, model: &CausalLm, dtype: GgmlDType, family: &str) {
    write_gguf_with(path, model, dtype, family, &HashMap::new());
}

/// [`write_gguf`] with more metadata.
pub fn write_gguf_with(path: &Path, model: &CausalLm, dtype: GgmlDType, family: &str, more: &HashMap<String, Value>) {
    let Config::Llama(config) = model.config().clone() else { panic!("a Llama") };
    let tensors: Vec<(String, QTensor)> = model
        .weights()
        .iter()
        .map(|(name, parameter)| {
            let mut tensor: Tensor = parameter.detached();
            for (part, heads) in [("q_proj", config.num_attention_heads), ("k_proj", config.kv_heads())] {
                if name.contains(part) {
                    let (rows, columns) = tensor.dims2().unwrap();
                    let parts = tensor.reshape((heads, 2, rows / heads / 2, columns)).unwrap();
                    tensor = parts.transpose(1, 2).unwrap().contiguous().unwrap().reshape((rows, columns)).unwrap();
                }
            }
            let mut name = name.replace("model.layers.", "blk.").replace("model.embed_tokens", "token_embd");
            let others = [("post_attention_layernorm", "ffn_norm"), ("input_layernorm", "attn_norm"), ("model.norm", "output_norm")];
            let parts = [("q_proj", "q"), ("k_proj", "k"), ("v_proj", "v"), ("o_proj", "output")]
                .map(|(ours, theirs)| (format!("self_attn.{ours}"), format!("attn_{theirs}")));
            let inner = ["gate", "up", "down"].map(|part| (format!("mlp.{part}_proj"), format!("ffn_{part}")));
            for (ours, theirs) in others.map(|(a, b)| (a.to_string(), b.to_string())).into_iter().chain(parts).chain(inner) {
                name = name.replace(&ours, &theirs);
            }
            let kept = if tensor.rank() == 2 { dtype } else { GgmlDType::F32 };
            (name.replace("lm_head", "output"), QTensor::quantize(&tensor, kept).unwrap())
        })
        .collect();
    let number = |n: usize| Value::U32(n as u32);
    let metadata: HashMap<&str, Value> = HashMap::from([
        ("general.architecture", Value::String(family.into())),
        ("llama.embedding_length", number(config.hidden_size)),
        ("llama.feed_forward_length", number(config.intermediate_size)),
        ("llama.block_count", number(config.num_hidden_layers)),
        ("llama.attention.head_count", number(config.num_attention_heads)),
        ("llama.attention.head_count_kv", number(config.kv_heads())),
        ("llama.context_length", number(config.max_position_embeddings)),
        ("llama.attention.layer_norm_rms_epsilon", Value::F32(config.rms_norm_eps as f32)),
        ("llama.rope.freq_base", Value::F32(config.rope_theta as f32)),
    ]);
    let more = more.iter().filter(|(key, _)| key.starts_with("tokenizer.")).map(|(key, value)| (key.as_str(), value));
    let metadata: Vec<(&str, &Value)> = metadata.iter().map(|(key, value)| (*key, value)).chain(more).collect();
    let tensors: Vec<(&str, &QTensor)> = tensors.iter().map(|(name, tensor)| (name.as_str(), tensor)).collect();
    write(&mut std::fs::File::create(path).unwrap(), &metadata, &tensors).unwrap();
}

#[test]
fn a_gguf_file_is_its_safetensors_twin() {
    let folder = fresh_folder();
    let path = folder.join("model.gguf");
    let name = path.display().to_string();
    for twin in [tiny_llama_of(64, 5, true), tiny_llama_of(64, 6, false)] {
        write_gguf(&path, &twin, GgmlDType::F32, "llama");
        let model = AutoModelForCausalLM::from_pretrained_as(&name, DType::F32).unwrap();
        assert_close("f32", &logits(&model), &logits(&twin), 1e-6, 1e-6);
        assert_eq!(model.trainable_parameter_count(), twin.parameter_count());
        for dtype in [GgmlDType::BF16, GgmlDType::Q8_0, GgmlDType::Q4_0, GgmlDType::Q4_1, GgmlDType::Q5_0] {
            write_gguf(&path, &twin, dtype, "llama");
            let model = AutoModelForCausalLM::from_pretrained(&name).unwrap();
            // `quantized` gives embedding and output 8 bits where the rest has 4.
            if [GgmlDType::BF16, GgmlDType::Q8_0].contains(&dtype) {
                assert_eq!(logits(&model), logits(&twin.quantized(dtype).unwrap()), "{dtype:?}");
            }
            assert_eq!(model.trainable_parameter_count(), 0);
            let bound = if dtype == GgmlDType::Q8_0 { 0.05 } else { 1.0 };
            assert_close("packed", &logits(&model), &logits(&twin), 0.0, bound);
            // The folder means its only file.
            assert_eq!(logits(&load_folder(&folder)), logits(&model));
        }
    }
    let bytes = std::fs::read(&path).unwrap();
    std::fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
    refused(AutoModelForCausalLM::from_pretrained(&name), &["model.gguf", "not a whole GGUF file"]);
    write_gguf(&path, &tiny_llama_of(64, 5, true), GgmlDType::F32, "mamba");
    refused(AutoModelForCausalLM::from_pretrained(&name), &["`mamba`", "`llama`", "safetensors"]);
    std::fs::copy(&path, folder.join("other.gguf")).unwrap();
    refused(AutoModelForCausalLM::from_pretrained(&folder.display().to_string()), &["holds 2 models", "name one of them"]);
}

#[test]
fn shards_are_one_checkpoint_and_a_missing_one_is_named() {
    let (folder, model) = (fresh_folder(), load("tiny-neox"));
    let (first, second) = ("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors");
    let mut map = serde_json::Map::new();
    let mut shards: [HashMap<String, Tensor>; 2] = Default::default();
    for (index, (name, parameter)) in model.weights().iter().enumerate() {
        shards[index % 2].insert(name.clone(), parameter.detached());
        map.insert(name.clone(), [first, second][index % 2].into());
    }
    for (shard, name) in shards.iter().zip([first, second]) {
        candle_core::safetensors::save(shard, folder.join(name)).unwrap();
    }
    std::fs::copy(fixture("tiny-neox/config.json"), folder.join("config.json")).unwrap();
    let index = serde_json::json!({ "metadata": {}, "weight_map": map });
    std::fs::write(folder.join("model.safetensors.index.json"), index.to_string()).unwrap();
    assert_eq!(logits(&load_folder(&folder)), logits(&model));
    std::fs::remove_file(folder.join(second)).unwrap();
    refused(AutoModelForCausalLM::from_pretrained(&folder.display().to_string()), &[second, "1 of 2 shards"]);
    candle_core::safetensors::save(&shards[1], folder.join(second)).unwrap();
    // What is saved into the folder is what is loaded from it.
    let other = tiny_model(3);
    other.save_pretrained(&folder).unwrap();
    assert_eq!(logits(&load_folder(&folder)), logits(&other));
    assert!(!folder.join(first).exists() && !folder.join(second).exists());
}

#[test]
fn a_pickle_is_refused_with_the_way_to_convert_it() {
    let folder = fresh_folder();
    std::fs::copy(fixture("tiny-neox/config.json"), folder.join("config.json")).unwrap();
    std::fs::write(folder.join("pytorch_model.bin"), b"PK").unwrap();
    refused(AutoModelForCausalLM::from_pretrained(&folder.display().to_string()), &["pytorch_model.bin", "pickle", "save_pretrained"]);
}

#[test]
fn tensors_that_the_model_has_no_place_for_are_said() {
    let folder = fresh_folder();
    tiny_model(3).save_pretrained(&folder).unwrap();
    let path = folder.join("model.safetensors");
    let mut all = candle_core::safetensors::load(&path, &Device::Cpu).unwrap();
    let said = || {
        let output = crate::process::harness("load").arg(&folder).output().unwrap();
        assert!(output.status.success());
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    // What older files of Pythia hold beside the weights is made anew, and no news.
    for name in ["gpt_neox.layers.0.attention.bias", "gpt_neox.layers.0.attention.rotary_emb.inv_freq"] {
        all.insert(name.into(), Tensor::zeros(4, DType::F32, &Device::Cpu).unwrap());
    }
    candle_core::safetensors::save(&all, &path).unwrap();
    assert_eq!(said(), "");
    all.insert("gpt_neox.layers.0.attention.q_norm.weight".into(), Tensor::ones(4, DType::F32, &Device::Cpu).unwrap());
    candle_core::safetensors::save(&all, &path).unwrap();
    let said = said();
    assert!(said.contains("1 tensors have no place") && said.contains("`gpt_neox.layers.0.attention.q_norm.weight`"), "{said}");
}
