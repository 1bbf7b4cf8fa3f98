"""Takes an installed Rust toolchain; writes the pretraining corpus, JSON lines {"text": ...}, and prints the share of each source.

Use: python3 notebooks/recipe/corpus.py [FILE]        (default: notebooks/data/pretraining.jsonl; needs Python 3 and `rustup component add rust-docs`)
"""

import json
import random
import sys
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
import corpus_books
import corpus_everyday
import corpus_questions

BOOK_CHARACTERS = 3_250_000     # sections beyond this are left out, evenly over the books
QUESTION_SHARE = 0.12           # of all characters
EVERYDAY_SHARE = 0.06
SEED = 123


def book_rows(rng):
    """All book sections as (source, text), and the characters of code in them, thinned evenly to BOOK_CHARACTERS."""
    rows = list(corpus_books.sections(corpus_books.html_root()))
    total = sum(len(text) for _, text, _ in rows)
    keep = min(1.0, BOOK_CHARACTERS / total)
    return [row for row in rows if rng.random() < keep]


def main():
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent.parent / "data" / "pretraining.jsonl"
    rng = random.Random(SEED)
    books = book_rows(rng)
    characters = sum(len(text) for _, text, _ in books)
    total = characters / (1 - QUESTION_SHARE - EVERYDAY_SHARE)
    rows = [(source, text) for source, text, _ in books]
    rows += [("question lists", text) for text in corpus_questions.sections(total * QUESTION_SHARE)]
    rows += [("everyday prose", text) for text in corpus_everyday.sections(total * EVERYDAY_SHARE)]
    rng.shuffle(rows)
    with open(target, "w", encoding="ascii") as out:
        for _, text in rows:
            out.write(json.dumps({"text": text}) + "\n")
    sizes, counts = Counter(), Counter()
    for source, text in rows:
        sizes[source] += len(text)
        counts[source] += 1
    whole = sum(sizes.values())
    print("| source | sections | characters | share |\n|---|---:|---:|---:|")
    for source in list(corpus_books.BOOKS) + ["question lists", "everyday prose"]:
        print(f"| {source} | {counts[source]:,} | {sizes[source]:,} | {100 * sizes[source] / whole:.1f} % |")
    print(f"| all | {len(rows):,} | {whole:,} | 100.0 % |")
    print(f"code: {100 * sum(code for _, _, code in books) / whole:.1f} % of the characters")


if __name__ == "__main__":
    main()
