//! What no text may do: pass for a mark of the kernel, whoever prints it.

use serde_json::json;

use super::{client, kernel};

/// Texts that were marks before marks had a secret, and the beginnings of evcxr's own.
const FORGED: [&str; 9] = [
    "a\x02Xb",
    "\x02K{\"display\":{\"data\":{\"text/html\":\"<script>alert(1)</script>\"}}}",
    "\x02K{\"done\":true}",
    "\x02K0123456789abcdef0123456789abcdef{\"run\":true}",
    "\x02O\x02Eno\\n",
    "EVCXR_EXECUTION_COMPLETE",
    "EVCXR_PANIC_NOTIFICATION\nEVCXR_ERROR_OCCURRED",
    "EVCXR_VARIABLE_CHANGED_TYPE:kept",
    "EVCXR_BEGIN_CONTENT text/html\n<script>alert(1)</script>\nEVCXR_END_CONTENT",
];

#[test]
fn text_that_looks_like_a_mark_is_text() {
    let mut kernel = kernel();
    kernel.run("let kept = 31;").expect_ok();
    // As data: a row of a file or the answer of a model.
    let file = std::env::temp_dir().join(format!("finetuning-forged-{}", std::process::id()));
    std::fs::write(&file, FORGED.join("\n--\n")).unwrap();
    let run = kernel.run(&format!(
        "let rows = std::fs::read_to_string({file:?})?;\nfor row in rows.split(\"\\n--\\n\") {{ println!(\"{{row}}\"); eprintln!(\"{{row}}\"); }}\nprint!(\"EVCXR_\");"
    ));
    std::fs::remove_file(&file).unwrap();
    run.expect_ok();
    let shown = FORGED.map(|text| format!("{text}\n")).concat();
    assert_eq!((run.stdout(), run.stderr()), (format!("{shown}EVCXR_"), shown));
    assert!(run.messages.iter().all(|(kind, _)| ["status", "execute_input", "stream"].contains(&kind.as_str())), "{:?}", run.messages);
    // As the result, as an error and as a panic.
    assert_eq!(kernel.run("rows.len()").result(), FORGED.join("\n--\n").len().to_string());
    let run = kernel.run("struct Shown(String); impl std::fmt::Debug for Shown { fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result { f.write_str(&self.0) } }\nShown(rows.clone())");
    assert_eq!(run.result(), FORGED.join("\n--\n"));
    assert_eq!(kernel.run("Err::<(), String>(rows.clone())?;").error()["evalue"], FORGED.join("\n--\n"));
    assert_eq!(kernel.run("panic!(\"{rows}\");").error()["evalue"], FORGED.join("\n--\n"));
    // As what the companion shows.
    let run = kernel.run("finetuning::record(r#\"{\"display\":{\"data\":{\"text/plain\":\"EVCXR_BEGIN_CONTENT x\"}}}\"#);");
    assert_eq!(run.of("display_data")[0]["data"], json!({ "text/plain": "EVCXR_BEGIN_CONTENT x" }));
    assert_eq!(kernel.run("kept").result(), "31");
}

#[test]
fn a_content_block_of_the_cell_counts_when_it_has_an_end() {
    let mut kernel = kernel();
    kernel.run("let stays = 32;").expect_ok();
    let run = kernel.run("println!(\"EVCXR_BEGIN_CONTENT text/html\\n<b>{}</b>\\nEVCXR_END_CONTENT\", stays);");
    assert_eq!(run.of("execute_result")[0]["data"], json!({ "text/html": "<b>32</b>" }));
    // In a type's own display, as evcxr's tour has it.
    let run = kernel.run(
        "struct Page(u8);\nimpl Page { fn evcxr_display(&self) { println!(\"EVCXR_BEGIN_CONTENT text/html\\n<i>{}</i>\\nEVCXR_END_CONTENT\", self.0); } }\nPage(7)",
    );
    assert_eq!(run.of("execute_result")[0]["data"], json!({ "text/html": "<i>7</i>" }));
    // In that of a library, while a value is displayed.
    for cell in ["finetuning::Figure", "let figure = finetuning::Figure; figure.evcxr_display();"] {
        assert_eq!(kernel.run(cell).of("execute_result")[0]["data"], json!({ "text/html": "<svg/>" }), "{cell}");
    }
    let run = kernel.run("println!(\"EVCXR_BEGIN_CONTENT text/html\\nhalf\");");
    assert_eq!((run.stdout().as_str(), run.of("execute_result").len()), ("EVCXR_BEGIN_CONTENT text/html\nhalf\n", 0));
    let run = kernel.run("println!(\"EVCXR_BEGIN_CONTENT text/html\"); panic!(\"boom\");");
    assert_eq!((run.error()["evalue"].as_str(), run.stdout().as_str()), (Some("boom"), "EVCXR_BEGIN_CONTENT text/html\n"));
    let run = kernel.run("println!(\"a\\x02Xb\"); stays");
    assert_eq!((run.stdout().as_str(), run.result().as_str()), ("a\x02Xb\n", "32"));
}

#[test]
fn thousands_of_forged_lines_are_text() {
    let mut kernel = kernel();
    // The same lines each time, of pieces of marks in any order.
    let (mut state, mut lines) = (19_usize, String::new());
    for _ in 0..3000 {
        for _ in 0..3 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            lines += FORGED[(state >> 33) % FORGED.len()].split_at((state >> 45) % 3).1;
        }
        lines.push('\n');
    }
    let file = std::env::temp_dir().join(format!("finetuning-lines-{}", std::process::id()));
    std::fs::write(&file, &lines).unwrap();
    let run = kernel.run(&format!("for line in std::fs::read_to_string({file:?})?.lines() {{ println!(\"{{line}}\"); }}\n\"whole\""));
    std::fs::remove_file(&file).unwrap();
    assert_eq!(run.result(), "\"whole\"");
    assert!(run.stdout() == lines, "{}", run.stdout().len());
}

#[test]
fn the_secret_is_nowhere_that_a_cell_prints_by_accident() {
    let mut kernel = kernel();
    let secrets = std::fs::read_to_string(kernel.run("print!(\"{}\", std::env::var(\"FINETUNING_MARKS\")?);").stdout()).unwrap();
    let words: Vec<&str> = secrets.split_whitespace().collect();
    assert_eq!(words.iter().map(|word| word.len()).collect::<Vec<_>>(), [32, 19]);
    let run = kernel.run("for (name, value) in std::env::vars() { println!(\"{name}={value}\"); }\nprintln!(\"{:?}\", std::env::args());");
    let error = kernel.run("let missing: u8 = println!(\"EVCXR_BEGIN_CONTENT\");").error();
    for text in [run.stdout(), client::plain(&error["traceback"])] {
        assert!(words.iter().all(|word| !text.contains(word)), "{text}");
    }
}

#[test]
fn nobody_waits_for_the_lock_of_standard_output() {
    let mut kernel = kernel();
    let run = kernel.run(
        "let held = std::io::stdout().lock();\nlet there = std::thread::spawn(|| panic!(\"in the thread\")).join().is_err();\ndrop(held);\nthere",
    );
    assert_eq!(run.result(), "true");
    assert!(run.stderr().contains("in the thread"), "{}", run.stderr());
    // The lock that a thread keeps ends with the thread, not the cell.
    let run = kernel.run(
        "let (locked, is_locked) = std::sync::mpsc::channel::<()>();\nlet _keeps = std::thread::spawn(move || { let out = std::io::stdout().lock(); drop(locked); std::thread::sleep(std::time::Duration::from_secs(3)); drop(out); });\nlet _ = is_locked.recv();",
    );
    run.expect_ok();
    assert_eq!(kernel.run("_keeps.is_finished()").reply["status"], "ok");
}

#[test]
fn results_are_shown_as_fmt_and_types_say() {
    let mut kernel = kernel();
    // evcxr's own answers to the commands come first.
    let cells = [":fmt {:#?}\nSome(1)", ":fmt {}\n\"plain\"", ":fmt\n:types\nvec![Some(1)]", ":types\n2"];
    let shown = cells.map(|cell| kernel.run(cell).result());
    for (shown, expected) in shown.iter().zip(["\nSome(\n    1,\n)", "\nplain", "Vec<core::option::Option<i32>> = [Some(1)]", "\n2"]) {
        assert!(shown.ends_with(expected), "{shown:?}");
    }
}
