#!/usr/bin/env python3
"""The io layer against the reference readers and writers: safetensors files and Hugging Face folders.

Usage: test_io.py HOIST_BINARY      (io_roundtrip is looked for beside it; needs torch, safetensors and transformers)

1. A file with every element type, written by the reference, read and written again by us: identical bytes.
2. Conversion on read: equal bits to torch's.
3. A model saved by transformers, sharded again by us: loads with no missing key and equal weights.
4. config.json of each family through our reader and writer: the same configuration, and a model of the same shapes.
"""

import pathlib
import subprocess
import sys
import tempfile

import torch
import transformers
from safetensors.torch import load_file, save_file

FLOATS = [torch.float32, torch.bfloat16, torch.float16, torch.float64]
TYPES = FLOATS + [torch.int32, torch.int64, torch.uint8, torch.int8]
SHAPES = [(), (1,), (7,), (3, 5), (0, 4), (2, 3, 4)]


def run(tool, *arguments):
    done = subprocess.run([str(tool), *map(str, arguments)], capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"{tool.name} {arguments}: {done.stderr}")


def sample_tensors():
    generator = torch.Generator().manual_seed(7)
    tensors = {}
    for dtype in TYPES:
        for shape in SHAPES:
            values = torch.randn(shape, generator=generator, dtype=torch.float64) * 50
            tensors[f"{str(dtype)[6:]} é\"{shape}"] = values.to(torch.int64).abs().to(dtype) if dtype not in FLOATS else values.to(dtype)
    special = [0.0, -0.0, float("inf"), -float("inf"), float("nan"), 1e-8, 65504.0, 65520.0, 3.4e38, 1e-40, 6e-8]
    tensors["special"] = torch.tensor(special, dtype=torch.float32)
    return tensors



def check_weights(tool, folder):
    tensors = sample_tensors()
    theirs, ours = folder / "theirs.safetensors", folder / "ours.safetensors"
    save_file(tensors, theirs, metadata={"format": "pt"})
    run(tool, "weights", theirs, ours)
    assert theirs.read_bytes() == ours.read_bytes(), "rewritten file differs from the reference's"
    for dtype in FLOATS[:3]:
        run(tool, "as", theirs, ours, {torch.float32: "f32", torch.bfloat16: "bf16", torch.float16: "f16"}[dtype])
        converted = load_file(ours)
        for name, tensor in tensors.items():
            want = tensor.to(dtype) if tensor.dtype in FLOATS else tensor
            if tensor.dtype == torch.float64 and dtype != torch.float32:
                want = tensor.to(torch.float32).to(dtype)
            got = converted[name]
            same = torch.isnan(got) & torch.isnan(want) | (got == want) & (torch.signbit(got) == torch.signbit(want)) \
                if got.dtype in FLOATS else got == want
            assert got.shape == want.shape and bool(same.all()), f"{name} as {dtype}: {got} for {want}"
    print(f"ok  {len(tensors)} tensors: identical file, equal conversions")


def tiny_configs():
    shape = dict(vocab_size=96, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
                 num_key_value_heads=2, max_position_embeddings=64)
    llama3 = dict(rope_type="llama3", rope_theta=500000.0, factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0,
                  original_max_position_embeddings=32)
    return {
        "gpt2": transformers.GPT2Config(vocab_size=96, n_embd=32, n_layer=2, n_head=4, n_positions=64),
        "gpt2-inner": transformers.GPT2Config(vocab_size=96, n_embd=32, n_layer=1, n_head=4, n_positions=64, n_inner=40,
                                              activation_function="relu", scale_attn_weights=False),
        "llama": transformers.LlamaConfig(**shape),
        "llama3": transformers.LlamaConfig(**shape, rope_parameters=llama3, tie_word_embeddings=True, head_dim=16,
                                           eos_token_id=[3, 4], dtype="bfloat16"),
        "llama-linear": transformers.LlamaConfig(**shape, attention_bias=True, mlp_bias=True,
                                                 rope_parameters=dict(rope_type="linear", rope_theta=1e4, factor=2.0)),
        "qwen2": transformers.Qwen2Config(**shape),
        "qwen3": transformers.Qwen3Config(**shape, head_dim=16, attention_bias=True),
    }


# Keys of the reference that say nothing about the model, or that we leave out where they have no effect.
IGNORED = {"transformers_version", "_name_or_path", "torch_dtype", "sliding_window", "max_window_layers"}


def check_configs(tool, folder):
    for name, config in tiny_configs().items():
        before, after = folder / name / "before", folder / name / "after"
        config.save_pretrained(before)
        run(tool, "config", before, after)
        again = transformers.AutoConfig.from_pretrained(after)
        assert type(again) is type(config), name
        a, b = config.to_dict(), again.to_dict()
        for key in sorted((set(a) | set(b)) - IGNORED):
            x, y = a.get(key), b.get(key)
            if key == "architectures" and x is None:
                continue
            if key == "head_dim" and x is None:
                continue
            assert x == y, f"{name}: {key}: {y!r} for {x!r}"
        model = transformers.AutoModelForCausalLM.from_config(config)
        shapes = {k: tuple(v.shape) for k, v in model.state_dict().items()}
        rebuilt = transformers.AutoModelForCausalLM.from_config(again)
        assert shapes == {k: tuple(v.shape) for k, v in rebuilt.state_dict().items()}, name

        model.save_pretrained(before)
        run(tool, "shards", before, after, 4000)
        assert (after / "model.safetensors.index.json").exists(), name
        loaded, report = transformers.AutoModelForCausalLM.from_pretrained(after, output_loading_info=True)
        for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"):
            assert not report[kind], f"{name}: {kind} {sorted(report[kind])}"
        for key, value in model.state_dict().items():
            assert torch.equal(value, loaded.state_dict()[key]), f"{name}: {key}"
        ids = torch.arange(10).unsqueeze(0)
        with torch.no_grad():
            assert torch.equal(model.eval()(ids).logits, loaded.eval()(ids).logits), f"{name}: logits"
        print(f"ok  {name}: same configuration, {len(shapes)} tensors in {len(list(after.glob('model-*')))} shards")


def main():
    tool = pathlib.Path(sys.argv[1]).resolve().with_name("io_roundtrip")
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    with tempfile.TemporaryDirectory() as folder:
        check_weights(tool, pathlib.Path(folder))
        check_configs(tool, pathlib.Path(folder))
    return 0


if __name__ == "__main__":
    sys.exit(main())
