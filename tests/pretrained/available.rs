//! Names of models, some of which are not here: the first that is, and one line for what is missing.

use std::path::Path;

use finetuning::*;

use crate::process::harness;
use crate::support::{fresh_folder, refused};

/// What a process prints that looks for these names, with an empty cache of fetched models.
fn print(names: &[&str]) -> Vec<String> {
    let output = harness("available").args(names).env("FINETUNING_CACHE", fresh_folder()).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap().lines().map(String::from).collect()
}

/// The folder of an adapter of this model.
fn adapter(base: &str) -> String {
    let folder = fresh_folder();
    let config =
        serde_json::json!({ "peft_type": "LORA", "r": 2, "lora_alpha": 2, "target_modules": ["q_proj"], "base_model_name_or_path": base });
    std::fs::write(folder.join("adapter_config.json"), config.to_string()).unwrap();
    folder.display().to_string()
}

#[test]
fn the_first_name_on_this_machine_is_taken() {
    assert_eq!(print(&["builtin:base", "builtin:smol"]), ["result: builtin:base"], "nothing is said where nothing is missing");
    let line = "`builtin:smol` (SmolLM2-135M-Instruct, 93 MB) is not on this machine: `cargo lab setup` fetches it once, with a network; here \
                `builtin:base` takes its place";
    assert_eq!(print(&["builtin:smol", "nobody/nothing-here", "builtin:base"]), [line, "result: builtin:base"]);
    // An adapter is there with the model below it.
    let (guide, own) = (adapter("builtin:smol"), adapter("builtin:base"));
    let lines = print(&[&guide, &own]);
    assert_eq!(lines[1], format!("result: {own}"));
    assert!(lines[0].starts_with(&format!("`{guide}` is an adapter, and `builtin:smol` (SmolLM2")), "{}", lines[0]);
    assert!(Path::new(&own).exists() && lines.len() == 2);
}

#[test]
fn no_name_is_refused_with_the_command_that_fetches() {
    refused(available(&["nobody/nothing-here"]), &["none of `nobody/nothing-here`", "cargo lab setup"]);
    refused(available(&[]), &["no name is given"]);
    // A slip of the keyboard is no model that is missing.
    refused(available(&["builtin:smoll", "builtin:base"]), &["builtin:smoll", "builtin:smol"]);
}
