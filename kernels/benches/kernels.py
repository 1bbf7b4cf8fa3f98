"""Our kernel beside stock evcxr_jupyter, in one run, by one client.

In: both programs and the folder of the companion crate. Out: a table, then a line for each limit that our kernel has to
keep, with ok or over. Every measured cell is new text, since a kernel may
know a cell that it has compiled before, and its result is checked. Only Linux tells the memory.
"""

import argparse
import os
import statistics
import sys
import time
from concurrent.futures import ThreadPoolExecutor

from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import KernelManager

PATIENCE = 3600

START = "second start to first result, s"
ORDINARY = "ordinary cell, s"
COMPLETION = "completion, s"
IDLE = "memory of an idle kernel, MB"
USES = "cell that uses the companion, s"
TYPE_COMPLETION = "completion on a type of the companion, s"
USED_IDLE = "memory, idle after cells with the companion, MB"
# What our kernel promises: a row, its limit, and the row of the stock kernel that the limit is a multiple of.
LIMITS = [
    (START, 3, None),
    (ORDINARY, 1.2, ORDINARY),
    (USES, 2, ORDINARY),
    (COMPLETION, 0.3, None),
    (TYPE_COMPLETION, 0.3, None),
    (IDLE, 250, None),
    (USED_IDLE, 250, None),
]


class Kernel:
    def __init__(self, argv):
        class Manager(KernelManager):
            kernel_spec = KernelSpec(argv=argv, language="rust", display_name="", interrupt_mode="message")

        self.manager = Manager()
        started = time.monotonic()
        self.manager.start_kernel(env=dict(os.environ, FINETUNING_HISTORY=""), stderr=open(os.devnull, "w"))
        self.client = self.manager.client()
        self.client.start_channels()
        self.client.wait_for_ready(timeout=PATIENCE)
        self.started = started

    def run(self, code, wanted=None):
        """Seconds from the request to its idle state."""
        result, words = None, []

        def seen(message):
            nonlocal result
            if message["msg_type"] == "execute_result":
                result = message["content"]["data"]["text/plain"].strip()
            elif message["msg_type"] == "error":
                words.extend(message["content"]["traceback"])

        start = time.monotonic()
        reply = self.client.execute_interactive(code, output_hook=seen, timeout=PATIENCE)
        seconds = time.monotonic() - start
        if reply["content"]["status"] != "ok" or (wanted is not None and result != wanted):
            sys.exit(f"`{code}` gave {result!r}, not {wanted!r}\n" + "\n".join(words))
        return seconds

    def first_result(self):
        """Seconds from the start of the process to the result of its first cell."""
        self.run("1 + 1", "2")
        return time.monotonic() - self.started

    def complete(self, code):
        start = time.monotonic()
        reply = self.client.complete(code, len(code), reply=True, timeout=PATIENCE)
        if not reply["content"]["matches"]:
            sys.exit(f"nothing completes `{code}`")
        return time.monotonic() - start

    def memory(self):
        """Bytes of all its processes; what they share with others counts in parts."""
        parents = {}
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open(f"/proc/{pid}/stat") as file:
                    parents[int(pid)] = int(file.read().rsplit(") ", 1)[1].split()[1])
            except OSError:
                pass
        family = {self.manager.provisioner.pid}
        while more := {pid for pid, parent in parents.items() if parent in family and pid not in family}:
            family |= more
        total = 0
        for pid in family:
            try:
                with open(f"/proc/{pid}/smaps_rollup") as file:
                    total += sum(int(line.split()[1]) * 1024 for line in file if line.startswith("Pss:"))
            except OSError:
                pass
        return total

    def end(self):
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=True)


def measure(name, argv, companion, crowd):
    """Rows of one kernel: names to numbers."""
    say = lambda text: print(f"... {name}: {text}", file=sys.stderr, flush=True)
    rows = {}
    say("start")
    for row in ("first start to first result, s", START):
        kernel = Kernel(argv)
        rows[row] = kernel.first_result()
        if row.startswith("first"):
            kernel.end()
    say("cells")
    cell = lambda n: kernel.run(f"let a{n} = {n}; a{n} * 2", str(2 * n))
    rows[ORDINARY] = statistics.median(cell(n) for n in range(20, 31))
    say("completion")
    kernel.complete("let s = String::fro")
    words = ("String::ne", "String::wit", "std::collections::Has", "String::from_ut", "std::sync::Ar")
    rows[COMPLETION] = statistics.median(kernel.complete(f"let s = {word}") for word in words)
    time.sleep(3)
    rows[IDLE] = kernel.memory() / 1e6
    if companion:
        say("the companion crate")
        use = f':dep finetuning = {{ path = "{companion}" }}\nuse finetuning::*;'
        rows["first cell with the companion, s"] = kernel.run(use)
        cell = lambda n: kernel.run(f'let t{n}: Html = table(&["a"], &[vec!["{n}".to_string()]]); t{n}.text.len()', "4")
        rows[USES] = statistics.median(cell(n) for n in range(20, 31))
        kernel.complete("t20.te")
        words = ("t21.ht", "t22.te", "t23.ht", "t24.te", "Dataset::fr")
        rows[TYPE_COMPLETION] = statistics.median(kernel.complete(word) for word in words)
        time.sleep(3)
        rows[USED_IDLE] = kernel.memory() / 1e6
    kernel.end()
    say(f"{crowd} at once")
    start = time.monotonic()
    with ThreadPoolExecutor(crowd) as pool:
        kernels = list(pool.map(lambda _: Kernel(argv), range(crowd)))
        list(pool.map(lambda kernel: kernel.first_result(), kernels))
    rows[f"{crowd} kernels at once, s until the last has answered"] = time.monotonic() - start
    time.sleep(3)
    rows[f"memory of each of {crowd} kernels, MB"] = sum(kernel.memory() for kernel in kernels) / crowd / 1e6
    for kernel in kernels:
        kernel.end()
    return rows


def verdicts(ours, stock):
    """A line for each limit whose row was measured."""
    for row, limit, base in LIMITS:
        if row in ours:
            figure = ours[row] / (stock[base] if base else 1)
            text = f"{row}, times stock's ordinary cell" if base else row
            yield f"{'ok  ' if figure <= limit else 'over'} {text:64} {figure:9.2f} of {limit:g}"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("ours")
    parser.add_argument("stock")
    parser.add_argument("companion")
    parser.add_argument("--quick", action="store_true", help="without the companion, which the stock kernel compiles for minutes")
    options = parser.parse_args()
    companion = None if options.quick else options.companion
    ours = measure("ours", [options.ours, "kernel", "{connection_file}"], companion, 10)
    stock = measure("stock", [options.stock, "--control_file", "{connection_file}"], companion, 10)
    print(f"\n{'':56} {'ours':>9} {'stock':>9} {'ratio':>7}")
    for row in ours:
        print(f"{row:56} {ours[row]:9.2f} {stock[row]:9.2f} {ours[row] / stock[row]:7.2f}")
    print("\nour kernel beside its limits")
    for line in verdicts(ours, stock):
        print(line)


if __name__ == "__main__":
    main()
