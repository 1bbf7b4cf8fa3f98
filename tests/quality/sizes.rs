//! Texts of which each sign could begin something: what is looked for in them takes no more than their length.

use finetuning::*;

use crate::support::{grows_evenly, time};

/// Long texts by a piece that they repeat.
const PIECES: [&str; 16] = [
    "& ",
    "< ",
    "`&",
    "â€ ",
    "\u{7}a",
    "sk-",
    "eyJ.",
    "eyJ ",
    "-----BEGIN ",
    "-----BEGIN PRIVATE KEY-----",
    "a@b.de ",
    "171.82.93.104 ",
    "DE89",
    "4111-",
    "\\n ",
    "\u{1b}[31m",
];

#[test]
fn a_text_takes_no_more_than_its_length() {
    let options = QualityOptions::default();
    for piece in PIECES {
        grows_evenly(piece, 4_000 / piece.len(), |count| {
            let row = Example::new([("question", "What is it?".to_string()), ("answer", piece.repeat(count))]);
            let data = Dataset::from_examples(vec![row]);
            time(|| {
                let report = quality_report(&data, None, &options).unwrap();
                report.repair_with(RepairOptions::default().with_sensitive_data_masked())
            })
        });
    }
}

#[test]
fn many_labels_take_no_more_than_their_number() {
    grows_evenly("labels", 250, |count| {
        let label = |row: usize| if row < count / 4 { "common".to_string() } else { format!("label{row:06}") };
        let row =
            |row: usize| Example::new([("question", format!("What is {row}?")), ("answer", "A thing.".to_string()), ("label", label(row))]);
        let data = Dataset::from_examples((0..count).map(row).collect());
        let options = QualityOptions::default().with_label_column("label");
        time(|| quality_report(&data, None, &options).unwrap())
    });
}
