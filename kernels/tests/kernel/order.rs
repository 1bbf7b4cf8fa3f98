//! What clients count on: the order of messages, answers while a cell runs, few messages for many updates.

use serde_json::json;

use super::client::Client;
use super::kernel;

#[test]
fn the_messages_of_a_cell_come_in_order() {
    let run = kernel().run("println!(\"out\");\n1");
    let kinds: Vec<String> = run
        .messages
        .iter()
        .map(|(kind, content)| content["execution_state"].as_str().map_or(kind.clone(), |state| format!("{kind} {state}")))
        .collect();
    assert_eq!(kinds, ["status busy", "execute_input", "stream", "execute_result", "status idle"]);
    assert_eq!(run.reply["status"], "ok");
    let run = kernel().run("println!(\"out\"); panic!(\"no\");");
    let kinds: Vec<&str> = run.messages.iter().map(|(kind, _)| kind.as_str()).collect();
    assert_eq!(kinds, ["status", "execute_input", "stream", "error", "status"]);
}

#[test]
fn other_requests_are_answered_while_a_cell_runs() {
    let mut kernel = kernel();
    kernel.run("let seen_while_running = 1;").expect_ok();
    let file = std::env::temp_dir().join(format!("finetuning-order-{}", std::process::id()));
    let cell = kernel.send_cell(&format!("println!(\"runs\"); while !std::path::Path::new({file:?}).exists() {{}}"), json!({}));
    kernel.wait_for_stream("runs\n");
    assert_eq!(kernel.ask_control("kernel_info_request", json!({}))["status"], "ok");
    assert_eq!(kernel.ask("kernel_info_request", json!({}))["language_info"]["nbconvert_exporter"], "script");
    let reply = kernel.ask("complete_request", json!({ "code": "seen_w", "cursor_pos": 6 }));
    assert_eq!(reply["matches"], json!(["seen_while_running"]));
    let tail = kernel.ask("history_request", json!({ "hist_access_type": "tail", "n": 2 }));
    assert!(tail["history"][0][2].as_str().unwrap().contains("seen_while_running"), "{tail}");
    // A message of a comm leaves the kernel busy as well.
    kernel.tell("comm_msg", json!({ "comm_id": "none", "data": {} }));
    assert_eq!(kernel.ask("comm_info_request", json!({}))["status"], "ok");
    std::fs::write(&file, "").unwrap();
    let run = kernel.wait(&cell);
    std::fs::remove_file(&file).unwrap();
    run.expect_ok();
    // Its own busy, and one more after each of the six requests.
    assert_eq!(run.of("status").iter().filter(|content| content["execution_state"] == "busy").count(), 7);
}

#[test]
fn shutdown_while_a_cell_runs_is_answered_at_once() {
    let mut kernel = Client::start();
    let cell = "println!(\"started\"); loop { std::hint::spin_loop() }";
    kernel.send_cell(cell, json!({}));
    kernel.wait_for_stream("started\n");
    assert_eq!(kernel.shutdown(true), json!({ "status": "ok", "restart": true }));
    assert!(kernel.exit_status().success());
}

#[test]
fn of_many_updates_the_last_is_shown_and_few_others() {
    let cell = "use finetuning::record; fn many(verb: &str, n: usize) -> String { format!(r#\"{{\"{verb}\":{{\"id\":\"many\",\"data\":{{\"text/plain\":\"{n}\"}}}}}}\"#) }\n\
        record(&many(\"display\", 0)); for n in 1..=5000 { record(&many(\"update\", n)); }\nprintln!(\"done\");";
    let run = kernel().run(cell);
    run.expect_ok();
    let updates = run.of("update_display_data");
    assert_eq!(updates.last().unwrap()["data"]["text/plain"], "5000");
    assert!(updates.len() < 500, "{}", updates.len());
}

#[test]
fn comms_carry_metadata_and_buffers() {
    let mut kernel = kernel();
    kernel.run("use finetuning::*; open_comm_with_buffers();").expect_ok();
    let cell = kernel.send_cell("print!(\"{}\", receive(\"c2\"));", json!({}));
    kernel.tell_with("comm_msg", json!({ "comm_id": "c2", "data": 1 }), json!({ "version": 2 }), &[b"\x00\xff", b""]);
    let line = json!({ "data": 1, "metadata": { "version": 2 }, "buffers": ["AP8=", ""] });
    assert_eq!(kernel.wait(&cell).stdout(), format!("{line}\n"));
    kernel.tell("comm_close", json!({ "comm_id": "c2" }));
}

#[test]
fn inside_a_call_the_function_is_inspected() {
    let code = "let s = String::with_capacity(10, ";
    let reply = kernel().ask("inspect_request", json!({ "code": code, "cursor_pos": code.len(), "detail_level": 0 }));
    assert_eq!(reply["found"], true);
    for kind in ["text/plain", "text/markdown"] {
        assert!(reply["data"][kind].as_str().unwrap().contains("with_capacity"), "{reply}");
    }
}
