"""Starts the kernel that this package carries, in the place of this process: python -m finetuning_kernel CONNECTION_FILE"""

import os
import sys

folder = os.path.dirname(os.path.abspath(__file__))
program = os.path.join(folder, "target", "debug", "lab")
words = sys.argv[1:]
if len(words) == 1 and words[0].endswith(".json"):
    words = ["kernel", *words]
try:
    os.execv(program, [program, *words])
except OSError as error:
    sys.exit(f"error: {program}: {error}\nfix:   pip install --force-reinstall --no-deps finetuning_kernel-*.whl")
