"""The peer of the tokenizer: tokenizers' `encode_batch` and datasets' `map(batched=True)`. In: a subcommand, rows, a tokenizer; out: a JSON line.

    python tokens.py tokenize-batch rows.jsonl tokenizer.json
    python tokens.py tokenize-map rows.jsonl tokenizer.json

Rows have `question` and `answer`, which are joined. A line is the median of five passes after one to warm up; `map` writes its table
into memory, without its cache of earlier calls. Both use all processors, as the library does by itself. It needs datasets and transformers.
"""

import json, statistics, sys, time

import datasets
import tokenizers
import transformers

def passes(function):
    function()
    times = []
    for _ in range(5):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return statistics.median(times)

def main():
    what, rows, path = sys.argv[1:4]
    datasets.disable_progress_bars()
    datasets.disable_caching()
    with open(rows, encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    texts = [row["question"] + row["answer"] for row in rows]
    inner = tokenizers.Tokenizer.from_file(path)
    inner.no_truncation(), inner.no_padding()
    tokens = sum(len(encoding.ids) for encoding in inner.encode_batch(texts, add_special_tokens=False))
    if what == "tokenize-batch":
        seconds = passes(lambda: [encoding.ids for encoding in inner.encode_batch(texts, add_special_tokens=False)])
    else:
        own, data = transformers.PreTrainedTokenizerFast(tokenizer_object=inner), datasets.Dataset.from_list(rows)
        join = lambda batch: own([question + answer for question, answer in zip(batch["question"], batch["answer"])])
        seconds = passes(lambda: data.map(join, batched=True, keep_in_memory=True, load_from_cache_file=False))
    print(json.dumps({"bench": what, "rows": len(rows), "tokens": tokens, "tokens_per_second": tokens / seconds, "seconds": seconds,
                      "tokenizers": tokenizers.__version__, "datasets": datasets.__version__}))

if __name__ == "__main__":
    main()
