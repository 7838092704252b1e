#!/usr/bin/env python3
"""Draws the tables of weight evolution at small scale: reads a sweep's table.csv, prints Markdown.

    python3 tables.py records.csv > README.md

Each training (a seed of `prunebench pretrain`) is one observation. Verdicts are those of `prunebench claims`, in claims.md.
"""

import csv
import math
import re
import statistics
import sys
from collections import defaultdict

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


def read(path):
    """Losses by recipe and training, achieved ratios likewise, and what else the rows agree on."""
    losses, achieved, facts = defaultdict(dict), defaultdict(dict), defaultdict(set)
    with open(path, newline="") as file:
        for row in csv.DictReader(file):
            if row["status"] != "ok":
                sys.exit(f"{path}: {row['method']} on {row['model']} was not measured: {row['error']}")
            losses[row["method"]][row["model"]] = float(row["total_nll"]) / int(row["tokens_scored"])
            achieved[row["method"]][row["model"]] = float(row["achieved_ratio"] or 0)
            for key in ("protocol", "tokens_scored", "windows", "engine_version", "dtype", "cpu", "git_revision", "git_dirty"):
                facts[key].add(row[key])
    return losses, achieved, facts


def main(path):
    losses, achieved, facts = read(path)
    models = sorted(losses["dense"])
    if len(models) < 2:
        sys.exit(f"{path}: {len(models)} training, and an error over trainings takes at least two")

    def series(recipe):
        found = [name for name in losses if re.sub(r"\s", "", name) == re.sub(r"\s", "", recipe)]
        if len(found) != 1:
            sys.exit(f"{path}: {len(found)} recipes are {recipe}; there are {', '.join(sorted(losses))}")
        return [losses[found[0]][model] for model in models]

    def ratio_of(recipe):
        return [achieved[recipe][model] for model in models]

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
    one = {key: ", ".join(sorted(values)) for key, values in facts.items()}
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


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(sys.argv[1])
