"""Reads the HTML of the Rust books that a toolchain installs; gives sections of plain ASCII English, 300 to 2000 characters each."""

import re
import subprocess
from html.parser import HTMLParser
from pathlib import Path

# Every book here is offered under MIT OR Apache-2.0. The embedded book is left out: its prose is CC-BY-SA-4.0.
BOOKS = {
    "book": "The Rust Programming Language",
    "rust-by-example": "Rust by Example",
    "reference": "The Rust Reference",
    "nomicon": "The Rustonomicon",
    "cargo": "The Cargo Book",
    "edition-guide": "The Rust Edition Guide",
    "rustc": "The rustc Book",
    "rustdoc": "The rustdoc Book",
    "style-guide": "The Rust Style Guide",
    "clippy": "The Clippy Book",
    "unstable-book": "The Rust Unstable Book",
}

SHORTEST, LONGEST = 300, 2000
LONGEST_CODE = 450          # a longer code sample is dropped
CODE_SHARE = 0.25           # of the characters of one section
SKIPPED_FOLDERS = {"first-edition", "second-edition", "2018-edition", "zh", "ja", "ko", "es", "fr", "print"}
SKIPPED_PAGES = {"print.html", "toc.html", "404.html", "SUMMARY.html", "README.html", "CHANGELOG.html", "all.html",
                 "genindex.html", "grammar.html", "appendix-06-translation.html", "appendix-02-operators.html",
                 "influences.html", "test-summary.html", "syntax-index.html", "macro-ambiguity.html", "release-notes.html"}
SKIPPED_CLASSES = {"boring", "rule", "tests-popup", "buttons", "alert-title", "grammar-container", "test-link", "nav-wrapper",
                   "footnote-reference", "footnote-definition", "sidebar"}
SKIPPED_TAGS = {"script", "style", "nav", "table", "svg", "button", "figcaption", "sup", "noscript"}
VOID = {"br", "img", "hr", "meta", "link", "input", "wbr", "col", "path", "source"}
HEADINGS = {"h1", "h2", "h3", "h4", "h5", "h6"}
BLOCKS = HEADINGS | {"p", "li", "dd", "dt", "pre"}

PUNCTUATION = {
    "\u2018": "'", "\u2019": "'", "\u201c": '"', "\u201d": '"', "\u2013": "-", "\u2014": " - ", "\u2026": "...", "\u00a0": " ",
    "\u2192": "->", "\u21d2": "=>", "\u2212": "-", "\u00d7": "x", "\u2264": "<=", "\u2265": ">=", "\u2022": "-", "\u00e9": "e",
    "\u2011": "-", "\u2010": "-", "\u201b": "'", "\u00b5": "u", "\u03bc": "u", "\u00ef": "i", "\u00f6": "o", "\u2260": "!=",
}


def to_ascii(text):
    """Text with quotes and dashes mapped to ASCII and every other non-ASCII character dropped."""
    return "".join(PUNCTUATION.get(c, c) for c in text).encode("ascii", "ignore").decode("ascii")


class Page(HTMLParser):
    """Collects (kind, text) blocks: heading, prose, code."""

    def __init__(self):
        super().__init__(convert_charrefs=True)
        self.blocks = []
        self.stack = []             # (tag, skipped, opens the part that is read)
        self.inside = 0             # depth of the part of the page that is read
        self.kind, self.text = None, []

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        classes = set((attributes.get("class") or "").split())
        if tag in VOID:
            if tag == "br" and self.reading():
                self.text.append(" " if self.kind != "code" else "\n")
            return
        starts = tag == "main"
        skipped = bool(self.stack and self.stack[-1][1]) or tag in SKIPPED_TAGS or bool(classes & SKIPPED_CLASSES)
        self.stack.append((tag, skipped, starts and not self.inside))
        if starts and not self.inside:
            self.inside = len(self.stack)
        if not self.inside or skipped:
            return
        if tag in BLOCKS:
            self.flush()
            self.kind = "heading" if tag in HEADINGS else "code" if tag == "pre" else "item" if tag in {"li", "dt", "dd"} else "prose"
            if tag == "p" and any(t[0] in {"li", "dd"} for t in self.stack[:-1]):
                self.kind = "item"

    def handle_endtag(self, tag):
        if tag in VOID:
            return
        while self.stack:
            open_tag, _, started = self.stack.pop()
            if started:
                self.flush()
                self.inside = 0
            if open_tag == tag:
                break
        if tag in BLOCKS or tag in {"ul", "ol", "blockquote", "div", "section"}:
            self.flush()

    def reading(self):
        return self.inside and self.stack and not self.stack[-1][1]

    def handle_data(self, data):
        if self.reading() and self.kind:
            self.text.append(data)

    def flush(self):
        text = to_ascii("".join(self.text))
        if self.kind == "code":
            lines = [line.rstrip() for line in text.expandtabs(4).split("\n")]
            text = re.sub(r"\n{2,}", "\n", "\n".join(lines)).strip("\n")
        else:
            text = re.sub(r"\s+", " ", text).strip()
        if self.kind and text:
            self.blocks.append((self.kind, text))
        self.kind, self.text = None, []


def good_prose(text):
    """True for a paragraph of English: enough letters, no link lists, no symbol tables."""
    if "http://" in text or "https://" in text:
        return False
    letters = sum(c.isalpha() or c == " " for c in text)
    return len(text) >= 25 and letters / len(text) > 0.82 and len(text.split()) >= 5


def sections_of_page(blocks):
    """Joins the blocks of one page into sections, each beginning with its heading."""
    parts, current = [], []
    for kind, text in blocks:
        if kind == "heading":
            if len(text) >= 4:
                current.append((kind, text))
        elif kind == "code":
            if 15 <= len(text) <= LONGEST_CODE and max(map(len, text.split("\n"))) <= 100:
                current.append((kind, text))
        else:
            text = re.sub(r"\s+([.,;)])(?=\s|$)", r"\1", re.sub(r"\[\d+\]", "", text)).replace("`", "")
            if good_prose(text):
                current.append(("prose", ("- " if kind == "item" else "") + text))
    # Drop a heading that has nothing under it, then cut into pieces of at most LONGEST characters.
    kept = [b for i, b in enumerate(current) if b[0] != "heading" or (i + 1 < len(current) and current[i + 1][0] != "heading")]
    piece, size = [], 0
    for block in kept:
        length = len(block[1]) + 2
        begins = block[0] == "heading" and size >= 500
        if piece and (size + length > LONGEST or begins):
            parts.append(piece)
            piece, size = [], 0
        piece.append(block)
        size += length
    if piece:
        parts.append(piece)
    for piece in parts:
        prose = sum(len(t) for k, t in piece if k != "code")
        budget = prose * CODE_SHARE / (1 - CODE_SHARE)
        lines = []
        for kind, text in piece:
            if kind == "code":
                if len(text) > budget:
                    continue
                budget -= len(text)
            lines.append((kind, text))
        # The end of a section is prose that ends: no heading and no "as follows:" that leads to a dropped sample.
        while lines and (lines[-1][0] == "heading" or lines[-1][0] == "prose" and lines[-1][1].endswith(":")):
            lines.pop()
        text = ""
        for i, (kind, line) in enumerate(lines):
            between = "" if i == 0 else "\n" if line.startswith("- ") else "\n\n"
            text += between + line
        if SHORTEST <= len(text) <= LONGEST:
            yield text, sum(len(t) for k, t in lines if k == "code")


def pages(root, book):
    """The pages of one book, in a fixed order."""
    for path in sorted((root / book).rglob("*.html")):
        inner = path.relative_to(root / book).parts
        if inner[-1] in SKIPPED_PAGES or set(inner[:-1]) & SKIPPED_FOLDERS:
            continue
        if book == "rustc" and "platform-support" in inner:
            continue
        yield path


def book_blocks(root, book):
    """Yields the blocks of each page of a book; a page that only redirects is left out."""
    for path in pages(root, book):
        html = path.read_text(encoding="utf-8", errors="ignore")
        if "http-equiv=\"refresh\"" in html.lower() or "<main>" not in html:
            continue
        page = Page()
        page.feed(html)
        page.flush()
        yield page.blocks


def html_root():
    """The folder of the installed documentation: component rust-docs of the toolchain."""
    sysroot = subprocess.run(["rustc", "--print", "sysroot"], capture_output=True, text=True, check=True).stdout.strip()
    root = Path(sysroot) / "share/doc/rust/html"
    if not root.is_dir():
        raise SystemExit("no documentation here: run `rustup component add rust-docs`")
    return root


def sections(root):
    """Yields (book, text, code characters) for every section of every book, without repeated paragraphs."""
    seen = set()
    for book in BOOKS:
        for blocks in book_blocks(root, book):
            fresh = []
            for kind, text in blocks:
                if kind != "heading":
                    if (kind, text) in seen:
                        continue
                    seen.add((kind, text))
                fresh.append((kind, text))
            for text, code in sections_of_page(fresh):
                yield book, text, code
