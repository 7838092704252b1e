"""The tables of README.md, for `make readme`: each from its definition and records, or from the raw figures beside a peer.

cog runs the calls that stand in the README's comments and puts what they print below each.
"""

import json
import os
import statistics
import subprocess

import cog

BINARY = os.environ.get("PRUNEBENCH", "target/debug/prunebench")


def table(definition):
    """A table of records, its notes folded away."""
    text = subprocess.run([BINARY, "report", "--table", definition, "--format", "markdown"], check=True, stdout=subprocess.PIPE,
                          text=True).stdout
    _, rows, notes = text.strip().split("\n\n")
    cog.outl(f"{rows}\n\n<details><summary>How this was measured</summary>\n\n{notes}\n\n</details>")


def print_rows(header, rows):
    """A Markdown table whose first `header` columns without a colon are text."""
    line = "| {} |".format
    cog.outl(line(" | ".join(name.rstrip(":") for name in header)))
    cog.outl(line(" | ".join("--:" if name.endswith(":") else ":--" for name in header)))
    for row in rows:
        cog.outl(line(" | ".join(row)))


def load(path):
    with open(path) as file:
        return json.load(file)


def speed(path):
    """Prefill and decode beside transformers."""
    raw = load(path)
    words = {"prefill": "prefill, 1024 tokens of prompt", "decode": "decode, 128 tokens of prompt"}
    rows = []
    for kind, by_name in raw["seconds"].items():
        base = statistics.median(by_name["transformers"])
        for name, seconds in by_name.items():
            median = statistics.median(seconds)
            rates = [f"{raw['tokens'][kind] / s:,.1f}" for s in (median, max(seconds), min(seconds))]
            rows.append([words[kind], name, *rates, f"{base / median:.2f}"])
    print_rows(["work", "implementation", "tokens/s, median:", "lowest:", "highest:", "ratio to transformers:"], rows)


def tasks(path):
    """Tasks beside lm-eval, whose best batch size is the unit."""
    figures = load(path)["figures"]
    keys = ["evaluation_s", "whole_s", "peak_mib"]
    median = {name: {key: statistics.median(run[key] for run in runs) for key in keys} for name, runs in figures.items()}
    best = {key: min(of[key] for name, of in median.items() if name.startswith("lm-eval")) for key in keys}
    rows = [[name, f"{of['evaluation_s']:.1f}", f"{best['evaluation_s'] / of['evaluation_s']:.2f}", f"{of['whole_s']:.1f}",
             f"{best['whole_s'] / of['whole_s']:.2f}", f"{of['peak_mib']:,.0f}"] for name, of in median.items()]
    print_rows(["implementation", "evaluation, s:", "ratio:", "whole process, s:", "ratio:", "peak memory, MiB:"], rows)


def training(path, micro_path):
    """Training steps beside transformers; of those in micro-batches only LoRA's, beside transformers in the same run."""
    rows = []
    for path, works in [(path, {"full": "all parameters", "lora": "LoRA"}), (micro_path, {"lora": "LoRA, in micro-batches of 1"})]:
        raw = load(path)
        tokens = raw["arguments"]["batch"] * raw["arguments"]["tokens"]
        for work, words in works.items():
            base = statistics.median(raw["timed"][work]["transformers"]["seconds"])
            for name, of in raw["timed"][work].items():
                if path == micro_path and name == "transformers":
                    continue  # it takes the batch whole, as above
                median = statistics.median(of["seconds"])
                rows.append([words, name, f"{tokens / median:.1f}", f"{base / median:.2f}", f"{max(of['peak_bytes']) >> 20:,}"])
    print_rows(["step", "implementation", "tokens/s:", "ratio:", "peak memory, MiB:"], rows)
