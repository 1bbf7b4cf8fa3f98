//! What is said when a cell fails: what is missing, where it panicked, who moved a variable, which cell no longer fits.

use std::time::Instant;

use serde_json::json;

use super::client::{Client, Run, plain};
use super::kernel;

fn traceback(run: &Run) -> String {
    plain(&run.error()["traceback"])
}

#[test]
fn an_incomplete_cell_says_what_is_open_and_where() {
    let mut kernel = kernel();
    for (cell, message) in [
        ("let a = 1;\nlet b = (1, [2, 3);", "mismatched closing delimiter: `)`"),
        ("println!(\"hi\"", "the cell is incomplete: line 1: `(` is not closed"),
        ("for i in 0..3 {", "the cell is incomplete: line 1: `{` is not closed"),
        ("let s = \"abc;\n1", "unterminated double quote string\nthe cell is incomplete: line 1: the string has no end"),
        ("}", "unexpected closing delimiter: `}`"),
    ] {
        assert_eq!(kernel.run(cell).error()["evalue"], message, "{cell}");
    }
    for cell in ["1 +", "let y = "] {
        let run = kernel.run(cell);
        assert_eq!(run.error()["ename"], "Incomplete", "{}", run.error());
        assert_eq!(kernel.ask("is_complete_request", json!({ "code": cell }))["status"], "incomplete");
    }
    assert_eq!(kernel.ask("is_complete_request", json!({ "code": "}" }))["status"], "invalid");
}

#[test]
fn a_cell_too_deep_or_too_long_is_refused_and_the_kernel_lives() {
    let mut kernel = kernel();
    let started = Instant::now();
    assert_eq!(kernel.run("vec![1]").result(), "[1]");
    let (ordinary, started) = (started.elapsed(), Instant::now());
    let sum = vec!["1"; 3000].join(" + ");
    let brackets = format!("{}1{}", "(".repeat(20_000), ")".repeat(20_000));
    for cell in [&sum, &brackets, &format!("_ = {}", "!".repeat(30_000)), &format!("1{}", ".clone()".repeat(3000)), &"Vec<".repeat(9000)] {
        let run = kernel.run(cell);
        assert_eq!(run.error()["ename"], "TooDeep");
        assert!(run.error()["evalue"].as_str().unwrap().contains("give a part of it a name"), "{}", run.error());
        let end = cell.len();
        assert_eq!(kernel.ask("complete_request", json!({ "code": cell, "cursor_pos": end }))["status"], "ok");
        assert_eq!(kernel.ask("inspect_request", json!({ "code": cell, "cursor_pos": end, "detail_level": 0 }))["status"], "ok");
        assert_eq!(kernel.ask("is_complete_request", json!({ "code": cell }))["status"], "complete");
    }
    assert_eq!(kernel.run(&format!("\"{}\".len()", "a".repeat(1 << 20))).error()["ename"], "TooLarge");
    assert!(started.elapsed() < 300 * ordinary, "{:?}, and {ordinary:?} for a cell that is compiled", started.elapsed());
    // What is allowed returns.
    assert_eq!(kernel.run(&vec!["1"; 300].join(" + ")).result(), "300");
}

#[test]
fn a_panic_names_its_cell_and_line_in_whatever_function_or_thread_it_was() {
    let mut kernel = kernel();
    let defined = kernel.run("fn share(of: usize) -> usize {\n    let parts = of - of;\n    of / parts\n}").number();
    let text = traceback(&kernel.run("let before = 1;\nshare(10)"));
    assert!(text.contains(&format!("cell {defined}, line 3, column 5")) && text.contains("3 |     of / parts"), "{text}");
    // Of two equal lines the one that panicked.
    let run = kernel.run("let mut left = vec![1];\nleft.pop().unwrap();\nleft.pop().unwrap();");
    assert!(traceback(&run).contains(&format!("cell {}, line 3, column 12", run.number())), "{}", traceback(&run));
    let worker = "std::thread::spawn(|| panic!(\"in a worker\")).join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));";
    let run = kernel.run(&format!("let n = 1;\n{worker}"));
    assert_eq!((run.error()["ename"].as_str(), run.error()["evalue"].as_str()), (Some("Panic"), Some("in a worker")));
    assert!(traceback(&run).contains(&format!("cell {}, line 2, column 23", run.number())), "{}", traceback(&run));
    let run = kernel.run("let n = 1;\nlet caught = std::panic::catch_unwind(|| panic!(\"caught\")).is_err();");
    assert!(run.stderr().contains(&format!("panicked at cell {}, line 2, column 42:\ncaught", run.number())), "{}", run.stderr());
}

#[test]
fn a_panic_under_the_cells_own_hook_has_no_false_place() {
    let mut kernel = kernel();
    let cell = "let kept = std::panic::take_hook();\nstd::panic::set_hook(Box::new(|_| eprintln!(\"mine\")));\nlet result = std::panic::catch_unwind(|| panic!(\"x\")).is_err();";
    kernel.run(cell).expect_ok();
    let run = kernel.run("panic!(\"unseen\");");
    kernel.run("std::panic::set_hook(kept);").expect_ok();
    assert!(run.stderr().contains("mine") && !traceback(&run).contains("-->"), "{}", traceback(&run));
    assert_eq!(kernel.run("panic!(\"seen\");").error()["evalue"], "seen");
}

#[test]
fn moved_by_is_right_or_absent() {
    let mut kernel = kernel();
    let blamed = |kernel: &mut Client, name: &str| traceback(&kernel.run(&format!("{name}.len()")));
    kernel.run("let words = vec![1];").expect_ok();
    let number = kernel.run("drop(words);\nprintln!(\"words is gone\");").number();
    let text = blamed(&mut kernel, "words");
    assert!(text.contains(&format!("moved by cell {number}, line 1: `drop(words);`")), "{text}");
    let number = kernel.run("let names = vec![1];\nlet owned = names;").number();
    let text = blamed(&mut kernel, "names");
    assert!(text.contains(&format!("moved by cell {number}, line 2: `let owned = names;`")), "{text}");
    kernel.run("struct Moved { a: i32 }\nlet point = Moved { a: 1 };").expect_ok();
    kernel.run("struct Moved { a: i32, b: i32 }\nlet other = 1;").expect_ok();
    kernel.run("let third = other;").expect_ok();
    assert!(!blamed(&mut kernel, "point").contains("was moved"), "{}", blamed(&mut kernel, "point"));
}

#[test]
fn code_of_an_earlier_cell_that_no_longer_fits_is_named_by_its_own_cell() {
    let mut kernel = kernel();
    kernel.run("struct Config { rate: f64 }").expect_ok();
    let number = kernel.run("fn first() -> i32 { 1 }\n\nfn rate(config: &Config) -> f64 {\n    config.rate\n}").number();
    let run = kernel.run("struct Config { speed: f64 }\nlet config = Config { speed: 1.0 };");
    let text = traceback(&run);
    assert_eq!(run.error()["ename"], "E0609");
    assert!(text.contains(&format!("--> cell {number}, line 4, column 12")) && text.contains("4 |     config.rate"), "{text}");
    assert!(text.contains(&format!("the code of cell {number} does not fit this cell")), "{text}");
    kernel.run("struct Config { speed: f64 }\nfn rate(config: &Config) -> f64 { config.speed }").expect_ok();
}

#[test]
fn crates_types_and_commands_that_are_missing_are_told_in_the_kernels_words() {
    let mut kernel = kernel();
    let text = traceback(&kernel.run("use no_such_crate_here::Thing;"));
    assert!(text.contains("`:dep no_such_crate_here = \"*\"`") && !text.contains("cargo add"), "{text}");
    assert_eq!(kernel.run("!true").result(), "false");
    let run = kernel.run(":opt 9\nlet unchanged = 1;");
    assert!(run.error()["evalue"].as_str().unwrap().contains("0, 1, 2 or 3"), "{}", run.error());
    assert_eq!(kernel.run("1 + 1").result(), "2");
    let run = kernel.run("let fine = 1;\nlet unknown = Vec::new();");
    let text = traceback(&run);
    assert!(text.contains(&format!("cell {}, line 2, column 5", run.number())), "{text}");
    assert!(text.contains("unknown"), "{text}");
}

#[test]
fn a_value_is_shown_by_its_own_display_and_without_any_the_reason_is_told() {
    let mut kernel = kernel();
    let shown = "println!(\"EVCXR_BEGIN_CONTENT text/html\\n<b>{}</b>\\nEVCXR_END_CONTENT\", self.0)";
    // In the stock kernel the same: a trait's display beside `Debug`.
    let blob = format!(
        "trait Shown {{ fn evcxr_display(&self); }}\n#[derive(Debug)] struct Blob(u8);\nimpl Shown for Blob {{ fn evcxr_display(&self) {{ {shown} }} }}\nBlob(4)"
    );
    assert_eq!(kernel.run(&blob).of("execute_result")[0]["data"]["text/html"], "<b>4</b>");
    let own = format!("#[derive(Debug)] struct Own(u8);\nimpl Own {{ fn evcxr_display(&self) {{ {shown} }} }}\nlet own = Own(5);\nown");
    assert_eq!(kernel.run(&own).of("execute_result")[0]["data"]["text/html"], "<b>5</b>");
    assert_eq!(kernel.run("own.0").result(), "5");
    // Behind a reference as well, when no trait of a cell is as near as the kernel's own.
    kernel.run(":clear").expect_ok();
    kernel.run(&own).expect_ok();
    assert_eq!(kernel.run("&own").of("execute_result")[0]["data"]["text/html"], "<b>5</b>");
    let run = kernel.run("struct Dark;\nlet a = 1;\n  Dark");
    assert_eq!((run.error()["ename"].as_str(), run.error()["evalue"].as_str()), (Some("E0277"), Some("`Dark` doesn't implement `Debug`")));
    assert!(traceback(&run).contains("line 3, column 3") && traceback(&run).contains("#[derive(Debug)]"), "{}", traceback(&run));
    assert!(!traceback(&run).contains("evcxr"), "{}", traceback(&run));
    kernel.run("struct Dark;\nDark;").expect_ok();
    // No value is no result, whatever the cell moves.
    kernel.run("let table = vec![1, 2];").expect_ok();
    for cell in [
        "for (name, row) in [(\"a\", table)] { println!(\"{name} {}\", row.len()); }",
        "()",
        "if false { println!(\"\") }",
        "loop { break }",
    ] {
        let run = kernel.run(cell);
        run.expect_ok();
        assert!(run.of("execute_result").is_empty(), "{cell}");
    }
    assert_eq!(kernel.run("[\"a\"][0]").result(), "\"a\"");
    assert_eq!(kernel.run("*Box::new([1_u8; 3])").result(), "[1, 1, 1]");
    assert_eq!(kernel.run(":fmt {}\n\"text\"").result(), "Output format: {}\ntext");
    assert_eq!(kernel.run(":fmt {:?}\n:types\n5").result(), "Output format: {:?}\nTypes: true\n: i32 = 5");
    assert_eq!(kernel.run(":types\n5").result(), "Types: false\n5");
}
