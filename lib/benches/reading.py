"""The peers: Python's readers of JSON lines on this machine. In: a reader and a file; out: one JSON line.

    python reading.py datasets rows.jsonl

`datasets` is `load_dataset("json", …)` into a cache that is new; `pandas` is `read_json(lines=True)`; `json` is `json.loads` a line;
`pyarrow` is `pyarrow.json.read_json`, which gives columns and no rows. Imports are not timed.
"""

import json, resource, sys, tempfile, time

reader, path = sys.argv[1:3]
if reader == "datasets":
    import datasets
    datasets.disable_progress_bars()
    with tempfile.TemporaryDirectory() as cache:
        start = time.perf_counter()
        rows = len(datasets.load_dataset("json", data_files=path, cache_dir=cache, split="train"))
        seconds = time.perf_counter() - start
elif reader == "pandas":
    import pandas
    start = time.perf_counter()
    rows = len(pandas.read_json(path, lines=True))
    seconds = time.perf_counter() - start
elif reader == "pyarrow":
    import pyarrow.json
    start = time.perf_counter()
    rows = pyarrow.json.read_json(path).num_rows
    seconds = time.perf_counter() - start
else:
    start = time.perf_counter()
    with open(path, encoding="utf-8") as file:
        rows = len([json.loads(line) for line in file])
    seconds = time.perf_counter() - start
print(json.dumps({"seconds": seconds, "rows": rows, "peak_rss_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024}))
