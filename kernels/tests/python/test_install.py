"""The kernel as `lab kernel install` offers it: found and run by nbclient, papermill, `jupyter run`, the console and VS Code.

In: the program in FINETUNING_LAB. Out: unittest's report. All is installed under a temporary prefix.
"""

import json
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

import nbformat
from jupyter_client.manager import KernelManager
from nbclient import NotebookClient

LAB = os.environ["FINETUNING_LAB"]
NAMES = ("rust", "rust-finetuning")
CELLS = ["let n = 6;", "n * 7", 'println!("{}", finetuning::table(&["a"], &[vec![n.to_string()]]).text);']


def jupyter(*words, **options):
    return subprocess.run([sys.executable, "-m", "jupyter", *words], capture_output=True, text=True, timeout=300, **options)


class InstallTests(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.temporary = tempfile.TemporaryDirectory()
        cls.prefix = pathlib.Path(cls.temporary.name)
        # A home of its own: no other kernel is in the way, and nothing is left behind.
        os.environ.update(JUPYTER_PATH=str(cls.prefix / "share/jupyter"), JUPYTER_DATA_DIR=str(cls.prefix / "data"))
        cls.lab("install")

    @classmethod
    def tearDownClass(cls):
        cls.temporary.cleanup()

    @classmethod
    def lab(cls, *words):
        done = subprocess.run([LAB, "kernel", *words, "--prefix", str(cls.prefix)], capture_output=True, text=True)
        if done.returncode != 0:
            raise AssertionError(done.stderr)
        return done.stdout

    def notebook(self, name):
        kernel = {"name": name, "display_name": name, "language": "rust"}
        return nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code) for code in CELLS], metadata={"kernelspec": kernel})

    def check(self, notebook):
        outputs = [cell["outputs"] for cell in notebook["cells"] if cell["source"] in CELLS]
        self.assertEqual(outputs[1][0]["data"]["text/plain"], "42")
        self.assertEqual(outputs[2][0]["text"].split(), ["a", "6"])

    def test_1_jupyter_finds_it_with_logos(self):
        found = json.loads(jupyter("kernelspec", "list", "--json").stdout)["kernelspecs"]
        for name in NAMES:
            folder = pathlib.Path(found[name]["resource_dir"])
            self.assertTrue(folder.is_relative_to(self.prefix), folder)
            for logo in ("logo-32x32.png", "logo-64x64.png", "logo-svg.svg"):
                self.assertGreater((folder / logo).stat().st_size, 100)
            self.assertEqual(found[name]["spec"]["argv"], [LAB, "kernel", "{connection_file}"])

    def test_2_nbclient_runs_a_notebook_that_asks_as_the_lessons_do(self):
        notebook = self.notebook("rust-finetuning")
        NotebookClient(notebook, timeout=300).execute()
        self.check(notebook)

    def test_3_papermill_runs_a_notebook(self):
        file = self.prefix / "own.ipynb"
        nbformat.write(self.notebook("rust"), file)
        done = subprocess.run([sys.executable, "-m", "papermill", "--no-progress-bar", file, file], capture_output=True, text=True, timeout=300)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.check(nbformat.read(file, 4))

    def test_3_papermill_writes_parameters_in_rust(self):
        file = self.prefix / "parameters.ipynb"
        given = {"n": 3, "rates": [1, 2.5], "name": 'a "b"\n\\é', "big": 10**10, "either": [None, "x"], "table": {"a": 1.0}, "off": False}
        cell = "(n + 1, &rates, name.len(), big, &either, table[\"a\"], off)"
        notebook = self.notebook("rust")
        notebook.cells = [nbformat.v4.new_code_cell("let n: i32 = 1; // how often", metadata={"tags": ["parameters"]}), nbformat.v4.new_code_cell(cell)]
        nbformat.write(notebook, file)
        values = self.prefix / "parameters.json"
        values.write_text(json.dumps(given))
        papermill = [sys.executable, "-m", "papermill"]
        done = subprocess.run([*papermill, "--no-progress-bar", "-f", values, file, file], capture_output=True, text=True, timeout=300)
        self.assertEqual(done.returncode, 0, done.stderr)
        shown = nbformat.read(file, 4).cells[2].outputs[0].data["text/plain"]
        self.assertEqual(shown, '(4, [1.0, 2.5], 9, 10000000000, [None, Some("x")], 1.0, false)')
        done = subprocess.run([*papermill, "--help-notebook", file], capture_output=True, text=True, timeout=300)
        self.assertRegex(done.stdout, r"n: i32 \(default 1\) +how often")

    def test_3_jupyter_runs_a_file_and_executes_a_notebook(self):
        script = self.prefix / "script.rs"
        script.write_text("let n = 6;\nprintln!(\"{}\", n * 7);\n")
        done = jupyter("run", "--kernel", "rust", str(script))
        self.assertEqual((done.returncode, done.stdout), (0, "42\n"), done.stderr)
        file = self.prefix / "executed.ipynb"
        nbformat.write(self.notebook("rust"), file)
        done = jupyter("execute", "--inplace", str(file))
        self.assertEqual(done.returncode, 0, done.stderr)
        self.check(nbformat.read(file, 4))

    def test_4_what_vs_code_sends_is_answered(self):
        manager = KernelManager(kernel_name="rust")
        manager.start_kernel()
        client = manager.client()
        client.start_channels()
        try:
            client.wait_for_ready(timeout=300)

            def send(kind, content, channel=client.shell_channel, metadata=None):
                message = client.session.msg(kind, content, metadata=metadata)
                # Its headers have a field that the protocol did not have, and no user.
                message["header"].update(username="", subshell_id=None)
                channel.send(message)
                return message["header"]["msg_id"]

            def reply_to(sent, get=client.get_shell_msg):
                while True:
                    message = get(timeout=300)
                    if message["parent_header"].get("msg_id") == sent:
                        return message["content"]

            def idle_after(sent):
                kinds = []
                while not kinds or kinds[-1] != ("status", "idle"):
                    message = client.get_iopub_msg(timeout=300)
                    if message["parent_header"].get("msg_id") == sent:
                        kinds.append((message["msg_type"], message["content"].get("execution_state")))
                return [kind for kind, _ in kinds]

            for channel, get in ((client.shell_channel, client.get_shell_msg), (client.control_channel, client.get_control_msg)):
                self.assertEqual(reply_to(send("kernel_info_request", {}, channel), get)["status"], "ok")
            cell = {"silent": False, "store_history": True, "allow_stdin": True, "stop_on_error": False, "user_expressions": {}}
            # All cells are sent at once, and one that fails stops no other.
            codes = ("let counted = vec![1, 2];", "counted[9]", "counted.len()")
            metadata = {"cellId": "vscode-notebook-cell:/a%20b.ipynb#W0sZmlsZQ%3D%3D", "deletedCells": [], "recordTiming": False}
            sent = [send("execute_request", {"code": code, **cell}, metadata=metadata) for code in codes]
            self.assertEqual([reply_to(one)["status"] for one in sent], ["ok", "error", "ok"])
            self.assertEqual(idle_after(sent[2]), ["status", "execute_input", "execute_result", "status"])
            found = reply_to(send("inspect_request", {"code": "counted", "cursor_pos": 0, "detail_level": 0}))
            self.assertIn("Vec<i32>", found["data"]["text/plain"], found)
            found = reply_to(send("complete_request", {"code": "counted.le", "cursor_pos": 10}))
            self.assertIn("len", found["matches"])
            self.assertEqual(reply_to(send("comm_info_request", {"target_name": "jupyter.widget"}))["comms"], {})
            opened = send("comm_open", {"comm_id": "w", "target_name": "jupyter.widget.control", "data": {}})
            self.assertIn("comm_close", idle_after(opened))
            waiting = send("execute_request", {"code": "let mut line = String::new(); std::io::stdin().read_line(&mut line)?; line", **cell})
            client.get_stdin_msg(timeout=300)
            self.assertEqual(reply_to(send("interrupt_request", {}, client.control_channel), client.get_control_msg)["status"], "ok")
            self.assertEqual(reply_to(waiting)["status"], "error")
            after = reply_to(send("execute_request", {"code": "counted.len()", **cell}))
            self.assertEqual(after["status"], "ok", after)
            answer = reply_to(send("shutdown_request", {"restart": False}, client.control_channel), client.get_control_msg)
            self.assertEqual(answer["restart"], False)
        finally:
            client.stop_channels()
            manager.shutdown_kernel(now=True)

    def test_4_the_console_runs_a_cell(self):
        done = jupyter("console", "--simple-prompt", "--kernel=rust", input="let n = 6;\nn * 7\nexit\n")
        self.assertIn("42", done.stdout, done.stderr)

    def test_5_it_is_listed_and_removed(self):
        listed = self.lab_list()
        self.assertEqual([line.split()[0] for line in listed if str(self.prefix) in line], list(NAMES))
        self.lab("uninstall")
        self.assertFalse([line for line in self.lab_list() if str(self.prefix) in line])
        found = json.loads(jupyter("kernelspec", "list", "--json").stdout)["kernelspecs"]
        self.assertFalse(any(spec["resource_dir"].startswith(str(self.prefix)) for spec in found.values()), found)

    def lab_list(self):
        return subprocess.run([LAB, "kernel", "list"], capture_output=True, text=True, check=True).stdout.splitlines()


if __name__ == "__main__":
    unittest.main(verbosity=2)
