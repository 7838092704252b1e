"""Reads the files of `prunebench eval --lm-eval-output DIR` as lm-eval's own tools and pandas do, and recomputes what they say."""

import argparse
import json
import sys
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
    parser.add_argument("folder", type=Path, help="the model's folder in DIR, with the files of one evaluation")
    problems = list(check(parser.parse_args().folder))
    if problems:
        sys.exit("\n".join(problems))


if __name__ == "__main__":
    main()
