#!/usr/bin/env python3
"""What Hoist saves, transformers opens, and both compute the same logits.

Usage: test_saved_model.py HOIST_BINARY MODEL_FOLDER      (needs torch and transformers)

For a few prompts, the last position's logits of `hoist generate --logits` are compared with those of
AutoModelForCausalLM in float32 on the same ids: norm of the difference over norm at most 1e-5.
"""

import pathlib
import sys

import torch
import transformers

import hoist_cli

TOLERANCE = 1e-5
PROMPTS = ["Once upon a time", "int main(", "the", "A longer prompt, with\nlines and  spaces; 1234567890."]


def main():
    binary, folder = sys.argv[1], pathlib.Path(sys.argv[2])
    transformers.logging.disable_progress_bar()
    model, report = transformers.AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float32, attn_implementation="eager", output_loading_info=True
    )
    model.eval()
    for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"):
        assert not report[kind], f"{folder}: {kind} {sorted(report[kind])[:5]}"
    failures = 0
    for prompt in PROMPTS:
        got = hoist_cli.generate(binary, folder, prompt, 1, "--logits")
        with torch.no_grad():
            want = model(input_ids=torch.tensor([got["prompt_ids"]])).logits[0, -1].double()
        have = torch.tensor(got["logits"], dtype=torch.float64)
        assert have.shape == want.shape, f"{len(have)} logits, transformers has {len(want)}"
        error = ((have - want).norm() / want.norm()).item()
        good = error <= TOLERANCE
        failures += not good
        print(f"{'ok' if good else 'FAIL'}  {prompt!r}: {len(got['prompt_ids'])} tokens, relative difference {error:.1e}")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
