#!/usr/bin/env python3
"""Planned memory against measured memory, serving and training, for three random models of at least 100M parameters.

Usage: measure_memory.py [--hoist build/bin/hoist] [--models gpt2,llama,qwen3] [--keep FOLDER]

Makes the models itself (random weights, float32), asks `hoist inspect` what it plans, runs `hoist serve` and
`hoist train` for real, and reads each process's peak from /proc/PID/status (VmHWM). The peak of an idle hoist - serving a
model of a few kilobytes - is taken off. Standard library only.
"""

import argparse
import array
import json
import math
import pathlib
import random
import signal
import struct
import subprocess
import sys
import tempfile
import time
import urllib.request

SHAPES = {
    "gpt2": {
        "architectures": ["GPT2LMHeadModel"], "model_type": "gpt2", "vocab_size": 50257, "n_embd": 768, "n_layer": 12,
        "n_head": 12, "n_positions": 1024, "tie_word_embeddings": True,
    },
    "llama": {
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": 32000, "hidden_size": 768,
        "intermediate_size": 2048, "num_hidden_layers": 12, "num_attention_heads": 12, "num_key_value_heads": 4,
        "max_position_embeddings": 2048, "tie_word_embeddings": False, "rms_norm_eps": 1e-5, "rope_theta": 10000.0,
    },
    "qwen3": {
        "architectures": ["Qwen3ForCausalLM"], "model_type": "qwen3", "vocab_size": 60000, "hidden_size": 640,
        "intermediate_size": 1920, "num_hidden_layers": 16, "num_attention_heads": 10, "num_key_value_heads": 5, "head_dim": 128,
        "max_position_embeddings": 1024, "tie_word_embeddings": True, "rms_norm_eps": 1e-6, "rope_theta": 1000000.0,
    },
    "idle": {
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": 300, "hidden_size": 8,
        "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1, "num_key_value_heads": 1,
        "max_position_embeddings": 32, "tie_word_embeddings": True, "rms_norm_eps": 1e-5, "rope_theta": 10000.0,
    },
}


def tensors(c):
    """(name, shape) of every tensor."""
    if c["model_type"] == "gpt2":
        h, out = c["n_embd"], []
        out += [("transformer.wte.weight", [c["vocab_size"], h]), ("transformer.wpe.weight", [c["n_positions"], h])]
        for i in range(c["n_layer"]):
            p = f"transformer.h.{i}."
            for n in ("ln_1", "ln_2"):
                out += [(p + n + ".weight", [h]), (p + n + ".bias", [h])]
            for n, a, b in (("attn.c_attn", h, 3 * h), ("attn.c_proj", h, h), ("mlp.c_fc", h, 4 * h), ("mlp.c_proj", 4 * h, h)):
                out += [(p + n + ".weight", [a, b]), (p + n + ".bias", [b])]
        return out + [("transformer.ln_f.weight", [h]), ("transformer.ln_f.bias", [h])]
    h, f = c["hidden_size"], c["intermediate_size"]
    d = c.get("head_dim", h // c["num_attention_heads"])
    q, kv = d * c["num_attention_heads"], d * c["num_key_value_heads"]
    out = [("model.embed_tokens.weight", [c["vocab_size"], h])]
    for i in range(c["num_hidden_layers"]):
        p = f"model.layers.{i}."
        out += [(p + "input_layernorm.weight", [h]), (p + "post_attention_layernorm.weight", [h])]
        out += [(p + "self_attn.q_proj.weight", [q, h]), (p + "self_attn.k_proj.weight", [kv, h])]
        out += [(p + "self_attn.v_proj.weight", [kv, h]), (p + "self_attn.o_proj.weight", [h, q])]
        if c["model_type"] == "qwen3":
            out += [(p + "self_attn.q_norm.weight", [d]), (p + "self_attn.k_norm.weight", [d])]
        out += [(p + "mlp.gate_proj.weight", [f, h]), (p + "mlp.up_proj.weight", [f, h]), (p + "mlp.down_proj.weight", [h, f])]
    out.append(("model.norm.weight", [h]))
    if not c["tie_word_embeddings"]:
        out.append(("lm_head.weight", [c["vocab_size"], h]))
    return out


def write_model(folder, config, tokenizer):
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "tokenizer.json").write_text(tokenizer)
    header, at = {}, 0
    names = tensors(config)
    for name, shape in names:
        size = 4 * math.prod(shape)
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [at, at + size]}
        at += size
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    draw = random.Random(1)
    block = array.array("f", (draw.gauss(0, 0.02) for _ in range(1 << 16))).tobytes()
    ones = array.array("f", [1.0] * 4096).tobytes()
    with open(folder / "model.safetensors", "wb") as out:
        out.write(struct.pack("<Q", len(text)) + text)
        for name, shape in names:
            size = 4 * math.prod(shape)
            source = ones if len(shape) == 1 else block
            for _ in range(size // len(source)):
                out.write(source)
            out.write(source[: size % len(source)])
    return sum(math.prod(s) for _, s in names)


def byte_tokenizer():
    """256 bytes and nothing else."""
    alphabet = list(range(33, 127)) + list(range(161, 173)) + list(range(174, 256))
    symbols, extra = {}, 0
    for b in range(256):
        if b in alphabet:
            symbols[b] = chr(b)
        else:
            symbols[b] = chr(256 + extra)
            extra += 1
    return json.dumps({
        "version": "1.0", "added_tokens": [], "normalizer": None,
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True},
        "post_processor": None, "decoder": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True},
        "model": {"type": "BPE", "vocab": {symbols[b]: b for b in range(256)}, "merges": []},
    })


def peak(pid):
    """Peak resident bytes of a live process."""
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError("no VmHWM")


def serve_peak(hoist, folder, flags, load):
    process = subprocess.Popen([hoist, "serve", folder, "--port", "0", "--quiet", *flags], stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, text=True)
    try:
        line = process.stdout.readline()
        url = next(word for word in line.split() if word.startswith("http"))
        if load:
            body = json.dumps({"prompt": ["x" * 100 * (i + 1) for i in range(4)], "max_tokens": 8, "temperature": 0}).encode()
            urllib.request.urlopen(urllib.request.Request(url + "/v1/completions", body, {"Content-Type": "application/json"})).read()
        return peak(process.pid)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()


def train_peak(hoist, folder, work, batch, seq):
    text = work / "text.txt"
    text.write_text("".join(chr(97 + i * 7919 % 26) for i in range(20000)))
    recipe = work / "recipe.toml"
    recipe.write_text(
        f'[model]\nfrom = "{folder}"\n[data]\npaths = ["{text}"]\nvalidation = 0.0\n[train]\nsteps = 3\nbatch = {batch}\nseq = {seq}\n'
        f'[output]\nfolder = "{work / "run"}"\n')
    process = subprocess.Popen([hoist, "train", str(recipe)], stderr=subprocess.DEVNULL)
    highest = 0
    while process.poll() is None:
        try:
            highest = max(highest, peak(process.pid))
        except (RuntimeError, FileNotFoundError, ProcessLookupError):
            break
        time.sleep(0.02)
    if process.wait() != 0:
        raise RuntimeError("training failed")
    return highest


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--hoist", default="build/bin/hoist")
    parser.add_argument("--models", default="gpt2,llama,qwen3")
    options = parser.parse_args()
    hoist = str(pathlib.Path(options.hoist).resolve())
    batch, seq, worst = 2, 256, 0.0
    with tempfile.TemporaryDirectory() as temporary:
        root = pathlib.Path(temporary)
        write_model(root / "idle", SHAPES["idle"], byte_tokenizer())
        idle = serve_peak(hoist, str(root / "idle"), ["--max-seqs", "1", "--context", "32"], False)
        print(f"idle hoist: {idle / 1e6:.1f} MB")
        print(f"{'model':8} {'parameters':>12} {'what':6} {'planned MB':>11} {'measured MB':>12} {'difference':>11}")
        for name in options.models.split(","):
            folder = root / name
            count = write_model(folder, SHAPES[name], byte_tokenizer())
            flags = ["--max-seqs", "8", "--context", "1024"]
            plan = json.loads(subprocess.run([hoist, "inspect", str(folder), "--json", *flags, "--batch", str(batch), "--seq", str(seq)],
                                             capture_output=True, text=True, check=True).stdout)
            work = root / (name + "-train")
            work.mkdir()
            for what, planned, measured in (
                ("serve", plan["memory_to_serve"]["total_bytes"], serve_peak(hoist, str(folder), flags, True)),
                ("train", plan["memory_to_train"]["total_bytes"], train_peak(hoist, str(folder), work, batch, seq)),
            ):
                measured -= idle
                difference = measured / planned - 1
                worst = max(worst, abs(difference))
                print(f"{name:8} {count:12,} {what:6} {planned / 1e6:11.1f} {measured / 1e6:12.1f} {100 * difference:10.2f}%", flush=True)
            subprocess.run(["rm", "-rf", str(folder), str(work)], check=True)
    print(f"worst difference: {100 * worst:.2f}%")
    return 0 if worst <= 0.05 else 1


if __name__ == "__main__":
    sys.exit(main())
