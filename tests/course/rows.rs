//! The rows of the real model's lessons: what is held out is held out, and what is told to be unequal is.

use std::collections::{BTreeMap, HashSet};

use finetuning::*;

fn column(name: &str, column: &str) -> Vec<String> {
    load_dataset(name).unwrap().column(column).unwrap()
}

fn set(name: &str, of: &str) -> HashSet<String> {
    column(name, of).into_iter().collect()
}

#[test]
fn the_guides_test_holds_out_wordings_facts_and_questions() {
    let (questions, answers) = (set("builtin:guide", "question"), set("builtin:guide", "answer"));
    let mut kinds: BTreeMap<String, usize> = BTreeMap::new();
    for row in &load_dataset("builtin:guide_test").unwrap() {
        let [question, answer, kind] = ["question", "answer", "kind"].map(|name| row.field(name).unwrap());
        assert!(!questions.contains(question), "{question}");
        // Memory and behaviour have been shown, a fact that is held out has not.
        let known = !matches!(kind, "unseen" | "general");
        assert_eq!(answers.contains(answer), known, "{kind}: {question}");
        *kinds.entry(kind.to_string()).or_default() += 1;
    }
    let all = ["general", "name", "off-topic", "reworded", "unknown", "unseen"];
    assert_eq!(kinds.keys().map(String::as_str).collect::<Vec<_>>(), all);
    assert!(kinds["reworded"] >= 12 && kinds["off-topic"] >= 30 && kinds["unseen"] >= 10, "{kinds:?}");
    let quiz = set("builtin:quiz", "question");
    assert_eq!(quiz.len(), 40);
    assert!(quiz.is_disjoint(&questions) && quiz.is_disjoint(&set("builtin:guide_test", "question")));
}

#[test]
fn the_first_guide_has_too_many_rows_of_one_answer() {
    let answers = column("builtin:guide_v1", "answer");
    let led_back = answers.iter().filter(|answer| answer.contains("keep the discussion relevant")).count();
    assert_eq!((led_back, answers.len()), (60, 162));
    let questions = set("builtin:guide_v1", "question");
    assert!(questions.is_superset(&set("builtin:guide", "question")));
    assert!(questions.is_disjoint(&set("builtin:guide_test", "question")));
}

#[test]
fn the_desks_differ_in_items_alone_and_their_test_in_items_and_names() {
    let field = |name: &str, index: usize| -> Vec<String> {
        let value = |answer: &String| answer.split("; ").nth(index).unwrap().split_once('=').unwrap().1.to_string();
        column(name, "answer").iter().map(value).collect()
    };
    let different = |name: &str, index: usize| field(name, index).into_iter().collect::<HashSet<_>>();
    let test = "builtin:desk_test";
    for (name, items) in [("builtin:desk", 22), ("builtin:support", 150)] {
        assert_eq!((column(name, "answer").len(), different(name, 1).len()), (150, items), "{name}");
        assert!(different(name, 1).is_disjoint(&different(test, 1)) && different(name, 3).is_disjoint(&different(test, 3)), "{name}");
        assert_eq!((different(name, 2), different(name, 3).len()), (different(test, 2), 14), "{name}");
    }
    for name in ["builtin:desk", "builtin:support", test] {
        let parts: Vec<Vec<String>> = [0, 1, 3].iter().map(|&index| field(name, index)).collect();
        for (row, question) in column(name, "question").iter().enumerate() {
            assert!(parts.iter().all(|part| question.contains(&part[row])), "{name} {row}: {question}");
        }
    }
}
