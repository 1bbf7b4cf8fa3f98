//! Cells and requests that ask about code: `?name`, `:type`, `%time`, `%timeit`, `:rustfmt`, the variable view of VS Code.

use serde_json::json;

use super::kernel;

#[test]
fn an_item_of_an_earlier_cell_shows_its_source_and_its_documentation() {
    let mut kernel = kernel();
    let source = "/// Counts é in a text.\nfn count_marks(text: &str) -> usize {\n    text.matches('é').count()\n}";
    let number = kernel.run(&format!("{source}\nlet counted: Option<usize> = Some(count_marks(\"é\"));")).number();
    for cell in ["?count_marks", "count_marks?", "count_marks??"] {
        let text = kernel.run(cell).result();
        assert!(text.starts_with(&format!("source, cell {number}:\n{source}\n")), "{cell}: {text}");
    }
    for (code, cursor) in [("count_marks?", 12), ("let x = count_marks(\"\");", 12)] {
        let reply = kernel.ask("inspect_request", json!({ "code": code, "cursor_pos": cursor, "detail_level": 1 }));
        assert!(reply["data"]["text/plain"].as_str().unwrap().contains(source), "{reply}");
    }
    // A `?` that is Rust stays Rust.
    assert!(kernel.run("counted?").reply["status"] == "ok" || kernel.run("counted?").error()["ename"] != "NotFound");
    assert!(kernel.run("?counted").result().contains("Option<usize>"));
    assert!(kernel.run("?Vec::push").result().contains("fn push"));
    assert_eq!(kernel.run("?no_such_name").error()["ename"], "NotFound");
    assert_eq!(kernel.ask("is_complete_request", json!({ "code": "?count_marks" }))["status"], "complete");
}

#[test]
fn the_type_of_an_expression_is_told_and_nothing_runs() {
    let mut kernel = kernel();
    kernel.run("let named = vec![String::new()];").expect_ok();
    assert_eq!(
        kernel.run(":type named.into_iter().map(|text| text.len()).collect::<Vec<_>>()").result().rsplit(": ").next(),
        Some("Vec<usize>")
    );
    assert_eq!(kernel.run(":t named").result(), "named: Vec<String>");
    let run = kernel.run(":type { println!(\"ran\"); 1_u8 }");
    assert!(run.result().ends_with(": u8") && run.stdout().is_empty(), "{}", run.result());
    assert_eq!(kernel.run("named.len()").result(), "1");
    assert_eq!(kernel.run(":type no_such_name + 1").error()["ename"], "TypeNeeded");
}

#[test]
fn code_is_timed_once_or_many_times() {
    let mut kernel = kernel();
    let run = kernel.run("%time [1, 2].iter().sum::<i32>()");
    assert!(run.result() == "3" && run.stdout().starts_with("Wall time: ") && run.stdout().ends_with("s\n"), "{}", run.stdout());
    let run = kernel.run("%%time\nlet kept_after = 4;\nkept_after * 2");
    assert!(run.result() == "8" && run.stdout().contains("Wall time: "), "{}", run.stdout());
    assert_eq!(kernel.run("kept_after").result(), "4");
    let run = kernel.run("let mut calls = 0;\ncalls");
    run.expect_ok();
    let run = kernel.run("%timeit -n 5 -r 3 calls += 1;");
    run.expect_ok();
    assert!(run.stdout().ends_with(" per loop (mean ± std. dev. of 3 runs, 5 loops each)\n"), "{}", run.stdout());
    assert_eq!(kernel.run("calls").result(), "15");
    let run = kernel.run("%%timeit -n 1 -r 1\nlet half = 1;\nlet wrong: i32 = \"text\";");
    let text = super::client::plain(&run.error()["traceback"]);
    assert!(run.error()["ename"] == "E0308" && text.contains("line 3, column 18"), "{text}");
}

#[test]
fn a_cell_is_formatted_in_its_place() {
    let mut kernel = kernel();
    let cell = ":rustfmt\n:dep nowhere = \"1\"\nfn  f ( ){1 ;}\nlet text=\"a\n    b\";\n  f( )";
    let run = kernel.run(cell);
    run.expect_ok();
    let formatted = ":dep nowhere = \"1\"\nfn f() {\n    1;\n}\nlet text = \"a\n    b\";\nf()";
    assert_eq!(run.reply["payload"], json!([{ "source": "set_next_input", "text": formatted, "replace": true }]));
    let run = kernel.run(":rustfmt\nlet = 1;");
    assert_eq!((run.error()["ename"].as_str(), &run.reply["payload"]), (Some("FormatError"), &json!([])));
    assert_eq!(kernel.run("1").reply["payload"], json!([]));
}

#[test]
fn help_and_the_variable_view_of_vs_code_are_answered() {
    let mut kernel = kernel();
    let help = kernel.run(":help").result();
    for word in ["?name", ":type EXPR", ":rustfmt", "%time CODE", "%timeit EXPR", ":dep"] {
        assert!(help.contains(word), "{help}");
    }
    kernel.run("let seen_in_the_view = vec![1, 2];").expect_ok();
    let reply = kernel.ask("inspect_request", json!({ "code": "seen_in_the_view", "cursor_pos": 0, "detail_level": 0 }));
    let text = reply["data"]["text/plain"].as_str().unwrap();
    assert!(text.contains("\u{1b}[0;31mType:\u{1b}[0m        Vec<i32>\n") && text.contains("seen_in_the_view: Vec<i32>"), "{text}");
}
