//! Splits without leaks: no group stands on both sides, the sizes fit, the course's own split stays.

use finetuning::*;

use crate::support::refused;

fn leaks(train: &Dataset, test: &Dataset) -> Vec<FindingKind> {
    let report = quality_report(train, Some(test), &QualityOptions::default()).unwrap();
    let kinds = [FindingKind::TestRowInTraining, FindingKind::TestRowNearTraining, FindingKind::TestAnswerInTraining];
    kinds.into_iter().filter(|kind| report.find(*kind).is_some()).collect()
}

#[test]
fn no_question_answer_or_nearly_equal_row_is_on_both_sides() {
    let data = load_dataset("builtin:lab_docs").unwrap();
    let (train, test) = data.train_test_split(0.1, 123).unwrap();
    assert_eq!(leaks(&train, &test), [FindingKind::TestRowNearTraining, FindingKind::TestAnswerInTraining]);
    for seed in [1, 2] {
        let (train, test) = data.split_by_group(0.1, seed).unwrap();
        assert_eq!(leaks(&train, &test), []);
        assert!(train.len() + test.len() == 1718 && (168..=172).contains(&test.len()), "{} {}", train.len(), test.len());
        let mut all: Vec<String> = train.iter().chain(&test).map(ToString::to_string).collect();
        let mut before: Vec<String> = data.iter().map(ToString::to_string).collect();
        (all.sort(), before.sort());
        assert_eq!(all, before);
    }
    let of = |seed| data.split_by_group(0.1, seed).unwrap();
    assert!(of(3) == of(3) && of(3) != of(4));
}

#[test]
fn labels_may_stand_on_both_sides() {
    let row = |row: usize| {
        Example::new([("question", format!("Text {} of {}", row * 7919, row * 104_729)), ("answer", ["good", "bad"][row % 2].into())])
    };
    let data = Dataset::from_examples((0..50).map(row).collect());
    let (train, test) = data.split_by_group(0.2, 1).unwrap();
    assert_eq!((train.len(), test.len()), (40, 10));
    assert_eq!(leaks(&train, &test), []);
}

#[test]
fn a_split_that_cannot_be_is_refused() {
    let row = |row: usize| {
        Example::new([("question", format!("{} is asked", row * 7919)), ("answer", "The one and only answer to all of these.".into())])
    };
    let data = Dataset::from_examples((0..10).map(row).collect());
    refused(data.split_by_group(0.2, 1), &["each of the 1 groups", "2 rows of the test", "the largest has 10"]);
    refused(data.split_by_group(1.5, 1), &["test_size 1.5"]);
    refused(Dataset::default().split_by_group(0.1, 1), &["0 rows"]);
}
