"""Exports models, loads them in transformers, and compares token ids and the NLL of every window with prunebench's."""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

RECIPES = ["dense", "shortgpt(ratio=0.2)", "wanda(ratio=0.5)"]
PROTOCOL, WINDOW, WINDOWS = "wikitext2/stream-512@1", 512, 4
TEXT = "text/wikitext2/wiki.test.hfjoined.txt"
TOLERANCE = 1e-4


def run(*command):
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def window_nll(folder, text):
    """Summed NLL of each window by transformers, from the text to the last digit."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    ids = torch.tensor(tokenizer(text, add_special_tokens=False)["input_ids"])
    sums = []
    with torch.inference_mode():
        for window in ids[: WINDOW * WINDOWS].view(WINDOWS, WINDOW):
            logits = model(window[None]).logits[0, :-1].double()
            sums.append(torch.nn.functional.cross_entropy(logits, window[1:], reduction="sum").item())
    return len(ids), sums


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--binary", default="target/debug/prunebench")
    parser.add_argument("--data", required=True, help="folder with the texts")
    options = parser.parse_args()
    text = Path(options.data, TEXT).read_text()
    worst = 0.0
    for recipe in RECIPES:
        with tempfile.TemporaryDirectory() as scratch:
            folder = str(Path(scratch, "model"))
            run(options.binary, "compress", "--model", "smollm2-135m", "--recipe", recipe, "--out", folder, "--data", options.data)
            tokens, theirs = window_nll(folder, text)
            records = json.loads(
                run(options.binary, "eval", "--model", folder, "--protocol", PROTOCOL, "--windows", str(WINDOWS),
                    "--data", options.data, "--json")
            )
        for record in records:
            ours = record["metrics"]["perplexity"][0]
            total = ours["windows_available"] * WINDOW + ours["tail_tokens_dropped"]
            if total != tokens:
                sys.exit(f"{recipe}: {total} tokens here, {tokens} in transformers")
            difference = max(abs(a - b) / (WINDOW - 1) for a, b in zip(ours["window_nll"], theirs, strict=True))
            worst = max(worst, difference)
            engine = record["cell"]["engine"]
            print(f"{recipe:24} {engine:7} {tokens} tokens, largest difference {difference:.1e} nats a token")
    if worst > TOLERANCE:
        sys.exit(f"the largest difference is {worst:.1e} nats a token, {TOLERANCE:.0e} is allowed")


if __name__ == "__main__":
    main()
