#!/usr/bin/env python3
"""Draws the tables of weight evolution at small scale: reads the table.csv of each sweep, which lie beside it, prints Markdown.

    python3 tables.py > README.md

Each training (a seed of `prunebench pretrain`) is one observation. Verdicts are those of `prunebench claims`, in claims.md.
"""

import csv
import math
import re
import statistics
import sys
from collections import defaultdict
from pathlib import Path

HERE = Path(__file__).parent

# Loss of the authors' notebook (10.8 M parameters) after 50 masked steps, by threshold: sparsity, loss.
PUBLISHED = {
    0.247: (0.1001, 1.9776), 0.5: (0.2019, 1.9330), 0.75: (0.3007, 1.8640), 1.01: (0.4002, 1.7824), 1.3: (0.5065, 1.6936),
    1.575: (0.6006, 1.6562), 1.9: (0.7009, 1.7479), 2.289: (0.8015, 2.1331), 2.85: (0.9036, 2.7033), 3.2: (0.9428, 3.0982),
}
RATIOS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.943)
SCORES = {"trajectory": "evolution", "final": "magnitude", "random": "random"}


def error(values):
    return statistics.stdev(values) / math.sqrt(len(values))


def shown(values, digits=3):
    return f"{statistics.mean(values):.{digits}f} ± {error(values):.{digits}f}"


class Sweep:
    """Losses by recipe and training, achieved ratios likewise, and what else the rows agree on."""

    def __init__(self, path):
        self.path, self.losses, self.achieved, self.facts = path, defaultdict(dict), defaultdict(dict), defaultdict(set)
        with open(path, newline="") as file:
            for row in csv.DictReader(file):
                if row["status"] != "ok":
                    sys.exit(f"{path}: {row['method']} on {row['model']} was not measured: {row['error']}")
                self.losses[row["method"]][row["model"]] = float(row["total_nll"]) / int(row["tokens_scored"])
                self.achieved[row["method"]][row["model"]] = float(row["achieved_ratio"] or 0)
                for key in ("protocol", "tokens_scored", "windows", "engine_version", "dtype", "cpu", "git_revision", "git_dirty"):
                    self.facts[key].add(row[key])
        self.models = sorted(self.losses["dense"])

    def series(self, recipe):
        found = [name for name in self.losses if re.sub(r"\s", "", name) == re.sub(r"\s", "", recipe)]
        if len(found) != 1:
            sys.exit(f"{self.path}: {len(found)} recipes are {recipe}; there are {', '.join(sorted(self.losses))}")
        return [self.losses[found[0]][model] for model in self.models]

    def ratio_of(self, recipe):
        return [self.achieved[recipe][model] for model in self.models]

    def measured(self):
        """Protocol, size, engine and program in a line."""
        one = {key: ", ".join(sorted(values)) for key, values in self.facts.items()}
        return (f"{one['protocol']}, {one['windows']} windows, {int(one['tokens_scored']):,} tokens scored, {one['engine_version']}, "
                f"{one['dtype']}, {one['cpu']}, prunebench at {one['git_revision'][:12]}"
                f"{'' if one['git_dirty'] == 'false' else ' with local changes'}")


def extreme(tuned_by):
    """The trainings that go far past their best."""
    sweep = Sweep(HERE / "extreme.csv")
    final, best = sweep.series("dense"), sweep.series("snapshot(of=best)")
    print(f"\n## An extreme over-fit\n\nThree trainings of [extreme.toml](../../../harness/experiments/papers/weight_evolution/extreme.toml) "
          f"([0](training-extreme-0.json), [1](training-extreme-1.json), [2](training-extreme-2.json)), as long on a third of the text, end at "
          f"{shown(final)}; their best was {shown(best)}. Every cell of "
          f"[extreme_sweep.toml](../../../harness/experiments/papers/weight_evolution/extreme_sweep.toml) is a row of "
          f"[extreme.csv](extreme.csv): {sweep.measured()}.\n")
    print("| sparsity | evolution, tuned | random, tuned |\n| --: | --: | --: |")
    for ratio in RATIOS[:5]:
        cells = [shown(sweep.series(f"weight-evolution(ratio={ratio}, score={score}) + {tuned_by}")) for score in ("trajectory", "random")]
        print(f"| {100 * ratio:.1f} % | " + " | ".join(cells) + " |")


def pretrained():
    """A model whose training nobody watched."""
    sweep = Sweep(HERE / "pretrained.csv")
    print(f"\n## A pretrained model\n\nSmolLM2-135M pruned by magnitude, without tuning "
          f"([pretrained.toml](../../../harness/experiments/papers/weight_evolution/pretrained.toml), [pretrained.csv](pretrained.csv)): "
          f"{sweep.measured()}.\n")
    print("| recipe | perplexity |\n| :-- | --: |")
    for recipe in sweep.losses:
        print(f"| `{recipe}` | {math.exp(sweep.series(recipe)[0]):,.1f} |")


def main():
    path = HERE / "records.csv"
    sweep = Sweep(path)
    losses, models, series, ratio_of = sweep.losses, sweep.models, sweep.series, sweep.ratio_of
    if len(models) < 2:
        sys.exit(f"{path}: {len(models)} training, and an error over trainings takes at least two")
    tuned_by = next(name for name in losses if name.startswith("finetune("))
    final = series("dense")
    best = series("snapshot(of=best)")
    pruned = {
        (score, ratio, tuned): series(f"weight-evolution(ratio={ratio}, score={score})" + (f" + {tuned_by}" if tuned else ""))
        for score in SCORES for ratio in RATIOS for tuned in (False, True)
    }

    def minus(a, b):
        return [x - y for x, y in zip(a, b)]

    print("# Weight evolution at a CPU size\n")
    print(
        "Made by `make weight-evolution`: three trainings of "
        "[small.toml](../../../harness/experiments/papers/weight_evolution/small.toml) ([0](training-0.json), [1](training-1.json), "
        "[2](training-2.json)), then "
        "[small_sweep.toml](../../../harness/experiments/papers/weight_evolution/small_sweep.toml); every cell is a row of "
        "[records.csv](records.csv), and [tables.py](tables.py) wrote this page from it; [claims.md](claims.md) has the verdicts, by "
        "`prunebench claims weight_evolution`. The claims are about the authors' notebook "
        "(10.8 M parameters), put as [expectations](../../../docs/papers/weight_evolution.md#expectations) of a small copy; what is here is "
        "such a copy of 0.35 M parameters, "
        "trained for longer than is good for it. Three trainings are few: differences of less than about 0.03 can't be decided.\n"
    )
    one = {key: ", ".join(sorted(values)) for key, values in sweep.facts.items()}
    print(
        f"Losses are NLL per character, {one['protocol']}, {one['windows']} windows, {int(one['tokens_scored']):,} characters scored; "
        f"means ± standard error over {len(models)} trainings. {one['engine_version']}, {one['dtype']}, {one['cpu']}; "
        f"prunebench at {one['git_revision'][:12]}{'' if one['git_dirty'] == 'false' else ' with local changes'}.\n"
    )
    print("| model | loss |\n| :-- | --: |")
    gap = minus(final, best)
    for name, values in (
        ("final", final), ("best of the run (early stopping)", best),
        ("averaged weights as a model", series("snapshot(of=average)")), (f"final, {tuned_by}", series(tuned_by)),
        ("final − best", gap),
    ):
        print(f"| {name} | {shown(values)} |")
    print(f"\nAfter pruning alone, and after masked fine-tuning by `{tuned_by}`:\n")
    names = list(SCORES.values())
    print("| sparsity | " + " | ".join(names + [f"{name}, tuned" for name in names]) + " |")
    print("| --: |" + " --: |" * 6)
    for ratio in RATIOS:
        cells = [shown(pruned[score, ratio, tuned]) for tuned in (False, True) for score in SCORES]
        print(f"| {100 * ratio:.1f} % | " + " | ".join(cells) + " |")

    stopped = {ratio: f"snapshot(of=best) + weight-evolution(ratio={ratio}, score=trajectory) + {tuned_by}" for ratio in RATIOS}
    if stopped[RATIOS[0]] in losses:
        print("\nOf the best of the run in place of the final model, by the averages of the whole run:\n")
        print("| sparsity | evolution, tuned |\n| --: | --: |")
        print(f"| 0.0 % | {shown(best)} |")
        for ratio, recipe in stopped.items():
            print(f"| {100 * ratio:.1f} % | {shown(series(recipe))} |")

    print("\n## Sparsity by threshold\n")
    thresholds = {k: ratio_of(f"weight-evolution(k={k})") for k in PUBLISHED}
    print("| k | sparsity here | published | loss here, without tuning |\n| --: | --: | --: | --: |")
    for k, (sparsity, _) in PUBLISHED.items():
        here = [100 * ratio for ratio in thresholds[k]]
        print(f"| {k} | {shown(here, 2)} % | {100 * sparsity:.2f} % | {shown(series(f'weight-evolution(k={k})'))} |")

    tuned = {ratio: pruned["trajectory", ratio, True] for ratio in RATIOS}
    print("\n## Magnitude against evolution\n\nLoss of magnitude less that of evolution, at once and after tuning:\n")
    print("| sparsity | magnitude − evolution | tuned |\n| --: | --: | --: |")
    for ratio in RATIOS:
        differences = [minus(pruned["final", ratio, t], pruned["trajectory", ratio, t]) for t in (False, True)]
        print(f"| {100 * ratio:.1f} % | " + " | ".join(shown(values, 4) for values in differences) + " |")

    at_lowest = [min(tuned[ratio][index] for ratio in RATIOS) for index in range(len(models))]
    averaged = series("snapshot(of=average)")
    print(
        f"\nThe lowest tuned loss of each training, {shown(at_lowest)}, differs from that of its best checkpoint by "
        f"{shown(minus(at_lowest, best))} and from that of its averaged weights by {shown(minus(at_lowest, averaged))}. Where these are "
        "above zero, pruning and tuning undo over-fitting, and stopping early or averaging undo more of it."
    )

    print("\n## Further rows of the sweep\n\n| recipe | sparsity | loss |\n| :-- | --: | --: |")
    for recipe in losses:
        if "rows=" in recipe or "weighting=" in recipe:
            print(f"| `{recipe}` | {shown([100 * r for r in ratio_of(recipe)], 2)} % | {shown(series(recipe))} |")
    if (HERE / "extreme.csv").exists():
        extreme(tuned_by)
    if (HERE / "pretrained.csv").exists():
        pretrained()


if __name__ == "__main__":
    main()
