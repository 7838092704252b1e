"""Puts the same documents to lm-eval and to each prunebench engine in turn: time, memory, and every answer.

lm-eval needs tasks that read the same rows as prunebench: a folder of task files (--include-path) whose names are prunebench's
behind a prefix, or none of both where the Hub is in reach and lm-eval's own tasks serve. For the tasks of the synthetic world, which
lm-eval has not, the files are written here, with the rows that prunebench says it evaluated.

Exits with 1 if a log-likelihood is off or an answer differs."""

import argparse
import importlib.metadata
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SMALLEST = {"model": "tiny", "tasks": ["world_facts", "world_lists"], "limit": 16, "batch_sizes": ["8"], "max_length": 256}
# Of a request's log-likelihood, in nats; relative, of a perplexity.
TOLERANCE = 1e-3


def run(command, **environment):
    """Standard output and error, seconds on the clock, and the largest resident set of any process of it, in MiB."""
    with tempfile.TemporaryFile() as output:
        start = time.perf_counter()
        process = subprocess.Popen(command, stdout=output, stderr=output, env={**os.environ, **environment})
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - start
        output.seek(0)
        text = output.read().decode()
    if status:
        sys.exit(f"{' '.join(map(str, command))} failed:\n{text[-3000:]}")
    return text, seconds, usage.ru_maxrss / 1024


def samples(folder, prefix):
    """By task and document: log-likelihood and flag of every request, and the metrics."""
    found = {}
    for path in folder.rglob("samples_*.jsonl"):
        task = re.fullmatch(rf"samples_{prefix}(\w+?)_\d{{4}}-.*", path.stem).group(1)
        for line in path.read_text().splitlines():
            sample = json.loads(line)
            answers = [(float(ll), str(flag)) for (ll, flag), in sample["resps"]]
            metrics = {name: sample[name] for name in ("acc", "acc_norm") if name in sample}
            found[task, sample["doc_id"]] = answers, metrics
    return found


def world_tasks(options, model, scratch):
    """A folder of lm-eval task files for the tasks of the synthetic world, with the rows of prunebench's own samples."""
    out, folder = Path(scratch, "rows"), Path(scratch, "world")
    folder.mkdir()
    command = [options.binary, "eval", "--model", model, "--engine", options.engines[0], "--tasks", ",".join(options.tasks),
               "--limit", str(options.limit), "--lm-eval-output", out]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    for task in options.tasks:
        [path] = out.rglob(f"samples_{task}_*.jsonl")
        rows = folder / f"{task}.jsonl"
        rows.write_text("".join(json.dumps(json.loads(line)["doc"]) + "\n" for line in path.read_text().splitlines()))
        # JSON is YAML.
        (folder / f"{task}.yaml").write_text(json.dumps({
            "task": task, "dataset_path": "json", "dataset_kwargs": {"data_files": {"validation": str(rows)}},
            "validation_split": "validation", "output_type": "multiple_choice", "doc_to_text": "{{context}}",
            "doc_to_choice": "{{choices}}", "doc_to_target": "{{gold}}", "metric_list": [{"metric": "acc"}],
        }))
    return folder


def lm_eval(options, model, batch, scratch):
    out = Path(scratch, f"lm-eval-{batch}-{time.monotonic_ns()}")
    tasks = ",".join(options.prefix + task for task in options.tasks)
    command = [sys.executable, "-m", "lm_eval", "run", "--model", "hf", "--model_args",
               f"pretrained={model},dtype=float32,max_length={options.max_length}", "--device", "cpu", "--tasks", tasks,
               "--limit", options.limit, "--num_fewshot", options.shots, "--batch_size", batch, "--log_samples", "--output_path", out]
    if options.include_path:
        command += ["--include_path", options.include_path]
    text, seconds, memory = run(list(map(str, command)), OMP_NUM_THREADS=str(options.threads),
                                **({"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1"} if options.include_path else {}))
    bars = re.findall(r"100%\|[^|]*\| (\d+)/\1 \[(?:(\d+):)?(\d+):(\d+)<", text)
    evaluation = sum(3600 * int(h or 0) + 60 * int(m) + int(s) for _, h, m, s in bars)
    figure = {"evaluation_s": evaluation, "whole_s": seconds, "peak_mib": memory}
    if options.rolling:
        [results] = out.rglob("results_*.json")
        [metrics] = json.loads(results.read_text())["results"].values()
        return {**figure, "evaluation_s": None}, metrics["word_perplexity,none"]
    return figure, samples(out, options.prefix)


def prunebench(options, model, engine, scratch):
    out = Path(scratch, f"{engine}-{time.monotonic_ns()}")
    command = [options.binary, "eval", "--model", model, "--engine", engine, "--threads", options.threads, "--json"]
    if options.rolling:
        command += ["--protocol", options.rolling, "--windows", options.limit]
    else:
        command += ["--tasks", ",".join(options.tasks), "--limit", options.limit, "--shots", options.shots, "--lm-eval-output", out]
    start = time.perf_counter()
    record = json.loads(subprocess.run(list(map(str, command)), check=True, stdout=subprocess.PIPE,
                                       stderr=subprocess.DEVNULL).stdout)[0]
    seconds = time.perf_counter() - start
    memory = record["memory"]["peak_resident_bytes"] / 2**20
    figure = {"evaluation_s": None, "whole_s": seconds, "peak_mib": memory}
    if options.rolling:
        return figure, record["metrics"]["perplexity"][0]["value"], record["provenance"]
    figure["evaluation_s"] = sum(task["scoring"]["seconds"] for task in record["metrics"]["tasks"])
    return figure, samples(out, ""), record["provenance"]


def compare(peer, ours):
    """Largest difference of log-likelihoods, and the documents whose flags or metrics differ; or both perplexities."""
    if isinstance(peer, float):
        return {"lm_eval": peer, "prunebench": ours}
    assert peer.keys() == ours.keys(), f"documents differ: {sorted(peer.keys() ^ ours.keys())[:5]}"
    pairs = [(key, *zip(peer[key][0], ours[key][0])) for key in sorted(peer)]
    largest = max(abs(a[0] - b[0]) for _, *answers in pairs for a, b in answers)
    differing = [key for key in sorted(peer) if peer[key][1] != ours[key][1]
                 or [flag for _, flag in peer[key][0]] != [flag for _, flag in ours[key][0]]]
    return {"documents": len(peer), "requests": sum(len(a) for a, _ in peer.values()), "largest_difference_nats": largest,
            "differing": [{"task": task, "document": document, "lm_eval": peer[task, document],
                           "prunebench": ours[task, document]} for task, document in differing]}


def agrees(found):
    if "documents" not in found:
        return abs(found["prunebench"] / found["lm_eval"] - 1) <= TOLERANCE
    return found["largest_difference_nats"] <= TOLERANCE and not found["differing"]


def ratio(peer, ours):
    """lm-eval's progress bars count whole seconds: below one there is nothing to divide."""
    return f"{peer / ours:.2f}" if peer and ours else "below 1 s"


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--binary", default="target/debug/prunebench")
    parser.add_argument("--model", default="smollm2-135m")
    parser.add_argument("--tasks", nargs="+", default=["hellaswag", "arc_easy", "piqa"])
    parser.add_argument("--limit", type=int, default=200)
    parser.add_argument("--rolling", metavar="PROTOCOL", help="compare this protocol of rolling windows with the one task instead")
    parser.add_argument("--shots", type=int, default=0)
    parser.add_argument("--include-path", help="folder of lm-eval task files")
    parser.add_argument("--prefix", default="", help="what the names of those tasks begin with")
    parser.add_argument("--batch-sizes", nargs="+", default=["1", "16", "64"], help="lm-eval's; its best one counts")
    parser.add_argument("--max-length", type=int, default=8192, help="lm-eval's context, which is the model's here")
    parser.add_argument("--engines", nargs="+", default=["torch", "candle"])
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", help="write raw figures and provenance here")
    parser.add_argument("--smallest", action="store_true", help="tiny on a few rows of the synthetic world: seconds")
    if "--smallest" in sys.argv:
        parser.set_defaults(**SMALLEST)
    options = parser.parse_args()
    figures, differences, provenance = {}, {}, None
    with tempfile.TemporaryDirectory() as scratch:
        model = Path(scratch, "model")
        subprocess.run([options.binary, "compress", "--model", options.model, "--recipe", "dense", "--out", model],
                       check=True, stdout=subprocess.DEVNULL)
        if not options.include_path and all(task.startswith("world_") for task in options.tasks):
            options.include_path = world_tasks(options, model, scratch)
        for _ in range(options.rounds):
            for batch in options.batch_sizes:
                figure, peer = lm_eval(options, model, batch, scratch)
                figures.setdefault(f"lm-eval, batch {batch}", []).append(figure)
            for engine in options.engines:
                figure, ours, provenance = prunebench(options, model, engine, scratch)
                figures.setdefault(engine, []).append(figure)
                differences[engine] = compare(peer, ours)
    keys = ["whole_s", "peak_mib"] if options.rolling else ["evaluation_s", "whole_s", "peak_mib"]
    median = {name: {key: statistics.median(figure[key] for figure in of) for key in keys} for name, of in figures.items()}
    best = {key: min(of[key] for name, of in median.items() if name.startswith("lm-eval")) for key in keys}
    cpu = provenance["cpu"]
    cpu = cpu["name"] if isinstance(cpu, dict) else cpu
    print(f"{', '.join(options.tasks)}: {options.limit} documents each, {options.shots} shots, f32, {options.threads} threads, "
          f"{cpu}, medians of {options.rounds}; the ratio is to lm-eval at its best batch size\n")
    print(f"| implementation | {' | '.join(f'{key} | ratio' for key in keys)} |\n|---{'|---:|---:' * len(keys)}|")
    for name, of in median.items():
        print(f"| {name} | {' | '.join(f'{of[key]:.1f} | {ratio(best[key], of[key])}' for key in keys)} |")
    for engine, found in differences.items():
        if options.rolling:
            print(f"\n{engine}: {found}")
            continue
        print(f"\n{engine}: {found['documents']} documents, {found['requests']} requests, largest difference "
              f"{found['largest_difference_nats']:.1e} nats, {len(found['differing'])} documents differ in a flag or a metric")
        for document in found["differing"]:
            print(f"  {document}")
    if options.out:
        arguments = {key: getattr(options, key) for key in ("model", "tasks", "limit", "shots", "threads")}
        versions = {name: importlib.metadata.version(name) for name in ("lm-eval", "torch", "transformers")}
        result = {"arguments": arguments, "versions": versions, "figures": figures, "differences": differences, "provenance": provenance}
        Path(options.out).write_text(json.dumps(result, indent=1))
    off = [engine for engine, found in differences.items() if not agrees(found)]
    if off:
        sys.exit(f"{' and '.join(off)} differ from lm-eval: the same answers are wanted, and {TOLERANCE:.0e} at most between numbers")


if __name__ == "__main__":
    main()
