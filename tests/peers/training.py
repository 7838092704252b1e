"""Trains a model in torch and in prunebench on the same batch and compares losses and weights; times training steps of both in
interleaved rounds."""

import argparse
import json
import math
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
import transformers
from safetensors.torch import load_file

# The steps that are compared. An element whose gradient is near epsilon moves by the learning rate times the gradient's rounding
# over epsilon: at 1e-6 torch in f32 is up to 6e-6 from itself in f64, and single elements of any implementation can be further.
# Dropout would draw other numbers.
SETTINGS = {"learning_rate": 1e-4, "betas": [0.9, 0.95], "eps": 1e-5, "weight_decay": 0.1, "clip": 1.0}
SMALLEST = {"model": "tiny", "rounds": 1, "steps": 1, "batch": 2, "tokens": 32}
LORA = {"rank": 8, "alpha": 16.0, "dropout": 0.0}
AGREEMENT = {"sequences": 2, "tokens": 32}
# More full steps on random tokens amplify rounding: after three, torch and both engines are 1e-4 from each other in the loss.
STEPS = {"full": 1, "lora": 10}
# Relative, of the loss of each step; absolute, of each trained weight, which the steps move by up to 1e-3.
TOLERANCE = 1e-5


class Adapter(torch.nn.Module):
    """A linear with a low-rank delta."""

    def __init__(self, linear, rank, alpha, dropout, down=None):
        super().__init__()
        self.linear, self.scale, self.dropout = linear, alpha / rank, torch.nn.Dropout(dropout)
        bound = 1 / math.sqrt(linear.in_features)
        down = torch.empty(rank, linear.in_features).uniform_(-bound, bound) if down is None else down
        self.down = torch.nn.Parameter(down.clone())
        self.up = torch.nn.Parameter(torch.zeros(linear.out_features, rank))

    def forward(self, x):
        delta = torch.nn.functional.linear(torch.nn.functional.linear(self.dropout(x), self.down), self.up)
        return self.linear(x) + self.scale * delta


def attach(model, lora, first):
    """Freezes the model, and gives every linear of a layer an adapter; `first` has the A matrices by name."""
    model.requires_grad_(False)
    for name, module in list(model.model.layers.named_modules()):
        if isinstance(module, torch.nn.Linear):
            parent, _, child = name.rpartition(".")
            down = first.get(f"model.layers.{name}.lora_A.weight")
            setattr(model.model.layers.get_submodule(parent), child, Adapter(module, **lora, down=down))


def adapters(model):
    for name, module in model.model.layers.named_modules():
        if isinstance(module, Adapter):
            yield f"model.layers.{name}.lora_A.weight", module.down
            yield f"model.layers.{name}.lora_B.weight", module.up


def load(folder, what, first, lora=LORA):
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).train()
    if what == "lora":
        attach(model, lora, first)
    return model


def optimiser(model, settings):
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    return torch.optim.AdamW(trained, lr=settings["learning_rate"], betas=settings["betas"], eps=settings["eps"],
                             weight_decay=settings["weight_decay"])


def step(model, adamw, sequences, clip=None):
    """Reads all tokens but the last of each sequence and learns their successors."""
    logits = model(sequences[:, :-1], use_cache=False).logits
    loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), sequences[:, 1:].flatten())
    adamw.zero_grad(set_to_none=True)
    loss.backward()
    if clip:
        torch.nn.utils.clip_grad_norm_(model.parameters(), clip)
    adamw.step()
    return loss.item()


def agreement(options, folder, what, engine, scratch):
    """Largest relative difference of a step's loss, and differences of the trained weights."""
    torch.manual_seed(0)
    sequences = torch.randint(0, options.vocabulary, (AGREEMENT["sequences"], AGREEMENT["tokens"] + 1))
    request = {
        "model": folder, "engine": engine, "lora": LORA if what == "lora" else None, "out": scratch, "sequences": sequences.tolist(),
        "settings": SETTINGS | {"steps": STEPS[what], "length": AGREEMENT["tokens"] + 1},
    }
    output = subprocess.run([options.train_on], input=json.dumps(request), check=True, stdout=subprocess.PIPE, text=True).stdout
    ours = json.loads(output)["losses"]
    model = load(folder, what, load_file(Path(scratch, "adapters.safetensors")))
    before = {name: value.detach().clone() for name, value in (adapters(model) if what == "lora" else model.named_parameters())}
    adamw = optimiser(model, SETTINGS)
    theirs = [step(model, adamw, sequences, SETTINGS["clip"]) for _ in range(STEPS[what])]
    after = load_file(Path(scratch, "after.safetensors"))
    trained = dict(adapters(model) if what == "lora" else model.named_parameters())
    if trained.keys() != after.keys():
        sys.exit(f"{what}: trained here {sorted(after.keys() - trained.keys())}, there {sorted(trained.keys() - after.keys())}")
    differences = torch.cat([(trained[name].detach() - after[name]).abs().flatten() for name in after])
    moved = max((trained[name].detach() - before[name]).abs().max().item() for name in after)
    return {
        "work": what, "engine": engine, "steps": STEPS[what], "losses": ours, "peer_losses": theirs,
        "loss_difference": max(abs(a - b) / b for a, b in zip(ours, theirs, strict=True)),
        "weight_difference": differences.max().item(), "largest_change": moved,
    }


def peer_seconds(options, folder, what):
    """A process of its own, for the peak of its memory: torch's seconds of each step, and that peak."""
    output = subprocess.run([sys.executable, __file__, "--peer", what, "--model", folder, "--threads", str(options.threads),
                             "--batch", str(options.batch), "--tokens", str(options.tokens), "--steps", str(options.steps)],
                            check=True, stdout=subprocess.PIPE, text=True).stdout
    return json.loads(output)


def peer(options):
    torch.set_num_threads(options.threads)
    model = load(options.model, options.peer, {}, LORA | {"dropout": 0.05})
    adamw = optimiser(model, {"learning_rate": 1e-4, "betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 0.0})
    seconds = []
    for _ in range(options.steps + 1):
        sequences = torch.randint(0, model.config.vocab_size, (options.batch, options.tokens + 1))
        start = time.perf_counter()
        step(model, adamw, sequences)
        seconds.append(time.perf_counter() - start)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10
    print(json.dumps({"seconds": seconds[1:], "peak_bytes": peak}))


def our_seconds(options, folder, what, engine):
    output = subprocess.run(
        [options.binary, "throughput", "--model", folder, "--engine", engine, "--threads", str(options.threads), "--train", what,
         "--train-tokens", str(options.tokens), "--batch", str(options.batch), "--repeats", str(options.steps), "--warmup", "1",
         *(["--micro-batch", str(options.micro_batch)] if options.micro_batch else []),
         "--json", *(["--recompute"] if what in options.recompute else [])], check=True, stdout=subprocess.PIPE, text=True).stdout
    [record] = json.loads(output)
    if record["status"] != "ok":
        sys.exit(f"{engine}, {what}: {record['error']}")
    steps = record["metrics"]["training"]["steps"]["seconds"]
    return {"seconds": steps, "peak_bytes": record["memory"]["peak_resident_bytes"], "provenance": record["provenance"]}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--binary", default="target/debug/prunebench")
    parser.add_argument("--train-on", default="target/debug/examples/train_on", help="the example of the crate prunebench-train")
    parser.add_argument("--model", default="smollm2-135m", help="anything prunebench reads")
    parser.add_argument("--engines", nargs="+", default=["torch", "candle"])
    parser.add_argument("--work", nargs="+", default=["full", "lora"])
    parser.add_argument("--rounds", type=int, default=3, help="of the timing; 0 compares losses and weights alone")
    parser.add_argument("--steps", type=int, default=2, help="timed in a round, after one that warms up")
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--tokens", type=int, default=256, help="read of each sequence")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--micro-batch", type=int, help="sequences that prunebench takes at once; transformers takes all")
    parser.add_argument("--recompute", nargs="*", default=[], help="work in which prunebench keeps no activations")
    parser.add_argument("--no-agreement", action="store_true", help="time alone")
    parser.add_argument("--out", help="write raw figures and provenance here")
    parser.add_argument("--peer", help=argparse.SUPPRESS)
    parser.add_argument("--smallest", action="store_true", help="tiny, one round of one short step: seconds")
    if "--smallest" in sys.argv:
        parser.set_defaults(**SMALLEST)
    options = parser.parse_args()
    if options.peer:
        return peer(options)
    torch.set_num_threads(options.threads)
    compared, timed, provenance = [], {}, None
    with tempfile.TemporaryDirectory() as scratch:
        folder = str(Path(scratch, "model"))
        subprocess.run([options.binary, "compress", "--model", options.model, "--recipe", "dense", "--out", folder],
                       check=True, stdout=subprocess.DEVNULL)
        options.vocabulary = transformers.AutoConfig.from_pretrained(folder).vocab_size
        if not options.no_agreement:
            compared = [agreement(options, folder, what, engine, scratch) for what in options.work for engine in options.engines]
        for _ in range(options.rounds):
            for what in options.work:
                runs = {"transformers": peer_seconds(options, folder, what)}
                runs |= {engine: our_seconds(options, folder, what, engine) for engine in options.engines}
                for name, run in runs.items():
                    entry = timed.setdefault(what, {}).setdefault(name, {"seconds": [], "peak_bytes": []})
                    entry["seconds"] += run["seconds"]
                    entry["peak_bytes"].append(run["peak_bytes"])
                    provenance = run.get("provenance", provenance)
    versions = f"transformers {transformers.__version__}, torch {torch.__version__}"
    if compared:
        print(f"{AGREEMENT['sequences']} sequences of {AGREEMENT['tokens']} tokens, f32, AdamW with decay and clipping; {versions}\n")
        print("| work | engine | steps | loss, largest relative difference | weights, largest change | largest difference |")
        print("|---|---|---:|---:|---:|---:|")
        for of in compared:
            print(f"| {of['work']} | {of['engine']} | {of['steps']} | {of['loss_difference']:.1e} | {of['largest_change']:.1e} | "
                  f"{of['weight_difference']:.1e} |")
    if timed:
        cpu = provenance["cpu"]
        cpu = cpu["name"] if isinstance(cpu, dict) else cpu
        print(f"\n{options.batch}×{options.tokens} tokens, f32, {options.threads} threads, {cpu}, {options.rounds} "
              f"rounds of {options.steps} steps; {versions}\n")
        print("| work | implementation | tokens/s, median | lowest | highest | ratio to transformers | peak memory, MiB |")
        print("|---|---|---:|---:|---:|---:|---:|")
        for what, by_name in timed.items():
            base = statistics.median(by_name["transformers"]["seconds"])
            for name, of in by_name.items():
                median = statistics.median(of["seconds"])
                rates = [options.batch * options.tokens / t for t in (median, max(of["seconds"]), min(of["seconds"]))]
                work = f"{what}, activations made anew" if what in options.recompute and name != "transformers" else what
                if options.micro_batch and name != "transformers":
                    work += f", {options.micro_batch} at once"
                print(f"| {work} | {name} | {rates[0]:.1f} | {rates[1]:.1f} | {rates[2]:.1f} | {base / median:.2f} | "
                      f"{max(of['peak_bytes']) >> 20} |")
        if {"full", "lora"} <= timed.keys():
            for name in timed["full"]:
                full, lora = (statistics.median(timed[what][name]["seconds"]) for what in ("full", "lora"))
                print(f"\n{name}: a LoRA step has {full / lora:.2f} times the speed of a full one")
    if options.out:
        arguments = {key: getattr(options, key) for key in ("model", "batch", "tokens", "threads", "rounds", "steps", "micro_batch", "recompute")}
        result = {"arguments": arguments, "settings": SETTINGS, "lora": LORA, "versions": versions, "agreement": compared,
                  "timed": timed, "provenance": provenance}
        Path(options.out).write_text(json.dumps(result, indent=1))
    off = [of for of in compared if not (of["loss_difference"] <= TOLERANCE and of["weight_difference"] <= TOLERANCE)]
    if off:
        sys.exit(f"{len(off)} comparisons are off: {TOLERANCE:.0e} is wanted, relative of losses and absolute of weights")


if __name__ == "__main__":
    main()
