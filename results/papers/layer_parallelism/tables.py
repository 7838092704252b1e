#!/usr/bin/env python3
"""Draws the tables of layer parallelism on SmolLM2-135M: reads the CSVs beside it, prints Markdown.

    python3 tables.py > README.md

Losses of two recipes are compared window by window. Verdicts are those of `prunebench claims`, in claims.md.
"""

import csv
import json
import math
import re
import statistics
import sys
from collections import defaultdict
from pathlib import Path

HERE = Path(__file__).parent
BLOCKS = 30
# Quantile of Student's t with 15 degrees of freedom, for 16 windows: two-sided 95 %.
T = 2.131
WINDOWS = 16


def rows(name):
    with open(HERE / name, newline="") as file:
        return list(csv.DictReader(file))


def read_losses(*names):
    """Mean NLL per token of each window by recipe, averaged over seeds; effective depth by recipe; facts that must agree."""
    seeds, depths, facts = defaultdict(dict), {}, defaultdict(set)
    for name in names:
        for row in rows(name):
            if row["status"] != "ok":
                continue
            windows = json.loads(row["window_nll"])
            if len(windows) != WINDOWS:
                sys.exit(f"{name}: {row['method']} has {len(windows)} windows, and the quantiles here are for {WINDOWS}")
            tokens = int(row["tokens_scored"]) / WINDOWS
            seeds[row["method"]][int(row["seed"])] = [nll / tokens for nll in windows]
            depths[row["method"]] = int(row["effective_depth"])
            for key in ("model", "model_hash", "protocol", "tokens_scored", "dtype", "device"):
                facts[key].add(row[key])
    for key, values in facts.items():
        if len(values) != 1:
            sys.exit(f"the records differ in {key}: {', '.join(sorted(values))}")
    losses = {method: [statistics.mean(window) for window in zip(*by_seed.values())] for method, by_seed in seeds.items()}
    return losses, depths, seeds


LOSSES, DEPTHS, SEEDS = read_losses("depth.csv", "ends.csv", "removals.csv", "shuffle.csv",
                                    "slicegpt.csv", "recovery.csv")


def recipe(method, **config):
    keys = ", ".join(f"{key}={str(value).lower()}" for key, value in sorted(config.items()))
    name = f"{method}({keys})" if keys else method
    if name not in LOSSES:
        sys.exit(f"no record of {name}")
    return name


def loss(name):
    return statistics.mean(LOSSES[name])


def perplexity(name):
    return statistics.mean(math.exp(statistics.mean(windows)) for windows in SEEDS[name].values())


def estimate(weights):
    """A weighted sum of recipes' losses, with its standard error over windows."""
    sums = [sum(weight * LOSSES[name][w] for name, weight in weights.items()) for w in range(WINDOWS)]
    return statistics.mean(sums), statistics.stdev(sums) / math.sqrt(WINDOWS)


def worse(a, b):
    """1 if the loss of `a` surely is above that of `b`, -1 if it surely is below, else 0."""
    mean, error = estimate({a: 1, b: -1})
    margin = T * error
    return 1 if mean > margin else -1 if -mean > margin else 0


def ratio(a, b="dense"):
    mean, error = estimate({a: 1, b: -1})
    low, high = (math.exp(mean + sign * T * error) for sign in (-1, 1))
    return f"{short(math.exp(mean))} [{short(low)}, {short(high)}]"


def short(value):
    return f"{value:.3f}" if value < 10 else f"{value:.1f}" if value < 1000 else f"{value:.0f}"


def table(header, lines):
    return "\n".join(["| " + " | ".join(header) + " |", "|" + "---|" * len(header)] + ["| " + " | ".join(line) + " |" for line in lines])


def same_range():
    lines = []
    for start, end in ((12, 16), (12, 20), (24, 28), (20, 28)):
        lp = recipe("layer-parallel", end=end, **({"start": start} if end != 28 else {"pairs": (end - start) // 2}))
        others = (recipe(name, end=end, start=start)
                  for name in ("two-parallel", "parallel-stretch", "average-outputs", "prune-range", "merge"))
        lines.append([f"{start}..{end}", *(ratio(name) for name in (lp, *others))])
    return table(["range", "layer-parallel", "two-parallel", "parallel-stretch", "average-outputs", "prune-range", "merge"], lines)


def same_depth():
    lines = []
    for length in (2, 4, 8):
        better = [0, 0, 0]
        # The first and the last two blocks are no middle.
        ranges = [(start, start + length) for start in range(2, BLOCKS - 2 - length + 1)]
        for start, end in ranges:
            removed = length // 2
            least = min((recipe("prune-range", start=s, end=s + removed) for s in range(start, end - removed + 1)), key=loss)
            better[1 - worse(least, recipe("layer-parallel", start=start, end=end))] += 1
        lines.append([str(length), str(length // 2), str(len(ranges)), *map(str, better)])
    header = ["blocks in pairs", "blocks removed", "ranges", "pairs surely better", "undecided", "removal surely better"]
    return table(header, lines)


def position():
    def pair(start):
        return recipe("layer-parallel", start=start, end=start + 2)

    middle = sorted((pair(start) for start in range(8, 24)), key=loss)
    typical = middle[len(middle) // 2]
    ends = {"(0,1)": recipe("two-parallel", end=2, start=0), "(1,2)": pair(1), "(27,28)": pair(27), "(28,29)": pair(28)}
    best = []
    for length in (2, 4, 8):
        by_end = {end: recipe("layer-parallel", start=end - length, end=end) for end in range(BLOCKS - 6, BLOCKS + 1)}
        best.append(f"{length} blocks: {min(by_end, key=lambda end: loss(by_end[end]))}")
    lines = [[name, ratio(of), ratio(of, typical)] for name, of in ends.items()]
    lines.append([f"median of the pairs from (8,9) to (23,24), `{typical}`", ratio(typical), "1"])
    text = table(["pair", "ratio to dense", "ratio to the median pair"], lines)
    return f"{text}\n\nBest end among the last seven, exclusive: {'; '.join(best)}."


def growth():
    names = ["dense"] + [recipe("layer-parallel", end=28, pairs=pairs) for pairs in range(1, 11)]
    values = [perplexity(name) for name in names]
    bends = []
    # The gradient of a perplexity by a window's loss makes each bend a weighted sum of losses.
    for place in range(len(names) - 2):
        a, b, c = values[place:place + 3]
        _, error = estimate({names[place]: a, names[place + 1]: -2 * b, names[place + 2]: c})
        bends.append(f"{c - 2 * b + a:+.2f} ± {T * error:.2f}")
    lines = [[str(pairs), str(BLOCKS - pairs), f"{values[pairs]:.2f}", ratio(names[pairs]) if pairs else "1",
              bends[pairs - 1] if 1 <= pairs <= 9 else ""] for pairs in range(11)]
    return table(["pairs", "effective depth", "perplexity", "ratio to dense", "second difference (95 %)"], lines)


def shuffled():
    lines = []
    for start, end in ((12, 16), (12, 20), (12, 22), (24, 28), (20, 28)):
        mixed, removed = (recipe(name, end=end, start=start) for name in ("shuffle", "prune-range"))
        orders = [math.exp(statistics.mean(windows)) for windows in SEEDS[mixed].values()]
        lines.append([f"{start}..{end}", f"{statistics.mean(orders):.1f} ({min(orders):.1f} to {max(orders):.1f})", f"{perplexity(removed):.1f}",
                      ratio(removed, mixed)])
    header = ["range", "perplexity of five orders, mean (lowest to highest)", "perplexity without the range", "ratio, by mean loss of the orders"]
    return table(header, lines)


def norms():
    own, average, mixed = (recipe("layer-parallel", end=28, pairs=4, **config) for config in ({}, {"norm": "avg"}, {"norm": "rank-mix"}))
    return (
        f"`avg` over `own` {ratio(average, own)}, `rank-mix` over `own` {ratio(mixed, own)}, beside `own` over dense {ratio(own)}.")


def algebra():
    literal, fused = recipe("layer-parallel", end=28, pairs=4), recipe("layer-parallel", end=28, fused=True, pairs=4)
    largest = max(abs(a - b) / a for a, b in zip(LOSSES[literal], LOSSES[fused]))
    ranks = [row for row in rows("ranks.csv") if row["status"] == "ok"]
    counts = sorted({(int(row["effective_depth"]), int(row["all_reduces_per_token"])) for row in ranks})
    pairs = ", ".join(f"{count} at depth {depth}" for depth, count in counts)
    return (
        f"Fused against literal, four pairs: largest relative difference of a window's loss {largest:.1e}. All-reduces counted per token: {pairs}. "
        "Two and four ranks against one model, prompt and cached decoding, are the tests of `harness/model/src/tensor_parallel`.")


def recovered():
    tuned = [row["method"] for row in rows("recovery.csv") if "finetune(" in row["method"]]
    paired_tuned = next(name for name in tuned if name.startswith("layer-parallel("))
    dense_tuned = next(name for name in tuned if name != paired_tuned)
    paired = recipe("layer-parallel", end=28, pairs=8)
    left = (loss(paired_tuned) - loss(dense_tuned)) / (loss(paired) - loss("dense"))
    lines = [["none", f"{perplexity('dense'):.2f}", f"{perplexity(paired):.2f}", ratio(paired)],
             ["60 steps of 4 x 256 tokens", f"{perplexity(dense_tuned):.2f}", f"{perplexity(paired_tuned):.2f}", ratio(paired_tuned, dense_tuned)]]
    header = ["training of the 16 paired blocks", "dense, perplexity", "8 pairs, perplexity", "ratio"]
    return f"{table(header, lines)}\n\n{100 * (1 - left):.0f} % of the gap in log perplexity is gone, beside the dense model tuned alike."


def geometric(values):
    """Geometric mean with its two-sided 95 % interval."""
    logs = [math.log(value) for value in values]
    quantile = {2: 12.706, 3: 4.303, 4: 3.182, 5: 2.776, 6: 2.571, 7: 2.447}[len(logs)]
    mean, margin = statistics.mean(logs), quantile * statistics.stdev(logs) / math.sqrt(len(logs))
    return math.exp(mean), math.exp(mean - margin), math.exp(mean + margin)


def rates(name, keys):
    """Tokens a second by setting, method and round."""
    found = defaultdict(lambda: defaultdict(dict))
    for row in rows(name):
        if row["status"] != "ok":
            sys.exit(f"{name}: {row['method']} was not timed: {row['error']}")
        setting = tuple(row[key] for key in keys)
        found[setting][row["method"]][int(row["seed"])] = row
    return found


def paired(by_round, base, phase):
    return [float(row[f"{phase}_tokens_per_s"]) / float(base[seed][f"{phase}_tokens_per_s"]) for seed, row in by_round.items()]


def speed():
    lines = []
    for (engine, prompt, generated, batch), methods in rates("speed.csv", ("engine", "prompt_tokens", "generated_tokens", "batch")).items():
        jobs = ([("prompt", "prefill"), ("one token, full cache", "decode")] if generated == "2" else [("generation", "decode")])
        for job, phase in jobs:
            cells = [engine, f"{job}: prompt {prompt}, generated {generated}", batch]
            for method, by_round in methods.items():
                median = statistics.median(float(row[f"{phase}_tokens_per_s"]) for row in by_round.values())
                text = f"{median:.1f}"
                if method != "dense":
                    value, low, high = geometric(paired(by_round, methods["dense"], phase))
                    text += f", ×{value:.3f} [{low:.3f}, {high:.3f}]"
                depth = next(iter(by_round.values()))["effective_depth"]
                cells.append(f"{text} (depth {depth})")
            lines.append(cells)
    header = ["engine", "job", "batch", "sequential, tokens/s", "literal pairs", "fused pairs"]
    return table(header, lines)


def ranks():
    lines = []
    found = rates("ranks.csv", ("engine", "all_reduce_latency_us"))
    for (engine, latency), methods in found.items():
        lp = next(method for method in methods if method != "dense")
        dense_rows, lp_rows = methods["dense"], methods[lp]
        depth = {method: int(next(iter(of.values()))["effective_depth"]) for method, of in methods.items()}
        bound = depth["dense"] / depth[lp]

        # The model's compute is that of the sequential order, which was timed without a wait.
        rounds = found[(engine, "0")]["dense"].values()
        compute = 1 / statistics.median(float(row["decode_tokens_per_s"]) for row in rounds)
        waiting = float(latency) * 1e-6
        model = (compute + 2 * depth["dense"] * waiting) / (compute + 2 * depth[lp] * waiting)
        value, low, high = geometric(paired(lp_rows, dense_rows, "decode"))
        rate = {method: statistics.median(float(row["decode_tokens_per_s"]) for row in of.values()) for method, of in methods.items()}
        counts = [next(iter(of.values()))["all_reduces_per_token"] for of in (dense_rows, lp_rows)]
        lines.append([engine, latency, " and ".join(counts), f"{rate['dense']:.2f}", f"{rate[lp]:.2f}", f"{value:.3f} [{low:.3f}, {high:.3f}]",
                      f"{model:.3f}", f"{bound:.3f}", f"{value / bound:.3f}"])
    header = ["engine", "waited after an all-reduce (µs)", "all-reduces per token", "sequential, tokens/s", "layer-parallel, tokens/s", "speed-up",
              "the timing model's", "N / effective depth", "speed-up over it"]
    return table(header, lines)


def depth_table():
    families = {
        "layer-parallel, end 28": r"layer-parallel\(end=28, pairs=\d+\)",
        "two-parallel, end 28": r"two-parallel\(end=28, start=\d+\)",
        "shortgpt": r"shortgpt\(.*\)",
        "sleb": r"sleb\(.*\)",
        "prune-range, end 28": r"prune-range\(end=28, start=\d+\)",
        "prune-range, start 12": r"prune-range\(end=\d+, start=12\)",
        "merge, end 28": r"merge\(end=28, start=\d+\)",
        "merge, start 12": r"merge\(end=\d+, start=12\)",
        "laco, telescoping": r"laco\(layers=3, threshold=.*\)",
        "laco, sum": r"laco\(layers=3, rule=sum, .*\)",
    }
    methods = [row["method"] for row in rows("depth.csv") if row["status"] == "ok"]
    of_families = {name for name in methods for pattern in families.values() if re.fullmatch(pattern, name)}
    depths = sorted({DEPTHS[name] for name in of_families}, reverse=True)
    lines = []
    for family, pattern in families.items():
        cells = []
        for depth in depths:
            found = [name for name in methods if re.fullmatch(pattern, name) and DEPTHS[name] == depth]
            cells.append("<br>".join(dict.fromkeys(ratio(name) for name in found)))
        lines.append([family, *cells])
    return table(["ratio to dense at an effective depth of", *map(str, depths)], lines)


def sliced():
    lines = []
    for row in rows("slicegpt.csv"):
        if row["status"] == "ok" and row["method"] != "dense":
            lines.append([row["method"], f"{100 * float(row['achieved_parameter_ratio']):.1f} %", f"{int(row['stored_parameters']):,}",
                          f"{float(row['perplexity']):.1f}", ratio(row["method"])])
    return table(["method", "fewer parameters", "stored parameters", "perplexity", "ratio to dense"], lines)


def failures():
    return [f"{row['method']}: {row['error']}" for row in rows("depth.csv") if row["status"] != "ok"]


def accuracies():
    lines = []
    for row in rows("icl_tasks.csv"):
        if row["kind"] == "suite":
            depth = BLOCKS - int(re.search(r"pairs=(\d+)", row["method"])[1]) if row["method"] != "dense" else BLOCKS
            change = "" if row["method"] == "dense" else (
                f"{float(row['difference_to_baseline']):+.4f} [{float(row['change_low']):+.4f}, {float(row['change_high']):+.4f}]")
            kept = "" if row["method"] == "dense" else (
                f"{100 * float(row['retained']):.1f} % [{100 * float(row['retained_low']):.1f}, {100 * float(row['retained_high']):.1f}]")
            lines.append([row["method"], str(depth), f"{float(row['value']):.4f} ± {float(row['stderr']):.4f}", change, kept])
    counts = {row["task"]: row["n"] for row in rows("icl_tasks.csv") if row["kind"] == "task" and row["method"] == "dense" and row["n"] and not row["group"]}
    text = ", ".join(f"{task.split('@')[0]} {n}" for task, n in counts.items())
    return table(["method", "effective depth", "mean of seven tasks (± stderr)", "change (95 %)", "retained (95 %)"], lines), text


def main():
    names = ("depth.csv", "ends.csv", "removals.csv", "shuffle.csv", "slicegpt.csv",
             "recovery.csv", "icl_tasks.csv", "speed.csv", "ranks.csv")
    machines = {f"{row['cpu']}, {row['cores']} cores" for name in names for row in rows(name) if "cpu" in row}
    accuracy, counts = accuracies()
    claims = [
        ("1", "Literal, fused and split execution give the same numbers; all-reduces are twice the effective depth.", algebra()),
        ("2", "On the same range: dense < two-parallel ≈ layer-parallel < the whole stretch in parallel ≪ removing ≈ merging.", same_range()),
        ("3", "At the same effective depth pairs in parallel lose less than removing half as many blocks of the range, in most middle ranges.",
         same_depth()),
        ("4", "The first pairs and the last blocks are much worse than a middle pair, and the best end lies before the last blocks.", position()),
        ("5", "Perplexity grows smoothly and convexly with the pairs, and one or two cost a few per cent.", growth()),
        ("6", "Shuffling a stretch of up to a third of the blocks is far less harmful than removing it.", shuffled()),
        ("7", "The norm variants differ little beside what parallelism costs.", norms()),
        ("10", "Fine-tuning the paired blocks alone recovers at least a third of the gap; here after 61,440 tokens.", recovered()),
        ("11a", "On one CPU speed stays within 10 % of the sequential model's.", speed()),
        ("11c", "With a wait after each all-reduce the speed-up follows the timing model.", ranks()),
    ]
    print(f"""# Layer parallelism on SmolLM2-135M

What can be checked of the layer-parallelism paper's statements on a model of 30 blocks, torch on the CPU in f32 unless a row says otherwise
({'; '.join(sorted(machines))}). The paper's own tables could not be had, so no value stands beside these;
[its page](../../../docs/papers/layer_parallelism.md) has what could, and what we expect. Perplexities are
`wikitext2/stream-512@1` on the first {WINDOWS} windows; the losses of every window, commits and machines are in the CSVs. This page is made by
`make layer-parallelism` from them.

## Perplexity at smaller effective depths

![perplexity against effective depth](depth.svg)

{depth_table()}

Ratios of perplexity with 95 % intervals, by Student's t on the paired differences of the {WINDOWS} windows' losses. Ranges that end at 28 are best for pairs
([end sweep](ends.svg)); the blocks just before 28 must not be removed or merged, those from 12 on can. `shortgpt`, `sleb` and `laco` chose their
blocks on 2,048 tokens.{''.join(f' Failed: {text}.' for text in failures())}

SliceGPT removes directions of the stream and no depth; calibrated on 16,384 tokens:

{sliced()}

## Zero-shot accuracy

{accuracy}

Suite `lp-icl` without examples ({counts} documents). Retained is the mean over that of dense, with what guessing gives in both.

## Claims

[claims.md](claims.md) has the verdicts, by `prunebench claims layer_parallelism`. What follows is what they rest on, by the same numbers.
All intervals are two-sided at 95 %: over windows by Student's t, of speeds over rounds. The removal of claim 3 is the best one in the range by
the same windows, which favours it.
""")
    for number, text, detail in claims:
        print(f"### {number}. {text}\n\n{detail}\n")
    print("""## Files

| file | made by |
|---|---|""")
    for part in ("depth", "shuffle", "slicegpt", "icl", "recovery", "speed", "ranks"):
        tasks = ", [accuracies](icl_tasks.csv)" if part == "icl" else ""
        print(f"| [{part}.csv]({part}.csv){tasks} | [{part}.toml](../../../harness/experiments/papers/layer_parallelism/{part}.toml) |")
    for part, method, lengths in (("ends", "layer-parallel", "2,4,8"), ("removals", "prune-range", "1,2,4")):
        print(f"| [{part}.csv]({part}.csv), [picture]({part}.svg) | `prunebench depth-map --model smollm2-135m --method {method} "
              f"--length {lengths} --protocol wikitext2/stream-512@1 --windows {WINDOWS}` |")
    print("\nSplitting `tiny` over two threads, with and without a wait for each all-reduce: [records](../../speed/tiny-tensor-parallel-amd-epyc-2-cores.json).")


if __name__ == "__main__":
    main()
