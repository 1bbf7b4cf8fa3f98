//! Words → one of the programs that tests start, for what needs a process of its own: a death, an interrupt, an environment.

mod ask;
mod fuzz;
mod readers;
mod train;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use finetuning::{AutoModelForCausalLM, DType, GgufFormat, SpecialTokens};

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["train", folder] => train::train(Path::new(folder)),
        ["finetune", folder] => support::finetuned::finetune(Path::new(folder)),
        ["interrupt-training"] => train::interrupt(),
        ["measure-memory", checkpointing] => train::measure_memory(checkpointing == "true"),
        ["export", folder] => drop(support::exported::export(Path::new(folder))),
        ["save", what, folder] => save(what, Path::new(folder)),
        ["load", folder] => drop(AutoModelForCausalLM::from_pretrained(folder).unwrap()),
        ["load-rows", name] => ask::load_rows(name, None),
        ["load-rows", name, tokenizer, length] => ask::load_rows(name, Some((tokenizer, length.parse().unwrap()))),
        ["load-pairs", name, tokenizer] => ask::load_pairs(name, tokenizer),
        ["count-rows", name] => ask::count_rows(name),
        ["available", ..] => {
            let names: Vec<&str> = words[1..].iter().map(String::as_str).collect();
            println!("result: {}", finetuning::available(&names).unwrap_or_else(|error| panic!("{error}")));
        }
        ["ask-chat", folder] => ask::ask_chat(folder),
        ["ask-hosted"] => ask::ask_hosted(),
        ["ask-silent", address] => ask::ask_silent(address),
        ["ask-hub", task, name] => ask::ask_hub(task, name),
        ["fuzz", target, seed, count, folder] => fuzz::fuzz(target, seed.parse().unwrap(), count.parse().unwrap(), Path::new(folder)),
        ["serve-hub", seconds] => serve_hub(seconds),
        _ => panic!("the tests start this program; it does not know {words:?}"),
    }
}

/// Saves a model in one of the ways that there are, and says what went wrong.
fn save(what: &str, folder: &Path) {
    let (model, tokenizer) = (support::exported::wide(), support::exported::letters(32));
    let result = match what {
        "gguf" => model.save_gguf(folder.join("model.gguf"), &tokenizer, GgufFormat::F32),
        "adapter" => support::exported::adapted(&model).save_adapter_gguf(folder.join("adapter.gguf"), "base"),
        "whole" => model.save_pretrained(folder),
        "shards" => model.save_pretrained_in_shards(folder, DType::F32, 1 << 20),
        "extended" => model.extended(&tokenizer, &SpecialTokens::chatml(), folder.join("new")).map(drop),
        other => panic!("`{other}` is no way to save"),
    };
    match result {
        Ok(()) => println!("saved"),
        Err(error) => {
            println!("{error}");
            std::process::exit(3)
        }
    }
}

/// The file whose existence is an interrupt.
fn flag() -> PathBuf {
    std::env::var_os("FINETUNING_INTERRUPT").expect("FINETUNING_INTERRUPT names a file").into()
}

/// A hub for clients in other languages.
fn serve_hub(seconds: &str) {
    let hub = support::hub::Hub::start();
    println!("hub: {}", hub.address);
    std::io::stdout().flush().unwrap();
    std::thread::sleep(Duration::from_secs(seconds.parse().unwrap()));
}
