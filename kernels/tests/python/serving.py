"""`cargo lab serve` as its users meet it: OpenAI's own Python client, and the playground in a real browser.

In: the program `serve` and the folder `finetuned` (`harness finetune FOLDER` trains it); the Python packages openai and selenium; Chromium or Chrome with its driver. Out: a line per fact;
exit code 1, and a screenshot, at the first that is none.
"""

import asyncio
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request

import openai
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.select import Select

PATIENCE = 60
# The finetuned model is a folder of this name, beside which the service runs.
MODEL, BASE = "finetuned", "builtin:base"
QUESTION = "Can you describe one training step to me?"


def fact(what, holds):
    if not holds:
        raise AssertionError(what)
    print(f"ok  {what}", flush=True)


def wait(what, holds):
    started = time.monotonic()
    while time.monotonic() - started < PATIENCE:
        if found := holds():
            print(f"ok  {what}", flush=True)
            return found
        time.sleep(0.05)
    raise AssertionError(what)


class Service:
    """A running service; its first line tells where it is."""

    def __init__(self, program, folder, *words, key=None):
        environment = {name: value for name, value in os.environ.items() if name != "FINETUNING_API_KEY"}
        environment |= {"FINETUNING_API_KEY": key} if key else {}
        command = [program, BASE, MODEL, "--port", "0", *words]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment, cwd=folder)
        line = self.process.stdout.readline()
        assert line.startswith("playground: "), line + self.process.stdout.read()
        self.page = line.split()[1]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()


def official_client(page):
    client = openai.OpenAI(base_url=page + "v1", api_key="none", max_retries=0)
    fact("models.list", [model.id for model in client.models.list()] == [BASE, MODEL])
    fact("models.retrieve", client.models.retrieve(MODEL).id == MODEL)
    ask = dict(model=MODEL, prompt=QUESTION, max_tokens=30, temperature=0)
    whole = client.completions.create(**ask)
    fact("a completion with usage", whole.choices[0].text and whole.usage.total_tokens == whole.usage.prompt_tokens + whole.usage.completion_tokens)
    stream = list(client.completions.create(**ask, stream=True, stream_options={"include_usage": True}))
    fact("a stream is the completion", "".join(c.choices[0].text for c in stream if c.choices) == whole.choices[0].text and stream[-1].usage == whole.usage)
    chat = dict(model=MODEL, messages=[{"role": "user", "content": QUESTION}], max_tokens=30, temperature=0)
    said = client.chat.completions.create(**chat)
    fact("a chat", said.choices[0].message.content == whole.choices[0].text and said.choices[0].finish_reason in ("stop", "length"))
    with client.chat.completions.stream(**chat) as events:
        final = events.get_final_completion()
    fact("the client's own assembly of a chat's stream", final.choices[0].message.content == said.choices[0].message.content)
    told = client.chat.completions.create(**chat, logprobs=True, top_logprobs=2).choices[0].logprobs.content
    fact("log-probabilities", len(told[0].top_logprobs) == 2 and "".join(token.token for token in told) == said.choices[0].message.content)
    several = client.completions.create(**ask | {"temperature": 1.2, "seed": 5}, n=3, extra_body={"top_k": 20})
    fact("several texts, and a field of our own", len({choice.text for choice in several.choices}) > 1)
    for wrong, kind, words in [
        (ask | {"model": "nobody"}, openai.NotFoundError, "there are: `builtin:base`, `finetuned`"),
        (ask | {"temperature": 9}, openai.BadRequestError, "from 0 to 2"),
        (ask | {"prompt": "a " * 5000}, openai.BadRequestError, "prompt and answer together"),
        (ask | {"extra_body": {"temprature": 1}}, openai.BadRequestError, "the nearest are `temperature`"),
    ]:
        try:
            client.completions.create(**wrong)
            raise AssertionError(f"accepted: {wrong}")
        except kind as error:
            fact(f"{kind.__name__}: {words}", words in str(error))

    async def many():
        asking = openai.AsyncOpenAI(base_url=page + "v1", api_key="none")
        return await asyncio.gather(*(asking.completions.create(**ask) for _ in range(32)))

    fact("32 at once get the same", {answer.choices[0].text for answer in asyncio.run(many())} == {whole.choices[0].text})
    return whole.choices[0].text


def open_browser(address):
    options = webdriver.ChromeOptions()
    for option in ("--headless=new", "--no-sandbox", "--window-size=1280,1100", "--disable-dev-shm-usage"):
        options.add_argument(option)
    options.add_argument("--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    browser, driver = shutil.which("chromium") or shutil.which("google-chrome"), shutil.which("chromedriver")
    if browser:
        options.binary_location = browser
    page = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver) if driver else None)
    page.get(address)
    return page


def playground(page, expected, run):
    by = lambda name: page.find_element(By.ID, name)
    text = lambda name: by(name).get_property("textContent")
    wait("the page lists the models", lambda: text("state") == "2 models ready")
    fact("base on the left, finetuned on the right", [Select(by(f"{side}-model")).first_selected_option.text for side in ("left", "right")] == [BASE, MODEL])
    by("prompt").send_keys(QUESTION)
    number = by("max_tokens-number")
    number.send_keys(Keys.CONTROL, "a")
    number.send_keys("30")
    by("prompt").send_keys(Keys.CONTROL, Keys.ENTER)
    wait("both answers end", lambda: all(re.search(r"tokens/s.*(ended|limit)", text(f"{side}-status")) for side in ("left", "right")))
    fact("the right answer is the completion", text("right-answer") == expected)
    fact("the base model says something else", text("left-answer") not in ("", expected))
    fact("the code names the model and no key", BASE in text("python") and "OPENAI_API_KEY" in text("python"))

    # A long answer is seen while it grows, and Stop keeps what is there. This small model can end its answer before a busy
    # browser reads the first token, so for this run the network is slow: it hands over an event at a time. The page itself
    # watches: the answer would be over before a second look from here.
    page.execute_script("""
        window.quick = window.fetch;
        const slow = async (path, options) => {
            const response = await quick(path, options), text = new TextDecoder(), bytes = new TextEncoder();
            return new Response(response.body.pipeThrough(new TransformStream({
                start(out) { options.signal.addEventListener('abort', () => out.error(options.signal.reason)); },
                async transform(chunk, out) {
                    for (const event of text.decode(chunk, { stream: true }).split(/(?<=\\n\\n)/)) {
                        if (options.signal.aborted) { return; }
                        out.enqueue(bytes.encode(event));
                        await new Promise((next) => setTimeout(next, 20));
                    }
                },
            })), response);
        };
        window.fetch = (path, options) => options?.body ? slow(path, options) : quick(path, options);
        for (const [name, value] of [['max_tokens', 400], ['temperature', 1.5]]) { set(name, value); }
        changed();
        window.lengths = [];
        const watch = new MutationObserver(() => {
            const length = $('left-answer').textContent.length;
            if (length > 0) { lengths.push(length); }
            if (lengths.length === 2) { watch.disconnect(); $('stop').click(); }
        });
        watch.observe($('left-answer'), { childList: true });
        $('run').click();
    """)
    wait("Stop ends it", lambda: by("run").is_enabled())
    lengths = page.execute_script("return lengths")
    fact("the answer grew", len(lengths) == 2 and lengths[0] < lengths[1])
    fact("it was stopped", "stopped" in text("left-status"))
    fact("what was written stays", len(text("left-answer")) >= lengths[1])
    page.execute_script("window.fetch = quick")

    # What the service refuses stands in its pane; the other goes on.
    page.execute_script("$('left-model').append(element('option', { value: 'nobody' }, 'nobody')); $('left-model').value = 'nobody'; set('max_tokens', 5); changed();")
    by("run").click()
    wait("a refusal is shown", lambda: "not served here" in text("left-status"))
    wait("the other pane answers", lambda: "limit" in text("right-status") or "ended" in text("right-status"))

    page.execute_script("$('left-model').value = arguments[0]; changed();", MODEL)
    page.refresh()
    wait("a reload keeps prompt and settings", lambda: by("prompt").get_property("value") == QUESTION and by("max_tokens-number").get_property("value") == "5")
    fact("and models", [Select(by(f"{side}-model")).first_selected_option.text for side in ("left", "right")] == [MODEL, MODEL])

    # A run that goes on.
    state = {"global_step": 10, "max_steps": 40, "epoch": 0.5, "log_history": [{"step": s, "loss": 3 - s / 10, "learning_rate": 1e-3, "grad_norm": 1.0} for s in range(1, 11)]}
    (run / "trainer_state.json").write_text(json.dumps(state))
    wait("a run appears", lambda: "step 10 of 40" in text("runs") and page.find_elements(By.CSS_SELECTOR, "#runs polyline"))
    state |= {"global_step": 20, "log_history": state["log_history"] + [{"step": 20, "eval_loss": 1.5}]}
    (run / "trainer_state.json").write_text(json.dumps(state))
    wait("and moves", lambda: "step 20 of 40" in text("runs") and "evaluation 1.500" in text("runs"))
    faults = [entry for entry in page.get_log("browser") if entry["level"] == "SEVERE" and "404" not in entry["message"]]
    fact("the console has no fault", not faults or print(faults))


def with_key(program, models):
    with Service(program, models, key="s3cret-key") as service:
        try:
            urllib.request.urlopen(service.page + "v1/models")
            raise AssertionError("no key was needed")
        except urllib.error.HTTPError as error:
            fact("without the key: 401", error.code == 401)
        client = openai.OpenAI(base_url=service.page + "v1", api_key="s3cret-key")
        fact("with the key: models", len(list(client.models.list())) == 2)
        page = open_browser(service.page)
        try:
            key = page.find_element(By.ID, "key")
            wait("the page asks for the key", key.is_displayed)
            key.send_keys("wrong", Keys.ENTER)
            wait("a wrong key is said", lambda: "not the one" in page.find_element(By.ID, "state").text)
            key.send_keys("s3cret-key", Keys.ENTER)
            wait("the right key opens it", lambda: page.find_element(By.ID, "state").text == "2 models ready")
            fact("the key is not in the address", "s3cret" not in page.current_url)
        finally:
            page.quit()


def main(program, finetuned):
    models = finetuned.parent
    assert finetuned.name == MODEL, f"{finetuned}: the folder must be called `{MODEL}`"
    with tempfile.TemporaryDirectory() as folder:
        run = pathlib.Path(folder)
        with Service(program, models, "--run", folder) as service:
            expected = official_client(service.page)
            page = open_browser(service.page)
            try:
                playground(page, expected, run)
                page.save_screenshot("/tmp/playground.png") if os.environ.get("KEEP_SCREENSHOT") else None
            except BaseException:
                page.save_screenshot("serving.png")
                print("see serving.png", file=sys.stderr)
                raise
            finally:
                page.quit()
    with_key(program, models)


if __name__ == "__main__":
    main(*[path.resolve() for path in map(pathlib.Path, sys.argv[1:3])])
