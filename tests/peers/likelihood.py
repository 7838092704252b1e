"""Exports models, loads them in transformers, and compares token ids and the NLL of every window with prunebench's."""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

RECIPES = ["dense", "shortgpt(ratio=0.2)", "wanda(ratio=0.5)"]
SMALLEST = {
    "model": "tiny",
    "text": ["world", "validation"],
    "calibration": "world/train-sample",
    "protocol": "world/stream-128@1",
}
WINDOWS = 4
# Nats a token.
TOLERANCE = 1e-4


def run(*command):
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, encoding="utf-8").stdout


def window_nll(folder, text, length):
    """Summed NLL of each window by transformers, from the text to the last digit."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    ids = torch.tensor(tokenizer(text, add_special_tokens=False)["input_ids"])
    sums = []
    with torch.inference_mode():
        for window in ids[: length * WINDOWS].view(WINDOWS, length):
            logits = model(window[None]).logits[0, :-1].double()
            sums.append(torch.nn.functional.cross_entropy(logits, window[1:], reduction="sum").item())
    return len(ids), sums


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--binary", default="target/debug/prunebench")
    parser.add_argument("--text-binary", default="target/debug/examples/text", help="the example of the crate prunebench-datasets")
    parser.add_argument("--data", help="folder with the texts, as PRUNEBENCH_DATA names it")
    parser.add_argument("--model", default="smollm2-135m")
    parser.add_argument("--text", nargs=2, default=["wikitext2", "test"], metavar=("NAME", "SPLIT"))
    parser.add_argument("--protocol", default="wikitext2/stream-512@1", help="one of windows of that text")
    parser.add_argument("--calibration", default="wikitext2/validation", metavar="NAME/SPLIT")
    parser.add_argument("--smallest", action="store_true", help="tiny on the synthetic world, which needs no --data: seconds")
    if "--smallest" in sys.argv:
        parser.set_defaults(**SMALLEST)
    options = parser.parse_args()
    if options.data:
        os.environ["PRUNEBENCH_DATA"] = options.data
    text = run(options.text_binary, *options.text)
    length = int(re.search(r"-(\d+)@", options.protocol).group(1))
    worst = 0.0
    for recipe in RECIPES:
        with tempfile.TemporaryDirectory() as scratch:
            folder = str(Path(scratch, "model"))
            calibration = ["--calibration", options.calibration, "--calibration-window", str(length)]
            run(options.binary, "compress", "--model", options.model, "--recipe", recipe, *calibration, "--out", folder)
            tokens, theirs = window_nll(folder, text, length)
            records = json.loads(
                run(options.binary, "eval", "--model", folder, "--protocol", options.protocol, "--windows", str(WINDOWS), "--json")
            )
        for record in records:
            ours = record["metrics"]["perplexity"][0]
            total = ours["windows_available"] * length + ours["tail_tokens_dropped"]
            if total != tokens:
                sys.exit(f"{recipe}: {total} tokens here, {tokens} in transformers")
            difference = max(abs(a - b) / (length - 1) for a, b in zip(ours["window_nll"], theirs, strict=True))
            worst = max(worst, difference)
            engine = record["cell"]["engine"]
            print(f"{recipe:24} {engine:7} {tokens} tokens, largest difference {difference:.1e} nats a token")
    if worst > TOLERANCE:
        sys.exit(f"the largest difference is {worst:.1e} nats a token, {TOLERANCE:.0e} is allowed")


if __name__ == "__main__":
    main()
