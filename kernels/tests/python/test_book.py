"""The book that `cargo lab book` writes: every link leads somewhere, nothing is loaded from elsewhere, charts stay charts."""

import html.parser
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest
import urllib.parse

import nbformat

LAB = os.environ["FINETUNING_LAB"]
SCRIPT = pathlib.Path(__file__).parents[2] / "assets/book/book.py"
PLOTLY = "application/vnd.plotly.v1+json"


class Page(html.parser.HTMLParser):
    def __init__(self, file):
        super().__init__()
        self.ids, self.links, self.loads, self.figures = set(), [], [], []
        self.feed(file.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attributes):
        found = dict(attributes)
        self.ids.add(found.get("id"))
        if tag == "a" and "href" in found:
            self.links.append(found["href"])
        if tag in ("script", "img", "source", "iframe") and "src" in found:
            self.loads.append(found["src"])
        if tag == "link":
            self.loads.append(found["href"])
        if "data-figure" in found:
            self.figures.append(found["data-figure"])


def sections(folder):
    text = (folder / "search.js").read_text(encoding="utf-8")
    return json.loads(text.removeprefix("window.SECTIONS = ").rstrip(";\n"))


class Book(unittest.TestCase):
    def setUp(self):
        self.home = tempfile.TemporaryDirectory()
        self.addCleanup(self.home.cleanup)
        self.folder = pathlib.Path(self.home.name) / "book"

    def pages(self):
        return {file.name: Page(file) for file in self.folder.glob("*.html")}

    def check(self):
        pages = self.pages()
        for name, page in pages.items():
            for load in page.loads:
                self.assertTrue(load.startswith("data:") or (self.folder / load).is_file(), f"{name} loads {load}")
            for link in page.links:
                address = urllib.parse.urlsplit(link)
                if address.scheme or not (address.path or address.fragment):
                    continue
                target = pages.get(address.path or name)
                self.assertIsNotNone(target, f"{name}: {link}")
                self.assertTrue(not address.fragment or urllib.parse.unquote(address.fragment) in target.ids, f"{name}: {link}")
        for section in sections(self.folder):
            self.assertNotIn("\u00b6", section["heading"])
            self.assertTrue(not section["anchor"] or section["anchor"] in pages[section["page"]].ids, section["anchor"])
        return pages

    def test_the_lessons_link_to_each_other_and_load_nothing_from_elsewhere(self):
        said = subprocess.run([LAB, "book", self.folder], capture_output=True, text=True, check=True).stdout
        pages = self.check()
        self.assertIn(f"{len(pages) - 1} lessons; open ", said)
        self.assertGreater(len(pages), 7)
        self.assertTrue(any("learning rate" in section["text"] for section in sections(self.folder)))
        # A second book replaces the first; what is no book stays.
        subprocess.run([LAB, "book", self.folder], capture_output=True, check=True)
        (self.folder / "search.js").unlink()
        refused = subprocess.run([LAB, "book", self.folder], capture_output=True, text=True)
        self.assertEqual(refused.returncode, 1)
        self.assertIn("holds files that are no book\nfix:   ", refused.stderr)

    def test_a_chart_stays_one_and_words_are_no_markup(self):
        figure = {"data": [{"y": [1, 2], "name": "it's <loss> & \"rate\""}], "layout": {}}
        data = {PLOTLY: figure, "image/svg+xml": "<svg></svg>", "text/plain": 'loss "falls"'}
        shown = nbformat.v4.new_output("display_data", data)
        cells = [nbformat.v4.new_markdown_cell("# One\n\n## Its loss"), nbformat.v4.new_code_cell("a < b && c", outputs=[shown])]
        cells.append(nbformat.v4.new_code_cell("x", outputs=[nbformat.v4.new_output("stream", text="</script><b>")]))
        file = pathlib.Path(self.home.name) / "one.ipynb"
        nbformat.write(nbformat.v4.new_notebook(cells=cells), file)
        subprocess.run([sys.executable, SCRIPT, self.folder, file], check=True, capture_output=True)
        page = self.check()["one.html"]
        self.assertEqual([json.loads(figure) for figure in page.figures], [figure])
        self.assertIn("plotly.min.js", page.loads)
        self.assertNotIn("</script>", (self.folder / "search.js").read_text(encoding="utf-8"))


if __name__ == "__main__":
    unittest.main(verbosity=2)
