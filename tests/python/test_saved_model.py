#!/usr/bin/env python3
"""What Hoist saves, transformers opens, and both compute the same logits.

Usage: test_saved_model.py HOIST_BINARY MODEL_FOLDER     checks this folder
       test_saved_model.py HOIST_BINARY RECIPE           trains a few steps of every family by the recipe first
                                                         (needs torch and transformers)

For a few prompts, the ids are those of AutoTokenizer, and the last position's logits of `hoist generate --logits --exact` those of
AutoModelForCausalLM in float32: norm of the difference over norm at most 1e-5. Weights have moved from where they
were drawn, so that no two layers can be exchanged unnoticed.
"""

import pathlib
import sys
import tempfile

import torch
import transformers

import hoist_cli

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
TOLERANCE = 1e-5
PROMPTS = ["Once upon a time", "int main(", "the", "A longer prompt, with\nlines and  spaces; 1234567890 \u00e9\u4e2d."]
RUNS = [
    ("llama", []),
    ("llama", ["model.tie=false", "model.kv_heads=4"]),
    ("llama", ["train.precision=bf16"]),
    ("gpt2", ["model.kv_heads=0"]),
    ("gpt2", ["model.kv_heads=0", "model.biases=false"]),
    ("qwen2", []),
    ("qwen3", []),
]


def check(binary, folder):
    """Returns how many prompts differ."""
    model, report = transformers.AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float32, attn_implementation="eager", output_loading_info=True
    )
    model.eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"):
        assert not report[kind], f"{folder}: {kind} {sorted(report[kind])[:5]}"
    failures = 0
    for prompt in PROMPTS:
        got = hoist_cli.generate(binary, folder, prompt, 1, "--logits", "--exact")
        with torch.no_grad():
            want = model(input_ids=torch.tensor([got["prompt_ids"]])).logits[0, -1].double()
        have = torch.tensor(got["logits"], dtype=torch.float64)
        assert have.shape == want.shape, f"{len(have)} logits, transformers has {len(want)}"
        error = ((have - want).norm() / want.norm()).item()
        ids = tokenizer(prompt)["input_ids"]
        good = error <= TOLERANCE and ids == got["prompt_ids"]
        failures += not good
        print(f"  {'ok' if good else 'FAIL'}  {prompt!r}: {len(got['prompt_ids'])} tokens, relative difference {error:.1e}")
        if ids != got["prompt_ids"]:
            print(f"        ids {got['prompt_ids']}, AutoTokenizer {ids}")
    return failures


def train_and_check(binary, recipe):
    failures = 0
    for family, overrides in RUNS:
        with tempfile.TemporaryDirectory() as folder:
            print(f"{family} {' '.join(overrides)}", flush=True)
            hoist_cli.run(binary, "train", recipe, f"model.family={family}", *overrides, "train.steps=8",
                          "train.warmup=2", "train.lr=1e-2", f"output.folder={folder}", cwd=ROOT)
            failures += check(binary, pathlib.Path(folder) / "model")
    return failures


def main():
    binary, given = pathlib.Path(sys.argv[1]).resolve(), pathlib.Path(sys.argv[2])
    transformers.logging.disable_progress_bar()
    transformers.logging.set_verbosity_error()
    torch.set_num_threads(1)
    failures = check(binary, given) if given.is_dir() else train_and_check(binary, given.resolve())
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
