//! What an interrupt keeps: the habits of readers, each stopped by one press of the key.

use super::{client, kernel};

#[test]
fn loops_and_sleeps_stop_and_keep_the_variables_of_earlier_cells() {
    let mut kernel = kernel();
    kernel.run("let mut kept = vec![1, 2]; fn long(n: u64) -> u64 { let mut sum = 0_u64; for i in 0..n { sum = sum.wrapping_add(i ^ sum.rotate_left(3)); } sum }").expect_ok();
    for cell in [
        "println!(\"started\"); std::thread::sleep(std::time::Duration::from_secs(600));",
        "use std::thread; use std::time::Duration; println!(\"started\"); let new = 1; thread::sleep(Duration::MAX);",
        // Busy, printing, and training by a loop of one's own; variables that the cell names and changes among them.
        "println!(\"started\"); let mut n = 0_u64; loop { n = n.wrapping_add(1); kept.len(); }",
        "println!(\"started\"); for i in 0.. { kept[0] = 7; if i % 100_000 == 0 { print!(\".\"); } }",
        "println!(\"started\"); let mut loss = 0.0_f64; while loss < 1e300 { loss = (loss + 1.0).sqrt(); }",
        "println!(\"started\"); long(u64::MAX)",
        // Printing without a loop of its own.
        "println!(\"started\"); (0_u64..).for_each(|n| println!(\"{n}\"));",
        // In threads that the cell waits for.
        "println!(\"started\"); std::thread::scope(|scope| { scope.spawn(|| loop { std::hint::spin_loop() }); });",
    ] {
        let run = kernel.run_and_interrupt(cell, 1);
        let error = run.error();
        assert_eq!(error["ename"], "KeyboardInterrupt", "{cell}: {error}");
        assert!(!client::plain(&error["traceback"]).contains("lost"), "{cell}: {error}");
        assert_eq!(kernel.run("kept.len()").result(), "2", "{cell}");
    }
    assert_eq!(kernel.run("kept[0]").result(), "7");
}

#[test]
fn an_interrupt_leaves_the_threads_of_earlier_cells_alone() {
    let mut kernel = kernel();
    kernel.run("use std::sync::{Arc, atomic::{AtomicUsize, Ordering}}; let turns = Arc::new(AtomicUsize::new(0)); let counter = turns.clone();\nstd::thread::spawn(move || loop { counter.fetch_add(1, Ordering::SeqCst); std::thread::sleep(std::time::Duration::from_millis(5)); });").expect_ok();
    let run = kernel.run_and_interrupt("println!(\"started\"); std::thread::sleep(std::time::Duration::from_secs(600));", 1);
    assert_eq!(run.error()["ename"], "KeyboardInterrupt");
    let cell = "let before = turns.load(Ordering::SeqCst); std::thread::sleep(std::time::Duration::from_millis(100)); turns.load(Ordering::SeqCst) > before";
    assert_eq!(kernel.run(cell).result(), "true");
}

/// What stands in the way of a cell that only waits, or computes without a call.
const STUCK: [&str; 6] = [
    "let (sender, receiver) = std::sync::mpsc::channel::<i32>(); println!(\"started\"); receiver.recv().unwrap(); drop(sender);",
    "let listener = std::net::TcpListener::bind(\"127.0.0.1:0\").unwrap(); println!(\"started\"); let guest = listener.accept().unwrap().1;",
    "let held = std::sync::Mutex::new(1); let first = held.lock().unwrap(); println!(\"started\"); let second = held.lock().unwrap(); drop(second); drop(first);",
    "println!(\"started\"); loop {}",
    "println!(\"started\"); let all = std::iter::repeat(1_u64).fold(0, |sum, n| sum ^ (sum << 1) ^ n);",
    // Its threads are an earlier cell's: they go on.
    "println!(\"started\"); STUCK_POOL.0.send(|| std::thread::sleep(std::time::Duration::from_millis(5500))).unwrap(); STUCK_POOL.1.lock().unwrap().recv().unwrap();",
];

#[test]
fn what_waits_or_calls_nothing_is_stopped_for_good_and_what_it_does_not_name_is_kept() {
    let mut kernel = kernel();
    kernel.run("let untouched = vec![1, 2, 3];\nuse std::sync::{LazyLock, Mutex, mpsc};\nstatic STUCK_POOL: LazyLock<(mpsc::Sender<fn()>, Mutex<mpsc::Receiver<u8>>)> = LazyLock::new(|| {\n    let (jobs, work) = mpsc::channel::<fn()>();\n    let (tell, done) = mpsc::channel();\n    std::thread::spawn(move || for job in work { job(); tell.send(1).unwrap(); });\n    (jobs, Mutex::new(done))\n});").expect_ok();
    kernel.run("LazyLock::force(&STUCK_POOL);").expect_ok();
    for cell in STUCK {
        kernel.run("let named = String::from(\"named\");").expect_ok();
        let run = kernel.run_and_interrupt(&format!("let size = named.len(); {cell}"), 1);
        let (error, text) = (run.error(), client::plain(&run.error()["traceback"]));
        assert_eq!(error["ename"], "KeyboardInterrupt", "{cell}: {error}");
        assert!(text.contains("stopped for good") && text.contains("`named`") && !text.contains("untouched"), "{cell}: {text}");
        // The next cell prints, and finds all that the stopped one did not name.
        assert_eq!(kernel.run("println!(\"{}\", untouched.len()); let more = vec![7; 1000];").stdout(), "3\n", "{cell}");
        assert_eq!(kernel.run("more.len()").result(), "1000", "{cell}");
        let text = client::plain(&kernel.run("named.len()").error()["traceback"]);
        assert!(text.contains(&format!("`named` was lost when cell {} was stopped", run.number())), "{cell}: {text}");
    }
}

#[test]
fn programs_input_and_threads_work_after_a_thread_was_stopped_for_good() {
    let mut kernel = kernel();
    let run = kernel.run_and_interrupt("println!(\"started\"); std::sync::mpsc::channel::<i32>().1.recv().ok(); loop {}", 1);
    assert!(client::plain(&run.error()["traceback"]).contains("stopped for good"), "{}", run.error());
    let run =
        kernel.run_and_interrupt("println!(\"started\"); let slept = std::process::Command::new(\"sleep\").arg(\"600\").output();", 1);
    assert!(run.error()["evalue"].as_str().unwrap().contains("all variables are kept"), "{}", run.error());
    let read = "let mut line = String::new(); std::io::stdin().read_line(&mut line).unwrap(); line.trim().len()";
    assert_eq!(kernel.run_and_answer(read, &[("", "four")]).result(), "4");
    let program = "String::from_utf8(std::process::Command::new(\"head\").arg(\"-n1\").stdin(std::process::Stdio::inherit()).output().unwrap().stdout).unwrap()";
    assert_eq!(kernel.run_and_answer(program, &[("", "five5")]).result(), "\"five5\\n\"");
    let run = kernel.run_and_interrupt_question(
        "let reader = std::thread::spawn(|| std::io::stdin().read_line(&mut String::new()).is_err()); reader.join().unwrap()",
    );
    assert_eq!(run.error()["ename"], "KeyboardInterrupt");
    assert_eq!(kernel.run("std::thread::spawn(|| 1 + 1).join().unwrap()").result(), "2");
    // Loops are looked at as before.
    let run = kernel.run_and_interrupt("println!(\"started\"); let mut turns = 0_u64; loop { turns = turns.wrapping_add(1); }", 1);
    assert!(!client::plain(&run.error()["traceback"]).contains("stopped for good"), "{}", run.error());
}

#[test]
fn the_cells_that_made_what_is_lost_are_offered_and_run_again_only_when_asked() {
    let mut kernel = kernel();
    kernel.run(":clear").expect_ok();
    let first = kernel.run("println!(\"made\"); let mut again_list = vec![1];").number();
    kernel.run("fn again_double(n: i32) -> i32 { 2 * n }").expect_ok();
    let second = kernel.run("// grows\nagain_list.push(again_double(3));").number();
    kernel.run("let again_other = again_list.len();").expect_ok();
    kernel.run("println!(\"{}\", again_list.len());").expect_ok();
    let third = kernel.run("let again_alone = 5;").number();
    // Stopped for good: only what it named is lost.
    let run = kernel.run_and_interrupt("println!(\"started\"); let n = again_list.len(); loop {}", 1);
    let text = client::plain(&run.error()["traceback"]);
    let offer =
        format!(":rerun\n  [{first}] println!(\"made\"); let mut again_list = vec![1];\n  [{second}] again_list.push(again_double(3));");
    assert!(text.ends_with(&offer), "{text}");
    assert_eq!(kernel.run(":rerun\nagain_list.clone()").result(), "[1, 6]");
    assert_eq!(kernel.run(":rerun").stdout(), "nothing is lost, so no cell runs again\n");
    // A process that ended: all variables are.
    let run = kernel.run("std::process::exit(3)");
    let text = client::plain(&run.error()["traceback"]);
    assert!(text.contains(&format!("[{first}] ")) && text.contains(&format!("[{third}] let again_alone = 5;")), "{text}");
    assert!(!text.contains("println!(\"{}\""), "{text}");
    let run = kernel.run(":rerun");
    run.expect_ok();
    assert_eq!(run.stdout().matches("made\n").count(), 1, "{}", run.stdout());
    assert_eq!(kernel.run("(again_list, again_other, again_alone)").result(), "([1, 6], 2, 5)");
    assert!(kernel.run(":help").of("execute_result")[0]["data"]["text/plain"].as_str().unwrap().contains("\n:rerun "));
}
