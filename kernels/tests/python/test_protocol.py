"""The suite that Jupyter has for kernels, `jupyter_kernel_test`, on ours as it is installed.

In: the name of the kernelspec in FINETUNING_KERNEL_NAME. Out: unittest's report.
"""

import os
import unittest

import jupyter_kernel_test


# Seconds; a machine that is busy with other tests may need more than the suite's own 15.
jupyter_kernel_test.TIMEOUT = PATIENCE = 90


class RustKernelTests(jupyter_kernel_test.KernelTests):
    kernel_name = os.environ["FINETUNING_KERNEL_NAME"]
    language_name = "rust"
    file_extension = ".rs"

    code_hello_world = 'println!("hello, world");'
    code_stderr = 'eprintln!("to the side");'
    code_generate_error = 'panic!("on purpose");'
    code_execute_result = [
        {"code": "1 + 2 + 3", "result": "6"},
        {"code": "[1, 2, 3].iter().map(|n| n * n).collect::<Vec<i32>>()", "result": "[1, 4, 9]"},
        {"code": '"é".to_string()', "result": '"é"'},
    ]
    code_display_data = [
        {"code": 'finetuning::show(&finetuning::Html { html: "<b>x</b>".into(), text: "x".into() });', "mime": "text/html"},
        {"code": 'finetuning::show(&finetuning::Picture { svg: "<svg/>".into(), text: "x".into() });', "mime": "image/svg+xml"},
        # The last expression of a cell is drawn as well.
        {"code": 'finetuning::table(&["a"], &[vec!["b".to_string()]])', "mime": "text/html"},
        {"code": "finetuning::plot_loss(&[])", "mime": "application/vnd.plotly.v1+json"},
        {"code": "finetuning::LossCurve { history: vec![], total_steps: 0 }", "mime": "image/png"},
    ]
    code_clear_output = "finetuning::clear_output(false);"
    code_history_pattern = "1 ? 2*"
    supported_history_operations = ("tail", "range", "search")
    code_inspect_sample = "String::from"

    complete_code_samples = ["1", 'println!("hello, world")', "fn f(x: i32) -> i32 {\n    x * 2\n}", "// {"]
    incomplete_code_samples = ['println!("hello', "fn f(x: i32) {", "let x =", "vec![1,"]
    invalid_code_samples = ["fn f() }", "let x = (1];"]
    completion_samples = [
        {"text": "let s = String::from_utf16", "matches": {"from_utf16", "from_utf16_lossy"}},
        {"text": "printl", "matches": {"println!"}},
        {"text": "std::collections::HashM", "matches": {"HashMap"}},
    ]

    def get_non_kernel_info_reply(self, timeout=None):
        return super().get_non_kernel_info_reply(timeout=PATIENCE)


if __name__ == "__main__":
    unittest.main(verbosity=2)
