"""The tables of README.md and docs, for `make readme`: each from its definition and records, from the raw figures beside a peer,
or from scorecards.

cog runs the calls that stand in the files' comments and puts what they print below each.
"""

import json
import os
import re
import statistics
import subprocess
from pathlib import Path

import cog

BINARY = os.environ.get("PRUNEBENCH", "target/debug/prunebench")


def table(definition, notes=True):
    """A table of records, its notes folded away or left out."""
    text = subprocess.run([BINARY, "report", "--table", definition, "--format", "markdown"], check=True, stdout=subprocess.PIPE,
                          text=True).stdout
    _, rows, how = text.strip().split("\n\n")
    cog.outl(f"{rows}\n\n<details><summary>How this was measured</summary>\n\n{how}\n\n</details>" if notes else rows)


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


VERDICTS = ["reproduced", "not reproduced", "inconclusive", "not run"]


def verdicts(paper):
    """How many of a paper's claims have each verdict, by its committed scorecard; without one none was run."""
    claims = Path("reports/papers", paper, "claims.toml")
    count = len(re.findall(r"^\[\[claim\]\]$", claims.read_text(encoding="utf-8"), re.MULTILINE))
    scorecard = Path("results/papers", paper, "claims.md")
    if not scorecard.exists():
        return count, [0] * (len(VERDICTS) - 1) + [count]
    line = "- " + ", ".join(rf"(\d+) {verdict}" for verdict in VERDICTS)
    found = re.search(f"^{line}$", scorecard.read_text(encoding="utf-8"), re.MULTILINE)
    if found is None:
        raise SystemExit(f"{scorecard}: no line counts the verdicts, wanted as in `- 1 reproduced, 0 not reproduced, 0 inconclusive, "
                         "2 not run`; print it again with `prunebench claims`")
    judged = [int(number) for number in found.groups()]
    if sum(judged) != count:
        raise SystemExit(f"{scorecard} judges {sum(judged)} claims, and {claims} has {count}: print it again with "
                         f"`prunebench claims {paper}`")
    return count, judged


def papers():
    """Claims of each paper by verdict, with links to its page, or else its published tables, and to its claims."""
    rows = []
    for folder in Path("reports/papers").iterdir():
        here = Path("results/papers", folder.name)
        published = Path("results/published", f"{folder.name}.toml")
        title = re.match('title = "(.*)"\n', published.read_text(encoding="utf-8"))[1].split(":")[0]
        page, claims = here / "README.md", here / "claims.md"
        links = [page if page.exists() else published, claims if claims.exists() else folder / "claims.toml"]
        count, numbers = verdicts(folder.name)
        words = [f"[{what}]({link.as_posix()})" for what, link in zip([title, count], links)]
        rows.append((not page.exists(), title, words + [str(number) for number in numbers]))
    print_rows(["paper", "claims:", *(f"{verdict}:" for verdict in VERDICTS)], [row for *_, row in sorted(rows)])
