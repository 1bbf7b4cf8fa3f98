//! An interrupt ends the loop, keeps what was learned, and the same call goes on to the same weights.
//!
//! The flag's name is an environment variable of a process, so the run is one of its own.

use crate::process::harness;
use crate::support::fresh_folder;

#[test]
fn an_interrupted_training_goes_on_to_the_same_weights() {
    let flag = fresh_folder().join("flag");
    let output = harness("interrupt-training").env("FINETUNING_INTERRUPT", flag).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("the weights are equal"), "{text}{}", String::from_utf8_lossy(&output.stderr));
}
