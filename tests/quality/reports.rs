//! Reports: each kind of finding in the rows that have it and in no others, in time that grows with the rows.

use finetuning::quality::finding::Part;
use finetuning::*;

use crate::support::{fixture, refused};

fn rows(pairs: &[(&str, &str)]) -> Dataset {
    Dataset::from_examples(pairs.iter().map(|(question, answer)| Example::new([("question", *question), ("answer", *answer)])).collect())
}

fn report(data: &Dataset) -> QualityReport {
    quality_report(data, None, &QualityOptions::default()).unwrap()
}

#[track_caller]
fn found(report: &QualityReport, kind: FindingKind) -> Vec<usize> {
    report.find(kind).map(|finding| finding.rows.clone()).unwrap_or_default()
}

/// Sound rows about different things.
const SOUND: [(&str, &str); 8] = [
    ("What is a harbour?", "A place where ships lie safe from wind and waves."),
    ("Who paints a picture?", "A painter does, often with oil or with water colours."),
    ("Why does bread rise?", "Yeast makes gas, and the dough holds it."),
    ("How do bees talk?", "They dance to show where flowers are."),
    ("Where is the deepest lake?", "Lake Baikal in Siberia goes down more than a mile."),
    ("When do owls hunt?", "Most of them hunt at night, when mice come out."),
    ("What keeps a plane up?", "Air that flows faster over the wing than under it."),
    ("Can a spider hear?", "It feels sounds with fine hairs on its legs."),
];

/// The sound rows with others behind them, from row 8 on.
fn with(pairs: &[(&str, &str)]) -> Dataset {
    rows(&[&SOUND, pairs].concat())
}

#[test]
fn sound_rows_have_no_findings() {
    let report = report(&rows(&SOUND));
    assert_eq!(report.findings, [], "{report}");
    assert!(report.is_fit() && report.to_string() == "8 rows for training: 0 errors, 0 warnings, 0 notes");
}

#[test]
fn gaps_and_duplicates() {
    let data = with(&[
        ("", ""),
        ("  \n", "\u{200b}"),
        ("What is left?", " "),
        ("", "An answer to nothing."),
        ("What is  a harbour? ", "A place where ships lie safe from wind and waves."),
        ("Who paints a picture?", "A painter does it, often with oil or with water colours."),
        ("Why does bread rise?", "Because the baker shouts."),
        ("How do bees talk?", "they dance to show where flowers are"),
    ]);
    let report = report(&data);
    assert_eq!(found(&report, FindingKind::Empty), [8, 9]);
    assert_eq!(found(&report, FindingKind::OneSided), [10, 11]);
    assert_eq!(found(&report, FindingKind::ExactDuplicate), [12]);
    assert_eq!(found(&report, FindingKind::NearDuplicate), [13, 15]);
    // Other capitals or an end without a stop are no contradiction.
    assert_eq!(found(&report, FindingKind::Contradiction), [1, 2, 13, 14]);
    assert!(!report.is_fit());
}

#[test]
fn near_duplicates_reach_the_threshold() {
    let data = with(&[("What keeps a plane up?", "Air that flows faster over the wing than below it.")]);
    let share = |threshold| {
        let report = quality_report(&data, None, &QualityOptions::default().with_near_threshold(threshold)).unwrap();
        report.find(FindingKind::NearDuplicate).map(|finding| finding.places[0].text.clone())
    };
    // Shingles counted apart: a text's runs of five characters, as a set.
    let shingles = |row: &Example| {
        let text: Vec<char> = format!("{}\n{}", &row["question"], &row["answer"]).to_lowercase().chars().collect();
        text.windows(5).map(<[char]>::to_vec).collect::<std::collections::HashSet<_>>()
    };
    let (a, b) = (shingles(data.get(6).unwrap()), shingles(data.get(8).unwrap()));
    let exact = a.intersection(&b).count() as f64 / a.union(&b).count() as f64;
    assert!((0.75..0.9).contains(&exact), "{exact}");
    assert_eq!(share(exact - 1e-9), Some(format!("as row 6, {:.0} %", 100.0 * exact)));
    assert_eq!(share(exact + 1e-9), None);
    let words = QualityOptions::default().with_shingles(Shingles::Words(2)).with_near_threshold(0.5);
    assert_eq!(found(&quality_report(&data, None, &words).unwrap(), FindingKind::NearDuplicate), [8]);
}

#[test]
fn damaged_texts() {
    let data = with(&[
        ("What is cafÃ©?", "Coffee, or where one drinks it."),
        ("What was lost?", "A let\u{fffd}er."),
        ("What rings?", "A bell \u{7} does."),
        ("What hides?", "Zero\u{200b}width."),
        ("Who are Tom &amp; Jerry?", "<p>A cat and a mouse.</p>"),
        ("What is a list?", "One\\n\\nTwo"),
        ("What is padded? ", "Much."),
    ]);
    let report = report(&data);
    for (kind, row) in [
        (FindingKind::Mojibake, 8),
        (FindingKind::LostCharacter, 9),
        (FindingKind::ControlCharacter, 10),
        (FindingKind::InvisibleCharacter, 11),
        (FindingKind::Markup, 12),
        (FindingKind::EscapedText, 13),
        (FindingKind::WhiteSpace, 14),
    ] {
        assert_eq!(found(&report, kind), [row], "{kind:?}");
    }
    assert_eq!(report.find(FindingKind::Mojibake).unwrap().places[0].text, "`question`, characters 11 to 13");
}

#[test]
fn a_secret_is_named_and_never_shown() {
    let secret = format!("{}{}", "ghp_", "aZ3kQ9xW7mB2vN8cL5tR1yH6pD4sF0gJuEiK");
    let answer = format!("Use {secret} or ask ann@mail.de.");
    let pairs = [("How do I log in?", answer.as_str()), ("What is the key?", &answer), ("And the key of today?", &answer)];
    let report = report(&with(&pairs));
    assert_eq!((found(&report, FindingKind::Secret), found(&report, FindingKind::PersonalData)), (vec![8, 9, 10], vec![8, 9, 10]));
    assert_eq!(report.find(FindingKind::Secret).unwrap().places[0].text, "token of GitHub in `answer`, characters 4 to 44");
    // The repeated answer is shown, with masks.
    let shown = format!("{}{}{report}", report.text(), report.rich()[0].1);
    assert!(shown.contains("[SECRET]") && !shown.contains("ghp_") && !shown.contains("ann@"), "{shown}");
}

#[test]
fn answers_as_a_whole() {
    let long = "This answer goes on and on about many things that nobody has asked for. ".repeat(10);
    let data = with(&[
        ("Tell me something.", "As an AI language model, I cannot do that."),
        ("And this?", "TODO"),
        ("And that?", "Lorem ipsum dolor sit amet."),
        ("Fill the place.", "{answer}"),
        ("Explain the tides to a child.", "Explain the tides to a child. The moon pulls at the sea."),
        ("Is it far?", "No."),
        ("Say much.", &long),
    ]);
    let report = report(&data);
    assert_eq!(found(&report, FindingKind::Placeholder), [8, 9, 10, 11]);
    assert_eq!(found(&report, FindingKind::PromptInAnswer), [12]);
    assert_eq!((found(&report, FindingKind::ShortAnswer), found(&report, FindingKind::LongAnswer)), (vec![9, 13], vec![14]));
    let repeated = with(&[("Mars?", "Let us talk of bread."), ("Venus?", "Let us talk of bread."), ("Pluto?", "Let us talk of bread.")]);
    let report = quality_report(&repeated, None, &QualityOptions::default()).unwrap();
    let finding = report.find(FindingKind::RepeatedAnswer).unwrap();
    assert_eq!((finding.rows.as_slice(), finding.detail.as_str()), (&[8, 9, 10][..], "3 × \"Let us talk of bread.\""));
}

#[test]
fn labels_are_balanced_or_not() {
    let labelled = |rare: usize| {
        let text =
            |row: usize| format!("{} number {}", ["A review of shoes,", "Praise for a film,", "A letter about rain,"][row % 3], row * 7919);
        let label = |row: usize| if row < rare { "bad" } else { "good" };
        Dataset::from_examples((0..60).map(|row| Example::new([("question", text(row).as_str()), ("answer", label(row))])).collect())
    };
    let even = report(&labelled(30));
    assert_eq!(even.find(FindingKind::Imbalance), None);
    // Labels may repeat, be short, and stand on both sides of a split.
    assert_eq!((even.find(FindingKind::RepeatedAnswer), even.find(FindingKind::ShortAnswer)), (None, None));
    let report = report(&labelled(2));
    let finding = report.find(FindingKind::Imbalance).unwrap();
    assert_eq!((finding.rows.as_slice(), finding.detail.as_str()), (&[0, 1][..], "\"good\" 58, \"bad\" 2"));
    let by_column = QualityOptions::default().with_label_column("answer");
    assert_eq!(found(&quality_report(&labelled(2), None, &by_column).unwrap(), FindingKind::Imbalance), [0, 1]);
    refused(quality_report(&labelled(2), None, &QualityOptions::default().with_label_column("mood")), &["`mood`", "`question`, `answer`"]);
}

#[test]
fn languages_are_counted_where_they_can_be_told() {
    let english = "The harbour lies behind a long wall of stone, and small boats wait there until the wind has turned to the west again.";
    let german =
        "Der Hafen liegt hinter einer langen Mauer aus Stein, und kleine Boote warten dort, bis der Wind wieder nach Westen dreht.";
    let data = rows(&[
        ("Where?", english),
        ("And then?", "When the storm was over, the people of the village came down to the water and counted their boats and the nets."),
        ("Wo?", german),
        ("Who?", "Ann."),
    ]);
    let first = report(&data);
    assert_eq!((first.languages["eng"], first.languages["deu"], first.too_short_to_tell), (2, 1, 1));
    let finding = first.find(FindingKind::Language).unwrap();
    assert_eq!((finding.rows.as_slice(), finding.places[0].text.as_str()), (&[2][..], "German"));
    let both = quality_report(&data, None, &QualityOptions::default().with_languages(&["eng", "deu"])).unwrap();
    assert_eq!(both.find(FindingKind::Language), None);
    refused(quality_report(&data, None, &QualityOptions::default().with_languages(&["english"])), &["`english`", "ISO 639-3"]);
}

#[test]
fn rows_too_long_for_the_model() {
    let tokenizer = Tokenizer::from_folder(&fixture("neox-tokenizer")).unwrap();
    let data = rows(&SOUND);
    let lengths: Vec<usize> = data.iter().map(|row| tokenize_function(row, &tokenizer).unwrap().input_ids.len()).collect();
    let most = lengths.iter().copied().max().unwrap() - 1;
    let report = quality_report(&data, None, &QualityOptions::default().with_max_length(&tokenizer, most)).unwrap();
    let expected: Vec<usize> = (0..lengths.len()).filter(|&row| lengths[row] > most).collect();
    assert_eq!(found(&report, FindingKind::TooLong), expected);
    refused(quality_report(&data, None, &QualityOptions::default().with_max_length(&tokenizer, 0)), &["max_length is 0"]);
    refused(quality_report(&data, None, &QualityOptions::default().with_near_threshold(1.5)), &["near_threshold is 1.5"]);
    refused(quality_report(&data, None, &QualityOptions::default().with_shingles(Shingles::Words(0))), &["0 parts"]);
}

#[test]
fn what_training_and_test_share() {
    let train = rows(&SOUND);
    let test = rows(&[
        SOUND[0],
        ("who paints a picture?", "Somebody else."),
        ("What keeps a plane up?!", "Air that flows faster over the wing than under it."),
        ("In what way do honey bees speak to others of their hive?", SOUND[3].1),
        ("How old is the moon?", "Four and a half thousand million years."),
    ]);
    let report = quality_report(&train, Some(&test), &QualityOptions::default()).unwrap();
    let of_test = |kind| {
        let finding = report.findings.iter().find(|finding| finding.kind == kind && finding.part == Part::Test).unwrap();
        finding.places.iter().map(|place| (place.row, place.text.clone())).collect::<Vec<_>>()
    };
    let place = |row: usize, text: &str| (row, text.to_string());
    assert_eq!(of_test(FindingKind::TestRowInTraining), [place(0, "is training row 0"), place(1, "asks as training row 1")]);
    let near = of_test(FindingKind::TestRowNearTraining);
    assert!(near.len() == 1 && near[0].0 == 2 && near[0].1.starts_with("as training row 6, "), "{near:?}");
    let answers = [place(0, "answer of training row 0"), place(2, "answer of training row 6"), place(3, "answer of training row 3")];
    assert_eq!(of_test(FindingKind::TestAnswerInTraining), answers);
    assert_eq!(report.find(FindingKind::TestAnswerInTraining).unwrap().detail, "3 of 5 test rows");
    assert!(report.notes.iter().any(|note| note.contains("the test has 5 rows")), "{:?}", report.notes);
}

#[test]
fn rows_of_other_shapes_are_read() {
    let turn = |role: &str, content: &str| serde_json::json!({ "role": role, "content": content });
    let chat =
        |answer: &str| Example::new([("messages", serde_json::json!([turn("user", "What is a harbour?"), turn("assistant", answer)]))]);
    let report_of = |examples: Vec<Example>| report(&Dataset::from_examples(examples));
    let chats = report_of(vec![chat("A place for ships."), chat("A place for ships."), chat(""), chat("A town, ann@mail.de says.")]);
    assert_eq!((found(&chats, FindingKind::ExactDuplicate), found(&chats, FindingKind::OneSided)), (vec![1], vec![2]));
    assert_eq!(
        chats.find(FindingKind::PersonalData).unwrap().places[0].text,
        "e-mail address in `messages[1].content`, characters 8 to 19"
    );
    let text = |text: &str| Example::new([("text", text)]);
    let texts = report_of(vec![text("One text."), text(""), text("One text.")]);
    assert_eq!((found(&texts, FindingKind::Empty), found(&texts, FindingKind::ExactDuplicate)), (vec![1], vec![2]));
    assert_eq!(texts.find(FindingKind::OneSided), None);
    // A null is a gap; a number is a text.
    let mixed = |answer: serde_json::Value| Example::new([("question", "How many?".into()), ("answer", answer)]);
    let mixed = report_of(vec![mixed(4.into()), mixed(serde_json::Value::Null), Example::new([("question", "How many?")])]);
    assert_eq!(found(&mixed, FindingKind::OneSided), [1, 2]);
    let pair = |chosen: &str, rejected: &str| Example::new([("prompt", "Which is it?"), ("chosen", chosen), ("rejected", rejected)]);
    let pairs = report_of(vec![pair("This one.", "That one."), pair("This one.", "Another."), pair("None.", "None. ")]);
    assert_eq!((found(&pairs, FindingKind::EqualPair), found(&pairs, FindingKind::Contradiction)), (vec![2], vec![0, 1, 2]));
    // The words of a template are no likeness, and an input may be empty.
    let task = |what: &str| Example::new([("instruction", what), ("input", ""), ("output", &what.chars().rev().collect::<String>())]);
    assert_eq!(report_of(vec![task("Name a colour."), task("Count to three.")]).findings, []);
    let unknown = report_of(vec![Example::new([("ask", "Who?"), ("say", "Ann.")])]);
    assert_eq!(found(&unknown, FindingKind::UnknownColumns), [0]);
    let named = Dataset::from_examples(vec![Example::new([("ask", "Who?"), ("say", "")])]);
    let named = quality_report(&named, None, &QualityOptions::default().with_columns("ask", "say")).unwrap();
    assert_eq!((found(&named, FindingKind::OneSided), named.find(FindingKind::UnknownColumns)), (vec![0], None));
    let nothing = report_of(Vec::new());
    assert_eq!((nothing.rows, nothing.findings.len()), (0, 0));
}

/// Rows of a few words that numbers choose: a third of them nearly equal to one before.
fn generated(count: usize) -> Dataset {
    let words =
        ["amber", "basalt", "cinder", "dune", "ember", "fjord", "glacier", "harbour", "island", "jungle", "kelp", "lagoon", "meadow"];
    let word = |row: usize, place: usize| words[(row.wrapping_mul(2_654_435_761) >> (place * 3 + 5)) % words.len()];
    let row = |row: usize| {
        let about = if row % 3 == 2 { row - 1 } else { row };
        let text: Vec<&str> = (0..9).map(|place| word(about, place)).collect();
        let question = format!("What of the {} near {} at place {about}?", text[0], text[1]);
        let answer = format!("{} and {}{}", text[2..6].join(" "), text[6..].join(" "), if row % 3 == 2 { "!" } else { "" });
        Example::new([("question", question), ("answer", answer)])
    };
    Dataset::from_examples((0..count).map(row).collect())
}

#[test]
fn comparisons_grow_with_the_rows_and_not_with_their_square() {
    let count = |data: &Dataset| {
        let report = report(data);
        (report.comparisons, report.find(FindingKind::NearDuplicate).map_or(0, |finding| finding.rows.len()))
    };
    let ((few, near_few), (many, near_many)) = (count(&generated(5_000)), count(&generated(20_000)));
    println!("comparisons: {few} for 5,000 rows, {many} for 20,000; near duplicates {near_few}, {near_many}");
    assert!(near_few >= 5_000 / 3 - 1 && near_many >= 20_000 / 3 - 1, "{near_few} {near_many}");
    // At most 16 candidates of each of 21 bands, and 32 full comparisons a row; here far fewer. The square would be
    // a thousand times as many.
    assert!(many < 20_000 * 50, "{few} {many}");
    // The worst case: all rows are nearly equal, and all share their buckets.
    let alike = |count: usize| {
        let row = |row: usize| {
            Example::new([
                ("question", format!("What is the capital of the country with the number {row}?")),
                ("answer", "Nobody has told us the name of this capital so far.".into()),
            ])
        };
        Dataset::from_examples((0..count).map(row).collect())
    };
    let (comparisons, near) = count(&alike(20_000));
    assert!(near == 19_999 && comparisons <= 20_000 * (21 * 16 + 32), "{near} {comparisons}");
}

#[test]
fn the_data_of_the_lessons() {
    let (train, test) = load_dataset("builtin:lab_docs").unwrap().train_test_split(0.1, 123).unwrap();
    let report = quality_report(&train, Some(&test), &QualityOptions::default()).unwrap();
    println!("{report}\n{:?}", report.notes);
    let of =
        |kind| report.findings.iter().find(|finding| finding.kind == kind && finding.part == Part::Test).map(|finding| finding.rows.len());
    // The course's split: no question twice, every answer known.
    assert_eq!((of(FindingKind::TestRowInTraining), of(FindingKind::TestAnswerInTraining)), (None, Some(172)));
    assert!(report.find(FindingKind::RepeatedAnswer).unwrap().detail.contains("Let's keep the discussion relevant"));
    assert!(report.is_fit() && report.languages.keys().all(|code| code == "eng"), "{report}");
    for name in ["arc_style", "evaluation_example", "instructions", "stories"] {
        let data = load_dataset(&format!("builtin:{name}")).unwrap();
        println!("{name}: {}", quality_report(&data, None, &QualityOptions::default()).unwrap());
    }
}
