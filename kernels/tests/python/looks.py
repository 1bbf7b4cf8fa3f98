"""The looks of the lessons: the book's pages and the outputs in JupyterLab, light and dark, as axe-core judges them.

In: the program `lab`; `axe.min.js` of the npm package axe-core; Chromium with its driver; selenium; a third argument is a folder
for screenshots at a projector's size, and without it of the lessons only the fifth is opened. Out: a line per page; exit code 1 and what is serious.
"""

import os
import pathlib
import re
import signal
import subprocess
import sys
import tempfile
import time

from browser import Page

# What matters to a reader; JupyterLab's own frame is not ours.
RULES = {"runOnly": ["wcag2a", "wcag2aa", "wcag21aa"], "resultTypes": ["violations"]}
AUDIT = """
const [context, rules, done] = arguments;
axe.run(context, rules).then(found => done(found.violations
    .filter(one => one.impact === 'serious' || one.impact === 'critical')
    .map(one => `${one.id}: ${one.help}: ${one.nodes.slice(0, 3).map(node => node.html.slice(0, 200)).join(' | ')}`)));
"""
OUTPUTS = {"include": [[".jp-Notebook .jp-OutputArea-output"]]}
WRONG = []
DARK = "document.documentElement.dataset.theme = arguments[0]"


def audit(page, axe, context, what):
    page.driver.execute_script(axe)
    found = page.driver.execute_async_script(AUDIT, context, RULES)
    for one in found:
        WRONG.append(f"not so: axe-core finds nothing serious in {what}: {one}")
    print(WRONG[-1] if found else f"ok  axe-core finds nothing serious in {what}", flush=True)


def picture(page, folder, name):
    if folder:
        page.driver.save_screenshot(str(folder / f"{name}.png"))


def book(lab, axe, folder):
    with tempfile.TemporaryDirectory() as scratch:
        made = pathlib.Path(scratch) / "book"
        subprocess.run([lab, "book", str(made)], check=True, stdout=subprocess.DEVNULL)
        page = Page("about:blank")
        for theme in ("light", "dark"):
            for file in sorted(made.glob("*.html")):
                page.driver.get(file.as_uri())
                page.driver.execute_script(DARK, theme)
                picture(page, folder, f"book-{file.stem}-{theme}")
                audit(page, axe, {"include": [["body"]]}, f"the book's {file.name}, {theme}")
        page.driver.quit()


def lessons(lab, axe, folder):
    with tempfile.TemporaryDirectory() as work:
        program = subprocess.Popen([lab, "--no-browser"], stdout=subprocess.PIPE, text=True, env=os.environ | {"FINETUNING_WORK": work})
        try:
            address = next(line.strip() for line in program.stdout if "token=" in line)
            # JupyterLab remembers the theme: the usual one comes last.
            for theme in ("JupyterLab Dark", "JupyterLab Light"):
                for lesson in sorted(pathlib.Path(work).glob("0*.ipynb" if folder else "05*.ipynb")):
                    show(re.sub(r"/tree/[^?]*", f"/tree/{lesson.name}", address) + "&reset", lesson.stem, theme, axe, folder)
        finally:
            program.send_signal(signal.SIGINT)
            program.wait(30)


def show(address, name, theme, axe, folder):
    page = Page(address)
    page.driver.set_window_size(1280, 800)
    page.wait(f"{name} opens", lambda: page.all(".jp-Notebook .jp-Cell"))
    is_light = str(theme.endswith("Light")).lower()
    if not page.all(f"body[data-jp-theme-light={is_light}]"):
        page.menu("Settings", "Theme")
        time.sleep(0.5)
        next(item for item in page.all(".lm-Menu-itemLabel") if item.text == theme).click()
    page.wait(f"the theme is {theme}", lambda: page.all(f"body[data-jp-theme-light={is_light}]"))
    scroll = "const view = document.querySelector('.jp-WindowedPanel-outer'); view.scrollTop = arguments[0] * view.scrollHeight;"
    for part in range(8):
        page.driver.execute_script(scroll, part / 8)
        time.sleep(1)
        picture(page, folder, f"{name}-{theme.split()[1].lower()}-{part}")
        if page.all(OUTPUTS["include"][0][0]):
            audit(page, axe, OUTPUTS, f"{name}, {theme}, part {part + 1} of 8")
    page.driver.quit()


def main():
    lab, axe = sys.argv[1], pathlib.Path(sys.argv[2]).read_text(encoding="utf-8")
    folder = pathlib.Path(sys.argv[3]) if len(sys.argv) > 3 else None
    if folder:
        folder.mkdir(parents=True, exist_ok=True)
    book(lab, axe, folder)
    lessons(lab, axe, folder)
    sys.exit("\n".join(WRONG) or 0)


if __name__ == "__main__":
    main()
