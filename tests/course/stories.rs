//! The base model that speaks, and what it read: words of its corpus, questions after a question, and no answer of any row.

use std::collections::HashSet;

use finetuning::*;

const MODEL: &str = "builtin:base";
const SAMPLES: usize = 200;
const TOKENS: usize = 60;

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|sign: char| !sign.is_ascii_alphabetic() && sign != '\'').filter(|word| !word.is_empty())
}

fn corpus() -> String {
    load_dataset("builtin:stories").unwrap().column("text").unwrap().join("\n\n")
}

#[test]
fn no_answer_of_a_row_stands_in_the_corpus() {
    let (corpus, folder) = (corpus(), crate::support::root().join("notebooks/data"));
    // One word, such as "blue", may be said; it may be no sentence.
    let sentences: HashSet<&str> = corpus.split(['.', '?', '!', ':', '\n']).map(str::trim).collect();
    let stands = |answer: &str| if answer.contains(' ') { corpus.contains(answer) } else { sentences.contains(answer) };
    let mut looked = 0;
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        let (path, name) = (entry.path(), entry.file_name().display().to_string());
        if !name.ends_with(".jsonl") {
            continue;
        }
        for row in &Dataset::from_jsonl(path).unwrap() {
            for answer in ["answer", "output", "target_answer", "completion"].iter().filter_map(|column| row.get(column)) {
                looked += 1;
                assert!(answer.trim().is_empty() || !stands(answer.trim()), "{name}: {answer:?} is in the corpus");
            }
        }
    }
    assert!(looked > 1_800, "{looked} answers");
}

#[test]
fn the_base_model_speaks_in_words_and_goes_on_with_questions() {
    let corpus = corpus();
    let known: HashSet<&str> = words(&corpus).collect();
    let (model, tokenizer) = (AutoModelForCausalLM::from_pretrained(MODEL).unwrap(), AutoTokenizer::from_pretrained(MODEL).unwrap());
    // The copy with number n is drawn with seed n.
    let config = GenerationConfig {
        max_new_tokens: TOKENS,
        min_new_tokens: TOKENS,
        do_sample: true,
        temperature: 0.8,
        top_k: 0,
        seed: 0,
        num_return_sequences: SAMPLES,
        ..Default::default()
    };
    let texts = generate_texts(&["<|endoftext|>"], &model, &tokenizer, &config).unwrap();
    // The last token may end inside of a word.
    let whole: Vec<&str> = texts.iter().filter_map(|text| text.rsplit_once([' ', '\n'])).map(|(whole, _)| whole).collect();
    let all = whole.iter().flat_map(|text| words(text)).count();
    let strange: Vec<&str> = whole.iter().flat_map(|text| words(text)).filter(|word| !known.contains(word)).collect();
    println!("{}\n{}", texts[0], texts[1]);
    println!("{} of {all} words are not in the corpus: {strange:?}", strange.len());
    assert!(all > 30 * SAMPLES && strange.len() * 100 <= all, "{} of {all}: {strange:?}", strange.len());
    for question in ["What's your first name?", "What does cargo lab do?", "Tell me how to train my dog to sit."] {
        let more = inference(question, &model, &tokenizer, 400, 60).unwrap();
        println!("{question} → {more:?}");
        let next = more.trim().lines().next().unwrap_or_default();
        assert!(next.ends_with('?') || next.starts_with("Tell me"), "{question} → {more:?}");
    }
}
