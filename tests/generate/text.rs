//! Generated text against transformers: greedy with penalties, beams, filters; a batch is its prompts one by one.

use finetuning::generate::sampler::softmax;
use finetuning::*;
use serde_json::Value;

use crate::support::finetuned::{finetuned, learnt};
use crate::support::{assert_close, fixture, ids, json, numbers};

fn config(options: &Value, max_new_tokens: usize, eos: u32) -> GenerationConfig {
    let number = |name: &str, default: f64| options[name].as_f64().unwrap_or(default);
    GenerationConfig {
        max_new_tokens,
        min_new_tokens: number("min_new_tokens", 0.0) as usize,
        num_return_sequences: number("num_return_sequences", 1.0) as usize,
        eos_token_id: vec![eos],
        temperature: number("temperature", 1.0),
        top_k: number("top_k", 0.0) as usize,
        top_p: number("top_p", 1.0),
        min_p: number("min_p", 0.0),
        repetition_penalty: number("repetition_penalty", 1.0),
        no_repeat_ngram_size: number("no_repeat_ngram_size", 0.0) as usize,
        num_beams: number("num_beams", 1.0) as usize,
        length_penalty: number("length_penalty", 1.0),
        early_stopping: options["early_stopping"].as_bool().unwrap_or(false),
        ..Default::default()
    }
}

#[test]
fn texts_are_transformers_and_a_batch_is_its_prompts() {
    let mut compared = 0;
    for case in json("generation.json")["models"].as_array().unwrap() {
        let name = case["model"].as_str().unwrap();
        let model = CausalLm::from_folder(&fixture(name), &Device::Cpu).unwrap();
        let prompts: Vec<Vec<u32>> = case["prompts"].as_array().unwrap().iter().map(ids).collect();
        for run in case["cases"].as_array().unwrap() {
            let config = config(&run["options"], case["max_new_tokens"].as_u64().unwrap() as usize, case["eos"].as_u64().unwrap() as u32);
            let ours = generate_batch(&model, &prompts, &config, None, |_, _| Ok(())).unwrap();
            assert_eq!(ours.len(), run["outputs"].as_array().unwrap().len());
            for (row, theirs) in run["outputs"].as_array().unwrap().iter().enumerate() {
                assert_eq!(ours[row].ids, ids(theirs), "{name} {} prompt {row}", run["options"]);
                assert_eq!(ours[row].ended, ids(theirs).last() == Some(&35), "{name} {} prompt {row}", run["options"]);
                compared += 1;
            }
            if run["options"].as_object().unwrap().is_empty() {
                for (ours, theirs) in ours.iter().zip(case["log_probabilities"].as_array().unwrap()) {
                    let ours: Vec<f32> = ours.log_probabilities.iter().map(|p| *p as f32).collect();
                    assert_close(&format!("{name} log-probabilities"), &ours, &numbers(theirs), 1e-5, 0.0);
                }
            }
        }
    }
    assert_eq!(compared, 2 * (8 * 3 + 9 + 6));
}

#[test]
fn filters_are_transformers() {
    let case = json("generation.json");
    for run in case["processors"].as_array().unwrap() {
        let config = config(&run["options"], 1, 0);
        let mut logits = numbers(&case["logits"]);
        config.process_logits(&mut logits, &ids(&case["past"]), 0);
        config.warp_logits(&mut logits);
        let ours: Vec<f32> = softmax(&logits).iter().map(|p| *p as f32).collect();
        assert_close(&run["options"].to_string(), &ours, &numbers(&run["probabilities"]), 1e-6, 0.0);
    }
}

#[test]
fn samples_follow_their_seed_and_their_probabilities() {
    let model = crate::support::tiny_model(11);
    let draw = |seed, prompts: usize| {
        let config = GenerationConfig { do_sample: true, max_new_tokens: 12, seed, ..Default::default() };
        generate_batch(&model, &vec![vec![3, 4, 5]; prompts], &config, None, |_, _| Ok(())).unwrap()
    };
    assert_eq!(draw(1, 1)[0].ids, draw(1, 3)[2].ids, "a prompt draws the same in company");
    assert_ne!(draw(1, 1)[0].ids, draw(2, 1)[0].ids);
    // Several texts of one prompt are those of the seeds from the first on.
    let config = GenerationConfig { do_sample: true, max_new_tokens: 12, seed: 1, num_return_sequences: 3, ..Default::default() };
    let three = generate_batch(&model, &[vec![3, 4, 5]], &config, None, |_, _| Ok(())).unwrap();
    assert!(three.iter().zip(1..).all(|(text, seed)| text.ids == draw(seed, 1)[0].ids) && three.len() == 3);
    // The first id of many seeds, against the model's own probabilities.
    let logits = crate::support::values(&model.forward(&[3, 4, 5], 1, false).unwrap());
    let probabilities = softmax(&logits[2 * 96..]);
    let config = GenerationConfig { do_sample: true, top_k: 0, ..Default::default() };
    let mut counts = vec![0f64; 96];
    let mut random = finetuning::util::rng::Pcg64::new(5);
    for _ in 0..20_000 {
        counts[config.sample(logits[2 * 96..].to_vec(), &mut random).unwrap() as usize] += 1.0 / 20_000.0;
    }
    let distance: f64 = counts.iter().zip(&probabilities).map(|(a, b)| (a - b).abs()).sum();
    assert!(distance < 0.08, "total variation {distance}");
}

#[test]
fn tokens_come_one_by_one_and_a_stop_string_ends_the_text() {
    let (model, tokenizer) =
        (AutoModelForCausalLM::from_pretrained("builtin:base").unwrap(), AutoTokenizer::from_pretrained("builtin:base").unwrap());
    let prompt = tokenizer.encode("One morning").unwrap();
    let config = GenerationConfig { max_new_tokens: 40, eos_token_id: vec![tokenizer.eos_id()], ..Default::default() };
    let mut streamed = Vec::new();
    let whole = generate_batch(&model, std::slice::from_ref(&prompt), &config, Some(&tokenizer), |_, id| {
        streamed.push(id);
        Ok(())
    });
    let whole = whole.unwrap().remove(0);
    assert_eq!(streamed, whole.ids);
    let text = tokenizer.decode(&whole.ids).unwrap();
    let stop = text.split_whitespace().nth(2).unwrap().to_string();
    let stopping = GenerationConfig { stop_strings: vec![stop.clone()], ..config };
    let short = generate_batch(&model, &[prompt], &stopping, Some(&tokenizer), |_, _| Ok(())).unwrap().remove(0);
    assert!(short.ended && short.ids.len() < whole.ids.len() && tokenizer.decode(&short.ids).unwrap().contains(&stop), "{text}");
}

#[test]
fn a_character_comes_when_its_bytes_are_there() {
    let tokenizer = AutoTokenizer::from_pretrained("builtin:base").unwrap();
    let text = "naïve — 漢字 🙂, end";
    let ids = tokenizer.encode(text).unwrap();
    assert!(ids.iter().any(|&id| tokenizer.decode(&[id]).unwrap().contains('\u{fffd}')), "no character is split: {ids:?}");
    let mut streamer = TextStreamer::new(&tokenizer);
    let pieces: Vec<String> = ids.iter().map(|&id| streamer.push(id).unwrap()).collect();
    assert_eq!((pieces.concat(), streamer.end().unwrap()), (text.to_string(), String::new()));
    assert!(pieces.iter().all(|piece| !piece.contains('\u{fffd}')) && pieces.iter().any(String::is_empty), "{pieces:?}");
    // Bytes whose character never comes: at the end, and before other text.
    let half = &tokenizer.encode("🙂").unwrap()[..1];
    for ids in [half.to_vec(), [half, &tokenizer.encode("abc").unwrap()[..]].concat(), [half, half].concat()] {
        let mut streamer = TextStreamer::new(&tokenizer);
        let pieces: String = ids.iter().map(|&id| streamer.push(id).unwrap()).collect();
        assert_eq!(pieces + &streamer.end().unwrap(), tokenizer.decode(&ids).unwrap());
    }
}

#[test]
fn what_cannot_be_generated_is_refused() {
    let model = crate::support::tiny_model(12);
    let refuse = |prompts: &[Vec<u32>], config: GenerationConfig| {
        generate_batch(&model, prompts, &config, None, |_, _| Ok(())).unwrap_err().to_string()
    };
    let settings = GenerationConfig::default;
    for (error, words) in [
        (refuse(&[vec![1], vec![]], settings()), "prompt 1: the prompt has no tokens"),
        (refuse(&[vec![1; 64]], settings()), "64 tokens"),
        (refuse(&[vec![96]], settings()), "vocabulary of 96"),
        (refuse(&[vec![1]], GenerationConfig { temperature: 0.0, ..settings() }), "temperature is 0; it must be above 0"),
        (refuse(&[vec![1]], GenerationConfig { top_p: 1.5, ..settings() }), "top_p is 1.5"),
        (refuse(&[vec![1]], GenerationConfig { num_beams: 2, do_sample: true, ..settings() }), "num_beams is 2"),
        (
            refuse(&[vec![1]], GenerationConfig { num_beams: 2, stop_strings: vec!["x".into()], ..settings() }),
            "1 when there are stop_strings",
        ),
        (refuse(&[vec![1]], GenerationConfig { num_return_sequences: 2, ..settings() }), "num_return_sequences is 2"),
        (refuse(&[vec![1]], GenerationConfig { min_new_tokens: 21, ..settings() }), "at most max_new_tokens"),
    ] {
        assert!(error.contains(words) && error.contains("hint:"), "{error}");
    }
    let (model, tokenizer) =
        (AutoModelForCausalLM::from_pretrained("builtin:base").unwrap(), AutoTokenizer::from_pretrained("builtin:base").unwrap());
    let beams = GenerationConfig { num_beams: 2, ..settings() };
    let error = stream_text("a", &model, &tokenizer, &beams).unwrap_err().to_string();
    assert!(error.contains("num_beams is 2") && error.contains("generate_texts"), "{error}");
}

#[test]
#[expect(deprecated, reason = "the old name for the same draw")]
fn one_seed_is_one_text_in_every_call() {
    let (model, prompt) = (crate::support::tiny_model(11), vec![3, 4, 5]);
    let config = GenerationConfig { do_sample: true, temperature: 1.3, top_k: 20, max_new_tokens: 12, seed: 7, ..Default::default() };
    let batch = generate_batch(&model, std::slice::from_ref(&prompt), &config, None, |_, _| Ok(())).unwrap().remove(0).ids;
    let whole = [prompt.clone(), batch].concat();
    assert_eq!(generate(&model, &prompt, 15, u32::MAX, config).unwrap(), whole);
    assert_eq!(generate(&model, &prompt, 15, u32::MAX, Decoding::Sample { temperature: 1.3, top_k: 20, seed: 7 }).unwrap(), whole);
    assert_ne!(generate(&model, &prompt, 15, u32::MAX, Decoding::Sample { temperature: 1.3, top_k: 20, seed: 8 }).unwrap(), whole);
    assert_eq!(
        generate(&model, &prompt, 15, u32::MAX, Decoding::Greedy).unwrap(),
        generate_until(&model, &prompt, 15, &[], GenerationConfig::default()).unwrap()
    );
}

#[test]
fn a_tiny_temperature_is_greedy() {
    let model = crate::support::tiny_model(11);
    let ids = |config: GenerationConfig| generate_until(&model, &[3, 4, 5], 15, &[], config).unwrap();
    for temperature in [1e-6, 1e-38, 1e-45, 1e-300] {
        assert_eq!(ids(GenerationConfig { do_sample: true, temperature, ..Default::default() }), ids(Default::default()), "{temperature}");
    }
    let mut logits = [-3.0f32, -2.0, f32::NEG_INFINITY];
    GenerationConfig { do_sample: true, temperature: 1e-45, ..Default::default() }.warp_logits(&mut logits);
    assert_eq!(softmax(&logits), [0.0, 1.0, 0.0]);
}

#[test]
fn a_model_that_gives_no_numbers_is_refused_in_every_call() {
    let model = crate::support::tiny_model(13);
    let (_, weight) = &model.weights()[0];
    weight.set(&(weight.zeros_like().unwrap() + f64::NAN).unwrap()).unwrap();
    for config in [
        GenerationConfig::default(),
        GenerationConfig { do_sample: true, ..Default::default() },
        GenerationConfig { num_beams: 2, ..Default::default() },
        GenerationConfig { repetition_penalty: 1.5, ..Default::default() },
    ] {
        for result in [
            generate_batch(&model, &[vec![1, 2]], &config, None, |_, _| Ok(())).map(|texts| texts.len()),
            generate(&model, &[1, 2], 9, 0, config.clone()).map(|ids| ids.len()),
        ] {
            crate::support::refused(result, &["96 of the model's 96 logits are NaN"]);
        }
    }
    // What forbids every token is named as well.
    let model = crate::support::tiny_model(13);
    let logits = vec![f32::NEG_INFINITY; 96];
    let mut random = finetuning::util::rng::Pcg64::new(1);
    for do_sample in [false, true] {
        let config = GenerationConfig { do_sample, ..Default::default() };
        crate::support::refused(config.sample(logits.clone(), &mut random), &["no token can be chosen", "no_repeat_ngram_size"]);
    }
    let runs = GenerationConfig { num_beams: usize::MAX, max_new_tokens: 1, no_repeat_ngram_size: usize::MAX, ..Default::default() };
    assert_eq!(generate_batch(&model, &[vec![1, 2]], &runs, None, |_, _| Ok(())).unwrap().len(), 1);
}

#[test]
fn settings_without_an_effect_are_refused() {
    let model = crate::support::tiny_model(12);
    let refuse = |config: GenerationConfig, words: &[&str]| {
        crate::support::refused(generate_batch(&model, &[vec![1]], &config, None, |_, _| Ok(())), words);
    };
    refuse(GenerationConfig { stop_strings: vec!["x".into()], ..Default::default() }, &["stop_strings are [\"x\"]", "Some(&tokenizer)"]);
    let unused = "unless do_sample is true";
    refuse(GenerationConfig { temperature: 0.7, ..Default::default() }, &["temperature is 0.7", unused]);
    refuse(GenerationConfig { top_k: 5, ..Default::default() }, &["top_k is 5", unused]);
    refuse(GenerationConfig { top_p: 0.9, ..Default::default() }, &["top_p is 0.9", unused]);
    refuse(GenerationConfig { min_p: 0.1, ..Default::default() }, &["min_p is 0.1", unused]);
}

#[test]
fn special_tokens_stop_a_text_and_are_no_part_of_an_answer() {
    let name = finetuned();
    let (model, tokenizer) = (AutoModelForCausalLM::from_pretrained(name).unwrap(), AutoTokenizer::from_pretrained(name).unwrap());
    let rows = learnt();
    let question = rows.get(0).unwrap().field("question").unwrap();
    let prompt = tokenizer.encode(question).unwrap();
    let stopping = GenerationConfig { max_new_tokens: 90, stop_strings: vec!["<|endoftext|>".into()], ..Default::default() };
    let stopped = generate_batch(&model, std::slice::from_ref(&prompt), &stopping, Some(&tokenizer), |_, _| Ok(())).unwrap().remove(0);
    assert_eq!((stopped.ended, stopped.ids.last()), (true, Some(&tokenizer.eos_id())));
    // A special token in the prompt, and a prompt that is cut: the answer is the new ids' text.
    let special = format!("<|endoftext|>{question}");
    for (text, most) in [(question, 1000), (special.as_str(), 1000), (question, 9)] {
        let read = truncate(&tokenizer.encode_prompt(text).unwrap(), most, Side::Right);
        let ids = generate(&model, &read, 100, tokenizer.eos_id(), GenerationConfig::default()).unwrap();
        let answer = inference(text, &model, &tokenizer, most, 100).unwrap();
        assert_eq!(answer, tokenizer.decode(&ids[read.len()..]).unwrap(), "{text:?} {most}");
        assert!(!answer.is_empty());
    }
}

#[test]
fn end_ids_of_generation_config_end_a_text() {
    let folder = crate::support::fresh_folder();
    AutoModelForCausalLM::from_pretrained("builtin:base").unwrap().save_pretrained(&folder).unwrap();
    let name = folder.to_str().unwrap();
    let (model, tokenizer) = (AutoModelForCausalLM::from_pretrained(name).unwrap(), AutoTokenizer::from_pretrained(name).unwrap());
    let texts =
        || generate_texts(&["What is finetuning?"], &model, &tokenizer, &GenerationConfig { max_new_tokens: 12, ..Default::default() });
    let long = texts().unwrap().remove(0);
    let ids = tokenizer.encode(&long).unwrap();
    let end = ids[3];
    let short = tokenizer.decode(&ids[..=ids.iter().position(|id| *id == end).unwrap()]).unwrap();
    let server = serve(name).unwrap();
    for value in [serde_json::json!(end), serde_json::json!([u32::MAX, end])] {
        std::fs::write(folder.join("generation_config.json"), serde_json::json!({ "eos_token_id": value }).to_string()).unwrap();
        assert_eq!(texts().unwrap(), [short.as_str()]);
        let answer = crate::serve::client::completion(&server, "What is finetuning?", 12, serde_json::json!({})).json();
        assert_eq!(answer["choices"][0]["finish_reason"], "stop", "{answer}");
        assert_eq!(answer["usage"]["completion_tokens"], tokenizer.encode(&short).unwrap().len());
        assert!(inference("What is finetuning?", &model, &tokenizer, 1000, 100).unwrap().ends_with(&short[short.len() - 2..]));
    }
    std::fs::write(folder.join("generation_config.json"), "{\"eos_token_id\": \"</s>\"}").unwrap();
    crate::support::refused(texts(), &["generation_config.json", "\"</s>\" as `eos_token_id`"]);
}
