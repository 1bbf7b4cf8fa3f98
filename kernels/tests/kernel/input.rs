//! Who reads what the user types: the cell, the programs that it waits for, and nobody else.

use super::kernel;

#[test]
fn a_program_in_the_background_takes_no_instructions_and_finds_the_end() {
    let mut kernel = kernel();
    let cell = "let mut background = std::process::Command::new(\"cat\").spawn()?;";
    kernel.run(cell).expect_ok();
    assert_eq!(kernel.run("1 + 1").result(), "2");
    assert_eq!(kernel.run("background.wait()?.success()").result(), "true");
}

#[test]
fn a_program_in_the_foreground_reads_what_the_user_answers() {
    let mut kernel = kernel();
    let cell = "use std::process::{Command, Stdio}; let said = Command::new(\"sh\").args([\"-c\", \"read line; echo got $line\"]).stdin(Stdio::inherit()).output()?;\nprint!(\"{}\", String::from_utf8_lossy(&said.stdout));";
    // An answer is no instruction, whatever it says.
    let run = kernel.run_and_answer(cell, &[("", "LOAD_AND_RUN a.so f")]);
    run.expect_ok();
    assert_eq!(run.stdout(), "got LOAD_AND_RUN a.so f\n");
    // Without an answer it finds the end.
    let run = kernel.run_and_interrupt_question("let ended = Command::new(\"cat\").status()?;");
    assert_eq!(run.error()["ename"], "KeyboardInterrupt");
    assert_eq!(kernel.run("said.stdout.len()").result(), "24");
}

#[test]
fn what_only_looks_like_a_question_is_text() {
    let mut kernel = kernel();
    let cell = "println!(\"EVCXR_INPUT_REQUEST:password?\"); std::thread::sleep(std::time::Duration::from_millis(700)); println!(\"end\");";
    let run = kernel.run(cell);
    run.expect_ok();
    assert_eq!(run.stdout(), "EVCXR_INPUT_REQUEST:password?\nend\n");
    let run = kernel.run("eprintln!(\"EVCXR_INPUT_REQUEST:password?\"); print!(\"EVCXR_INPUT_REQUEST:\");");
    assert_eq!((run.stdout().as_str(), run.stderr().as_str()), ("EVCXR_INPUT_REQUEST:", "EVCXR_INPUT_REQUEST:password?\n"));
}

#[test]
fn an_interrupt_ends_the_programs_that_a_cell_waits_for_and_keeps_variables() {
    let mut kernel = kernel();
    kernel.run("let waited = 41; let mut served = std::process::Command::new(\"sleep\").arg(\"600\").spawn()?;").expect_ok();
    for wait in [
        "let out = std::process::Command::new(\"sleep\").arg(\"601\").output()?;",
        "std::process::Command::new(\"sh\").args([\"-c\", \"trap '' INT; sleep 602; sleep 602\"]).status()?;",
    ] {
        let run = kernel.run_and_interrupt(&format!("println!(\"started\"); {wait}"), 1);
        assert_eq!(run.error()["ename"], "KeyboardInterrupt");
    }
    assert_eq!(kernel.run("(waited, out.status.success())").result(), "(41, false)");
    // That of an earlier cell lives.
    assert_eq!(kernel.run("let lives = served.try_wait()?.is_none(); served.kill()?; served.wait()?; lives").result(), "true");
}
