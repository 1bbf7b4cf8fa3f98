//! Pairs of a chosen and a rejected answer → texts, turns and ids, beside TRL, by `fixtures/datasets.json`.

use finetuning::*;
use serde_json::json;

use crate::data::shapes::{chat_tokenizer, data, row, taught, tokenizer_with};
use crate::support::{fixture, json as file, refused};

#[test]
fn pairs_begin_where_trl_lets_them_begin() {
    let file = file("datasets.json");
    for case in file["texts"].as_array().unwrap() {
        let read = taught(json!({ "chosen": case["whole"][0], "rejected": case["whole"][1] })).unwrap();
        assert_eq!(read, json!([case["prompt"], case["chosen"], case["rejected"]]));
    }
    for case in file["turns"].as_array().unwrap() {
        let expected = &case["read"];
        let read = taught(case["given"].clone());
        assert_eq!(read.unwrap(), json!([expected["prompt"], expected["chosen"], expected["rejected"], null]), "{case}");
    }
    let [user, good, bad] =
        [("user", "Why?"), ("assistant", "So."), ("assistant", "No.")].map(|(role, said)| json!({ "role": role, "content": said }));
    let alone = taught(json!({ "prompt": "Why?", "chosen": [good], "rejected": [bad] })).unwrap();
    assert_eq!(alone, json!([[user], [good], [bad], null]));
    // LLaMA-Factory's form.
    let single = [("gpt", "So."), ("gpt", "No.")].map(|(from, value)| json!({ "from": from, "value": value }));
    let own = json!({ "conversations": [{ "from": "human", "value": "Why?" }], "chosen": single[0], "rejected": single[1] });
    assert_eq!(taught(own).unwrap(), json!([[user], [good], [bad], null]));
    let written = json!({ "prompt": "Why?", "chosen": good.to_string(), "rejected": bad.to_string() });
    assert_eq!(taught(written).unwrap(), json!([[user], [good], [bad], null]));
    refused(taught(json!({ "prompt": "What?", "chosen": [user, good], "rejected": [user, bad] })), &["`prompt` is another text"]);
    refused(taught(json!({ "chosen": [user, good], "rejected": "No." })), &["`chosen` holds messages, `rejected` is a text"]);
    refused(taught(json!({ "prompt": [user], "chosen": [good], "rejected": [user] })), &["column `rejected`", "no turn of the assistant"]);
}

#[test]
fn equal_answers_are_counted_and_not_learnt() {
    let tokenizer = Tokenizer::from_folder(&fixture("neox-tokenizer")).unwrap();
    let pair = |chosen: &str, rejected: &str| json!({ "prompt": "Why?", "chosen": chosen, "rejected": rejected });
    let rows = data(json!([pair(" So.", " No."), pair(" So.", " So. \n"), pair(" So.", " Yes.")]));
    assert_eq!(tokenize_preferences(&rows, &tokenizer, 64).unwrap().len(), 2);
    let detected = rows.detect().unwrap();
    assert_eq!((detected.shape, detected.misfits.len(), detected.misfits[0].0), (Shape::Preference, 1, 1));
    let same = data(json!([pair("a", "a ")]));
    refused(tokenize_preferences(&same, &tokenizer, 64), &["`chosen` and `rejected` are the same"]);
    refused(tokenize_preference(same.get(0).unwrap(), &tokenizer, 64), &["`chosen` and `rejected` are the same"]);
    // The same after the cut.
    let late = data(json!([pair(" one two three four five", " one two three four six"), pair(" So.", " No.")]));
    let room = tokenizer.encode("Why?").unwrap().len() + 2;
    assert_eq!(tokenize_preferences(&late, &tokenizer, room).unwrap().len(), 1);
    assert_eq!(tokenize_preferences(&late, &tokenizer, 64).unwrap().len(), 2);
}

#[test]
fn pairs_are_tokenized_as_by_trl() {
    let file = file("datasets.json");
    let pairs = file["pairs"].as_array().unwrap();
    assert_eq!(pairs.len(), 2);
    for pair in pairs {
        let tokenizer = tokenizer_with(pair["template"].as_str().unwrap());
        for case in pair["cases"].as_array().unwrap() {
            let ours = tokenize_preference(&row(case["given"].clone()), &tokenizer, 512).unwrap();
            let ours = json!({ "prompt": ours.prompt, "chosen": ours.chosen, "rejected": ours.rejected });
            for side in ["prompt", "chosen", "rejected"] {
                assert_eq!(ours[side], case[side], "{side} of {}", case["given"]);
            }
        }
    }
}

#[test]
fn pairs_of_messages_go_through_the_chat_template() {
    let tokenizer = chat_tokenizer();
    let [user, good, bad] =
        [("user", "Why?"), ("assistant", "So."), ("assistant", "No.")].map(|(role, said)| json!({ "role": role, "content": said }));
    let explicit = row(json!({ "prompt": [user], "chosen": [good], "rejected": [bad] }));
    let implicit = row(json!({ "chosen": [user, good], "rejected": [user, bad] }));
    let pair = tokenize_preference(&explicit, &tokenizer, 64).unwrap();
    assert_eq!(pair, tokenize_preference(&implicit, &tokenizer, 64).unwrap());
    let text = |ids: &[u32]| tokenizer.decode(ids).unwrap();
    assert_eq!(text(&pair.prompt), "<user>Why?<end>\n<assistant>");
    assert_eq!((text(&pair.chosen), text(&pair.rejected)), ("So.<end>\n".to_string(), "No.<end>\n".to_string()));
    assert!(!pair.chosen.contains(&tokenizer.eos_id()), "the template ends the turn");
    refused(tokenize_preference(&row(json!({ "chosen": [good], "rejected": [bad] })), &tokenizer, 64), &["no turn before the answers"]);
    let plain = Tokenizer::from_folder(&fixture("neox-tokenizer")).unwrap();
    refused(tokenize_preference(&explicit, &plain, 64), &["no chat template"]);
}
