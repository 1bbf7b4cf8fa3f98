//! Rows of any shape as training tokens: seams, end tokens, cuts, and what is left out.

use finetuning::tokenizer::encode::IGNORE_INDEX;
use finetuning::*;
use serde_json::{Value, json};

use crate::support::{fixture, fresh_folder, ids, json as read, refused, time};
use crate::tokenizer::masks::with_template;

fn neox() -> Tokenizer {
    Tokenizer::from_folder(&fixture("neox-tokenizer")).unwrap()
}

fn answers(rows: &[(&str, &str)]) -> Dataset {
    Dataset::from_examples(rows.iter().map(|(question, answer)| Example::new([("question", *question), ("answer", *answer)])).collect())
}

/// A tokenizer that the fixture has as files.
fn of_files(files: &Value) -> Tokenizer {
    let folder = fresh_folder();
    std::fs::create_dir_all(&folder).unwrap();
    for (name, value) in files.as_object().unwrap() {
        std::fs::write(folder.join(name), value.to_string()).unwrap();
    }
    AutoTokenizer::from_pretrained(&folder.join("tokenizer.json").display().to_string()).unwrap()
}

#[test]
fn seams_and_end_tokens_are_trls() {
    let tokenizer = neox();
    let masks = read("masks.json");
    let seams = masks["seams"].as_array().unwrap();
    for case in seams {
        let data = answers(&[(case["prompt"].as_str().unwrap(), case["completion"].as_str().unwrap())]);
        let (rows, report) = tokenize_with(&data, &tokenizer, &TokenizeOptions::default()).unwrap();
        let (row, start) = (rows.get(0).unwrap(), case["prompt_length"].as_u64().unwrap() as usize);
        assert_eq!((&row.input_ids, row.prompt_length), (&ids(&case["ids"]), start), "{case}");
        assert!(row.labels[..start].iter().all(|label| *label == IGNORE_INDEX));
        assert_eq!(row.labels[start..], row.input_ids[start..]);
        assert_eq!(report.ended == 1, !case["completion"].as_str().unwrap().ends_with("<|endoftext|>"), "{case}");
    }
    // The token that holds both is learnt by the course's functions as well.
    let row = tokenize_function(&Example::new([("question", "x = "), ("answer", "4")]), &tokenizer).unwrap();
    assert_eq!((row.input_ids.len(), row.prompt_length), (3, 2));
    let (_, report) = tokenize_with(&answers(&[("x = ", "4"), ("Hi!", "Yes")]), &tokenizer, &TokenizeOptions::default()).unwrap();
    assert_eq!(report.merged, [0]);
    // The switch.
    let plain = TokenizeOptions::new().with_end_token(EndToken::AsTokenizer).with_completion_only(false);
    let (rows, report) = tokenize_with(&answers(&[("Hi!", "Yes")]), &tokenizer, &plain).unwrap();
    assert_eq!(rows.rows(), [tokenize_function(&Example::new([("question", "Hi!"), ("answer", "Yes")]), &tokenizer).unwrap()]);
    assert_eq!(report.ended, 0);
}

#[test]
fn preference_pairs_are_trls() {
    let masks = read("masks.json");
    let chatml = with_template(&masks, &masks["templates"]["chatml"]);
    let mut pairs = 0;
    for (kind, cases) in masks["pairs"].as_object().unwrap() {
        let tokenizer = if kind == "texts" { neox() } else { chatml.clone() };
        for case in cases.as_array().unwrap() {
            let row = Example::new(case["row"].as_object().unwrap().clone());
            let pair = tokenize_preference(&row, &tokenizer, 64).unwrap();
            assert_eq!(pair.prompt, ids(&case["prompt"]), "{case}");
            assert_eq!((pair.chosen, pair.rejected), (ids(&case["chosen"]), ids(&case["rejected"])), "{case}");
            pairs += 1;
        }
    }
    assert_eq!(pairs, 5);
    let mixed =
        Example::new([("prompt", json!("Hi")), ("chosen", json!([{"role": "assistant", "content": "a"}])), ("rejected", json!("b"))]);
    refused(tokenize_preference(&mixed, &chatml, 64), &["`chosen` holds messages", "`rejected` is a text"]);
}

#[test]
fn a_prompt_read_off_the_whole_is_the_prompt_alone() {
    // Every cut of every text: where the tokens of both together show the prompt's, they are its own.
    let texts = read("neox-tokenizer/texts.json");
    let texts: Vec<&str> =
        texts.as_array().unwrap_or_else(|| texts["texts"].as_array().unwrap()).iter().filter_map(Value::as_str).collect();
    let spm = Tokenizer::from_gguf(&fixture("gguf/spm.gguf")).unwrap();
    let mut places = 0;
    for tokenizer in [neox(), AutoTokenizer::from_pretrained("builtin:base").unwrap(), spm] {
        for text in &texts {
            for cut in (1..text.len().min(200)).filter(|&cut| text.is_char_boundary(cut)) {
                let (question, answer) = text.split_at(cut);
                let row = tokenize_function(&Example::new([("question", question), ("answer", answer)]), &tokenizer).unwrap();
                let alone = tokenizer.encode_prompt(question).unwrap();
                let common = alone.iter().zip(&row.input_ids).take_while(|(one, other)| one == other).count();
                assert_eq!(row.prompt_length, common, "{question:?} | {answer:?}");
                places += 1;
            }
        }
    }
    assert!(places > 1000, "{places}");
}

#[test]
fn a_cut_on_the_left_keeps_what_stands_before_a_text() {
    let masks = read("masks.json");
    let left = &masks["left"];
    let tokenizer = of_files(&left["files"]);
    let row = Example::new([("text", left["text"].as_str().unwrap())]);
    // The file stores a truncation to 3 and a padding to 40.
    assert_eq!(tokenize_function(&row, &tokenizer).unwrap().input_ids, ids(&left["whole"]));
    assert_eq!(tokenize_with_length(&row, &tokenizer, 6).unwrap().input_ids, ids(&left["cut"]));
    assert_eq!(ids(&left["cut"]).len(), 6);
    let options = TokenizeOptions::new().with_max_length(6);
    let (rows, report) = tokenize_with(&Dataset::from_examples(vec![row.clone()]), &tokenizer, &options).unwrap();
    assert_eq!((&rows.get(0).unwrap().input_ids, report.truncated), (&ids(&left["cut"]), vec![0]));
    let (rows, _) = tokenize_with(&Dataset::from_examples(vec![row]), &tokenizer, &options.with_truncation_side(Side::Right)).unwrap();
    assert_eq!(rows.get(0).unwrap().input_ids, ids(&left["whole"])[..6]);
    // The prompt's length follows the cut.
    let both = Example::new([("question", "hello "), ("answer", "there")]);
    let lengths = [20, 8, 6, 3].map(|length| tokenize_with_length(&both, &tokenizer, length).unwrap().prompt_length);
    assert_eq!(lengths, [7, 2, 1, 1]);
}

#[test]
fn rows_that_teach_nothing_are_left_out_and_counted() {
    let tokenizer = neox();
    let data = answers(&[("Hi!", "Yes"), ("", ""), ("What?", ""), ("", "x"), ("How?", "So it is.")]);
    let (rows, report) = tokenize_with(&data, &tokenizer, &TokenizeOptions::default()).unwrap();
    assert_eq!((rows.len(), report.rows, report.trained, report.dropped()), (3, 5, 3, 2));
    assert_eq!((&report.empty[..], &report.silent[..]), (&[1][..], &[2][..]));
    assert_eq!(report.tokens, rows.tokens());
    assert!(report.to_string().contains("3 of 5 rows") && report.to_string().contains("1 empty"), "{report}");
    let none = answers(&[("", ""), ("What?", "")]);
    refused(tokenize_with(&none, &tokenizer, &TokenizeOptions::default()), &["no row is left", "1 empty", "1 with nothing to predict"]);
    refused(tokenize_with(&data, &tokenizer, &TokenizeOptions::new().with_max_length(0)), &["max_length is 0"]);
    let odd = Dataset::from_examples(vec![Example::new([("text", "a")]), Example::new([("colour", "red")])]);
    refused(tokenize_with(&odd, &tokenizer, &TokenizeOptions::default()), &["row 1", "colour"]);

    // As in Python, the course's functions keep an empty row as one without ids: the split does not move.
    let course = tokenize_dataset(&data, &tokenizer, 2048).unwrap();
    assert_eq!((course.len(), course.get(1).unwrap()), (5, &Encoding::default()));
    let (train, test) = course.train_test_split(0.4, 123).unwrap();
    let (train_texts, test_texts) = data.train_test_split(0.4, 123).unwrap();
    assert_eq!((train.len(), test.len()), (train_texts.len(), test_texts.len()));
}

#[test]
fn the_course_runs_on_data_with_empty_rows() {
    // The course's own file has two such rows.
    let path = fresh_folder().join("rows.jsonl");
    let rows: Vec<(String, String)> = (0..40)
        .map(|row| if row % 19 == 5 { Default::default() } else { (format!("Question {row}?"), format!("Answer {row}.")) })
        .collect();
    let rows: Vec<(&str, &str)> = rows.iter().map(|(question, answer)| (question.as_str(), answer.as_str())).collect();
    answers(&rows).to_jsonl(&path).unwrap();
    let tokenizer = AutoTokenizer::from_pretrained("builtin:base").unwrap();
    let config = TrainingConfig {
        model: ModelConfig { pretrained_name: "builtin:base".into(), max_length: 2048 },
        datasets: DatasetsConfig { use_hf: false, path: path.display().to_string() },
        verbose: false,
    };
    let (train, test) = tokenize_and_split_data(&config, &tokenizer).unwrap();
    let (texts, held_out) = answers(&rows).train_test_split(0.1, 123).unwrap();
    assert_eq!((train.len(), test.len()), (36, 4));
    for (tokens, texts) in [(&train, &texts), (&test, &held_out)] {
        for (row, text) in tokens.rows().iter().zip(texts.iter()) {
            // This tokenizer ends every text, an empty one too, as in Python.
            assert_eq!(row.input_ids, [tokenizer.encode(&concatenate(text).unwrap()).unwrap(), vec![tokenizer.eos_id()]].concat());
        }
    }
    assert_eq!(train.rows().iter().chain(test.rows()).filter(|row| row.input_ids.len() == 1).count(), 2);
    let model = AutoModelForCausalLM::from_pretrained("builtin:base").unwrap();
    let arguments = TrainingArguments { max_steps: 1, disable_tqdm: true, ..Default::default() };
    let trainer = Trainer::new(&model, arguments, train, test).unwrap();
    assert!(trainer.evaluate().unwrap().loss.is_finite());
}

fn chats() -> (Value, Tokenizer) {
    let masks = read("masks.json");
    let tokenizer = with_template(&masks, &masks["templates"]["chatml"]);
    (masks, tokenizer)
}

fn one_chat(messages: Value) -> Dataset {
    Dataset::from_examples(vec![Example::new([("messages", messages)])])
}

#[test]
fn a_long_conversation_loses_whole_turns() {
    let (_, tokenizer) = chats();
    let turn =
        |question: &str, answer: &str| [json!({"role": "user", "content": question}), json!({"role": "assistant", "content": answer})];
    let system = json!({"role": "system", "content": "Be brief."});
    let all: Vec<Value> =
        [vec![system.clone()], turn("One?", "1").to_vec(), turn("Two?", "2").to_vec(), turn("Three?", "3").to_vec()].concat();
    let without = |turns: usize| [vec![system.clone()], all[1 + 2 * turns..].to_vec()].concat();
    let whole = |messages: Vec<Value>| {
        let (rows, _) = tokenize_with(&one_chat(messages.into()), &tokenizer, &TokenizeOptions::default()).unwrap();
        rows.get(0).unwrap().clone()
    };
    let lengths = [0, 1, 2].map(|turns| whole(without(turns)).input_ids.len());
    for (max_length, turns) in [(lengths[0], 0), (lengths[0] - 1, 1), (lengths[1], 1), (lengths[1] - 1, 2), (lengths[2], 2)] {
        let options = TokenizeOptions::new().with_max_length(max_length);
        let (rows, report) = tokenize_with(&one_chat(all.clone().into()), &tokenizer, &options).unwrap();
        assert_eq!(rows.rows(), [whole(without(turns))], "{max_length}");
        assert_eq!(report.truncated.len(), usize::from(turns > 0));
    }
    let short = TokenizeOptions::new().with_max_length(lengths[2] - 1);
    refused(tokenize_with(&one_chat(all.clone().into()), &tokenizer, &short), &["no row is left", "1 too long"]);
    // By the option the text is cut anywhere.
    let (rows, report) = tokenize_with(&one_chat(all.clone().into()), &tokenizer, &short.clone().with_whole_turns(false)).unwrap();
    assert_eq!((rows.get(0).unwrap().input_ids.len(), report.truncated.len()), (lengths[2] - 1, 1));
    // Where the cut leaves nothing of the assistant, the row goes.
    let right = TokenizeOptions::new().with_max_length(8).with_whole_turns(false).with_truncation_side(Side::Right);
    // The end token is counted where it is left.
    let long = answers(&[("Who?", " one two three four five six seven eight nine ten"), ("Who?", " Me.")]);
    for (options, ended) in [(right.clone(), 1), (right.clone().with_truncation_side(Side::Left), 2)] {
        let (rows, report) = tokenize_with(&long, &neox(), &options).unwrap();
        let ends = rows.rows().iter().filter(|row| row.input_ids.last() == Some(&neox().eos_id())).count();
        assert_eq!((report.ended, report.truncated.as_slice(), ends), (ended, &[0][..], ended));
    }
    refused(tokenize_with(&one_chat(all.into()), &tokenizer, &right), &["1 too long"]);
}

#[test]
fn a_weight_of_zero_is_not_learnt() {
    let (masks, plain) = chats();
    let messages = |weight: Value| {
        json!([{"role": "user", "content": "a"}, {"role": "assistant", "content": "wrong", "weight": weight},
               {"role": "user", "content": "b"}, {"role": "assistant", "content": "right"}])
    };
    for tokenizer in [&plain, &with_template(&masks, &masks["templates"]["chatml-marked"])] {
        let learnt = |data: &Dataset| {
            let (rows, _) = tokenize_with(data, tokenizer, &TokenizeOptions::default()).unwrap();
            let ids: Vec<u32> = rows.get(0).unwrap().labels.iter().copied().filter(|label| *label != IGNORE_INDEX).collect();
            tokenizer.decode(&ids).unwrap()
        };
        assert_eq!(learnt(&one_chat(messages(json!(1)))), "wrong\nright\n");
        assert_eq!(learnt(&one_chat(messages(json!(0)))), "right\n");
    }
    // Whole conversations are learnt by the option.
    let options = TokenizeOptions::new().with_assistant_only(false);
    let (rows, _) = tokenize_with(&one_chat(messages(json!(1))), &plain, &options).unwrap();
    assert!(rows.get(0).unwrap().labels == rows.get(0).unwrap().input_ids);
}

#[test]
fn what_files_say_of_a_turn_decides_whether_it_is_learnt() {
    let (masks, plain) = chats();
    let said = |extra: &Value| {
        let turns = [("user", "a"), ("assistant", "wrong"), ("user", "b"), ("assistant", "right")];
        let mut turns: Value = turns.map(|(role, content)| json!({"role": role, "content": content})).into_iter().collect();
        turns[1].as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        one_chat(turns)
    };
    let marked = with_template(&masks, &masks["templates"]["chatml-marked"]);
    for (extra, expected) in [
        // OpenAI, axolotl, ms-swift; where nothing is said, a turn is learnt.
        (json!({"weight": 0}), "right\n"),
        (json!({"train": false}), "right\n"),
        (json!({"loss": false}), "right\n"),
        (json!({"loss_scale": 0.0}), "right\n"),
        (json!({"train": false, "weight": 0, "loss": null}), "right\n"),
        (json!({"train": true}), "wrong\nright\n"),
        (json!({"loss": true, "loss_scale": 1.0}), "wrong\nright\n"),
        (json!({"train": null, "train_detail": []}), "wrong\nright\n"),
    ] {
        for tokenizer in [&plain, &marked] {
            let (rows, _) = tokenize_with(&said(&extra), tokenizer, &TokenizeOptions::default()).unwrap();
            let ids: Vec<u32> = rows.get(0).unwrap().labels.iter().copied().filter(|label| *label != IGNORE_INDEX).collect();
            assert_eq!(tokenizer.decode(&ids).unwrap(), expected, "{extra}");
        }
    }
    for (extra, parts) in [
        (json!({"loss_scale": 0.5}), vec!["row 0", "message 1", "`loss_scale` is 0.5", "0 or 1"]),
        (json!({"train": "no"}), vec!["message 1", "`train` is \"no\""]),
        (json!({"weight": 1, "train": false}), vec!["message 1", "`weight` says true, `train` says false"]),
        (json!({"train_detail": [{"begin_offset": 0, "end_offset": 1, "train": false}]}), vec!["message 1", "`train_detail`"]),
    ] {
        refused(tokenize_with(&said(&extra), &plain, &TokenizeOptions::default()), &parts);
    }
    let asked = json!([{"role": "user", "content": "a", "train": true}, {"role": "assistant", "content": "b"}]);
    refused(tokenize_with(&one_chat(asked), &plain, &TokenizeOptions::default()), &["message 0", "`train` is true for `user`"]);
    let never = json!([{"role": "user", "content": "a", "train": false}, {"role": "assistant", "content": "b", "train": false}]);
    refused(tokenize_with(&one_chat(never), &plain, &TokenizeOptions::default()), &["row 0", "`train` or `loss` is false"]);
}

#[test]
fn calls_that_a_template_does_not_write_are_not_learnt_in_silence() {
    let masks = read("masks.json");
    let whole = &masks["conversations"]["tools"];
    let call_alone: Value = whole.as_array().unwrap()[..2].iter().cloned().collect();
    let data =
        |messages: &Value| Dataset::from_examples(vec![Example::new([("messages", messages.clone()), ("tools", masks["tools"].clone())])]);
    let (mut refusals, mut written) = (0, 0);
    for (name, configuration) in masks["templates"].as_object().unwrap() {
        let tokenizer = with_template(&masks, configuration);
        let writes = configuration["chat_template"].as_str().unwrap().contains("tool_calls");
        // A template that refuses tools says so itself.
        if let Ok((_, report)) = tokenize_with(&data(whole), &tokenizer, &TokenizeOptions::default()) {
            assert_eq!(report.unwritten, if writes { vec![] } else { vec![0] }, "{name}");
        }
        match writes {
            true => {
                tokenize_with(&data(&call_alone), &tokenizer, &TokenizeOptions::default())
                    .unwrap_or_else(|error| panic!("{name}: {error}"));
                written += 1;
            }
            false => {
                let parts = ["row 0", "message 1", "chat template of `", "writes nothing of its tool call", "chat_template.jinja"];
                refused(tokenize_with(&data(&call_alone), &tokenizer, &TokenizeOptions::default()), &parts);
                refusals += 1;
            }
        }
    }
    assert_eq!((refusals, written), (18, 10));
}

#[test]
fn a_template_that_hides_the_assistant_is_refused() {
    let masks = read("masks.json");
    // What was said before is written otherwise once more follows.
    let template = "{% for m in messages %}{{ m.role }}:{% if loop.last %}{{ m.content }}{% else %}…{% endif %}\n{% endfor %}";
    let tokenizer = with_template(&masks, &json!({"chat_template": template, "eos_token": "<|im_end|>"}));
    let data = one_chat(masks["conversations"]["turns"].clone());
    refused(tokenize_with(&data, &tokenizer, &TokenizeOptions::default()), &["row 0", "message 1", "{% generation %}"]);
    let (_, report) = tokenize_with(&data, &tokenizer, &TokenizeOptions::new().with_assistant_only(false)).unwrap();
    assert_eq!(report.endless, 1, "nothing ends what the assistant says");
    let none = with_template(&masks, &json!({"eos_token": "<|im_end|>"}));
    refused(tokenize_with(&data, &none, &TokenizeOptions::default()), &["row 0", "no chat template"]);
    let broken = with_template(&masks, &json!({"chat_template": "{% if %}", "eos_token": "<|im_end|>"}));
    refused(tokenize_with(&data, &broken, &TokenizeOptions::default()), &["row 0", "syntax error"]);
}

#[test]
fn tools_and_variables_reach_the_template() {
    let masks = read("masks.json");
    let template = "{{ tools | tojson }}|{{ mood }}|{{ messages[0].name }}|{{ messages[0].reasoning_content }}";
    let tokenizer = with_template(
        &masks,
        &json!({"chat_template": [{"name": "default", "template": "D"}, {"name": "tool_use", "template": template}], "eos_token": "<|im_end|>"}),
    );
    let message = Message::from_value(&json!({"role": "user", "content": "a", "name": "Ann", "thinking": "hm"})).unwrap();
    let chat = [message];
    let tools = json!([{"name": "f"}]);
    let options = ChatOptions::new().with_tools(tools.clone()).with_variable("mood", "calm");
    let text = tokenizer.apply_chat_template_with(&chat, &options).unwrap();
    assert_eq!(text, "[{\"name\": \"f\"}]|calm|Ann|hm");
    assert_eq!(
        tokenizer.apply_chat_template_with(&chat, &ChatOptions::new().with_tools(tools.to_string())).unwrap().split('|').next(),
        Some("[{\"name\": \"f\"}]")
    );
    assert_eq!(tokenizer.apply_chat_template(&chat, false).unwrap(), "D");
    refused(tokenizer.apply_chat_template_with(&chat, &ChatOptions::new().with_tools("f")), &["tools are no list"]);
}

#[test]
fn a_pair_is_scored_as_the_harness_encodes_it() {
    let tokenizer = neox();
    let model = CausalLm::random(NeoxConfig::new(50_304, 16, 1, 2), 1, None, &Device::Cpu).unwrap();
    for case in read("masks.json")["harness"].as_array().unwrap() {
        let (prompt, completion) = (case["prompt"].as_str().unwrap(), case["completion"].as_str().unwrap());
        let (context, continuation) = (ids(&case["context"]), ids(&case["continuation"]));
        let row = Encoding { prompt_length: context.len(), ..Encoding::from_ids([context, continuation.clone()].concat()) };
        let report = evaluate_loss(&model, &TokenizedDataset::from_rows(vec![row]), 1, true).unwrap();
        assert_eq!(report.tokens, continuation.len());
        let ours = log_probability(&model, &tokenizer, prompt, completion).unwrap();
        assert!((ours + report.loss * report.tokens as f64).abs() < 1e-4, "{case}: {ours}");
    }
    refused(log_probability(&model, &tokenizer, "  ", "a"), &["has no tokens"]);
}

#[test]
fn a_long_conversation_is_cut_in_less_time_than_it_is_learnt_whole() {
    let masks = read("masks.json");
    let tokenizer = with_template(&masks, &masks["templates"]["chatml"]);
    let turn = |turn: usize| json!({"role": if turn.is_multiple_of(2) { "user" } else { "assistant" }, "content": format!("turn {turn}")});
    let data = Dataset::from_examples(vec![Example::new([("messages", (0..240).map(turn).collect::<Value>())])]);
    let cost = |length: usize| {
        let options = TokenizeOptions::new().with_max_length(length);
        let (rows, report) = tokenize_with(&data, &tokenizer, &options).unwrap();
        assert_eq!((rows.len(), report.truncated.len()), (1, usize::from(length < 1000)));
        assert!(rows.get(0).unwrap().input_ids.len() <= length && rows.get(0).unwrap().input_ids.len() > length.min(1000) / 2);
        time(|| tokenize_with(&data, &tokenizer, &options).unwrap())
    };
    let (cut, whole) = (cost(100), cost(1_000_000));
    assert!(cut < whole, "{cut:?} {whole:?}");
}
