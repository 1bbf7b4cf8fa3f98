//! The kernel from the outside: a client on its sockets, a small crate in the companion's place, real cells.
//!
//! All tests but the last share one kernel, since starting one costs seconds; each looks only at its own cells.

mod border;
mod client;
mod commands;
mod failures;
mod gate;
mod input;
mod interrupt;
mod magic;
mod notebooks;
mod notices;
mod order;
mod process;
mod reports;
mod state;
mod surroundings;

use std::sync::{LazyLock, Mutex, MutexGuard};

use client::Client;
use serde_json::json;

fn kernel() -> MutexGuard<'static, Client> {
    static KERNEL: LazyLock<Mutex<Client>> = LazyLock::new(|| Mutex::new(Client::start()));
    KERNEL.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

#[test]
fn kernel_info_names_the_language_and_the_protocol() {
    let info = kernel().ask("kernel_info_request", json!({}));
    assert_eq!(info["status"], "ok");
    assert_eq!(info["language_info"]["name"], "rust");
    assert_eq!(info["protocol_version"], "5.4");
}

#[test]
fn output_arrives_with_and_without_a_newline() {
    let mut kernel = kernel();
    assert_eq!(kernel.run("println!(\"one\");").stdout(), "one\n");
    assert_eq!(kernel.run("print!(\"two\");").stdout(), "two");
    let run = kernel.run("use std::io::Write; print!(\"\\r50%\"); std::io::stdout().flush().unwrap(); eprint!(\"é\");");
    assert_eq!((run.stdout().as_str(), run.stderr().as_str()), ("\r50%", "é"));
    assert_eq!(kernel.run("println!(\"EVCXR_EXECUTION_COMPLETE\");").stdout(), "EVCXR_EXECUTION_COMPLETE\n");
}

#[test]
fn the_last_expression_is_the_result() {
    let mut kernel = kernel();
    assert_eq!(kernel.run("1 + 1").result(), "2");
    assert_eq!(kernel.run("\"text\"").result(), "\"text\"");
    assert_eq!(kernel.run("vec![Some(1.5)]").result(), "[Some(1.5)]");
    assert!(kernel.run("println!(\"shown\")").of("execute_result").is_empty());
    assert!(kernel.run("let only_a_statement = 1;").of("execute_result").is_empty());
}

#[test]
fn variables_of_std_types_need_no_annotation_and_stay() {
    let mut kernel = kernel();
    let cell = "use std::collections::HashMap;\nlet v = vec![1, 2, 3];\nlet s = String::from(\"a\");\nlet m: HashMap<String, usize> = HashMap::new();\n\
        let x: Vec<_> = v.iter().map(|n| n * 2).collect();\nlet mut total = 0_usize;\nlet words = \"a b\".split(' ').map(str::to_string).collect::<Vec<_>>();\n\
        let start = std::time::Instant::now();\nlet pair = (s.clone(), x.len());\nlet shared = std::sync::Arc::new(std::sync::Mutex::new(v.clone()));";
    kernel.run(cell).expect_ok();
    assert_eq!(
        kernel.run("total += v.len() + x.len() + s.len() + m.len() + words.len() + pair.1 + shared.lock().unwrap().len(); total").result(),
        "15"
    );
}

#[test]
fn a_compile_error_points_into_the_cell() {
    let run = kernel().run("let good = 1;\n\n  let é: i32 = \"ü\";");
    let error = run.error();
    assert_eq!(error["ename"], "E0308");
    assert_eq!(error["evalue"], "mismatched types");
    let text = client::plain(&error["traceback"]);
    assert!(text.contains(", line 3, column 16"), "{text}");
    assert!(text.contains("3 |   let é: i32 = \"ü\";\n  |                ^^^ expected `i32`, found `&str`"), "{text}");
    assert_eq!(run.reply["ename"], "E0308");
    let run = kernel().run("let two = 2;\n!vec![two]");
    assert!(client::plain(&run.error()["traceback"]).contains("2 | !vec![two]\n  | ^^^^^^^^^^ cannot apply"), "{}", run.error());
}

#[test]
fn a_moved_variable_names_the_cell_that_moved_it() {
    let mut kernel = kernel();
    kernel.run("let given = vec![1]; let lent = vec![2];").expect_ok();
    let number = kernel.run("let taken = given;\nlent.len()").number();
    let text = client::plain(&kernel.run("given.len() + lent.len()").error()["traceback"]);
    assert!(text.contains(&format!("`given` was moved by cell {number}, line 1: `let taken = given;`")), "{text}");
    assert!(!text.contains("similar name"), "{text}");
    let text = client::plain(&kernel.run("let s = String::new(); drop(s); println!(\"{s}\");").error()["traceback"]);
    assert!(text.contains("rule: a value has one owner"), "{text}");
}

#[test]
fn a_panic_is_an_error_and_keeps_variables() {
    let mut kernel = kernel();
    kernel.run("let before_panic = vec![7];").expect_ok();
    let run = kernel.run("let fine = 1;\nlet none: Option<i32> = None;\nprint!(\"half a line\");\nnone.expect(\"nothing there\");");
    let error = run.error();
    assert_eq!((error["ename"].as_str(), error["evalue"].as_str()), (Some("Panic"), Some("nothing there")));
    assert!(client::plain(&error["traceback"]).contains("line 4, column 6\n  |\n4 | none.expect("), "{error}");
    assert_eq!(run.reply["status"], "error");
    assert_eq!(run.stdout(), "half a line");
    assert_eq!(kernel.run("before_panic[0]").result(), "7");
}

#[test]
fn a_caught_panic_is_only_printed() {
    let run = kernel().run("let caught = std::panic::catch_unwind(|| panic!(\"caught\")).is_err();\nlet in_a_thread = std::thread::spawn(|| panic!(\"there\")).join().is_err();");
    run.expect_ok();
    assert!(run.stderr().contains("caught") && run.stderr().contains("there"), "{}", run.stderr());
}

#[test]
fn the_error_of_a_question_mark_is_an_error_and_keeps_variables() {
    let mut kernel = kernel();
    kernel.run("let before_error = 5;").expect_ok();
    let run = kernel.run("eprintln!(\"a warning\");\nstd::fs::read_to_string(\"/no/such/file\")?;\nprintln!(\"not reached\");");
    assert_eq!(run.error()["ename"], "Error");
    assert_eq!(run.error()["evalue"], "No such file or directory (os error 2)");
    assert_eq!((run.stdout().as_str(), run.stderr().as_str()), ("", "a warning\n"));
    let run = kernel.run("let error = \"not an error\"; eprintln!(\"{}\", error); before_error");
    assert_eq!((run.result().as_str(), run.stderr().as_str()), ("5", "not an error\n"));
}

#[test]
fn cells_count_from_one_unless_silent_or_without_history() {
    let mut kernel = kernel();
    let first = kernel.run("1").number();
    kernel.run_with("2", json!({ "silent": true })).expect_ok();
    kernel.run_with("3", json!({ "store_history": false })).expect_ok();
    let run = kernel.run("4");
    assert_eq!(run.number(), first + 1);
    assert_eq!(run.of("execute_input")[0]["execution_count"], first + 1);
    let history = kernel.ask("history_request", json!({ "hist_access_type": "tail", "n": 1, "output": false, "raw": true }));
    assert_eq!(history["history"], json!([[1, first + 1, "4"]]));
    let range = json!({ "hist_access_type": "range", "session": 0, "start": first + 1, "stop": first + 2, "output": true });
    assert_eq!(kernel.ask("history_request", range)["history"], json!([[1, first + 1, ["4", "4"]]]));
}

#[test]
fn the_companion_is_there_with_one_set_of_statics_and_known_types() {
    let mut kernel = kernel();
    kernel.run(":dep finetuning = { path = \"../lib\" }\nuse finetuning::*;").expect_ok();
    kernel.run("let mut counter = Counter::new();").expect_ok();
    kernel.run("let readings = (counter.next()?, counter.next()?);").expect_ok();
    assert_eq!(kernel.run("readings").result(), "(1, 2)");
    assert_eq!(kernel.run("Counter::made()").result(), "1");
}

#[test]
fn a_live_display_arrives_before_the_cell_ends() {
    let mut kernel = kernel();
    kernel.run("use finetuning::*;").expect_ok();
    // The cell goes on only when the client, which has seen the display, makes a file.
    let file = std::env::temp_dir().join(format!("finetuning-live-{}", std::process::id()));
    let cell = format!("live({:?});", file.to_str().unwrap());
    let run = kernel.run_and_watch(&cell, |kind, content| {
        if kind == "display_data" {
            assert_eq!(content["data"]["text/plain"], "waiting");
            std::fs::write(&file, "").unwrap();
        }
    });
    std::fs::remove_file(&file).unwrap();
    run.expect_ok();
    assert_eq!(run.of("display_data")[0]["transient"], json!({ "display_id": "live" }));
    assert_eq!(run.of("update_display_data")[0]["data"], json!({ "text/html": "<b>seen</b>" }));
    assert_eq!(run.of("clear_output"), [json!({ "wait": true })]);
}

#[test]
fn a_comm_carries_messages_both_ways_while_a_cell_runs() {
    let mut kernel = kernel();
    let run = kernel.run("use finetuning::*; open_comm();");
    assert_eq!(run.of("comm_open"), [json!({ "comm_id": "c1", "target_name": "slider", "data": { "min": 0 } })]);
    assert_eq!(kernel.ask("comm_info_request", json!({ "target_name": "slider" }))["comms"], json!({ "c1": { "target_name": "slider" } }));
    assert_eq!(kernel.ask("comm_info_request", json!({ "target_name": "other" }))["comms"], json!({}));
    let cell = kernel.send_cell("print!(\"{}\", converse());", json!({}));
    kernel.tell("comm_msg", json!({ "comm_id": "../c1", "data": 0 }));
    kernel.tell("comm_msg", json!({ "comm_id": "c1", "data": { "value": 7 } }));
    let run = kernel.wait(&cell);
    assert_eq!(run.stdout(), "{\"data\":{\"value\":7}}\n");
    assert_eq!(run.of("comm_msg"), [json!({ "comm_id": "c1", "data": { "seen": true } })]);
    kernel.tell("comm_close", json!({ "comm_id": "c1" }));
    assert_eq!(kernel.ask("comm_info_request", json!({}))["comms"], json!({}));
}

#[test]
fn the_front_end_opens_a_comm_to_a_target_of_a_cell() {
    let mut kernel = kernel();
    let comms = |kernel: &mut Client| kernel.ask("comm_info_request", json!({}))["comms"].clone();
    let open = |id: &str| json!({ "comm_id": id, "target_name": "chat", "data": { "hello": 1 } });
    kernel.tell("comm_open", open("early"));
    assert_eq!(comms(&mut kernel), json!({}));
    kernel.run("use finetuning::*; register_target();").expect_ok();
    kernel.tell("comm_open", open("../up"));
    kernel.tell("comm_open", open("front-1"));
    kernel.tell("comm_open", open("front-1"));
    assert_eq!(comms(&mut kernel), json!({ "front-1": { "target_name": "chat" } }));
    assert_eq!(kernel.run("print!(\"{}\", receive(\"t1\"));").stdout(), "{\"open\":\"front-1\",\"data\":{\"hello\":1}}\n");
    kernel.tell("comm_msg", json!({ "comm_id": "front-1", "data": { "value": 7 } }));
    assert_eq!(kernel.run("print!(\"{}\", receive(\"front-1\"));").stdout(), "{\"data\":{\"value\":7}}\n");
    kernel.run("end_target();").expect_ok();
    kernel.tell("comm_open", open("late"));
    assert_eq!(comms(&mut kernel), json!({ "front-1": { "target_name": "chat" } }));
}

#[test]
fn a_progress_bar_on_the_terminal_is_redrawn_in_place() {
    let mut kernel = kernel();
    assert_eq!(kernel.run("std::io::IsTerminal::is_terminal(&std::io::stderr())").result(), "true");
    // As indicatif draws.
    let cell = "for i in 0..=2 { if i > 0 { eprint!(\"\\r\\x1b[2K\"); } eprint!(\"bar {i}/2\"); std::thread::sleep(std::time::Duration::from_millis(10)); }\neprintln!(); eprintln!(\"after\");";
    let run = kernel.run(cell);
    run.expect_ok();
    let first = &run.of("display_data")[0];
    let last = run.of("update_display_data").pop().unwrap();
    assert_eq!(first["transient"], last["transient"]);
    assert_eq!((&last["data"], run.of("display_data").len()), (&json!({ "text/plain": "bar 2/2" }), 1));
    assert!(run.stderr().ends_with("after\n") && !run.stderr().contains("bar"), "{:?}", run.stderr());
}

#[test]
fn an_interrupt_of_a_polling_loop_keeps_variables() {
    let mut kernel = kernel();
    kernel.run("use finetuning::*; let kept = 11;").expect_ok();
    let run = kernel.run_and_interrupt("println!(\"started\"); until_interrupted()?;", 1);
    assert_eq!(run.error()["ename"], "KeyboardInterrupt");
    assert_eq!(kernel.run("kept").result(), "11");
}

#[test]
fn a_cell_that_holds_what_others_need_is_killed_and_says_so() {
    let mut kernel = kernel();
    kernel.run("let lost = 11; fn stays() -> i32 { 12 }").expect_ok();
    let run = kernel.run_and_interrupt("println!(\"started\"); let out = std::io::stdout().lock(); loop {}", 2);
    assert_eq!(run.error()["ename"], "KeyboardInterrupt");
    assert!(client::plain(&run.error()["traceback"]).contains("all variables are lost"));
    assert_eq!(kernel.run("lost").error()["ename"], "E0425");
    assert_eq!(kernel.run("stays()").result(), "12");
}

#[test]
fn a_dead_process_is_reported_and_replaced() {
    let mut kernel = kernel();
    let run = kernel.run("println!(\"last words\"); std::process::abort();");
    assert_eq!(run.error()["ename"], "Killed");
    assert!(run.error()["evalue"].as_str().unwrap().contains("SIGABRT"), "{}", run.error());
    assert_eq!(run.stdout(), "last words\n");
    assert_eq!(kernel.run("1 + 2").result(), "3");
    let run = kernel.run("let kept_before = 1; unsafe { *(8 as *mut i32) = 1; }");
    assert!(run.error()["evalue"].as_str().unwrap().contains("SIGSEGV"), "{}", run.error());
    kernel.run("let in_the_dead = 1;").expect_ok();
    kernel.run("std::process::exit(3)").error();
    let text = client::plain(&kernel.run("in_the_dead").error()["traceback"]);
    assert!(text.contains("`in_the_dead` was lost when the process of the cells ended in cell"), "{text}");
}

#[test]
fn a_failed_cell_aborts_those_behind_it() {
    let mut kernel = kernel();
    let failing = kernel.send_cell("panic!(\"first\")", json!({}));
    let behind = kernel.send_cell("1", json!({}));
    assert_eq!(kernel.wait(&failing).reply["status"], "error");
    assert_eq!(kernel.wait(&behind).reply["status"], "aborted");
    let failing = kernel.send_cell("panic!(\"first\")", json!({ "stop_on_error": false }));
    let behind = kernel.send_cell("1", json!({}));
    assert_eq!(kernel.wait(&failing).reply["status"], "error");
    assert_eq!(kernel.wait(&behind).reply["status"], "ok");
}

#[test]
fn completion_and_inspection_count_characters() {
    let mut kernel = kernel();
    kernel.run("let wörter = vec![1, 2];").expect_ok();
    let code = "let é = wörter.le";
    let reply = kernel.ask("complete_request", json!({ "code": code, "cursor_pos": 17 }));
    assert!(reply["matches"].as_array().unwrap().contains(&json!("len")), "{reply}");
    assert_eq!((reply["cursor_start"].as_u64(), reply["cursor_end"].as_u64()), (Some(15), Some(17)));
    let reply = kernel.ask("inspect_request", json!({ "code": "wörter", "cursor_pos": 3, "detail_level": 0 }));
    assert_eq!(reply["found"], true);
    assert!(reply["data"]["text/plain"].as_str().unwrap().contains("Vec<i32>"), "{reply}");
    let reply = kernel.ask("is_complete_request", json!({ "code": "fn f() {" }));
    assert_eq!(reply, json!({ "status": "incomplete", "indent": "    " }));
}

#[test]
fn completion_offers_what_a_cell_can_use_and_names_alone() {
    let mut kernel = kernel();
    kernel.run("let words = vec![1, 2];\nstruct Field { own_field: i32 }\nlet field = Field { own_field: 1 };").expect_ok();
    let matches = |kernel: &mut Client, code: &str| {
        let reply = kernel.ask("complete_request", json!({ "code": code, "cursor_pos": code.chars().count() }));
        serde_json::from_value::<Vec<String>>(reply["matches"].clone()).unwrap()
    };
    let found = matches(&mut kernel, "words.");
    assert!(found.iter().any(|name| name == "push") && !found.iter().any(|name| ["buf", "ptr"].contains(&name.as_str())), "{found:?}");
    assert!(matches(&mut kernel, "field.own_").contains(&"own_field".to_string()));
    let found = matches(&mut kernel, "fo");
    assert!(found.contains(&"for".to_string()) && !found.iter().any(|name| name.contains(['$', '{', ' '])), "{found:?}");
    let reply = kernel.ask("inspect_request", json!({ "code": "words.len", "cursor_pos": 9, "detail_level": 0 }));
    assert!(reply["data"]["text/plain"].as_str().unwrap().contains("fn len(&self)"), "{reply}");
}

#[test]
fn user_expressions_and_unknown_requests_are_answered() {
    let mut kernel = kernel();
    let run = kernel.run_with("let answer = 42;", json!({ "user_expressions": { "a": "answer" } }));
    assert_eq!(run.reply["user_expressions"]["a"]["data"]["text/plain"], "42");
    assert_eq!(kernel.ask("no_such_request", json!({}))["status"], "error");
}

#[test]
fn shutdown_is_answered_and_ends_the_process() {
    let mut kernel = Client::start();
    // At once, while the engine still starts.
    assert_eq!(kernel.shutdown(false), json!({ "status": "ok", "restart": false }));
    assert!(kernel.exit_status().success());
}

#[test]
fn an_interrupt_while_compiling_loses_nothing() {
    let mut kernel = kernel();
    kernel.run("let compiled = 3;").expect_ok();
    // Long to compile: thousands of functions that call each other.
    let functions: String = (0..4000)
        .map(|n| {
            format!(
                "fn f{n}(x: u64) -> String {{ format!(\"{{}}{{}}\", x, if x > {n} {{ f{}(x) }} else {{ String::new() }}) }}\n",
                (n + 1) % 4000
            )
        })
        .collect();
    let run = kernel.run_and_interrupt_at("execute_input", &format!("{functions}println!(\"{{}}\", f0(1));"), 1);
    assert_eq!(run.error()["ename"], "KeyboardInterrupt");
    assert_eq!(kernel.run("compiled").result(), "3");
}

#[test]
fn a_cell_asks_the_client_for_input() {
    let mut kernel = kernel();
    let ask = "println!(\"EVCXR_INPUT_REQUEST:name\"); let mut line = String::new(); std::io::stdin().read_line(&mut line)?; line.trim()";
    assert_eq!(kernel.run_and_answer(ask, &[("name", "Ada é")]).result(), "\"Ada é\"");
    let plain = "let mut lines = String::new(); for _ in 0..2 { std::io::stdin().read_line(&mut lines)?; } lines";
    assert_eq!(kernel.run_and_answer(plain, &[("", "Grace"), ("", "H")]).result(), "\"Grace\\nH\\n\"");
    // Without leave to ask, the reading fails; variables stay.
    kernel.run("let asked = 21;").expect_ok();
    for cell in [ask, "let mut line = String::new(); std::io::stdin().read_line(&mut line).unwrap(); println!(\"not reached\");"] {
        let run = kernel.run(cell);
        assert_eq!((run.error()["ename"].as_str(), run.stdout().as_str()), (Some("StdinNotImplementedError"), ""));
    }
    assert_eq!(kernel.run("asked").result(), "21");
    let run = kernel.run_and_interrupt_question(ask);
    assert_eq!(run.error()["ename"], "KeyboardInterrupt");
    assert_eq!(kernel.run("asked + 1").result(), "22");
    assert_eq!(kernel.run_and_answer(ask, &[("name", "again")]).result(), "\"again\"");
}
