#!/usr/bin/env python3
"""Trains the same model without a limit and inside memory cgroups, and compares.

Usage (as root): measure_training_memory.py BINARY TEXT [--times 4 8] [--tokens 256] [--steps 6] [--folder DIR]

The model is a Llama shape of 88 M parameters (12 layers, width 768, vocabulary 8,192): 1,344 MiB of weights, gradients and
AdamW states in float32. For each of --times the limit is that size divided by it, enforced by a cgroup, and `hoist train
--memory` is told the same. Prints tokens per second (median of the steps after the first two), what a step moves, the
kernel's count of the peak, and whether losses and saved weights are those of the unlimited run bit for bit.
"""
import argparse
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile

from measure_serving import MemoryGroup

RECIPE = """[model]
family = "llama"
hidden = 768
layers = 12
heads = 12
kv_heads = 4
context = 256
tie = false
[data]
paths = ["{text}"]
vocab = 8192
[train]
steps = {steps}
batch = {batch}
seq = 256
eval_every = 0
lr = 1e-4
[output]
folder = "{folder}"
checkpoint_every = 0
"""
MODEL_BYTES = 88_099_584 * 16


def train(options, name, limit=None):
    folder = os.path.join(options.folder, name)
    recipe = os.path.join(options.folder, name + ".toml")
    with open(recipe, "w") as file:
        file.write(RECIPE.format(text=options.text, steps=options.steps, batch=options.tokens // 256, folder=folder))
    command, group, enter = [options.binary, "train", recipe], None, None
    if limit:
        command += ["--memory", str(limit)]
        group = MemoryGroup(limit)
        enter = lambda: group.write("cgroup.procs", os.getpid())
    done = subprocess.run(command, preexec_fn=enter, stderr=subprocess.PIPE, text=True)
    peak = group.peak() if group else None
    if group:
        group.remove()
    if done.returncode != 0:
        return {"exit": done.returncode, "said": done.stderr[-500:], "peak": peak}
    seconds, losses, before = [], [], 0.0
    with open(os.path.join(folder, "metrics.jsonl")) as file:
        for line in map(json.loads, file):
            if line["kind"] == "step":
                losses.append(line["loss_hex"])
                seconds.append(line["seconds"] - before)
                before = line["seconds"]
    moved = re.search(r"a step reads (.*) and writes (.*)", done.stderr)
    waited = re.search(r"waited for the disk (.*)", done.stderr)
    return {"exit": 0, "losses": losses, "weights": os.path.join(folder, "model", "model.safetensors"), "peak": peak,
            "tokens_per_second": options.tokens / statistics.median(seconds[2:]),
            "moved": moved.groups() if moved else None, "waited": waited.group(1) if waited else None}


def same_files(a, b):
    with open(a, "rb") as x, open(b, "rb") as y:
        while True:
            p, q = x.read(1 << 20), y.read(1 << 20)
            if p != q:
                return False
            if not p:
                return True


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("binary")
    parser.add_argument("text")
    parser.add_argument("--times", type=float, nargs="+", default=[4, 8])
    parser.add_argument("--tokens", type=int, default=256, help="of a step, a multiple of 256")
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--folder", help="on the disk to be used; a new folder in it is removed afterwards")
    options = parser.parse_args()
    options.text = os.path.abspath(options.text)
    options.folder = tempfile.mkdtemp(prefix="hoist-memory-", dir=options.folder)
    try:
        free = train(options, "free")
        if free["exit"] != 0:
            sys.exit("the unlimited run failed: " + free["said"])
        print(f"no limit: {free['tokens_per_second']:.1f} tokens/s")
        for times in options.times:
            limit = int(MODEL_BYTES / times)
            run = train(options, f"limit{times:g}", limit)
            if run["exit"] != 0:
                print(f"1/{times:g} ({limit >> 20} MiB): exit {run['exit']}: {run['said']}")
                continue
            same = run["losses"] == free["losses"] and same_files(run["weights"], free["weights"])
            print(f"1/{times:g} ({limit >> 20} MiB): {run['tokens_per_second']:.1f} tokens/s, "
                  f"{run['tokens_per_second'] / free['tokens_per_second']:.2f} of no limit; a step reads {run['moved'][0]}, "
                  f"writes {run['moved'][1]}; waited {run['waited']}; peak {run['peak'] >> 20} MiB; "
                  f"{'the same bits' if same else 'OTHER BITS'}")
    finally:
        shutil.rmtree(options.folder, ignore_errors=True)


if __name__ == "__main__":
    main()
