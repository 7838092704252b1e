"""Times prefill and greedy decode of transformers and of each prunebench engine in interleaved rounds."""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
import transformers

SMALLEST = {"model": "tiny", "rounds": 1, "threads": 1, "prefill": 64, "decode": 32, "generated": 9}
DTYPES = {"f32": torch.float32, "bf16": torch.bfloat16, "f16": torch.float16}
# How transformers generates; a static cache is what torch.compile needs, and what it is used with.
PEERS = {
    "eager": {},
    "static": {"cache_implementation": "static", "disable_compile": True},
    "compile": {"cache_implementation": "static", "disable_compile": False},
}


def wait(device):
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def random_ids(model, batch, tokens):
    return torch.randint(0, model.config.vocab_size, (batch, tokens), device=model.device)


def peer_prefill(model, options):
    ids = random_ids(model, options.batch, options.prefill)
    wait(model.device)
    start = time.perf_counter()
    model(ids)
    wait(model.device)
    return time.perf_counter() - start


class Clock(transformers.generation.streamers.BaseStreamer):
    """The time at which each token appears; the first call brings the prompt."""

    def __init__(self):
        self.times = []

    def put(self, value):
        self.times.append(time.perf_counter())

    def end(self):
        pass


def peer_decode(model, options, how):
    ids = random_ids(model, 1, options.decode)
    clock = Clock()
    model.generate(ids, attention_mask=torch.ones_like(ids), do_sample=False, min_new_tokens=options.generated,
                   max_new_tokens=options.generated, streamer=clock, **PEERS[how])
    times = clock.times[1:]
    assert len(times) == options.generated
    return times[-1] - times[0]


def ours(options, model, engine, kind):
    prompt, generated, batch = (options.prefill, 2, options.batch) if kind == "prefill" else (options.decode, options.generated, 1)
    threads = ["--threads", str(options.threads)] if options.threads else []
    output = subprocess.run(
        [options.binary, "throughput", "--model", model, "--engine", engine, "--device", options.device, "--dtype", options.dtype,
         *threads, "--prompt-tokens", str(prompt), "--generate", str(generated), "--batch", str(batch),
         "--repeats", "2", "--warmup", "1", "--json"],
        check=True, stdout=subprocess.PIPE, text=True).stdout
    return json.loads(output)[0]


def random_model(options):
    """Random weights of a shape, made where they are used."""
    listed = subprocess.run([options.binary, "list", "shapes", "--json"], check=True, stdout=subprocess.PIPE, text=True).stdout
    shapes = {shape["name"]: shape["config"] for shape in json.loads(listed)["shapes"]}
    config = transformers.AutoConfig.for_model(**shapes[options.shape])
    config.eos_token_id = config.pad_token_id = None
    with torch.device(options.device):
        return transformers.AutoModelForCausalLM.from_config(config, dtype=DTYPES[options.dtype]).eval()


def saved_model(options, scratch):
    folder = str(Path(scratch, "model"))
    subprocess.run([options.binary, "compress", "--model", options.model, "--recipe", "dense", "--out", folder],
                   check=True, stdout=subprocess.DEVNULL)
    peer = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=DTYPES[options.dtype])
    return folder, peer.eval().to(options.device)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--binary", default="target/debug/prunebench")
    parser.add_argument("--model", default="smollm2-135m")
    parser.add_argument("--shape", help="random weights of a shape that `prunebench list shapes` names, in place of a model")
    parser.add_argument("--engines", nargs="+", default=["torch", "candle"])
    parser.add_argument("--peers", nargs="+", choices=PEERS, default=["eager"], help="how transformers generates")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", choices=DTYPES, default="f32")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, help="all cores if left out")
    parser.add_argument("--prefill", type=int, default=1024, help="tokens of the prompt that is read")
    parser.add_argument("--batch", type=int, default=1, help="such prompts at once")
    parser.add_argument("--decode", type=int, default=128, help="tokens of the prompt that is continued")
    parser.add_argument("--generated", type=int, default=33, help="tokens generated after it")
    parser.add_argument("--out", help="write the raw seconds and provenance here")
    parser.add_argument("--smallest", action="store_true", help="tiny, one round of short prompts: seconds")
    if "--smallest" in sys.argv:
        parser.set_defaults(**SMALLEST)
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    names = {"prefill": ["transformers"], "decode": [f"transformers {how}" for how in options.peers]}
    seconds = {kind: {name: [] for name in [*peers, *options.engines]} for kind, peers in names.items()}
    failed = {}
    with tempfile.TemporaryDirectory() as scratch, torch.inference_mode():
        if options.shape:
            model, peer = f"shape:{options.shape}", random_model(options)
        else:
            model, peer = saved_model(options, scratch)
        times_of = {("prefill", "transformers"): lambda: peer_prefill(peer, options)}
        for how in options.peers:
            times_of["decode", f"transformers {how}"] = lambda how=how: peer_decode(peer, options, how)
        for engine in options.engines:
            for kind in names:
                times_of[kind, engine] = lambda kind=kind, engine=engine: ours(options, model, engine, kind)
        provenance = {}
        for round_ in range(options.rounds + 1):
            for (kind, name), once in times_of.items():
                is_ours = name in options.engines
                # Round 0 warms up; each of ours warms up in its own process. What fails once is not tried again.
                if (kind, name) in failed or (is_ours and round_ == 0):
                    continue
                try:
                    if is_ours:
                        record = once()
                        times = record["metrics"]["throughput"][kind]["seconds"]
                        provenance[name] = record["provenance"]
                    else:
                        times = [once() for _ in range(2)]
                except Exception as error:
                    failed[kind, name] = f"{type(error).__name__}: {error}".splitlines()[0]
                    continue
                if round_ > 0:
                    seconds[kind][name] += times
    prompts = {"prefill": options.prefill, "decode": options.decode}
    tokens = {"prefill": options.prefill * options.batch, "decode": options.generated - 1}
    base_names = {kind: peers[0] for kind, peers in names.items()}
    versions = f"transformers {transformers.__version__}, torch {torch.__version__}"
    where = torch.cuda.get_device_name(options.device) if options.device != "cpu" else f"{torch.get_num_threads()} threads"
    print(f"{model}, {options.dtype}, {where}, {options.rounds} rounds; {versions}\n")
    print("| work | implementation | tokens/s, median | lowest | highest | ratio to transformers eager |")
    print("|---|---|---:|---:|---:|---:|")
    for kind, by_name in seconds.items():
        base = by_name[base_names[kind]]
        for name, times in by_name.items():
            work = f"{kind}, {prompts[kind]} tokens of prompt"
            if not times:
                print(f"| {work} | {name} | failed: {failed[kind, name]} | | | |")
                continue
            median = statistics.median(times)
            rates = [tokens[kind] / t for t in (median, max(times), min(times))]
            ratio = f"{statistics.median(base) / median:.2f}" if base else ""
            print(f"| {work} | {name} | {rates[0]:.1f} | {rates[1]:.1f} | {rates[2]:.1f} | {ratio} |")
    if options.out:
        result = {"options": vars(options), "tokens": tokens, "seconds": seconds, "versions": versions, "provenance": provenance,
                  "failed": {f"{kind} of {name}": why for (kind, name), why in failed.items()}}
        Path(options.out).write_text(json.dumps(result, indent=1))
    # Some way of the peer may not work on a machine; ours must, and what the ratios are to.
    needed = {*options.engines, *base_names.values()}
    raise SystemExit(any(name in needed for _, name in failed))


if __name__ == "__main__":
    main()
