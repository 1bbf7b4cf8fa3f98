//! What is no file, too large or too deep is refused by name, before there is memory for it.

use std::io::Write;
use std::path::Path;
use std::process::Command;

use finetuning::border::limits::{CONFIGURATION, FIELDS, JSON_DEPTH, JSON_VALUES, Limit, OPERATORS};
use finetuning::border::pattern::Pattern;
use finetuning::border::{file, json, template};
use finetuning::data::stream::ExampleStream;
use finetuning::*;

use crate::support::{fixture, fresh_folder, refused};

const SMALL: Limit = Limit::new("a test", 10);

fn write(path: &Path, text: impl AsRef<[u8]>) {
    std::fs::write(path, text).unwrap();
}

#[test]
fn a_file_is_read_up_to_its_limit() {
    let folder = fresh_folder();
    let path = folder.join("ten");
    write(&path, "0123456789");
    assert_eq!(file::read(&path, SMALL).unwrap(), b"0123456789");
    assert_eq!(file::read_text(&path, SMALL).unwrap(), "0123456789");
    write(&path, "0123456789a");
    refused(file::read(&path, SMALL), &["ten` has 11 bytes; a test may have 10"]);
    // A file that only claims a petabyte, which is a limit's worth of memory as well.
    std::fs::File::create(&path).unwrap().set_len(1 << 42).unwrap();
    refused(file::read(&path, SMALL), &["4398046511104 bytes"]);
    assert!(file::read_if_there(&folder.join("none"), SMALL).unwrap().is_none());
    assert!(file::read_if_there(&path.join("below"), SMALL).unwrap().is_none());
    refused(file::read(&folder.join("none"), SMALL), &["none`: No such file"]);
    write(&path, b"\xff");
    refused(file::read_text(&path, SMALL), &["no UTF-8"]);
}

#[test]
fn what_has_no_end_is_no_file() {
    let folder = fresh_folder();
    let pipe = folder.join("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    // Opening a pipe would wait for its other end.
    refused(file::read(&pipe, SMALL), &["pipe` is no file"]);
    refused(file::read(Path::new("/dev/zero"), SMALL), &["/dev/zero` is no file"]);
    refused(file::read(&folder, SMALL), &["directory"]);
    for name in ["config.json", "tokenizer.json"] {
        std::os::unix::fs::symlink("/dev/zero", folder.join(name)).unwrap();
    }
    refused(Config::from_folder(&folder), &["config.json` is no file"]);
    refused(Tokenizer::from_folder(&folder), &["tokenizer.json` is no file"]);
    std::os::unix::fs::symlink("/dev/zero", folder.join("rows.jsonl")).unwrap();
    refused(ExampleStream::open(folder.join("rows.jsonl")).and_then(|mut rows| rows.next().unwrap()), &["rows.jsonl"]);
}

fn nested(depth: usize) -> String {
    format!("{}{}", "[".repeat(depth), "]".repeat(depth))
}

#[test]
fn json_is_as_deep_as_the_limit() {
    let path = Path::new("a.json");
    let parse = |text: &str| json::parse::<serde_json::Value>(text.as_bytes(), path, ErrorKind::Model, "again");
    assert!(parse(&nested(JSON_DEPTH - 1)).is_ok());
    refused(parse(&nested(JSON_DEPTH)), &["a.json` is not valid JSON: recursion limit exceeded at line 1 column 128"]);
    // Every reader, not this function alone: 100,000 levels would end the process.
    let (folder, deep) = (fresh_folder(), nested(100_000));
    write(&folder.join("config.json"), format!("{{\"a\": {deep}}}"));
    write(&folder.join("tokenizer.json"), format!("{{\"a\": {deep}}}"));
    write(&folder.join("adapter_config.json"), format!("{{\"a\": {deep}}}"));
    write(&folder.join("training_args.json"), format!("{{\"a\": {deep}}}"));
    write(&folder.join("rows.jsonl"), format!("{{\"a\": {deep}}}\n"));
    refused(Config::from_folder(&folder), &["recursion limit"]);
    refused(Tokenizer::from_folder(&folder), &["tokenizer.json` is not a tokenizer"]);
    refused(TrainingArguments::load(folder.join("training_args.json")), &["recursion limit"]);
    refused(Dataset::from_jsonl(folder.join("rows.jsonl")), &["rows.jsonl:1", "more than 128 deep"]);
    let model = CausalLm::from_folder(&fixture("tiny-llama"), &Device::Cpu).unwrap();
    refused(model.load_adapter(&folder), &["recursion limit"]);
    let header = format!("{{\"a\": {deep}}}");
    std::fs::copy(fixture("tiny-llama/config.json"), folder.join("config.json")).unwrap();
    let mut weights = std::fs::File::create(folder.join("model.safetensors")).unwrap();
    weights.write_all(&(header.len() as u64).to_le_bytes()).unwrap();
    weights.write_all(header.as_bytes()).unwrap();
    refused(CausalLm::from_folder(&folder, &Device::Cpu), &["model.safetensors"]);
    write(&folder.join("model.safetensors.index.json"), format!("{{\"a\": {deep}}}"));
    refused(CausalLm::from_folder(&folder, &Device::Cpu), &["index.json", "recursion limit"]);
}

#[test]
fn json_has_so_many_values_and_each_setting_once() {
    let path = Path::new("a.json");
    let many = format!("[{}1]", "1,".repeat(JSON_VALUES));
    refused(
        json::parse::<serde_json::Value>(many.as_bytes(), path, ErrorKind::Model, "again"),
        &["a.json", "values; 16777216 are allowed"],
    );
    let folder = fresh_folder();
    let file = folder.join("training_args.json");
    write(&file, r#"{"learning_rate": 1e-3, "seed": 1, "learning_rate": 1e-5}"#);
    refused(TrainingArguments::load(&file), &["training_args.json", "`learning_rate` stands twice"]);
    write(&file, r#"[1]"#);
    refused(TrainingArguments::load(&file), &["training_args.json", "a JSON object"]);
}

#[test]
fn nothing_takes_the_readers_own_limit_away() {
    let tree = crate::house::tree::read(&["lib", "kernels", "notebooks/src"]);
    let word = ["disable", "recursion", "limit"].join("_");
    let found: Vec<&String> = tree.iter().filter(|(_, text)| text.contains(&word)).map(|(path, _)| path).collect();
    assert!(found.is_empty(), "{found:?}");
}

#[test]
fn a_configuration_larger_than_any_is_refused() {
    let folder = fresh_folder();
    write(&folder.join("config.json"), " ".repeat(CONFIGURATION.bytes as usize + 1));
    refused(Config::from_folder(&folder), &["config.json", "a configuration may have 4194304"]);
}

#[test]
fn a_row_has_so_many_fields() {
    let folder = fresh_folder();
    let row = |fields: usize| format!("{{{}}}\n", (0..fields).map(|i| format!("\"{i}\":1")).collect::<Vec<_>>().join(","));
    write(&folder.join("rows.jsonl"), row(FIELDS) + &row(FIELDS + 1));
    let mut rows = ExampleStream::open(folder.join("rows.jsonl")).unwrap();
    assert_eq!(rows.next().unwrap().unwrap().fields().len(), FIELDS);
    refused(rows.next().unwrap(), &["rows.jsonl:2", "more than 262144 fields"]);
    // Commas alone have no bytes that a limit of bytes would count.
    write(&folder.join("rows.csv"), format!("a,b\n{}\n", ",".repeat(2 * FIELDS)));
    refused(
        ExampleStream::open(folder.join("rows.csv")).and_then(|mut rows| rows.next().unwrap()),
        &["rows.csv:2", "more than 262144 cells"],
    );
}

#[test]
fn an_expression_has_so_many_operators() {
    let not = |count: usize| format!("a\n{{{{ {}true }}}}", "not ".repeat(count));
    assert!(template::check(&not(OPERATORS)).is_ok());
    refused(template::check(&not(OPERATORS + 1)), &["line 2 of the chat template has an expression of 1001 operators"]);
    let elif = |count: usize| format!("{{% if a %}}{}{{% endif %}}", "{% elif b %}".repeat(count));
    assert!(template::check(&elif(OPERATORS)).is_ok());
    refused(template::check(&elif(OPERATORS + 1)), &["1001th `elif`"]);
    // What stands in quotes, in a comment or outside of tags is no operator.
    let (signs, text) = ("-".repeat(5000), "not ".repeat(5000));
    assert!(template::check(&format!("{signs}{{# {signs} #}}{{{{ '{text}' ~ \"}}}}{signs}\" }}}}{text}{{")).is_ok());
    assert!(template::check("{{ 'a").is_ok() && template::check("{{ 'a\\").is_ok() && template::check("é{{é}}").is_ok());
    let own = crate::support::json("chat.json");
    for (name, given) in own["templates"].as_object().unwrap() {
        assert!(given["chat_template"].as_str().is_none_or(|text| template::check(text).is_ok()), "{name}");
    }
}

#[test]
fn a_regular_expression_fits_whole_names() {
    let fits = |expression: &str, name: &str| Pattern::new("x", expression).unwrap().fits(name);
    assert!(fits(r".*\.layers\.[02]\..*_proj", "model.layers.2.mlp.up_proj"));
    assert!(!fits("up_proj", "model.up_proj") && !fits("a|b", "ab") && fits("(?!a).*b", "cb") && !fits("(?!a).*b", "ab"));
    refused(Pattern::new("target_modules", "("), &["target_modules", "`(`"]);
    refused(Pattern::new("x", &"a".repeat(1 << 17)), &["131072 letters", "65536"]);
    // One for which an engine that tries all ways would need longer than anybody lives.
    assert!(!fits("(a|aa|b)*(?=c)d", &"a".repeat(60)));
}
