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
