//! Every lesson as a module of one test program, so that `cargo test` compiles the course.
//!
//! Written by `cargo lab build` from the files of this folder.

// A lesson shows one thing at a time: unused values, and copies where a borrow would do.
#![allow(unused, clippy::cloned_ref_to_slice_refs)]

#[path = "01_why_finetune.rs"]
mod lesson_01_why_finetune;

#[path = "02_where_finetuning_fits_in.rs"]
mod lesson_02_where_finetuning_fits_in;

#[path = "03_instruction_finetuning.rs"]
mod lesson_03_instruction_finetuning;

#[path = "04_data_preparation.rs"]
mod lesson_04_data_preparation;

#[path = "05_training.rs"]
mod lesson_05_training;

#[path = "06_evaluation.rs"]
mod lesson_06_evaluation;

#[path = "07_considerations.rs"]
mod lesson_07_considerations;

#[path = "08_your_own_data.rs"]
mod lesson_08_your_own_data;

/// A lesson: its name and its code.
type Lesson = (&'static str, fn() -> finetuning::Result<()>);

const LESSONS: &[Lesson] = &[
    ("01_why_finetune", lesson_01_why_finetune::lesson),
    ("02_where_finetuning_fits_in", lesson_02_where_finetuning_fits_in::lesson),
    ("03_instruction_finetuning", lesson_03_instruction_finetuning::lesson),
    ("04_data_preparation", lesson_04_data_preparation::lesson),
    ("05_training", lesson_05_training::lesson),
    ("06_evaluation", lesson_06_evaluation::lesson),
    ("07_considerations", lesson_07_considerations::lesson),
    ("08_your_own_data", lesson_08_your_own_data::lesson),
];

#[test]
fn every_lesson_is_compiled() {
    let lessons = notebooks::course::lessons(notebooks::course::folder()).unwrap();
    let names = LESSONS.iter().map(|(name, _)| *name);
    assert!(lessons.iter().map(|lesson| lesson.name.as_str()).eq(names), "type `cargo lab build`");
}
