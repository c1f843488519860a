#!/usr/bin/env python3
"""Checkpoints exchanged and adapters swapped in a running server, under load: no request fails, none mixes.

Usage: test_exchange.py HOIST_BINARY MODEL_FOLDER [TIMES]      (exit 77 when there is no such model)

Every answer must be one that one version gives alone: two versions of the weights take turns under the same name, then
two adapters do. Standard library only.
"""

import json
import pathlib
import random
import shutil
import struct
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request

import server_process

PROMPTS = ["Once upon a time", "The cat", "One day a girl", "It was"]
TOKENS = 24


def ask(url, path, body):
    request = urllib.request.Request(url + path, json.dumps(body).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=120) as answer:
        return json.load(answer)


def complete(url, prompt, model):
    body = {"model": model, "prompt": prompt, "max_tokens": TOKENS, "temperature": 0, "ignore_eos": True}
    return ask(url, "/v1/completions", body)["choices"][0]["text"]


def read_safetensors(path):
    data = path.read_bytes()
    size = struct.unpack("<Q", data[:8])[0]
    return json.loads(data[8:8 + size]), bytearray(data[8 + size:])


def write_safetensors(path, header, data):
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    new = path.with_suffix(".new")
    new.write_bytes(struct.pack("<Q", len(text)) + text + data)
    new.replace(path)


def changed_weights(source, target):
    """The same model with its last norm turned round in places: other answers, and finite ones."""
    header, data = read_safetensors(source)
    begin, end = header["model.norm.weight"]["data_offsets"]
    assert header["model.norm.weight"]["dtype"] == "F32"
    values = list(struct.unpack(f"<{(end - begin) // 4}f", data[begin:end]))
    values = [-v if i % 3 == 0 else v for i, v in enumerate(values)]
    data[begin:end] = struct.pack(f"<{len(values)}f", *values)
    write_safetensors(target, header, bytes(data))


def make_adapter(folder, config, seed):
    folder.mkdir(parents=True)
    rng = random.Random(seed)
    rank, width = 4, config["hidden_size"]
    (folder / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA", "r": rank, "lora_alpha": 16}))
    header, data = {}, b""
    for layer in range(config["num_hidden_layers"]):
        for side, shape in (("A", [rank, width]), ("B", [width, rank])):
            values = [rng.gauss(0, 0.3) for _ in range(shape[0] * shape[1])]
            raw = struct.pack(f"<{len(values)}f", *values)
            header[f"base_model.model.model.layers.{layer}.self_attn.q_proj.lora_{side}.weight"] = {
                "dtype": "F32", "shape": shape, "data_offsets": [len(data), len(data) + len(raw)]}
            data += raw
    write_safetensors(folder / "adapter_model.safetensors", header, data)


class Load:
    """Clients that ask all the time; every answer must be one of those given."""

    def __init__(self, url, model, wanted, clients=6):
        self.url, self.model, self.wanted = url, model, wanted
        self.stop, self.problems, self.count = threading.Event(), [], 0
        self.seen = set()
        self.threads = [threading.Thread(target=self.run, args=(n,)) for n in range(clients)]
        for thread in self.threads:
            thread.start()

    def run(self, number):
        rng = random.Random(number)
        while not self.stop.is_set():
            prompt = rng.choice(PROMPTS)
            try:
                text = complete(self.url, prompt, self.model)
            except (urllib.error.URLError, OSError) as error:
                self.problems.append(str(error))
                continue
            found = [version for version, texts in self.wanted.items() if texts[prompt] == text]
            if not found:
                self.problems.append(f"{prompt!r} gave {text!r}, which no version says")
            self.seen.update(found)
            self.count += 1

    def end(self):
        self.stop.set()
        for thread in self.threads:
            thread.join()
        assert not self.problems, f"{len(self.problems)} of {self.count}: {self.problems[:3]}"
        assert self.seen == set(self.wanted), f"only {self.seen} were ever seen"
        return self.count


def until(condition, what, seconds=60):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return
        time.sleep(0.01)
    raise RuntimeError(f"waited {seconds} s in vain for {what}")


def main():
    source = pathlib.Path(sys.argv[2])
    times = int(sys.argv[3]) if len(sys.argv) > 3 else 8
    if server_process.missing(source):
        return 77
    with tempfile.TemporaryDirectory() as scratch:
        root = pathlib.Path(scratch)
        model, other = root / "model", root / "other"
        for folder in (model, other):
            shutil.copytree(source.resolve(), folder)
        changed_weights(model / "model.safetensors", other / "model.safetensors")
        config = json.loads((model / "config.json").read_text())
        for number in (0, 1):
            make_adapter(root / "adapters" / str(number), config, number)
        flags = ["--reload-seconds", "0.05", "--adapter-slots", "4", "--adapters-folder", str(root / "adapters"),
                 "--also", f"other={other}", "--max-loaded", "2"]
        with server_process.serving(sys.argv[1], model, *flags) as url:
            versions = {name: {p: complete(url, p, name) for p in PROMPTS} for name in ("model", "other")}
            assert versions["model"] != versions["other"], "the changed weights change nothing"
            weights = {v: (root / v / "model.safetensors").read_bytes() for v in ("model", "other")}

            load = Load(url, "model", versions)
            for turn in range(times):
                version = "other" if turn % 2 == 0 else "model"
                new = model / "model.safetensors.tmp"
                new.write_bytes(weights[version])
                new.replace(model / "model.safetensors")
                until(lambda: complete(url, PROMPTS[0], "model") == versions[version][PROMPTS[0]], "the exchange")
            print(f"ok: {times} exchanges of the checkpoint under {load.end()} requests")

            def put(number):
                ask(url, "/v1/load_lora_adapter", {"lora_name": "tuned", "lora_path": str(number), "model": "model"})

            wanted = {}
            for number in (0, 1):
                put(number)
                wanted[number] = {p: complete(url, p, "tuned") for p in PROMPTS}
            assert wanted[0] != wanted[1], "the adapters change nothing"
            load = Load(url, "tuned", wanted)
            for turn in range(times):
                put(turn % 2)
                assert complete(url, PROMPTS[1], "tuned") == wanted[turn % 2][PROMPTS[1]], "the newest is used at once"
            print(f"ok: {times} swaps of an adapter under {load.end()} requests")
            for path in ("../model", "/etc", "a/../..", ""):
                try:
                    ask(url, "/v1/load_lora_adapter", {"lora_name": "x", "lora_path": path})
                    raise AssertionError(f"{path!r} was accepted")
                except urllib.error.HTTPError as error:
                    assert error.code == 400, (path, error.code)
            ask(url, "/v1/unload_lora_adapter", {"lora_name": "tuned"})
            try:
                complete(url, PROMPTS[0], "tuned")
                raise AssertionError("an adapter that was unloaded answers")
            except urllib.error.HTTPError as error:
                assert error.code == 404, error.code
    return 0


if __name__ == "__main__":
    sys.exit(main())
