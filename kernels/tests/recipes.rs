//! Every block of `notebooks/recipes.md`, run in the kernel as a reader would paste it, on files like a reader's own, with a hub of
//! this machine; what a block says behind `// =>` has to come.

#[path = "../../tests/support/hub.rs"]
#[allow(dead_code)]
mod hub;
#[path = "../../tests/support/wire.rs"]
#[allow(dead_code)]
mod wire;

use std::path::Path;
use std::process::Command;

use notebooks::{Kind, Lesson, Notebook};

const LINES: usize = 12;

/// A block: its task, whether it needs the real model, its lines, and what it says that comes.
struct Block {
    task: String,
    smol: bool,
    code: Vec<String>,
    contracts: Vec<String>,
}

fn blocks(text: &str) -> Vec<Block> {
    let mut blocks: Vec<Block> = Vec::new();
    let (mut task, mut inside) = (String::new(), false);
    for line in text.lines() {
        match line.strip_prefix("```") {
            Some("") => inside = false,
            Some(info) => {
                assert!(["rust", "rust,smol"].contains(&info), "{info}");
                inside = true;
                blocks.push(Block { task: task.clone(), smol: info.ends_with("smol"), code: vec![], contracts: vec![] });
            }
            None if inside => {
                let block = blocks.last_mut().unwrap();
                match line.strip_prefix("// => ") {
                    Some(contract) => block.contracts.push(contract.into()),
                    None => block.code.push(line.into()),
                }
            }
            None => task = line.strip_prefix("## ").map_or(task, String::from),
        }
    }
    blocks
}

/// A lesson of these blocks, so that contracts are read and kept as a lesson's are.
fn lesson(blocks: &[Block]) -> Notebook {
    let cell = |block: &Block| {
        let code = block.code.iter().map(|line| if line.is_empty() { "\n".into() } else { format!("    {line}\n") });
        let contracts = block.contracts.iter().map(|contract| format!("    // => {contract}\n"));
        format!("    // %%\n{}\n", code.chain(contracts).collect::<String>())
    };
    let cells: String = blocks.iter().map(cell).collect();
    Notebook::from_lesson(&Lesson::split(&format!("fn recipes() {{\n{cells}    Ok(())\n}}\n")).unwrap())
}

/// The files that the blocks call the reader's own.
fn files(folder: &Path) {
    let rows = (0..30).map(|row| format!("How do I open door {row}?,Turn key {} twice and push handle {}.\n", row * 7, row * 3));
    std::fs::write(folder.join("faq.csv"), format!("ask,reply\n{}", rows.collect::<String>())).unwrap();
    std::fs::create_dir(folder.join("manual")).unwrap();
    let manual = "# Doors\n\nA door opens to the inside in every room of the house.\n\n## Keys\n\nEach key hangs behind the desk and has a number on it.\n";
    std::fs::write(folder.join("manual/doors.md"), manual).unwrap();
    let mut rows: Vec<String> = (0..39)
        .map(|row| {
            format!("{{\"question\": \"When does room {row} open?\", \"answer\": \"Room {row} opens at {} o'clock.\"}}\n", row % 12 + 1)
        })
        .collect();
    rows.push(rows[3].clone());
    std::fs::write(folder.join("rows.jsonl"), rows.concat()).unwrap();
}

#[test]
fn every_recipe_is_short_and_runs() {
    let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../notebooks/recipes.md")).unwrap();
    let all = blocks(&text);
    assert!(all.len() >= 12 && text.matches("\n## ").count() == all.len(), "{} blocks", all.len());
    for block in &all {
        assert!(block.code.len() <= LINES, "{}: {} lines, {LINES} are allowed", block.task, block.code.len());
        assert!(block.code[0] == "use finetuning::*;" && !block.contracts.is_empty(), "{}: it imports, and says what comes", block.task);
    }
    let smol = finetuning_smol();
    let here: Vec<Block> = all.into_iter().filter(|block| smol || !block.smol).collect();
    if !smol {
        eprintln!("skipped: every_recipe_is_short_and_runs: builtin:smol is not here");
    }
    let (folder, hub) = (tempfile::tempdir().unwrap(), hub::Hub::start());
    files(folder.path());
    let notebook = lesson(&here);
    assert_eq!(notebook.cells.iter().filter(|cell| cell.kind == Kind::Code).count(), here.len());
    notebook.save(&folder.path().join("recipes.ipynb")).unwrap();
    let mut lab = Command::new(env!("CARGO_BIN_EXE_lab"));
    lab.args(["run", "recipes.ipynb"]).current_dir(folder.path());
    lab.env("HF_ENDPOINT", &hub.address).env("HF_TOKEN", "write").env("HF_HOME", folder.path().join("cache"));
    let output = lab.output().unwrap();
    let (lines, words) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let cell = lines.split("    cell ").nth(1).and_then(|rest| rest.split([':', ',']).next()?.parse::<usize>().ok());
    let task = cell.map_or("", |cell| &here[cell - 1].task);
    assert!(output.status.success(), "{task}: {lines}\n{words}");
    for file in ["faq.jsonl", "clean.jsonl", "desk/adapter/adapter_model.safetensors", "export/model.safetensors", "generated.jsonl"] {
        assert!(folder.path().join(file).exists(), "no {file}");
    }
    assert!(hub.file("models/you/desk", "model.safetensors").is_some() && hub.file("datasets/you/desk-rows", "data/train.jsonl").is_some());
}

/// Whether the real model lies in the cache of this machine.
fn finetuning_smol() -> bool {
    let output = Command::new(env!("CARGO_BIN_EXE_lab")).arg("doctor").output().unwrap();
    String::from_utf8_lossy(&output.stdout).contains("builtin:smol is ")
}
