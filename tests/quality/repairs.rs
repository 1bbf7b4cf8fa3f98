//! Repairs: what is safe is mended, the rest by option; the rows themselves stay, and a mended set needs no mending.

use finetuning::quality::repair::Change;
use finetuning::*;

fn damaged() -> Dataset {
    let pairs = [
        ("What is cafÃ©?", " Coffee. "),
        ("", ""),
        ("Who asks?", ""),
        ("What is café?", "Coffee."),
        ("What rings in the tower of the town?", "A bell\u{7} that is older than the tower."),
        ("What rings in the tower of the town?!", "A bell that is older than the tower!"),
        ("Whom do I write to?", "Write to ann@mail.de."),
        ("How is it indented?", "    one\n        two"),
    ];
    Dataset::from_examples(pairs.iter().map(|(question, answer)| Example::new([("question", *question), ("answer", *answer)])).collect())
}

fn report(data: &Dataset) -> QualityReport {
    quality_report(data, None, &QualityOptions::default()).unwrap()
}

fn texts(data: &Dataset) -> Vec<(&str, &str)> {
    data.iter().map(|row| (&row["question"], &row["answer"])).collect()
}

#[test]
fn what_is_safe_is_mended_and_listed() {
    let (data, copy) = (damaged(), damaged());
    let repaired = report(&data).repair();
    assert_eq!(data, copy);
    let expected = [
        ("What is café?", "Coffee."),
        ("What rings in the tower of the town?", "A bell that is older than the tower."),
        ("What rings in the tower of the town?!", "A bell that is older than the tower!"),
        ("Whom do I write to?", "Write to ann@mail.de."),
        ("How is it indented?", "    one\n        two"),
    ];
    assert_eq!(texts(&repaired.data), expected);
    let changes: Vec<(usize, &str, &str)> =
        repaired.changes.iter().map(|Change { row, what, why, .. }| (*row, what.as_str(), why.as_str())).collect();
    let expected = [
        (0, "`question` was mended", "text read in the wrong encoding is decoded"),
        (0, "`answer` was mended", "white space at the ends is trimmed"),
        (1, "left out", "it has no text"),
        (2, "left out", "one of its two sides has no text"),
        (3, "left out", "the same as row 0"),
        (4, "`answer` was mended", "control characters are stripped"),
    ];
    assert_eq!(changes, expected);
    assert!(repaired.text().contains("6 changes, 5 rows are left"), "{}", repaired.text());
}

#[test]
fn the_rest_is_mended_by_option() {
    let all = RepairOptions::default().with_near_duplicates_dropped().with_sensitive_data_masked();
    let repaired = report(&damaged()).repair_with(all);
    let expected = [
        ("What is café?", "Coffee."),
        ("What rings in the tower of the town?", "A bell that is older than the tower."),
        ("Whom do I write to?", "Write to [EMAIL]."),
        ("How is it indented?", "    one\n        two"),
    ];
    assert_eq!(texts(&repaired.data), expected);
    assert!(repaired.changes.iter().any(|change| change.row == 5 && change.why == "nearly the same as row 4"), "{:?}", repaired.changes);
}

#[test]
fn a_mended_set_needs_no_mending() {
    let turn = |role: &str, content: &str| serde_json::json!({ "role": role, "content": content });
    let chat = |answer: &str| Example::new([("messages", serde_json::json!([turn("user", " Hi\u{200b} "), turn("assistant", answer)]))]);
    let chats = Dataset::from_examples(vec![chat("Ã¼ber 4111 1111 1111 1111"), chat("\u{1b}[1mbold"), chat("")]);
    let lessons = load_dataset("builtin:lab_docs").unwrap();
    for (name, data) in [("damaged", damaged()), ("chats", chats), ("lab_docs", lessons)] {
        let all = RepairOptions::default().with_near_duplicates_dropped().with_sensitive_data_masked();
        for options in [RepairOptions::default(), all] {
            let once = report(&data).repair_with(options);
            let twice = report(&once.data).repair_with(options);
            assert_eq!((twice.data, twice.changes), (once.data, Vec::new()), "{name}: {options:?}");
        }
    }
}

#[test]
fn any_text_can_be_looked_at_and_mended() {
    let pieces = [
        "Ã©",
        "â€™",
        "â€",
        "Ã",
        "Â",
        "\u{9d}",
        "\u{a0}",
        "\u{7}",
        "\u{200b}",
        "\u{202e}",
        "&amp;",
        "&#",
        ";",
        "<br>",
        "</",
        ">",
        "\\n",
        "\\u00e9",
        "\\",
        "sk-",
        "ghp_",
        "aZ3kQ9xW7mB2vN8cL5tR",
        "4111 1111 1111 1111",
        "+49",
        "(0",
        ")",
        "030 1234",
        "@",
        "ann@mail.de",
        ".de",
        "DE89 3704",
        "0044 0532 0130 00",
        " ",
        "\n",
        "\t",
        "é",
        "日本",
        "🙂",
        "`",
        "\u{1b}[",
        "31m",
        "eyJ",
        ".",
        "-----BEGIN ",
        "PRIVATE KEY-----",
        "91.198.174.",
        "192",
        ":",
        "a",
        "Z9",
        "ﬁ",
    ];
    let mut state = 7u64;
    let mut next = |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % below
    };
    let mut text = || (0..next(9)).map(|_| pieces[next(pieces.len())]).collect::<String>();
    let data = Dataset::from_examples((0..3_000).map(|_| Example::new([("question", text()), ("answer", text())])).collect());
    let all = RepairOptions::default().with_near_duplicates_dropped().with_sensitive_data_masked();
    for options in [RepairOptions::default(), all] {
        let once = report(&data).repair_with(options);
        assert!(once.data.len() > 1_000 && once.changes.len() > 1_000, "{} {}", once.data.len(), once.changes.len());
        let twice = report(&once.data).repair_with(options);
        assert_eq!((twice.changes, twice.data == once.data), (Vec::new(), true));
    }
}

#[test]
fn messages_are_mended_and_their_roles_stay() {
    let messages = serde_json::json!([{ "role": "user", "content": "Hi ", "id": " 1 " }, { "role": "assistant", "content": "Ã¼ber", "name": "a\u{7}" }]);
    let data = Dataset::from_examples(vec![Example::new([("messages", messages), ("id", 7.into())])]);
    let repaired = report(&data).repair();
    let expected =
        serde_json::json!([{ "role": "user", "content": "Hi", "id": " 1 " }, { "role": "assistant", "content": "über", "name": "a" }]);
    assert_eq!(repaired.data.get(0).unwrap().value("messages"), Some(&expected));
    assert_eq!(repaired.data.get(0).unwrap().value("id"), Some(&7.into()));
    // What cannot be read is named, and nobody knows what is safe to leave out.
    let data = Dataset::from_examples(vec![Example::new([("messages", serde_json::json!([{ "role": "wizard", "content": "Hi" }]))])]);
    let report = report(&data);
    assert_eq!(report.find(FindingKind::Unreadable).unwrap().rows, [0]);
    assert!(report.text().contains("wizard") && report.repair().data.len() == 1, "{}", report.text());
}

#[test]
fn rows_of_which_something_else_is_learnt_or_read_stay() {
    use serde_json::{Value, json};
    let chat = |turns: Value| json!({ "messages": turns });
    let asked = |answer: Value| chat(json!([{ "role": "user", "content": "q" }, answer]));
    let call = |name: &str| json!([{ "type": "function", "function": { "name": name, "arguments": {} } }]);
    let said = |more: &str, value: Value| asked(json!({ "role": "assistant", "content": "a", more: value }));
    let weights = |first: u8| {
        let first = json!({ "role": "assistant", "content": "a", "weight": first });
        chat(
            json!([{ "role": "user", "content": "q" }, first, { "role": "user", "content": "r" }, { "role": "assistant", "content": "b" }]),
        )
    };
    let told = |role: &str| {
        chat(json!([{ "role": role, "content": "s" }, { "role": "user", "content": "q" }, { "role": "assistant", "content": "a" }]))
    };
    let tools = |name: &str| {
        let mut row = said("name", Value::Null);
        row["tools"] = call(name);
        row
    };
    let pair = |rejected: &str| json!({ "prompt": "q", "chosen": "a", "rejected": rejected });
    let turn = |content: &str| json!([{ "role": "assistant", "content": content }]);
    let turns = |rejected: &str| json!({ "prompt": [{ "role": "user", "content": "q" }], "chosen": turn("a"), "rejected": turn(rejected) });
    let code = |prompt: &str| json!({ "question": prompt, "answer": "a" });
    let alpaca = |instruction: &str, input: &str| json!({ "instruction": instruction, "input": input, "output": "a" });
    for [one, other] in [
        [pair("b"), pair("c")],
        [turns("b"), turns("c")],
        [said("tool_calls", call("f")), said("tool_calls", call("g"))],
        [tools("f"), tools("g")],
        [weights(0), weights(1)],
        [told("system"), told("developer")],
        [code("Which of a and B?"), code("Which of A and b?")],
        [code("if a:\n    b\nc"), code("if a:\n    b\n    c")],
        [code("  a\nb"), code("a\nb")],
        [alpaca("a\nb", ""), alpaca("a", "b")],
    ] {
        let rows = |rows: [&Value; 3]| Dataset::from_examples(rows.map(|row| Example::new(row.as_object().unwrap().clone())).into());
        let data = rows([&one, &other, &one]);
        let report = report(&data);
        assert_eq!(report.find(FindingKind::ExactDuplicate).map(|finding| finding.rows.clone()), Some(vec![2]), "{one} {other}");
        assert_eq!(report.repair().data, rows([&one, &other, &one]).select(&[0, 1]).unwrap(), "{one} {other}");
    }
}
