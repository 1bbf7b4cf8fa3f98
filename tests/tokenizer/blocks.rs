//! Texts as rows of one length: nothing between the texts but the end token, nothing lost but the rest.

use finetuning::*;

use crate::support::{fixture, refused};

fn texts(texts: &[&str]) -> Dataset {
    Dataset::from_examples(texts.iter().map(|text| Example::new([("text", *text)])).collect())
}

#[test]
fn blocks_are_the_texts_one_behind_the_other() {
    let tokenizer = Tokenizer::from_folder(&fixture("neox-tokenizer")).unwrap();
    let data = texts(&["Hi, how are you?", "I'm good", "Yes"]);
    let blocks = tokenize_blocks(&data, &tokenizer, 4).unwrap();
    // The ids of lesson 4, each text ended by 0, and the twelfth and thirteenth id dropped.
    let rows: Vec<&[u32]> = blocks.rows().iter().map(|row| row.input_ids.as_slice()).collect();
    assert_eq!(rows, [[12764, 13, 849, 403], [368, 32, 0, 42], [1353, 1175, 0, 4374]]);
    for row in blocks.rows() {
        assert_eq!((row.labels.as_slice(), row.prompt_length), (row.input_ids.as_slice(), 0));
        assert_eq!(row.predictions(true).unwrap(), 3);
    }
}

#[test]
fn what_fills_no_block_is_refused() {
    let tokenizer = Tokenizer::from_folder(&fixture("neox-tokenizer")).unwrap();
    let data = texts(&["Yes"]);
    for size in [0, 1] {
        refused(tokenize_blocks(&data, &tokenizer, size), &[&format!("block_size is {size}: a block needs a token and a next one")]);
    }
    refused(tokenize_blocks(&data, &tokenizer, 3), &["1 rows have 2 tokens together, fewer than one block of 3"]);
    let asked = Dataset::from_examples(vec![Example::new([("question", "Hi")])]);
    refused(tokenize_blocks(&asked, &tokenizer, 2), &["row 0"]);
}
