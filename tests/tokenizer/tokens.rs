//! Ids, truncation, split: the oracles of the course and of the Python libraries.

use finetuning::data::split::split_indices;
use finetuning::*;

use crate::support::{fixture, ids, json, numbers};

fn tokenizer() -> Tokenizer {
    Tokenizer::from_folder(&fixture("neox-tokenizer")).unwrap()
}

#[test]
fn ids_are_the_courses() {
    let tokenizer = tokenizer();
    let ids = tokenizer.encode("Hi, how are you?").unwrap();
    assert_eq!(ids, [12764, 13, 849, 403, 368, 32]);
    assert_eq!(tokenizer.encode("I'm good").unwrap(), [42, 1353, 1175]);
    assert_eq!(tokenizer.encode("Yes").unwrap(), [4374]);
    assert_eq!((tokenizer.pad_id(), tokenizer.eos_id()), (0, 0));
    assert_eq!(truncate(&ids, 3, Side::Right), [12764, 13, 849]);
    assert_eq!(truncate(&ids, 3, Side::Left), [403, 368, 32]);
    let rows = tokenizer.encode_batch(&["Hi, how are you?", "Yes"]).unwrap();
    assert_eq!(pad(&rows, tokenizer.pad_id())[1], [4374, 0, 0, 0, 0, 0]);
    assert_eq!(tokenizer.decode(&ids).unwrap(), "Hi, how are you?");
}

#[test]
fn ids_and_texts_are_the_python_librarys() {
    let tokenizer = tokenizer();
    let cases = json("neox-tokenizer/tokens.json");
    for case in cases["cases"].as_array().unwrap() {
        let text = case["text"].as_str().unwrap();
        assert_eq!(tokenizer.encode(text).unwrap(), ids(&case["ids"]), "{text:?}");
    }
    assert!(cases["cases"].as_array().unwrap().len() >= 30);
}

#[test]
fn tokenize_function_joins_cuts_on_the_left_and_labels() {
    let tokenizer = tokenizer();
    let example = Example::new([("question", "Hi, how are you?"), ("answer", "I'm good")]);
    let tokens = tokenize_function(&example, &tokenizer).unwrap();
    assert_eq!(tokens.input_ids, tokenizer.encode("Hi, how are you?I'm good").unwrap());
    assert_eq!((&tokens.labels, tokens.prompt_length), (&tokens.input_ids, 6));
    let cut = tokenize_with_length(&example, &tokenizer, 3).unwrap();
    assert_eq!(cut.input_ids, tokens.input_ids[tokens.input_ids.len() - 3..]);
    assert_eq!(cut.prompt_length, 0);
}

#[test]
fn columns_choose_the_text() {
    let text = |fields: &[(&str, &str)]| concatenate(&Example::new(fields.iter().copied()));
    assert_eq!(text(&[("question", "a"), ("answer", "b")]).unwrap(), "ab");
    assert_eq!(text(&[("instruction", "a"), ("response", "b")]).unwrap(), "ab");
    assert_eq!(text(&[("input", "a"), ("output", "b")]).unwrap(), "ab");
    assert_eq!(text(&[("text", "a")]).unwrap(), "a");
    assert!(text(&[("prompt", "a")]).unwrap_err().to_string().contains("`prompt`"));
}

#[test]
fn permutations_are_numpys() {
    let case = json("numpy.json");
    for item in case["permutations"].as_array().unwrap() {
        let (n, seed) = (item["n"].as_u64().unwrap() as usize, item["seed"].as_u64().unwrap());
        let theirs: Vec<usize> = numbers(&item["permutation"]).iter().map(|&index| index as usize).collect();
        assert_eq!(permutation(n, seed), theirs, "n = {n}, seed = {seed}");
    }
}

#[test]
fn splits_are_the_datasets_librarys() {
    for item in json("numpy.json")["splits"].as_array().unwrap() {
        let (train, test) =
            split_indices(item["n"].as_u64().unwrap() as usize, item["test_size"].as_f64().unwrap(), item["seed"].as_u64().unwrap());
        assert_eq!((train.len() as u64, test.len() as u64), (item["train"].as_u64().unwrap(), item["test"].as_u64().unwrap()));
        let first = |name: &str| numbers(&item[name]).iter().map(|&index| index as usize).collect::<Vec<_>>();
        // The fixture keeps the first five of each side's list; a shorter side has fewer.
        assert!(test.iter().zip(first("first_test")).all(|(ours, theirs)| *ours == theirs));
        assert!(train.iter().zip(first("first_train")).all(|(ours, theirs)| *ours == theirs));
    }
}
