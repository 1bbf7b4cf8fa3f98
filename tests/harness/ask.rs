//! Questions to models whose service or hub is named by the environment.

use std::path::Path;

use finetuning::*;

use crate::flag;

/// Asks the model of `OPENAI_BASE_URL` and prints each answer, or what it says instead.
pub fn ask_hosted() {
    let runner = BasicModelRunner::new("openai:parrot").unwrap();
    println!("{runner:?}");
    for (row, answer) in runner.try_ask_batch(&["a", "wrong", "redirect"]).into_iter().enumerate() {
        println!("row {row}: {}", answer.unwrap_or_else(|error| format!("{error} {error:?}")).replace('\n', " / "));
    }
}

/// Asks a chat model of this machine twice, after a text that is no question.
pub fn ask_chat(folder: &str) {
    let runner = BasicModelRunner::new(folder).unwrap().with_generation(GenerationConfig { max_new_tokens: 2, ..Default::default() });
    println!("{:?}", runner.complete("a").unwrap());
    println!("{:?}", [runner.ask("a").unwrap(), runner.ask("b").unwrap()]);
}

/// Asks a service that does not answer all questions, until an interrupt.
pub fn ask_silent(address: &str) {
    let runner =
        BasicModelRunner::hosted("parrot", HostedConfig { base_url: address.into(), concurrency: 2, ..Default::default() }).unwrap();
    let rows = runner.try_ask_batch(&["a", "silent", "b", "silent", "c"]);
    assert_eq!((rows[0].as_ref().unwrap().as_str(), rows[2].as_ref().unwrap().as_str()), ("echo: a", "echo: b"));
    for row in [1, 3, 4] {
        assert_eq!(rows[row].as_ref().unwrap_err().kind(), ErrorKind::Interrupted);
    }
    assert!(flag().exists());
    assert_eq!(runner.ask_batch(&["silent"]).unwrap_err().kind(), ErrorKind::Interrupted);
    println!("the answers that came are kept");
}

/// Streams a file: how many rows it has, and the most memory that was used.
pub fn count_rows(name: &str) {
    let rows = stream_dataset(name).unwrap().map(Result::unwrap).count();
    println!("{rows} {}", finetuning::util::memory::peak_memory());
}

/// Loads rows and prints how many there are, or why there are none; with a tokenizer, makes ids of them in both ways.
pub fn load_rows(name: &str, tokenizer: Option<(&str, usize)>) {
    let loaded = load_dataset_with(name, DataOptions::new().local_only());
    let made = loaded.and_then(|data| {
        if let Some((tokenizer, length)) = tokenizer {
            let tokenizer = AutoTokenizer::from_pretrained(tokenizer)?;
            tokenize_dataset(&data, &tokenizer, length)?;
            tokenize_with(&data, &tokenizer, &TokenizeOptions::new().with_max_length(length))?;
        }
        Ok(data.len())
    });
    println!("{}", made.map_or_else(|error| error.to_string(), |rows| format!("{rows} rows")));
}

/// Loads pairs, makes ids of them and prints how many there are.
pub fn load_pairs(name: &str, tokenizer: &str) {
    let made = load_dataset_with(name, DataOptions::new().local_only())
        .and_then(|data| tokenize_preferences(&data, &AutoTokenizer::from_pretrained(tokenizer)?, 64));
    println!("{}", made.map_or_else(|error| error.to_string(), |pairs| format!("{} pairs", pairs.len())));
}

/// Loads from the hub of `HF_ENDPOINT` and prints what came of it.
pub fn ask_hub(task: &str, name: &str) {
    let result = match task {
        "ask" => BasicModelRunner::new(name).and_then(|runner| runner.ask("What is finetuning in short?")),
        "rows" => load_dataset(name).map(|data| format!("{} rows, first {}", data.len(), data.get(0).unwrap())),
        "stream" => stream_dataset(name).and_then(|rows| Ok(format!("{} rows", rows.collect::<Result<Vec<_>>>()?.len()))),
        "stop" => stop_and_go_on(name),
        other => panic!("no task {other}"),
    };
    println!("result: {}", result.unwrap_or_else(|error| format!("error: {error}")).replace('\n', " / "));
}

/// Interrupts the download of a model in its middle, then asks for the model again.
fn stop_and_go_on(name: &str) -> Result<String> {
    let flag = flag();
    let stopped = std::thread::scope(|scope| {
        scope.spawn(|| {
            // The fast half takes no time, the slow half minutes.
            let blobs = Path::new(&std::env::var_os("HF_HOME").unwrap()).join("hub/models--course--small/blobs");
            let half = |entry: std::fs::DirEntry| entry.metadata().is_ok_and(|data| (1_500_000..1_800_000).contains(&data.len()));
            while !std::fs::read_dir(&blobs).into_iter().flatten().flatten().any(half) {
                std::thread::sleep(std::time::Duration::from_millis(10));
            }
            std::fs::write(&flag, "").unwrap();
        });
        BasicModelRunner::new(name).map(drop).unwrap_err()
    });
    assert_eq!(stopped.kind(), ErrorKind::Interrupted);
    std::fs::remove_file(&flag).unwrap();
    Ok(format!("{stopped}, then {}", BasicModelRunner::new(name)?.ask("What is finetuning in short?")?))
}
