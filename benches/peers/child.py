"""What every peer's process does: take its settings as JSON, keep to its threads, print one JSON result.

    python benches/peers/torch_peers.py mlm '{"shape": {…}, "threads": 2, …}'
"""

import json
import sys
import time
from pathlib import Path
from types import SimpleNamespace


def main(kinds):
    """Runs the kind of work that the command line names, with its settings."""
    kind, settings = sys.argv[1:]
    print(json.dumps(kinds[kind](SimpleNamespace(**json.loads(settings)))))


def torch_with(given):
    """PyTorch, held to the threads of the settings and to one seed."""
    import torch

    torch.set_num_threads(given.threads)
    torch.manual_seed(1)
    return torch


def texts_of(path):
    """The texts of a file of JSON lines."""
    return [json.loads(line)["text"] for line in Path(path).read_text(encoding="utf-8").splitlines()]


def rate(count, seconds, what):
    """An amount, its seconds and its speed, by their names in the record."""
    return {what: count, "seconds": seconds, f"{what}_per_second": count / seconds}


def timed(given, step):
    """Speed over the steps after the warm-up; `step(number)` gives the real tokens of that step."""
    for number in range(given.warmup):
        step(number)
    began = time.monotonic()
    tokens = sum(step(given.warmup + number) for number in range(given.steps))
    return rate(tokens, time.monotonic() - began, "tokens")
