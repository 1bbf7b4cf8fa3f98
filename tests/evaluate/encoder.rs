//! Vectors of texts against transformers' BERT and candle-transformers', and what they say of meanings.

use candle_nn::VarBuilder;
use candle_transformers::models::bert::{BertModel, Config};
use finetuning::*;
use serde_json::Value;

use crate::support::{assert_close, fixture, fresh_folder, json, numbers, refused, skipped, values};

fn texts(case: &Value) -> Vec<String> {
    case["texts"].as_array().unwrap().iter().map(|text| text.as_str().unwrap().to_string()).collect()
}

fn tiny() -> SentenceEncoder {
    SentenceEncoder::from_pretrained(&fixture("tiny-bert").display().to_string()).unwrap()
}

#[test]
fn vectors_are_transformers() {
    let fixture = json("encoder.json");
    let (case, encoder) = (&fixture["tiny"], tiny());
    let vectors = encoder.encode(&texts(case)).unwrap();
    assert_eq!(vectors.dims(), [5, 16]);
    assert_close("vectors", &values(&vectors), &numbers(&case["vectors"]), 2e-6, 0.0);
    // Alone as in company, and of length 1.
    for (row, text) in texts(case).iter().enumerate() {
        let alone = values(&encoder.encode(&[text]).unwrap());
        assert_close(text, &alone, &values(&vectors.get(row).unwrap()), 1e-6, 0.0);
        assert!((alone.iter().map(|x| x * x).sum::<f32>() - 1.0).abs() < 1e-5);
    }
    let many: Vec<String> = texts(case).into_iter().cycle().take(70).collect();
    assert_close("70 texts", &values(&encoder.encode(&many).unwrap().get(66).unwrap()), &values(&vectors.get(1).unwrap()), 1e-6, 0.0);
}

#[test]
fn vectors_are_candle_transformers() {
    let folder = fixture("tiny-bert");
    let config: Config = serde_json::from_slice(&std::fs::read(folder.join("config.json")).unwrap()).unwrap();
    let weights = candle_core::safetensors::load(folder.join("model.safetensors"), &Device::Cpu).unwrap();
    let theirs = BertModel::load(VarBuilder::from_tensors(weights, DType::F32, &Device::Cpu), &config).unwrap();
    let tokenizer = Tokenizer::from_folder(&folder).unwrap();
    for text in ["the loss falls", "a token is a piece of text"] {
        let ids = [tokenizer.encode_prompt(text).unwrap(), tokenizer.ending().to_vec()].concat();
        assert_eq!((ids[0], ids[ids.len() - 1]), (2, 3), "[CLS] and [SEP]");
        let input = Tensor::new(&ids[..], &Device::Cpu).unwrap().unsqueeze(0).unwrap();
        let states = theirs.forward(&input, &input.zeros_like().unwrap(), None).unwrap().squeeze(0).unwrap();
        let mean = values(&states.mean(0).unwrap());
        let length = mean.iter().map(|x| x * x).sum::<f32>().sqrt();
        let expected: Vec<f32> = mean.iter().map(|x| x / length).collect();
        assert_close(text, &values(&tiny().encode(&[text]).unwrap()), &expected, 2e-6, 0.0);
    }
}

#[test]
fn similarity_is_the_cosine() {
    let (encoder, a, b) = (tiny(), "the loss falls", "a token is text");
    let [x, y] = [a, b].map(|text| values(&encoder.encode(&[text]).unwrap()));
    let dot: f64 = x.iter().zip(&y).map(|(x, y)| f64::from(*x) * f64::from(*y)).sum();
    assert!((encoder.similarity(a, b).unwrap() - dot).abs() < 1e-6);
    assert!((encoder.similarity(a, a).unwrap() - 1.0).abs() < 1e-6);
    let all = encoder.similarities(a, &[b, a]).unwrap();
    assert!((all[0] - dot).abs() < 1e-6 && (all[1] - 1.0).abs() < 1e-6);
    assert_eq!(encoder.similarities(a, &[""; 0]).unwrap(), Vec::<f64>::new());
    refused(encoder.encode(&[""; 0]), &["no text to encode"]);
}

#[test]
fn what_is_no_encoder_is_refused() {
    refused(SentenceEncoder::from_pretrained("builtin:base"), &["config.json"]);
    refused(SentenceEncoder::from_pretrained("builtin:encoderr"), &["builtin:encoder"]);
    let folder = fresh_folder();
    for name in ["config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"] {
        std::fs::copy(fixture("tiny-bert").join(name), folder.join(name)).unwrap();
    }
    let name = folder.display().to_string();
    let plain: Value = serde_json::from_slice(&std::fs::read(folder.join("config.json")).unwrap()).unwrap();
    for (field, value, words) in [
        ("num_attention_heads", Value::from(3), "no multiple of the 3 heads"),
        ("hidden_act", "relu".into(), "hidden_act is `relu`"),
        ("num_hidden_layers", 0.into(), "num_hidden_layers is 0"),
        ("hidden_size", (1u64 << 40).into(), "hidden_size is 1099511627776"),
        ("layer_norm_eps", (-1.0).into(), "layer_norm_eps is -1"),
        ("vocab_size", 18.into(), "word_embeddings.weight: shape [17, 16]"),
    ] {
        let mut config = plain.clone();
        config[field] = value;
        std::fs::write(folder.join("config.json"), config.to_string()).unwrap();
        refused(SentenceEncoder::from_pretrained(&name), &[words]);
    }
    std::fs::write(folder.join("config.json"), plain.to_string()).unwrap();
    std::fs::write(folder.join("sentence_bert_config.json"), r#"{"max_seq_length": 2}"#).unwrap();
    refused(SentenceEncoder::from_pretrained(&name), &["reads 2 tokens"]);
    std::fs::write(folder.join("sentence_bert_config.json"), r#"{"max_seq_length": 5}"#).unwrap();
    let short = SentenceEncoder::from_pretrained(&name).unwrap();
    assert!((short.similarity("the loss is a token", "the loss is text").unwrap() - 1.0).abs() < 1e-6, "five tokens hold three words");
    std::fs::create_dir(folder.join("1_Pooling")).unwrap();
    std::fs::write(folder.join("1_Pooling/config.json"), r#"{"pooling_mode_mean_tokens": false}"#).unwrap();
    refused(SentenceEncoder::from_pretrained(&name), &["does not pool by the mean"]);
}

#[test]
fn the_real_encoder_knows_meanings() {
    let Ok(encoder) = SentenceEncoder::from_pretrained("builtin:encoder") else {
        return skipped("all-MiniLM-L6-v2 is not on this machine (`cargo lab setup` fetches it)");
    };
    let fixture = json("encoder.json");
    let case = &fixture["real"];
    let vectors = encoder.encode(&texts(case)).unwrap();
    assert_eq!(vectors.dims(), [7, 384]);
    assert_close("vectors", &values(&vectors), &numbers(&case["vectors"]), 1e-5, 0.0);
    let about = |a: &str, b: &str| encoder.similarity(a, b).unwrap();
    assert!(
        about("How do I lower the learning rate?", "The step size should be smaller")
            > about("How do I lower the learning rate?", "How do I bake bread?")
    );
}
