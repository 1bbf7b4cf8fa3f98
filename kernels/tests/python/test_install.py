"""The kernel as `lab kernel install` offers it: found and run by nbclient, papermill and the console.

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
