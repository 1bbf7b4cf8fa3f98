//! What the process of the cells does to the kernel: large and slow records, redirected output, ends of all kinds.

use serde_json::json;

use super::{client, kernel};

#[test]
fn a_printed_variable_is_no_error_and_comes_in_order() {
    let mut kernel = kernel();
    let cell = "let x = 1; eprintln!(\"a\"); eprintln!(\"{}\", x); eprintln!(\"b\"); let error = 2;\neprintln!(\"{}\", error); std::thread::sleep(std::time::Duration::from_millis(900)); println!(\"end\");";
    let mut seen = String::new();
    let run = kernel.run_and_watch(cell, |kind, content| {
        if kind == "stream" {
            seen += content["text"].as_str().unwrap();
            // The name that evcxr uses as well is shown while the cell still runs.
            assert!(!seen.contains("end") || seen.contains("2\n"), "{seen}");
        }
    });
    // The mark has a way of its own, which may be the faster one.
    assert_eq!((run.stderr().replacen("2\n", "", 1).as_str(), run.stdout().as_str()), ("a\n1\nb\n", "end\n"));
}

#[test]
fn a_record_in_pieces_is_one_record() {
    let cell = "use std::io::Write; let secrets = std::fs::read_to_string(std::env::var(\"FINETUNING_MARKS\")?)?;\n\
        print!(\"\\x02K{}{{\\\"display\\\":\", secrets.split(' ').next().unwrap()); std::io::stdout().flush().unwrap(); \
        std::thread::sleep(std::time::Duration::from_millis(100)); println!(\"{{\\\"data\\\":{{\\\"text/plain\\\":\\\"whole\\\"}}}}}}\");";
    let run = kernel().run(cell);
    assert_eq!((run.stdout().as_str(), run.of("display_data")[0]["data"].clone()), ("", json!({ "text/plain": "whole" })));
}

#[test]
fn dots_without_a_newline_are_shown_while_the_cell_runs() {
    // The cell goes on only when the client, which has seen the dot, makes a file.
    let file = std::env::temp_dir().join(format!("finetuning-dot-{}", std::process::id()));
    let cell = format!("print!(\".\"); while !std::path::Path::new({file:?}).exists() {{}}");
    let run = kernel().run_and_watch(&cell, |kind, content| {
        if kind == "stream" && content["text"] == "." {
            std::fs::write(&file, "").unwrap();
        }
    });
    std::fs::remove_file(&file).unwrap();
    run.expect_ok();
}

#[test]
fn output_sent_elsewhere_does_not_stop_the_kernel() {
    let mut kernel = kernel();
    let cell = "unsafe extern \"C\" { fn open(path: *const u8, flags: i32) -> i32; fn dup(fd: i32) -> i32; fn dup2(old: i32, new: i32) -> i32; }\n\
        let kept = unsafe { let kept = [dup(1), dup(2)]; let null = open(c\"/dev/null\".as_ptr().cast(), 1); dup2(null, 1); dup2(null, 2); kept };\nprintln!(\"lost\");";
    let run = kernel.run(cell);
    run.expect_ok();
    assert_eq!(run.stdout(), "");
    kernel.run("unsafe { dup2(kept[0], 1); dup2(kept[1], 2); }").expect_ok();
    assert_eq!(kernel.run("println!(\"back\");").stdout(), "back\n");
    // One that was closed is there again in the next cell.
    kernel.run("unsafe extern \"C\" { fn close(fd: i32) -> i32; }\nunsafe { close(1); close(2); }").expect_ok();
    let run = kernel.run("println!(\"again\"); eprintln!(\"and again\");");
    assert_eq!((run.stdout().as_str(), run.stderr().as_str()), ("again\n", "and again\n"));
}

#[test]
fn the_end_of_the_process_says_why() {
    let mut kernel = kernel();
    kernel.run("let gone = 5;").expect_ok();
    let run = kernel.run("println!(\"bye\"); std::process::exit(0);");
    let text = run.error()["evalue"].as_str().unwrap().to_string();
    assert!(text.starts_with("the cell ended the process of the cells (exit status: 0)"), "{text}");
    assert_eq!((run.error()["ename"].as_str(), run.stdout().as_str()), (Some("Killed"), "bye\n"));
    let run = kernel.run("std::process::Command::new(\"kill\").args([\"-9\", &std::process::id().to_string()]).status()?;");
    let text = run.error()["evalue"].as_str().unwrap().to_string();
    assert!(text.contains("SIGKILL") && text.contains("probably out of memory"), "{text}");
    let run = kernel.run("std::fs::read_to_string(\"/proc/self/oom_score_adj\").map_or(true, |score| score.trim() == \"1000\")");
    assert_eq!(run.result(), "true");
}

#[test]
fn user_expressions_that_fail_say_so() {
    let mut kernel = kernel();
    let fields = json!({ "user_expressions": { "a": "panic!(\"no\")", "b": "nothing", "c": "\"x\".parse::<i32>()?", "d": "1 + 1" } });
    let answers = kernel.run_with("let survives = 3;", fields).reply["user_expressions"].clone();
    let name = |key: &str| (answers[key]["status"].as_str().unwrap().to_string(), answers[key]["ename"].as_str().unwrap_or("").to_string());
    for (key, ename) in [("a", "Panic"), ("b", "E0425"), ("c", "Error")] {
        assert_eq!(name(key), ("error".into(), ename.into()), "{answers}");
        assert!(answers[key]["evalue"].is_string() && answers[key]["traceback"].is_array(), "{answers}");
    }
    assert_eq!(answers["d"]["data"]["text/plain"], "2");
    assert_eq!(kernel.run("survives").result(), "3");
    let fields = json!({ "user_expressions": { "a": "std::process::abort()" } });
    assert_eq!(kernel.run_with("1", fields).reply["user_expressions"]["a"]["ename"], "Killed");
    let text = client::plain(&kernel.run("survives").error()["traceback"]);
    assert!(text.contains("`survives` was lost when the process"), "{text}");
}

#[test]
fn a_silent_cell_that_fails_stops_no_other() {
    let mut kernel = kernel();
    let failing = kernel.send_cell("panic!(\"unseen\")", json!({ "silent": true }));
    let behind = kernel.send_cell("1", json!({}));
    assert_eq!(kernel.wait(&failing).reply["status"], "error");
    assert_eq!(kernel.wait(&behind).reply["status"], "ok");
    let run = kernel.run_with("2", json!({ "silent": true }));
    assert!(run.of("execute_result").is_empty() && run.of("execute_input").is_empty());
}

#[test]
fn a_slow_loop_with_a_sign_of_life_is_not_killed() {
    let mut kernel = kernel();
    kernel.run("use finetuning::*; let trained = 8;").expect_ok();
    let run = kernel.run_and_interrupt("println!(\"started\"); slow_step()?;", 1);
    assert_eq!(
        (run.error()["ename"].as_str(), run.error()["evalue"].as_str()),
        (Some("KeyboardInterrupt"), Some("interrupted in the test loop"))
    );
    assert!(run.stderr().contains("interrupt again to end it now"), "{}", run.stderr());
    assert_eq!(kernel.run("trained").result(), "8");
}

#[test]
fn lines_for_the_shell_are_live_fail_and_stop() {
    let mut kernel = kernel();
    let file = std::env::temp_dir().join(format!("finetuning-shell-{}", std::process::id()));
    let cell =
        format!("!printf é; while ! test -e {}; do sleep 0.05; done; echo on err >&2\nlet after_shell = 4;\nafter_shell", file.display());
    let run = kernel.run_and_watch(&cell, |kind, content| {
        if kind == "stream" && content["text"] == "é" {
            std::fs::write(&file, "").unwrap();
        }
    });
    std::fs::remove_file(&file).unwrap();
    assert_eq!((run.result().as_str(), run.stdout().as_str(), run.stderr().as_str()), ("4", "é", "on err\n"));
    let run = kernel.run("!echo before; exit 3\nprintln!(\"not reached\");");
    assert_eq!((run.error()["ename"].as_str(), run.stdout().as_str()), (Some("ShellError"), "before\n"));
    assert!(run.error()["evalue"].as_str().unwrap().ends_with("ended with exit code 3"), "{}", run.error());
    let run = kernel.run_and_interrupt("!echo started; sleep 600 & sleep 600", 1);
    assert_eq!(run.error()["ename"], "KeyboardInterrupt");
    assert_eq!(kernel.run("after_shell").result(), "4");
    // Nothing to read, and a program left behind holds nothing up.
    assert_eq!(kernel.run("!cat; sleep 60 & echo done").stdout(), "done\n");
}

#[test]
fn commands_of_evcxr_leave_a_working_kernel() {
    let mut kernel = kernel();
    kernel.run("let cleared = 1; fn forgotten() -> i32 { 2 }").expect_ok();
    let run = kernel.run(":quit");
    assert_eq!(run.error()["ename"], "CommandError");
    assert_eq!(kernel.run("cleared").result(), "1");
    let number = kernel.run(":clear\nlet new = 3;").number();
    let text = client::plain(&kernel.run("cleared").error()["traceback"]);
    assert!(text.contains(&format!("`cleared` was cleared by cell {number}")), "{text}");
    assert_eq!(kernel.run("forgotten()").error()["ename"], "E0425");
    // What the kernel adds to a session is there again.
    assert_eq!(kernel.run("vec![new]").result(), "[3]");
    assert_eq!(kernel.run("std::fs::read(\"/no/such/file\")?;").error()["evalue"], "No such file or directory (os error 2)");
    let number = kernel.run(":restart").number();
    let text = client::plain(&kernel.run("new").error()["traceback"]);
    assert!(text.contains(&format!("`new` was cleared by cell {number}")), "{text}");
}

#[test]
fn the_process_of_the_cells_knows_its_parent_by_number() {
    // Process 1 may be the parent, as in a container; any other than the one that was named is a stranger.
    let marks = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("marks-{}", std::process::id()));
    std::fs::write(&marks, format!("{} {}\n", "0".repeat(32), "1".repeat(19))).unwrap();
    let start = |parent: u32| {
        let mut process = std::process::Command::new(env!("CARGO_BIN_EXE_lab"))
            .env("EVCXR_IS_RUNTIME", "1")
            .env("FINETUNING_PARENT", parent.to_string())
            .env("FINETUNING_MARKS", &marks)
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        // The stranger has ended by then, perhaps.
        let _ = std::io::Write::write_all(&mut process.stdin.take().unwrap(), b"LOAD_AND_RUN /no/such/library.so f\n");
        let output = process.wait_with_output().unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stdout).contains("cannot load the compiled cell"))
    };
    assert_eq!(start(std::process::id()), (Some(99), true));
    assert_eq!(start(1), (Some(0), false));
    std::fs::remove_file(&marks).unwrap();
}
