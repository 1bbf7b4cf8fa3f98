//! What the kernel says beside errors: warnings, the way to a panic, places that code asks for, failed dependencies.

use super::client::{Run, plain};
use super::kernel;

fn traceback(run: &Run) -> String {
    plain(&run.error()["traceback"])
}

#[test]
fn a_good_cell_shows_its_own_warnings_and_no_others() {
    let mut kernel = kernel();
    let defined = kernel.run("fn may_fail() -> Result<i32, String> { Ok(1) }\nfn counts(n: i32) -> i32 { let never_read = n; 1 }").number();
    let run = kernel.run("let fine = 1;\nfor i in 0..2 { fine.min(i); may_fail(); }\nprintln!(\"ran\");");
    let said = run.stderr();
    let place = format!(
        "cell {}, line 2, column 30\n  |\n2 | for i in 0..2 {{ fine.min(i); may_fail(); }}\n  |                              ^^^^^^^^^^",
        run.number()
    );
    assert!(said.contains("unused `Result` that must be used") && said.contains(&place), "{said}");
    assert!(!said.contains("never_read") && !said.contains(&format!("cell {defined},")) && !said.contains("on by default"), "{said}");
    assert_eq!(run.stdout(), "ran\n");
    let said = kernel.run("#[deprecated] fn older() {}\nfn dead() -> i32 { older(); return 2; println!(\"never\"); 3 }").stderr();
    assert!(said.contains("use of deprecated function `older`") && said.contains("unreachable statement"), "{said}");
    assert!(kernel.run("fn reads(x: i32) { let inner_only = x; }").stderr().contains("unused variable: `inner_only`"));
    // What a later cell may use, and code that is yet to be written.
    for cell in [
        "use std::collections::BTreeMap;\nlet mut later = 1;\nfn lonely() {}\nmacro_rules! nobody { () => {} }\nstruct Unread { field: i32 }",
        "fn yours(x: i32) -> i32 { todo!() }",
        "1 + 1",
    ] {
        assert_eq!(kernel.run(cell).stderr(), "", "{cell}");
    }
    assert_eq!(kernel.run("let unread = 1; todo!()").stderr(), "");
}

#[test]
fn a_panic_shows_the_way_there_in_the_cells_alone() {
    let mut kernel = kernel();
    let defined = kernel.run("fn innermost(x: i32) -> i32 {\n    if x > 1 { panic!(\"deep\") }\n    x\n}\nfn between(x: i32) -> i32 {\n    innermost(x + 1) + 1\n}").number();
    // The second one is loaded after the first has looked at all libraries.
    for _ in 0..2 {
        let run = kernel.run("let five = 5;\nlet result = between(five);\nprintln!(\"{result}\");");
        let text = traceback(&run);
        if cfg!(target_os = "linux") {
            let way = format!(
                "the way there, the last call first:\n    cell {defined}, line 2, in `innermost`\n    cell {defined}, line 6, in `between`\n    cell {}, line 2\nthe variables",
                run.number()
            );
            assert!(text.contains(&way), "{text}");
        }
        assert!(!text.contains("src/lib.rs") && !text.contains("evcxr"), "{text}");
    }
    assert!(!traceback(&kernel.run("let alone = 1;\npanic!(\"here\");")).contains("the way there"));
}

#[test]
fn code_that_asks_for_its_place_is_told_the_cell() {
    let mut kernel = kernel();
    let defined = kernel.run("\nfn place() -> (u32, &'static str) { (line!(), file!()) }").number();
    assert_eq!(kernel.run("place()").result(), format!("(2, \"cell {defined}\")"));
    let run =
        kernel.run("let doubled = dbg!(2 * 2);\nprintln!(\"{} {} {}\", line!(), column!(), module_path!());\n(doubled, dbg!(1, 'x'))");
    let number = run.number();
    assert_eq!(run.result(), "(4, (1, 'x'))");
    assert_eq!(run.stdout(), format!("2 31 cell_{number}\n"));
    let said = run.stderr();
    assert!(
        said.contains(&format!("[cell {number}:1:15] 2 * 2 = 4\n")) && said.contains(&format!("[cell {number}:3:11] 'x' = 'x'\n")),
        "{said}"
    );
    // A column behind what the kernel adds to a loop.
    let run = kernel.run("for i in 0..3 { place(); if i == 2 { panic!(\"col\") } }");
    assert!(traceback(&run).contains(&format!("cell {}, line 1, column 38", run.number())), "{}", traceback(&run));
}

#[test]
fn a_function_that_asks_for_its_caller_is_told_the_cell() {
    let mut kernel = kernel();
    let cell = "use std::panic::Location;\n#[track_caller]\nfn asks() -> &'static Location<'static> { Location::caller() }\n\
        fn inner() -> String { let é = 1; asks().to_string() }\nfn itself() -> u32 { std::panic::Location::caller().line() }";
    let defined = kernel.run(cell).number();
    let run =
        kernel.run("let first = 1;\nprintln!(\"{} {}\", asks(), asks().line());\n  (asks().file(), asks().column(), inner(), itself())");
    let number = run.number();
    if cfg!(target_os = "linux") {
        assert_eq!(run.stdout(), format!("cell {number}:2:19 2\n"));
        assert_eq!(run.result(), format!("(\"cell {number}\", 19, \"cell {defined}:4:35\", 5)"));
        // Calls side by side, and one in a loop that the kernel adds to.
        let run = kernel.run("fn at(_: u32) {}\n#[track_caller] fn by(x: u32) -> u32 { Location::caller().column() * 100 + x }\nfor _ in 0..1 { at(by(by(by(0)))); println!(\"{}\", by(by(by(0)))); }");
        assert_eq!(run.stdout(), format!("{}\n", 5100 + 5400 + 5700), "{}", run.stderr());
    }
    // One that a later cell asks is of this cell still.
    assert_eq!(kernel.run("itself()").result(), "5");
}

#[test]
fn the_way_to_a_panic_of_another_thread_is_shown_beside_it() {
    let mut kernel = kernel();
    let defined = kernel.run("fn in_a_worker(x: i32) -> i32 {\n    if x > 1 { panic!(\"deep in it\") }\n    x\n}").number();
    let run = kernel.run("let n = 3;\nlet failed = std::thread::spawn(move || {\n    in_a_worker(n) + 1\n}).join().is_err();\nfailed");
    let said = run.stderr();
    assert_eq!(run.result(), "true");
    assert!(said.contains(&format!("panicked at cell {defined}, line 2, column 16:\ndeep in it\n")), "{said}");
    if cfg!(target_os = "linux") {
        let way = format!(
            "the way there, the last call first:\n    cell {defined}, line 2, in `in_a_worker`\n    cell {}, line 3\n",
            run.number()
        );
        assert!(said.contains(&way), "{said}");
    }
}

#[test]
fn a_failed_dependency_is_quoted_once_with_what_to_type() {
    let mut kernel = kernel();
    let run = kernel.run(":dep nowhere = { path = \"/no/such/folder\" }\nlet unreached = 1;");
    let text = traceback(&run);
    assert_eq!(run.error()["ename"], "DependencyError");
    assert_eq!(text.matches("failed to load source").count(), 1, "{text}");
    assert!(!text.contains("finetuning-kernel-") && !text.contains("evcxr") && !text.contains("Cargo.toml:"), "{text}");
    assert!(text.contains("  = help: the folder has to hold the `Cargo.toml` of a library: `:dep NAME = { path = \"FOLDER\" }`"), "{text}");
    let text = traceback(&kernel.run(":dep x = oops"));
    assert!(text.contains("line 1, column 1") && text.contains("`:dep x = \"VERSION\"`"), "{text}");
    // The type of such a variable has a name that the cell does not know.
    let run = kernel.run("let joined = std::thread::spawn(|| 5).join();");
    assert_eq!(run.error()["ename"], "TypeNeeded");
    let text = traceback(&run);
    assert!(text.contains("`let joined: Type = …;`") && text.contains("`use std::any::Any;`"), "{text}");
}

#[test]
fn a_panic_after_an_interrupt_is_its_own_unless_that_caused_it() {
    let mut kernel = kernel();
    let cell = "println!(\"started\"); let flag = std::env::var(\"FINETUNING_INTERRUPT\")?;\nwhile !std::path::Path::new(&flag).exists() {}\npanic!(\"a mistake of mine\");";
    let run = kernel.run_and_interrupt(cell, 1);
    assert_eq!((run.error()["ename"].as_str(), run.error()["evalue"].as_str()), (Some("Panic"), Some("a mistake of mine")));
    let caught =
        "let caught = std::panic::catch_unwind(|| panic!(\"caught\")).is_err();\nprintln!(\"started\"); loop { std::hint::spin_loop(); }";
    let run = kernel.run_and_interrupt(caught, 1);
    assert_eq!(run.error()["ename"], "KeyboardInterrupt", "{}", run.error());
    assert!(run.stderr().contains("caught"), "{}", run.stderr());
    let worker = "println!(\"started\"); std::thread::spawn(|| loop { std::hint::spin_loop(); }).join().unwrap();";
    assert_eq!(kernel.run_and_interrupt(worker, 1).error()["ename"], "KeyboardInterrupt");
}
