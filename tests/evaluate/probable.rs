//! The probability of the next tokens and of what follows: sums of log softmax, and transformers' numbers.

use finetuning::generate::sampler::log_softmax;
use finetuning::*;

use crate::support::{fixture, fresh_folder, ids, json, numbers, refused, values};

/// A tokenizer with a word for each id of the tiny models: `w0` to `w95`.
pub fn words() -> Tokenizer {
    let vocabulary: serde_json::Map<String, serde_json::Value> = (0..96).map(|id| (format!("w{id}"), id.into())).collect();
    let tokenizer = serde_json::json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": [], "normalizer": null, "post_processor": null, "decoder": null,
        "pre_tokenizer": { "type": "WhitespaceSplit" }, "model": { "type": "WordLevel", "vocab": vocabulary, "unk_token": "w0" },
    });
    let folder = fresh_folder();
    std::fs::write(folder.join("tokenizer.json"), tokenizer.to_string()).unwrap();
    std::fs::write(folder.join("tokenizer_config.json"), r#"{"eos_token": "w35"}"#).unwrap();
    Tokenizer::from_folder(&folder).unwrap()
}

fn text(ids: &[u32]) -> String {
    ids.iter().map(|id| format!("w{id}")).collect::<Vec<_>>().join(" ")
}

#[test]
fn what_follows_is_as_probable_as_in_transformers() {
    let tokenizer = words();
    for case in json("generation.json")["models"].as_array().unwrap() {
        let model = CausalLm::from_folder(&fixture(case["model"].as_str().unwrap()), &Device::Cpu).unwrap();
        let greedy = &case["cases"][0];
        assert!(greedy["options"].as_object().unwrap().is_empty());
        for (row, prompt) in case["prompts"].as_array().unwrap().iter().enumerate() {
            let (prompt, next, theirs) = (ids(prompt), ids(&greedy["outputs"][row]), numbers(&case["log_probabilities"][row]));
            let (prompt, next) = (text(&prompt), text(&next));
            let ours = log_probability(&model, &tokenizer, &prompt, &format!(" {next}")).unwrap();
            let sum: f64 = theirs.iter().map(|p| f64::from(*p)).sum();
            assert!((ours - sum).abs() < 1e-4, "{ours} is not {sum}");
            let (word, p) = next_tokens(&model, &tokenizer, &prompt, 1).unwrap().remove(0);
            assert_eq!(word, next.split(' ').next().unwrap());
            assert!((p.ln() - f64::from(theirs[0])).abs() < 1e-5, "{p}");
        }
    }
}

#[test]
fn probabilities_are_the_softmax_of_the_logits() {
    let (model, tokenizer) = (crate::support::tiny_model(3), words());
    let prompt = [3u32, 4, 5, 6];
    let logits = values(&model.forward(&prompt, 1, false).unwrap());
    let own = log_softmax(&logits[3 * 96..]);
    let next = next_tokens(&model, &tokenizer, &text(&prompt), 96).unwrap();
    assert!((next.iter().map(|(_, p)| p).sum::<f64>() - 1.0).abs() < 1e-9);
    assert!(next.windows(2).all(|pair| pair[0].1 >= pair[1].1));
    for (word, p) in &next {
        let id: usize = word[1..].parse().unwrap();
        assert!((p.ln() - own[id]).abs() < 1e-4, "{word}");
        // One token is as probable as what follows.
        let alone = log_probability(&model, &tokenizer, &text(&prompt), &format!(" {word}")).unwrap();
        assert!((p.ln() - alone).abs() < 1e-4, "{word}: {} is not {alone}", p.ln());
    }
    assert_eq!(next_tokens(&model, &tokenizer, &text(&prompt), 5).unwrap(), next[..5]);
    // Several tokens are the sum of each behind those before it.
    let (whole, parts) = ([7u32, 8, 9], [text(&prompt), text(&[3, 4, 5, 6, 7]), text(&[3, 4, 5, 6, 7, 8])]);
    let each = whole.iter().zip(&parts).map(|(id, before)| log_probability(&model, &tokenizer, before, &format!(" w{id}")).unwrap());
    let sum: f64 = each.sum();
    assert!((log_probability(&model, &tokenizer, &text(&prompt), &format!(" {}", text(&whole))).unwrap() - sum).abs() < 1e-4);
    // What is chosen has the highest score per byte.
    let choices: Vec<String> = (10..30).map(|id| format!("w{id} w7")).collect();
    let choices: Vec<&str> = choices.iter().map(String::as_str).collect();
    let score = |choice: &str| log_probability(&model, &tokenizer, "w3 w4 ", choice).unwrap() / choice.len() as f64;
    let best = choices.iter().copied().max_by(|a, b| score(a).total_cmp(&score(b))).unwrap();
    assert_eq!(choose(&model, &tokenizer, "w3 w4 ", &choices).unwrap(), best);
    refused(choose(&model, &tokenizer, "w3", &[]), &["there is no choice"]);
    refused(choose(&model, &tokenizer, "w3 ", &["w4", " "]), &["choice 1 is empty"]);
    refused(next_tokens(&model, &tokenizer, "w1", 0), &["n is 0"]);
    refused(next_tokens(&model, &tokenizer, "", 3), &["no tokens"]);
    refused(next_tokens(&model, &tokenizer, &"w1 ".repeat(64), 3), &["64 tokens"]);
}

#[test]
fn the_real_model_knows_a_capital() {
    let (Ok(model), Ok(tokenizer)) =
        (AutoModelForCausalLM::from_pretrained("builtin:smol"), AutoTokenizer::from_pretrained("builtin:smol"))
    else {
        return crate::support::skipped("SmolLM2-135M-Instruct is not on this machine (`cargo lab setup` fetches it)");
    };
    let after = |word: &str| log_probability(&model, &tokenizer, "The capital of France is", word).unwrap();
    assert!(after(" Paris") > -1.0 && after(" Berlin") < -5.0, "{} {}", after(" Paris"), after(" Berlin"));
    let (word, p) = next_tokens(&model, &tokenizer, "The capital of France is", 3).unwrap().remove(0);
    assert!(word == " Paris" && (p.ln() - after(" Paris")).abs() < 1e-3, "{word:?} {p}");
    // By probability the right one is taken, in any order.
    let judge =
        |first: &str, second: &str| judge_by_probability(&model, &tokenizer, "What is the capital of France?", first, second).unwrap();
    let (right, wrong) = ("The capital of France is Paris.", "The capital of France is Berlin.");
    assert_eq!((judge(right, wrong).verdict(), judge(wrong, right).verdict()), (Verdict::First, Verdict::Second));
    refused(judge_by_probability(&model, &tokenizer, "Who?", right, " "), &["choice 1 is empty"]);
}
