"""Times prefill and greedy decode of transformers and of each prunebench engine in interleaved rounds."""

import argparse
import json
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

import torch
import transformers

PROMPT = {"prefill": 1024, "decode": 128}
GENERATED = 33


def peer_prefill(model, tokens):
    ids = torch.randint(0, model.config.vocab_size, (1, tokens))
    start = time.perf_counter()
    model(ids)
    return time.perf_counter() - start


class Clock(transformers.generation.streamers.BaseStreamer):
    """The time at which each token appears; the first call brings the prompt."""

    def __init__(self):
        self.times = []

    def put(self, value):
        self.times.append(time.perf_counter())

    def end(self):
        pass


def peer_decode(model, tokens):
    ids = torch.randint(0, model.config.vocab_size, (1, tokens))
    clock = Clock()
    model.generate(ids, attention_mask=torch.ones_like(ids), do_sample=False, min_new_tokens=GENERATED,
                   max_new_tokens=GENERATED, streamer=clock)
    times = clock.times[1:]
    assert len(times) == GENERATED
    return times[-1] - times[0]


def ours(options, folder, engine, kind, generated):
    output = subprocess.run(
        [options.binary, "throughput", "--model", folder, "--engine", engine, "--threads", str(options.threads),
         "--prompt-tokens", str(PROMPT[kind]), "--generate", str(generated), "--repeats", "2", "--warmup", "1", "--json"],
        check=True, stdout=subprocess.PIPE, text=True).stdout
    return json.loads(output)[0]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--binary", default="target/debug/prunebench")
    parser.add_argument("--model", default="smollm2-135m")
    parser.add_argument("--engines", nargs="+", default=["torch", "candle"])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", help="write the raw seconds and provenance here")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    seconds = {kind: {name: [] for name in ["transformers", *options.engines]} for kind in PROMPT}
    with tempfile.TemporaryDirectory() as scratch, torch.inference_mode():
        folder = str(Path(scratch, "model"))
        subprocess.run([options.binary, "compress", "--model", options.model, "--recipe", "dense", "--out", folder],
                       check=True, stdout=subprocess.DEVNULL)
        peer = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
        provenance = None
        for round_ in range(options.rounds + 1):
            for kind, time_once in [("prefill", peer_prefill), ("decode", peer_decode)]:
                # Round 0 warms up; each of ours warms up in its own process.
                times = [time_once(peer, PROMPT[kind]) for _ in range(2)]
                if round_ == 0:
                    continue
                seconds[kind]["transformers"] += times
                for engine in options.engines:
                    record = ours(options, folder, engine, kind, 2 if kind == "prefill" else GENERATED)
                    seconds[kind][engine] += record["metrics"]["throughput"][kind]["seconds"]
                    provenance = record["provenance"]
    tokens = {"prefill": PROMPT["prefill"], "decode": GENERATED - 1}
    versions = f"transformers {transformers.__version__}, torch {torch.__version__}"
    print(f"f32, {options.threads} threads, {provenance['cpu']}, {options.rounds} rounds; {versions}\n")
    print("| work | implementation | tokens/s, median | lowest | highest | ratio to transformers |")
    print("|---|---|---:|---:|---:|---:|")
    for kind, by_name in seconds.items():
        base = statistics.median(by_name["transformers"])
        for name, times in by_name.items():
            median = statistics.median(times)
            rates = [tokens[kind] / t for t in (median, max(times), min(times))]
            work = f"{kind}, {PROMPT[kind]} tokens of prompt"
            print(f"| {work} | {name} | {rates[0]:.1f} | {rates[1]:.1f} | {rates[2]:.1f} | {base / median:.2f} |")
    if options.out:
        result = {"threads": options.threads, "tokens": tokens, "seconds": seconds, "versions": versions, "provenance": provenance}
        Path(options.out).write_text(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
