"""The peer: transformers' GPTNeoXForCausalLM on this machine. In: a subcommand; out: one JSON line per measurement.

    python pytorch.py train --batch 1 --length 512 --accumulation 4 --optimizer adafactor --steps 5
    python pytorch.py train-rows rows.json --batch 8            # a JSON list of lists of token ids
    python pytorch.py gemm
    python pytorch.py bandwidth
    python pytorch.py generate --batch 8 --new 100 --dtype bf16

The model has pythia-70m's shape, random weights (seed 0), float32 and the default attention (sdpa). It needs torch and
transformers; tests/fixtures/manifest.json has the versions that the fixtures come from.

What is timed:
* A training step is what Trainer does: forward with labels and backward of each micro-batch, loss divided by the predicted tokens
  of the whole step, clip at 1.0, optimizer, gradients dropped. The first step (allocation, optimizer state) is not counted;
  tokens/s is that of the median of the rest. `optimizer_seconds` is the optimizer's step alone, without the clip.
* `train` passes no attention mask, since no token is padding: that is PyTorch's fastest way. `train-rows` pads each batch to its
  longest row and passes the mask and labels of -100, as a DataCollator does; its tokens/s counts the rows' own tokens only and
  is that of the whole pass. Rows stay in the file's order; the last, incomplete step is trained, too.
* `peak_rss_bytes` is the process's highest resident memory so far (so one measurement per process), Python and torch's libraries
  included; `rss_before_bytes` is what these took before there was a model (torch with CUDA: 0.76 GB, in spite of running on the CPU).
* GEMM counts 2mnk operations; bandwidth counts 12 bytes an element for x.add_(y), 8 for x.copy_(y), as STREAM does. Both are the
  best of all repetitions: what the machine can do, not what it does on average.
Every line has the threads and the load average of the minute before the run; near 0 on a quiet machine, where ours is the first run.
"""

import argparse, json, os, resource, statistics, sys, time

import torch
import transformers
from transformers import GPTNeoXConfig, GPTNeoXForCausalLM
from transformers.optimization import Adafactor

VOCABULARY = 50304
MULTIPLYING = 44_670_976  # parameters that meet every token: all but the input embedding (44,630,016 of them in matrices)
LAYERS, WIDTH = 6, 512

def model(dtype=torch.float32):
    torch.manual_seed(0)
    return GPTNeoXForCausalLM(GPTNeoXConfig(
        vocab_size=VOCABULARY, hidden_size=WIDTH, num_hidden_layers=LAYERS, num_attention_heads=8, intermediate_size=2048, rotary_pct=0.25, rotary_emb_base=10000,
        max_position_embeddings=2048, layer_norm_eps=1e-5, use_parallel_residual=True, tie_word_embeddings=False, attention_dropout=0.0, hidden_dropout=0.0,
        bos_token_id=0, eos_token_id=0, pad_token_id=0)).to(dtype)

def peak_rss():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)

def report(name, **values):
    """One line; floats with six significant digits."""
    short = lambda x: [short(y) for y in x] if isinstance(x, list) else float(f"{x:.6g}") if isinstance(x, float) else x
    line = {"bench": name} | {k: short(v) for k, v in values.items()}
    line |= {"threads": torch.get_num_threads(), "load_before": LOAD, "torch": torch.__version__, "transformers": transformers.__version__}
    print(json.dumps(line), flush=True)

# Training ---------------------------------------------------------------------------------------------------------------

def make_optimizer(kind, parameters):
    """The course's Adafactor, or AdamW. lr 1e-5 is the course's; it changes no time."""
    if kind == "adafactor":
        return Adafactor(parameters, lr=1e-5, scale_parameter=False, relative_step=False, warmup_init=False)
    return torch.optim.AdamW(parameters, lr=1e-5, fused=kind == "adamw_fused")

class Trainee:
    def __init__(self, a):
        self.rss_before = peak_rss()
        self.model = model().train()
        if a.checkpointing:
            self.model.gradient_checkpointing_enable()
        self.optimizer = make_optimizer(a.optimizer, self.model.parameters())

    def step(self, micro_batches):
        """One step; seconds of all of it, seconds of the optimizer, the loss."""
        start, loss = time.perf_counter(), 0.0
        predicted = sum((batch["labels"][:, 1:] != -100).sum() for batch in micro_batches)
        for batch in micro_batches:
            part = self.model(**batch, use_cache=False, num_items_in_batch=predicted).loss
            part.backward()
            loss += part.item()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        before = time.perf_counter()
        self.optimizer.step()
        after = time.perf_counter()
        self.optimizer.zero_grad()
        return time.perf_counter() - start, after - before, loss

def train(a):
    trainee, random = Trainee(a), torch.Generator().manual_seed(1)
    steps = []
    for _ in range(a.steps + 1):
        ids = [torch.randint(1, VOCABULARY, (a.batch, a.length), generator=random) for _ in range(a.accumulation)]
        steps.append(trainee.step([{"input_ids": x, "labels": x} for x in ids]))
    seconds, optimizer = ([s[i] for s in steps[1:]] for i in (0, 1))
    tokens, median = a.batch * a.length * a.accumulation, statistics.median(seconds)
    flops = tokens * (6 * MULTIPLYING + 12 * LAYERS * WIDTH * a.length)
    report("train", batch=a.batch, length=a.length, accumulation=a.accumulation, optimizer=a.optimizer, checkpointing=a.checkpointing, tokens_per_second=tokens / median,
           step_seconds=seconds, median_step_seconds=median, optimizer_seconds=statistics.median(optimizer), gflops=flops / median / 1e9,
           peak_rss_bytes=peak_rss(), rss_before_bytes=trainee.rss_before, first_loss=steps[0][2])

def collate(rows):
    """Rows of unequal length → ids, mask and labels, padded on the right up to the longest."""
    longest = max(map(len, rows))
    pad = lambda value, row: row + [value] * (longest - len(row))
    return {"input_ids": torch.tensor([pad(0, r) for r in rows]), "labels": torch.tensor([pad(-100, r) for r in rows]),
            "attention_mask": torch.tensor([pad(0, [1] * len(r)) for r in rows])}

def train_rows(a):
    with open(a.rows, encoding="utf-8") as file:
        rows = json.load(file)[: a.limit]
    assert rows and all(len(r) > 1 and max(r) < VOCABULARY for r in rows), "rows: a list of lists of at least two ids below 50304"
    chunks = lambda items, size: [items[i : i + size] for i in range(0, len(items), size)]
    trainee = Trainee(a)
    trainee.step([collate(rows[: a.batch])])  # allocation and optimizer state
    steps = [trainee.step([collate(micro) for micro in chunks(step, a.batch)]) for step in chunks(rows, a.batch * a.accumulation)]
    seconds, tokens = sum(s[0] for s in steps), sum(map(len, rows))
    positions = sum(len(micro) * max(map(len, micro)) for step in chunks(rows, a.batch * a.accumulation) for micro in chunks(step, a.batch))
    report("train-rows", rows=len(rows), batch=a.batch, accumulation=a.accumulation, optimizer=a.optimizer, checkpointing=a.checkpointing, tokens=tokens, positions=positions,
           tokens_per_second=tokens / seconds, seconds=seconds, steps=len(steps), optimizer_seconds=statistics.median(s[1] for s in steps),
           peak_rss_bytes=peak_rss(), rss_before_bytes=trainee.rss_before, last_loss=steps[-1][2])

# The machine --------------------------------------------------------------------------------------------------------------

def best(function, seconds):
    """The shortest time of one call, out of as many as fit in `seconds` (three at least, after one to warm up)."""
    function()
    times, end = [], time.perf_counter() + seconds
    while len(times) < 3 or time.perf_counter() < end:
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return min(times)

def gemm(a):
    """(m, k) x (k, n): the products of a layer at 512 tokens, forward; the output matrix; a cube."""
    for m, k, n in ((512, 512, 1536), (512, 512, 2048), (512, 2048, 512), (512, 512, VOCABULARY), (2048, 2048, 2048)):
        x, y, out = torch.randn(m, k), torch.randn(k, n), torch.empty(m, n)
        seconds = best(lambda: torch.mm(x, y, out=out), a.seconds)
        report("gemm", m=m, k=k, n=n, gflops=2 * m * k * n / seconds / 1e9)

def bandwidth(a):
    count = a.megabytes * 250_000
    x, y = torch.ones(count), torch.ones(count)
    for name, bytes_each, function in (("add_", 12, lambda: x.add_(y)), ("copy_", 8, lambda: x.copy_(y))):
        report("bandwidth", operation=name, megabytes=a.megabytes, gb_per_second=count * bytes_each / best(function, a.seconds) / 1e9)

def generate(a):
    """Greedy, with the key/value cache; eos does not stop it, so that every row gets all its tokens."""
    network = model({"f32": torch.float32, "bf16": torch.bfloat16}[a.dtype]).eval()
    prompt = torch.randint(1, VOCABULARY, (a.batch, a.prompt), generator=torch.Generator().manual_seed(1))
    write = lambda new: network.generate(prompt, attention_mask=torch.ones_like(prompt), do_sample=False, max_new_tokens=new, min_new_tokens=new)
    write(4)
    times = []
    for _ in range(a.repeat):
        start = time.perf_counter()
        text = write(a.new)
        times.append(time.perf_counter() - start)
        assert text.shape == (a.batch, a.prompt + a.new)
    median = statistics.median(times)
    report("generate", batch=a.batch, prompt=a.prompt, new=a.new, dtype=a.dtype, tokens_per_second=a.batch * a.new / median, seconds=times, peak_rss_bytes=peak_rss())

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    parser.add_argument("--threads", type=int, default=cores, help="default: the cores this process may use")
    commands = parser.add_subparsers(required=True, metavar="train | train-rows | gemm | bandwidth | generate")
    options = {  # name: function, options with their defaults
        "train": (train, {"batch": 1, "length": 512, "accumulation": 4, "steps": 5}),
        "train-rows": (train_rows, {"batch": 8, "accumulation": 1, "limit": 1_000_000_000}),
        "gemm": (gemm, {"seconds": 2}),
        "bandwidth": (bandwidth, {"megabytes": 256, "seconds": 2}),
        "generate": (generate, {"batch": 1, "prompt": 16, "new": 100, "repeat": 3}),
    }
    for name, (function, numbers) in options.items():
        command = commands.add_parser(name)
        command.set_defaults(function=function)
        for option, default in numbers.items():
            command.add_argument(f"--{option}", type=int, default=default, help=f"default: {default}")
        if name == "train-rows":
            command.add_argument("rows", help="JSON file")
        if name.startswith("train"):
            command.add_argument("--optimizer", choices=("adafactor", "adamw", "adamw_fused"), default="adafactor", help="default: adafactor; adamw_fused is what transformers 5 takes when nobody chooses")
            command.add_argument("--checkpointing", action="store_true", help="gradient checkpointing")
        if name == "generate":
            command.add_argument("--dtype", choices=("f32", "bf16"), default="f32", help="default: f32")
    chosen = parser.parse_args()
    torch.set_num_threads(chosen.threads)
    LOAD = round(os.getloadavg()[0], 2)
    transformers.logging.set_verbosity_error()
    chosen.function(chosen)
