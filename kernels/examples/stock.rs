//! The stock kernel evcxr_jupyter, as our lock file pins it: to run the lessons in it and to compare it with ours.
//!
//! `cargo build --example stock`, then a kernelspec whose `argv` is that program, `--control_file`, `{connection_file}`.

fn main() {
    if let Err(error) = evcxr_jupyter::main() {
        eprintln!("error: {error}");
        std::process::exit(1);
    }
}
