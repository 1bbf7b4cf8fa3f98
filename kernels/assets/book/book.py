"""Executed notebooks -> static pages that need no network: `book.py OUT NOTEBOOK...`, run by `cargo lab book`.

Each notebook becomes a page; beside them lie an index, the words for the search, and the files that the pages load. A chart of plotly
stays one that can be explored; without scripts its picture is shown.
"""

import html
import json
import pathlib
import shutil
import sys
from html.parser import HTMLParser

import jinja2
import nbformat
from nbconvert import HTMLExporter
from nbconvert.preprocessors import Preprocessor
from pygments.formatters import HtmlFormatter

HERE = pathlib.Path(__file__).parent
PLOTLY = "application/vnd.plotly.v1+json"


class Charts(Preprocessor):
    """Plotly's figures as elements that the page's script draws, with the picture for readers without scripts."""

    found = False

    def preprocess_cell(self, cell, resources, index):
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            if PLOTLY in data:
                Charts.found = True
                figure = html.escape(json.dumps(data.pop(PLOTLY)), quote=True)
                words = html.escape(data.get("text/plain", "a chart"), quote=True)
                still = data.get("image/svg+xml", "")
                data["text/html"] = f'<div class="chart" role="figure" aria-label="{words}" data-figure="{figure}"></div><noscript>{still}</noscript>'
            elif "image/svg+xml" in data and "text/html" not in data:
                # Its text twin is its alternative text.
                words = html.escape(data.get("text/plain", ""), quote=True)
                data["text/html"] = f'<div role="img" aria-label="{words}">{data["image/svg+xml"]}</div>'
        return cell, resources


class Sections(HTMLParser):
    """The text of a page by its headings: `found` has a dictionary of anchor, heading and text for each."""

    def __init__(self, body):
        super().__init__()
        self.found, self.heading, self.silent = [{"anchor": "", "heading": "", "text": ""}], False, 0
        self.feed(body)

    def handle_starttag(self, tag, attributes):
        identity = dict(attributes).get("id")
        if tag in ("h1", "h2", "h3") and identity:
            self.heading = True
            self.found.append({"anchor": identity, "heading": "", "text": ""})
        self.silent += tag in ("script", "style", "svg")

    def handle_endtag(self, tag):
        self.heading = self.heading and tag not in ("h1", "h2", "h3")
        self.silent -= tag in ("script", "style", "svg")

    def handle_data(self, data):
        if not self.silent:
            self.found[-1]["heading" if self.heading else "text"] += data


def sections(body):
    """Those that hold anything, in clean words."""
    found = [{name: " ".join(text.split()) for name, text in section.items()} for section in Sections(body).found]
    return [section | {"heading": section["heading"].removesuffix("\u00b6").strip()} for section in found if section["heading"] or section["text"]]


def main(out, files):
    out.mkdir(parents=True, exist_ok=True)
    templates = jinja2.Environment(loader=jinja2.FileSystemLoader(HERE), autoescape=False)
    exporter = HTMLExporter(template_name="basic", preprocessors=[Charts])
    pages, search = [], []
    for file in files:
        notebook = nbformat.read(file, as_version=4)
        notebook.metadata.setdefault("language_info", {}).update(name="rust", pygments_lexer="rust")
        body, _ = exporter.from_notebook_node(notebook)
        found = sections(body)
        title = next((section["heading"] for section in found if section["heading"]), file.stem)
        name = file.stem + ".html"
        pages.append({"name": name, "title": title, "body": body, "charts": "data-figure=" in body})
        search += [section | {"page": name, "lesson": title} for section in found]
    template = templates.get_template("page.html.j2")
    for place, page in enumerate(pages):
        before, after = (pages[place - 1] if place else None), (pages[place + 1] if place + 1 < len(pages) else None)
        (out / page["name"]).write_text(template.render(pages=pages, page=page, before=before, after=after), encoding="utf-8")
    front = {"name": "index.html", "title": "Finetune language models in Rust", "body": "", "charts": False}
    (out / "index.html").write_text(template.render(pages=pages, page=front, before=None, after=pages[0] if pages else None), encoding="utf-8")
    # A script and not JSON: a page that was opened as a file may not fetch one.
    (out / "search.js").write_text("window.SECTIONS = " + json.dumps(search).replace("</", "<\\/") + ";\n", encoding="utf-8")
    light, dark = HtmlFormatter(style="default"), HtmlFormatter(style="github-dark")
    colours = light.get_style_defs(".highlight") + "\n" + dark.get_style_defs("[data-theme=dark] .highlight")
    (out / "book.css").write_text((HERE / "book.css").read_text(encoding="utf-8") + colours + "\n", encoding="utf-8")
    shutil.copy(HERE / "book.js", out / "book.js")
    if Charts.found:
        import plotly

        shutil.copy(pathlib.Path(plotly.__file__).parent / "package_data/plotly.min.js", out / "plotly.min.js")
    print(len(pages))


main(pathlib.Path(sys.argv[1]), [pathlib.Path(file) for file in sys.argv[2:]])
