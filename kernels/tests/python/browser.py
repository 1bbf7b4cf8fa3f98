"""Lesson 5 in JupyterLab, in a real browser without a network: run all, watch the curve move, interrupt training, use a
variable, draw a chart of plotly, restart, reload the page while a cell prints, forge a mark, interrupt a cell that sleeps.

In: the program `lab`; Chromium or Chrome with its driver, and the Python package selenium. Out: a line per fact; exit
code 1 and a screenshot at the first that is none.
"""

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

from selenium import webdriver
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

PATIENCE = 600
TRAINING = "let job: TrainingJob"
CHART = "plot_loss(trainer.history())"
TICKS = 'let mut n = 0; while n < 40 { n += 1; println!("tick {n}"); std::thread::sleep(std::time::Duration::from_millis(500)); }'
FORGED = r'println!("\u{2}K{}", r#"{"display":{"data":{"text/html":"<b id=forged>now</b>"}}}"#)'
SLEEP = 'println!("asleep"); std::thread::sleep(std::time::Duration::from_secs(3600));'

# The cell whose text holds the argument; JupyterLab draws only cells near the view, so it may have to be scrolled to.
FIND_CELL = """
const panel = document.querySelector('.jp-NotebookPanel:not(.lm-mod-hidden)');
const found = [...panel.querySelectorAll('.jp-CodeCell')].find(
    cell => cell.querySelector('.cm-content')?.innerText.includes(arguments[0]));
if (!found) { const view = panel.querySelector('.jp-WindowedPanel-outer'); view.scrollTop = arguments[1] * view.scrollHeight; return null; }
found.scrollIntoView({ block: 'start' });
return found;
"""


class Page:
    def __init__(self, address):
        options = webdriver.ChromeOptions()
        for option in ("--headless=new", "--no-sandbox", "--window-size=1280,900", "--disable-dev-shm-usage"):
            options.add_argument(option)
        # No name but this machine's is found.
        options.add_argument("--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1")
        browser, driver = shutil.which("chromium") or shutil.which("google-chrome"), shutil.which("chromedriver")
        if browser:
            options.binary_location = browser
        self.driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver) if driver else None)
        self.driver.get(address)

    def wait(self, what, fact):
        started = time.monotonic()
        while time.monotonic() - started < PATIENCE:
            try:
                if found := fact():
                    print(f"ok  {what}", flush=True)
                    return found
            except Exception:  # The page is being drawn.
                pass
            time.sleep(0.2)
        picture = tempfile.gettempdir() + "/browser.png"
        self.driver.save_screenshot(picture)
        sys.exit(f"not so: {what}; the page is in {picture}")

    def all(self, selector):
        return self.driver.find_elements(By.CSS_SELECTOR, selector)

    def menu(self, name, item):
        next(entry for entry in self.all(".lm-MenuBar-itemLabel") if entry.text == name).click()
        time.sleep(0.5)
        next(entry for entry in self.all(".lm-Menu-itemLabel") if entry.text.startswith(item)).click()

    def cell(self, text):
        for part in range(100):
            if found := self.driver.execute_script(FIND_CELL, text, part * 0.03 % 1):
                return found
            time.sleep(0.1)
        raise LookupError(text)

    def output(self, text):
        return self.driver.execute_script("return arguments[0].querySelector('.jp-OutputArea')?.innerText ?? ''", self.cell(text))

    def step(self):
        """The training step that the live curve shows."""
        script = "return arguments[0].querySelector('.jp-OutputArea img')?.alt ?? ''"
        found = re.search(r"step (\d+)/", self.driver.execute_script(script, self.cell(TRAINING)))
        return int(found[1]) if found else 0

    def status(self):
        return self.all(".jp-Notebook-ExecutionIndicator")[0].get_attribute("data-status")

    def run_new_cell(self, after, code):
        self.cell(after).find_element(By.CSS_SELECTOR, ".jp-InputPrompt").click()
        ActionChains(self.driver).send_keys(Keys.ESCAPE).send_keys("b").pause(0.5).send_keys(Keys.ENTER).send_keys(code).pause(0.5).perform()
        ActionChains(self.driver).key_down(Keys.CONTROL).send_keys(Keys.ENTER).key_up(Keys.CONTROL).perform()


def check(address):
    page = Page(address)
    opened = lambda: page.all(".jp-Notebook .jp-Cell")
    page.wait("the lesson opens and its kernel is idle", lambda: opened() and page.status() == "idle")
    page.menu("Edit", "Clear Outputs of All Cells")
    page.menu("Run", "Run All Cells")
    first = page.wait("the loss curve appears", page.step)
    page.wait("the loss curve moves", lambda: page.step() > first + 5)
    drawn = "return arguments[0].querySelector('.jp-OutputArea img').currentSrc.split(';')[0]"
    page.wait("it is drawn as SVG", lambda: page.driver.execute_script(drawn, page.cell(TRAINING)) == "data:image/svg+xml")
    page.menu("Kernel", "Interrupt Kernel")
    page.wait("training is interrupted", lambda: "KeyboardInterrupt" in page.output(TRAINING))
    page.wait("the kernel is idle", lambda: page.status() == "idle")
    page.run_new_cell(TRAINING, "training_args.max_steps + 1000")
    page.wait("an earlier variable is still there", lambda: "1003" in page.output("training_args.max_steps + 1000"))
    page.run_new_cell("training_args.max_steps + 1000", CHART)
    page.wait("a chart of plotly is drawn", lambda: page.cell(CHART).find_elements(By.CSS_SELECTOR, ".js-plotly-plot .scatterlayer path"))
    page.menu("Kernel", "Restart Kernel…")
    page.wait("the dialog asks", lambda: page.all(".jp-Dialog button"))
    next(button for button in page.all(".jp-Dialog button") if "Restart" in button.text).click()
    time.sleep(1)
    page.wait("the kernel has started again", lambda: page.status() == "idle")
    page.run_new_cell(CHART, "1 + 41")
    page.wait("it computes", lambda: "42" in page.output("1 + 41"))
    page.run_new_cell("1 + 41", TICKS)
    ticks = lambda: max(map(int, re.findall(r"tick (\d+)", page.output(TICKS))), default=0)
    page.wait("a long cell prints", ticks)
    before = ticks()
    page.menu("File", "Save Notebook")
    time.sleep(1)
    page.driver.refresh()
    page.wait("the page is back and knows that the kernel is busy", lambda: opened() and page.status() == "busy")
    # JupyterLab 4.5 does not know which cell asked for what comes now, and drops it, whatever the kernel.
    page.wait("what was printed before it was saved is still there", lambda: ticks() >= before)
    page.wait("the kernel ends the cell", lambda: page.status() == "idle")
    page.run_new_cell(TICKS, "n * 6 + 1")
    page.wait("the cell has run to its end, its variable is there, and new output appears", lambda: "241" in page.output("n * 6 + 1"))
    page.run_new_cell("n * 6 + 1", FORGED)
    page.wait("a forged mark is text", lambda: "<b id=forged>" in page.output(FORGED) and not page.all("#forged"))
    page.run_new_cell(FORGED, SLEEP)
    page.wait("a cell sleeps", lambda: "asleep" in page.output(SLEEP))
    page.menu("Kernel", "Interrupt Kernel")
    page.wait("it is interrupted", lambda: "KeyboardInterrupt" in page.output(SLEEP))
    page.run_new_cell(SLEEP, "n + 7")
    page.wait("the variables are still there", lambda: "47" in page.output("n + 7"))
    page.driver.quit()


def main():
    # JupyterLab saves what it shows: into copies of the lessons.
    with tempfile.TemporaryDirectory() as work:
        lab = subprocess.Popen([sys.argv[1], "--no-browser"], stdout=subprocess.PIPE, text=True, env=os.environ | {"FINETUNING_WORK": work})
        try:
            address = next(line.strip() for line in lab.stdout if "token=" in line)
            check(re.sub(r"/tree/[^?]*", "/tree/05_training.ipynb", address) + "&reset")
        finally:
            lab.send_signal(signal.SIGINT)
            lab.wait(30)


if __name__ == "__main__":
    main()
