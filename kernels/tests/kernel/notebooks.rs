//! Cells as public notebooks of evcxr have them, reduced → what the stock kernel shows for each of them.
//!
//! A notebook begins with its name, behind `//!`, and a cell ends at `// %%`; its lines `// =>` are its standard output and then its
//! result, as the stock kernel gave them.

use super::kernel;

const NOTEBOOKS: &str = include_str!("notebooks.cells");
const SHOWN: &str = "// => ";

#[test]
fn what_the_stock_kernel_shows_for_a_notebook_is_shown_here() {
    let mut kernel = kernel();
    for notebook in NOTEBOOKS.split("//! ").skip(1) {
        let (name, cells) = notebook.split_once('\n').expect("a name and cells");
        // Those of another notebook are gone.
        kernel.run(":clear").expect_ok();
        for cell in cells.trim().split("\n// %%\n") {
            let (expected, code): (Vec<&str>, Vec<&str>) = cell.lines().partition(|line| line.starts_with(SHOWN));
            let (expected, code) = (expected.join("\n").replace(SHOWN, ""), code.join("\n"));
            let run = kernel.run(&code);
            assert_eq!(run.reply["status"], "ok", "{name}:\n{code}\n{}", super::client::plain(&run.reply["traceback"]));
            let result = run.of("execute_result").first().map(|result| result["data"]["text/plain"].as_str().expect("a text").to_string());
            let shown = run.stdout() + &result.unwrap_or_default();
            assert_eq!(shown.trim_end(), expected.trim_end(), "{name}:\n{code}\n{}", run.stderr());
        }
    }
    kernel.run(":clear").expect_ok();
}
