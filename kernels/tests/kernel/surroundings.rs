//! A machine on which not all is as it should be: the kernel starts, and its cells run.

use super::client::Client;

#[test]
fn cells_run_without_a_home_beside_a_broken_toolchain_file_and_with_nowhere_for_temporary_files() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("rust-toolchain.toml"), "[toolchain]\nchannel = \"1.2.3-none\"\n").unwrap();
    let gone = folder.path().join("gone");
    let mut kernel = Client::start_with(|kernel| {
        kernel.current_dir(folder.path()).env_remove("HOME").env("TMPDIR", &gone).env("LD_PRELOAD", gone.join("none.so"));
    });
    assert_eq!(kernel.run("1 + 1").result(), "2");
    assert_eq!(
        kernel.run("(std::env::var(\"LD_PRELOAD\").is_err(), std::env::current_dir()?.join(\"rust-toolchain.toml\").exists())").result(),
        "(true, true)"
    );
    assert!(!gone.exists());
}
