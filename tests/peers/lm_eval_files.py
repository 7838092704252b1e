"""Reads the files of `prunebench eval --lm-eval-output DIR` as lm-eval's own tools and pandas do, and recomputes what they say."""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import pandas
from lm_eval import utils


def check(folder):
    files = [str(path) for path in folder.iterdir()]
    [path] = utils.get_results_filenames(files)
    results = json.loads(Path(path).read_text())
    print(utils.make_table(results))
    if "groups" in results:
        print(utils.make_table(results, "groups"))
    paths = utils.get_sample_results_filenames(files)
    for path in paths:
        task = utils.get_file_task_name(Path(path).name)
        samples = pandas.read_json(path, lines=True)
        if len(samples) != results["n-samples"][task]["effective"]:
            yield f"{task}: {len(samples)} samples"
        for metric in samples["metrics"][0]:
            mean, said = samples[metric].mean(), results["results"][task][f"{metric},none"]
            if metric != "perplexity" and abs(mean - said) > 1e-12:
                yield f"{task}: {metric} is {said} in the results, and {mean} in the samples"
        for sample in samples.itertuples():
            if utils.hash_string(sample.arguments["gen_args_0"]["arg_0"]) != sample.prompt_hash:
                yield f"{task}: prompt_hash of document {sample.doc_id}"
        hashes = samples.doc_hash + samples.prompt_hash + samples.target_hash
        if utils.hash_string("".join(hashes)) != results["task_hashes"][task]:
            yield f"{task}: task_hashes"
    print(f"{len(paths)} files of samples read")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, nargs="?", help="the model's folder in DIR, with the files of one evaluation")
    parser.add_argument("--smallest", action="store_true", help="write a folder first, of tiny on a few documents: seconds")
    parser.add_argument("--binary", default="target/debug/prunebench", help="what writes it")
    options = parser.parse_args()
    if options.smallest == bool(options.folder):
        parser.error("wanted either a folder or --smallest")
    if options.smallest:
        with tempfile.TemporaryDirectory() as scratch:
            command = [options.binary, "eval", "--model", "tiny", "--tasks", "world_facts,world_programs", "--limit", "5",
                       "--engine", "candle", "--lm-eval-output", scratch]
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
            [folder] = Path(scratch).iterdir()
            problems = list(check(folder))
    else:
        problems = list(check(options.folder))
    if problems:
        sys.exit("\n".join(problems))


if __name__ == "__main__":
    main()
